"""Clips of the toy world: a shape moves, grows, turns or changes its colour, as video files."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..rig.clips import write_clip
from .scenes import CENTRE, COLOURS, PALETTE, RADIUS, SHAPES, TURN, Scenes, draw_scenes, render

FRAMES = 16
FPS = 8
PIXELS = 256  # a side of the files' pictures

MOTIONS = {
    "across": ("x",),
    "down": ("y",),
    "diagonal": ("x", "y"),
    "round": ("x", "y"),
    "swing": ("x",),
    "grow": ("radius",),
    "tilt": ("turn",),
    "recolour": ("rgb",),
    "approach": ("x", "radius"),
}
"""What each motion changes."""


def draw_clip(motion: str, seed: int, frames: int = FRAMES) -> Scenes:
    """The scenes of a clip's frames: one scene drawn from the seed, with something changing.

    The direction, too, is drawn from the seed. Use seeds from HELD_OUT on for whatever is measured.
    """
    generator = torch.Generator().manual_seed(seed + 1)
    start = draw_scenes(1, seed)
    if motion == "tilt":  # a circle's turn cannot be seen
        start = start.but(shape=torch.randint(1, len(SHAPES), (1,), generator=generator))
    forward = bool(torch.rand(1, generator=generator) < 0.5)
    clip = start[torch.zeros(frames, dtype=torch.long)]
    share = torch.linspace(0, 1, frames)
    way = share if forward else 1 - share

    def between(limits: tuple[float, float], where: Tensor = way) -> Tensor:
        return limits[0] + (limits[1] - limits[0]) * where

    if motion == "across":
        return clip.but(x=between(CENTRE))
    if motion == "down":
        return clip.but(y=between(CENTRE))
    if motion == "diagonal":
        rising = bool(torch.rand(1, generator=generator) < 0.5)
        return clip.but(x=between(CENTRE), y=between(CENTRE, share if rising else 1 - share))
    if motion == "round":
        phase = 2 * math.pi * (way + torch.rand(1, generator=generator))
        return clip.but(
            x=between(CENTRE, 0.5 + 0.5 * phase.cos()), y=between(CENTRE, 0.5 + 0.5 * phase.sin())
        )
    if motion == "swing":
        return clip.but(x=between(CENTRE, 0.5 - 0.5 * (2 * math.pi * way).cos()))
    if motion == "grow":
        return clip.but(radius=between(RADIUS))
    if motion == "approach":
        return clip.but(x=between(CENTRE), radius=between(RADIUS))
    if motion == "tilt":
        return clip.but(turn=between(TURN))
    if motion == "recolour":
        step = 1 + torch.randint(len(COLOURS) - 1, (1,), generator=generator)
        other = PALETTE[(start.colour + step) % len(COLOURS)]
        return clip.but(rgb=torch.lerp(start.rgb, other, share[:, None]))
    raise ValueError(f"no motion {motion!r}: choose one of {', '.join(MOTIONS)}")


def frames_of(scenes: Scenes, pixels: int = PIXELS) -> Iterator[np.ndarray]:
    """Pictures (pixels, pixels, 3) uint8, one per scene."""
    for row in range(len(scenes)):
        picture = render(scenes[row : row + 1], pixels)[0].permute(1, 2, 0)
        yield (picture * 255).round().to(torch.uint8).numpy()


def write_motion(path: Path, motion: str, seed: int, frames: int = FRAMES) -> Scenes:
    """Encode a clip as an H.264 file; returns what it shows."""
    scenes = draw_clip(motion, seed, frames)
    write_scenes(path, scenes)
    return scenes


def write_scenes(path: Path, scenes: Scenes, fps: float = FPS) -> Path:
    return write_clip(path, frames_of(scenes), fps, options={"crf": "16"})
