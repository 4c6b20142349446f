"""Record the README's moving picture: the first workflow's clip, and what Mini Kandinsky draws.

    python -m pack.workshop.examples.first_gif [FILE]

The same models, clip, prompt and walk as in the first workflow, without a server.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ...clip_drift import PromptWalk, RotationSequence
from ...clip_drift.encode import drift_from_video
from ...clip_drift.video import open_frames
from ..mini.exported import load_mini
from ..rig.paths import EXAMPLES, MODELS, REPO
from .workflows.mini import PROMPT
from .workflows.parts import VIDEO

FILE = REPO / "docs" / "pictures" / "first.gif"
SIDE, GAP, GROUND = 240, 8, "#808080"
MILLISECONDS = 125  # the clip has 8 frames per second


@torch.inference_mode()
def record() -> list[Image.Image]:
    """The clip on the left and what was drawn on the right, frame by frame."""
    mini = load_mini(MODELS)
    clip = EXAMPLES / VIDEO
    with open_frames(str(clip), SIDE) as batches:
        seen = torch.cat([batch.frames for batch in batches])
    drift = drift_from_video(str(clip), mini.clip)
    walk = PromptWalk(RotationSequence.from_trajectory(drift, "from_first"), "tangent").for_batch()
    moved = walk(mini.imagine([PROMPT])[:, None])[:, 0]
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    drawn = mini.draw(moved, noise=noise.expand(len(moved), -1, -1, -1))
    return [beside(*pair) for pair in zip(seen, as_bytes(drawn), strict=True)]


def as_bytes(pictures: Tensor) -> Tensor:
    """(F, 3, H, W) in 0..1 → (F, H, W, 3) uint8."""
    return (pictures.permute(0, 2, 3, 1).clamp(0, 1) * 255).round().byte()


def beside(left: Tensor, right: Tensor) -> Image.Image:
    """Two pictures (H, W, 3) uint8 of one height."""
    both = Image.new("RGB", (2 * SIDE + GAP, SIDE), GROUND)
    for i, picture in enumerate((left, right)):
        tile = Image.fromarray(picture.numpy()).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        both.paste(tile, (i * (SIDE + GAP), 0))
    return both


def save(pictures: list[Image.Image], file: Path):
    """As a GIF that plays for ever, in the same 128 colours throughout: nothing flickers."""
    tall = Image.new("RGB", (pictures[0].width, SIDE * len(pictures)))
    for i, picture in enumerate(pictures):
        tall.paste(picture, (0, i * SIDE))
    colours = tall.quantize(128)
    first, *rest = (picture.quantize(palette=colours, dither=0) for picture in pictures)
    file.parent.mkdir(parents=True, exist_ok=True)
    first.save(file, save_all=True, append_images=rest, duration=MILLISECONDS, loop=0)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else FILE
    save(record(), target)
    print(f"{target}: {target.stat().st_size:,} bytes")
