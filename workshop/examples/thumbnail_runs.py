"""What the thumbnails show: runs of nodes and of whole workflows on a real server."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ...clip_drift.files import load_drift
from ...farm.client import Prompt, node
from ...farm.ui_to_api import replace_values, ui_to_api
from ..rig import weights
from ..rig.clips import rolling_ball, sample_clip, write_clip
from ..rig.paths import BASE_DIR, EXAMPLES
from ..rig.server import ComfyServer
from . import demo
from .workflows.models import use_stand_ins

FRAMES, FPS, CLIP_FPS, SIZE, STEPS = 16, 8, 24, 128, 4
WORKFLOWS = (
    "8-kandinsky_text_loop",
    "9-kandinsky_noise_loop",
    "10-kandinsky_text_and_noise",
    "11-kandinsky_image_prompt",
    "12-unclip_image_prompt",
)
"""Those whose own frames are shown, drawn with random weights."""


class Runs(NamedTuple):
    """What came out."""

    frames: dict[str, list[np.ndarray]]
    """Workflow -> what it drew."""
    clips: dict[str, list[np.ndarray]]
    """Workflow -> the clip that it follows, where that is not the sample clip."""
    drift: object = None
    """The sample clip's."""
    comparison: Image.Image | None = None
    """Compare Drifts' page: the clip, and the same encoded again to a low quality."""


def run(names: Collection[str]) -> Runs:
    """Start a server, run what the named thumbnails show, and stop it."""
    frames, clips = {}, {}
    others = set(names) - {demo.WORKFLOW.stem}
    if others:
        weights.ensure(BASE_DIR / "models")
    with tempfile.TemporaryDirectory() as folder, ComfyServer(Path(folder)) as server:
        if demo.WORKFLOW.stem in names:
            rendered = demo.render(server)
            frames[demo.WORKFLOW.stem] = rendered.drawn
            clips[demo.WORKFLOW.stem] = rendered.clip
        if not others:
            return Runs(frames, clips)
        clip = server.upload(sample_clip(Path(folder) / "clip.mp4", FRAMES / FPS, CLIP_FPS))
        ball = list(rolling_ball(FRAMES * CLIP_FPS // FPS))
        again = write_clip(server.input_dir / "again.mp4", ball, CLIP_FPS, options={"crf": "38"})
        Image.fromarray(ball[len(ball) // 2]).save(server.input_dir / "picture.png")
        read = _read(server, clip, again.name)
        drawn = [name for name in WORKFLOWS if name in others]
        frames |= {name: _draw(server, name, clip, "picture.png") for name in drawn}
    return Runs(frames, clips, *read)


def _read(server: ComfyServer, clip: str, again: str) -> tuple[object, Image.Image]:
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
    file = EXAMPLES / f"{name}.json"
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
    (video,) = server.run(prompt)["outputs"][demo.only(prompt, "SaveVideo")]["images"]
    return demo.frames_of(server.view(**video))
