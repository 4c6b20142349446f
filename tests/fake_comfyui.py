"""Stands in for ComfyUI's main.py where starting, killing and waiting are tested: a picture per
frame, whose colour is the frame's number, at once and without torch."""

import io
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from PIL import Image

IMAGE = {"input": {}, "output": ["IMAGE"]}
CUT = {"required": {"start": ["INT", {}], "count": ["INT", {}]}}
INFOS = {
    "ClipDriftFrames": {"input": CUT, "output": ["LATENT"], "output_is_list": [True]},
    "Sampler": IMAGE,
    "CreateVideo": {"input": {}, "output": ["VIDEO"]},
    "PreviewImage": IMAGE,
    "PreviewAny": IMAGE,
}
FRAMES = 24
SECONDS = 0.05
"""For each frame."""
history: dict[str, dict] = {}


def workflow() -> dict:
    """A prompt that this server knows."""
    nodes = {
        "cut": ("ClipDriftFrames", {"start": 0, "count": 0}),
        "draw": ("Sampler", {"latent": ["cut", 0]}),
        "film": ("CreateVideo", {"images": ["draw", 0], "fps": 12.0}),
    }
    return {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()}


def picture(index: int) -> bytes:
    """A frame."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (index, 255 - index, 0)).save(file, "png")
    return file.getvalue()


def run(prompt: dict) -> dict:
    """What the node that shows the frames puts out."""
    start, count = (prompt["cut"]["inputs"][name] for name in ("start", "count"))
    (shown,) = (name for name in prompt if name.startswith("clip_drift"))
    if prompt[shown]["class_type"] == "PreviewAny":
        return {shown: {"text": ["frame"] * FRAMES}}
    time.sleep(SECONDS * count)
    return {shown: {"images": [{"filename": str(start + i)} for i in range(count)]}}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        url = urlsplit(self.path)
        if url.path == "/view":
            self.reply(picture(int(parse_qs(url.query)["filename"][0])))
        elif url.path.startswith("/history/"):
            known = url.path.rsplit("/", 1)[-1]
            self.reply({known: history[known]} if known in history else {})
        else:
            answers = {"/object_info": INFOS, "/queue": {"queue_running": []}}
            self.reply(answers.get(url.path, {}))

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/prompt":
            entry = {"status": {"messages": []}, "outputs": run(body["prompt"])}
            history[body["prompt_id"]] = entry
            self.reply({"prompt_id": body["prompt_id"]})
        else:
            self.reply({})

    def reply(self, answer: object):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer if isinstance(answer, bytes) else json.dumps(answer).encode())

    def log_message(self, format: str, *args):
        pass


if __name__ == "__main__":
    port = int(sys.argv[sys.argv.index("--port") + 1])
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
