"""What the thumbnails show: runs of nodes and of whole workflows on a real server."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import weights
from clips import rolling_ball, sample_clip, write_clip
from comfy_server import BASE_DIR, REPO, ComfyServer, Prompt, node
from PIL import Image
from ui_to_api import ids_of, replace_values, ui_to_api
from workflows.models import use_stand_ins

FRAMES, FPS, CLIP_FPS, SIZE, STEPS = 16, 8, 24, 128, 4
WORKFLOWS = (
    "7-kandinsky_text_loop",
    "8-kandinsky_noise_loop",
    "9-kandinsky_text_and_noise",
    "10-kandinsky_image_prompt",
    "11-unclip_image_prompt",
)
"""Those whose own frames are shown."""


class Runs(NamedTuple):
    """What came out."""

    drift: object
    """The sample clip's."""
    comparison: Image.Image
    """Compare Drifts' page: the clip, and the same encoded again to a low quality."""
    frames: dict[str, list[np.ndarray]]
    """Workflow -> its video's frames."""


def run_all() -> Runs:
    """Start a server, run everything, and stop it."""
    weights.ensure(BASE_DIR / "models")
    with tempfile.TemporaryDirectory() as folder, ComfyServer(Path(folder)) as server:
        clip = server.upload(sample_clip(Path(folder) / "clip.mp4", FRAMES / FPS, CLIP_FPS))
        ball = list(rolling_ball(FRAMES * CLIP_FPS // FPS))
        again = write_clip(server.input_dir / "again.mp4", ball, CLIP_FPS, options={"crf": "38"})
        Image.fromarray(ball[len(ball) // 2]).save(server.input_dir / "picture.png")
        drift, comparison = _read(server, clip, again.name)
        frames = {name: _draw(server, name, clip, "picture.png") for name in WORKFLOWS}
    return Runs(drift, comparison, frames)


def _read(server: ComfyServer, clip: str, again: str) -> tuple[object, Image.Image]:
    from clip_drift.files import load_drift

    reading = {"encoder": ["1", 0], "sample_fps": FPS, "crop": "stretch", "max_frames": FRAMES}
    prompt = {
        "1": node("CLIPVisionLoader", clip_name="random_vit_l.safetensors"),
        "2": node("LoadVideo", file=clip),
        "3": node("ClipDriftFromVideo", frames=["2", 0], **reading),
        "4": node("LoadVideo", file=again),
        "5": node("ClipDriftFromVideo", frames=["4", 0], **reading),
        "6": node("ClipDriftCompare", reference=["3", 0], result=["5", 0]),
        "7": node("ClipDriftSave", drift=["3", 0], filename_prefix="drift"),
    }
    (page,) = server.run(prompt)["outputs"]["6"]["images"]
    (file,) = server.output_dir.glob("drift*.safetensors")
    return load_drift(file), Image.open(io.BytesIO(server.view(**page))).convert("RGB")


def _draw(server: ComfyServer, name: str, clip: str, picture: str) -> list[np.ndarray]:
    """Run a workflow on random weights at a small size; return the frames of its video."""
    file = REPO / "example_workflows" / f"{name}.json"
    prompt: Prompt = ui_to_api(json.loads(file.read_text(encoding="utf-8")), server.object_info())
    use_stand_ins(prompt)
    values = {
        ("LoadVideo", "file"): clip,
        ("LoadImage", "image"): picture,
        ("EmptyLatentImage", "width"): SIZE,
        ("EmptyLatentImage", "height"): SIZE,
        ("BasicScheduler", "steps"): STEPS,
    }
    replace_values(prompt, values)
    (number,) = ids_of(prompt, "SaveVideo")
    (video,) = server.run(prompt)["outputs"][number]["images"]
    with av.open(io.BytesIO(server.view(**video))) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
