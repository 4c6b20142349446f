"""The main job, headless: a clip's drift moves a prompt, and native nodes draw the frames.

    python -m pack.workshop.examples.demo [--output DIR]

Runs the example workflow that scores itself as it is; its models and its clip are in the pack.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from PIL import Image

from ...farm.client import NodeError, Prompt, ServerError, node
from ...farm.ui_to_api import ids_of, ui_to_api
from ..rig.paths import EXAMPLES, RUN_DIR
from ..rig.server import ComfyServer, ended_by_signals
from .strip import draw_strip

SIDE = 256
"""Of the clip, and of the result beside it."""
WORKFLOW = EXAMPLES / "13-score_the_motion.json"


class Rendered(NamedTuple):
    """What came out, and in what time."""

    clip: list[np.ndarray]
    drawn: list[np.ndarray]
    """Their frames, uint8 RGB."""
    files: dict[str, bytes]
    """What to keep, by name."""
    seconds: float
    """From queueing to the end."""
    verdict: str


def demo_prompt(object_info: dict) -> Prompt:
    """The workflow, which also keeps the clip's drift and its report, and all frames, and both side
    by side."""
    prompt = ui_to_api(json.loads(WORKFLOW.read_text(encoding="utf-8")), object_info)
    drift = prompt[only(prompt, "ClipDriftCompare")]["inputs"]["reference"]
    drawn = [only(prompt, "VAEDecode"), 0]
    larger = {"upscale_method": "lanczos", "width": SIDE, "height": SIDE, "crop": "disabled"}
    saved = {"format": "auto", "codec": "auto"}
    clip = {"video": [only(prompt, "LoadVideo"), 0], "drift": drift}
    return {
        **prompt,
        "report": node("ClipDriftReport", drift=drift),
        "drift": node("ClipDriftSave", drift=drift, filename_prefix="demo/drift"),
        "frames": node("SaveImage", images=drawn, filename_prefix="demo/frame"),
        "larger": node("ImageScale", image=drawn, **larger),
        "both": node("ClipDriftSideBySide", images=["larger", 0], **clip),
        "video": node("CreateVideo", images=["both", 0], fps=["both", 1]),
        "side": node("SaveVideo", video=["video", 0], filename_prefix="demo/both", **saved),
    }


def only(prompt: Prompt, class_type: str) -> str:
    """The id of the only node of a type."""
    (found,) = ids_of(prompt, class_type)
    return found


class LogPrinter:
    """Repeats what the server logs from now on, with the time passed, without its progress bars."""

    def __init__(self, server: ComfyServer):
        self._server = server
        self._started = time.monotonic()
        self._seen = len(server.log())

    def __call__(self):
        """Print the lines that have come in since the last call."""
        log = self._server.log()
        complete = max(log.rfind("\n"), log.rfind("\r"), self._seen - 1) + 1
        for line in re.split(r"[\r\n]+", log[self._seen : complete]):
            if line.strip() and not re.match(r"\s*\d+%\|", line):
                print(f"  {time.monotonic() - self._started:5.0f} s  {line.strip()}", flush=True)
        self._seen = complete


def render(server: ComfyServer) -> Rendered:
    """Run the workflow on a server."""
    prompt = demo_prompt(server.object_info())
    started = time.monotonic()
    outputs = server.run(prompt, on_poll=LogPrinter(server))["outputs"]
    seconds = time.monotonic() - started

    def fetched(number: str) -> list[bytes]:
        return [server.view(**file) for file in outputs[number]["images"]]

    def shown(number: str) -> bytes:
        (file,) = fetched(number)
        return file

    (drift,) = server.output_dir.glob("demo/drift*.safetensors")
    clip = (server.input_dir / prompt[only(prompt, "LoadVideo")]["inputs"]["file"]).read_bytes()
    drawn = [np.asarray(Image.open(io.BytesIO(frame))) for frame in fetched("frames")]
    said = prompt[only(prompt, "Kandinsky22Encode")]["inputs"]["text"]
    seen, strip = frames_of(clip), io.BytesIO()
    rows = [("the clip", seen), (f"its motion, carried to “{said}”", drawn)]
    draw_strip(rows).save(strip, "PNG")
    compared = only(prompt, "ClipDriftCompare")
    (verdict,) = outputs[compared]["text"]
    files = {
        "clip.mp4": clip,
        "side_by_side.mp4": shown("side"),
        "strip.png": strip.getvalue(),
        "report.png": shown("report"),
        "comparison.png": shown(compared),
        "drift.safetensors": drift.read_bytes(),
    }
    return Rendered(seen, drawn, files, seconds, verdict)


def frames_of(video: bytes) -> list[np.ndarray]:
    """A video file's pictures, uint8 RGB."""
    with av.open(io.BytesIO(video)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=RUN_DIR / "demo", help="folder of results")
    output = parser.parse_args().output
    print("starting ComfyUI ...", flush=True)
    try:
        with (
            ended_by_signals(),
            tempfile.TemporaryDirectory(dir=RUN_DIR) as folder,
            ComfyServer(Path(folder)) as server,
        ):
            print(f"running {WORKFLOW.stem} on the CPU ...", flush=True)
            rendered = render(server)
    except (NodeError, ServerError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted")
    output.mkdir(parents=True, exist_ok=True)
    for name, content in rendered.files.items():
        (output / name).write_bytes(content)
    print(f"\nrendering time: {rendered.seconds:.1f} s, from queueing to the end")
    print(f"the result against the clip: {rendered.verdict}")
    print(f"\nresults in {output.resolve()}:")
    for name in rendered.files:
        print(f"  {name}")


if __name__ == "__main__":
    main()
