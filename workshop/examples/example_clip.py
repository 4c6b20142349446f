"""Encode the first workflow's clip: a white ball of the toy world goes round once.

    python -m pack.workshop.examples.example_clip [FILE]

It begins at the far left, at middle height; the frame after its last would be the first again.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import torch

from ..rig.paths import EXAMPLES
from ..world.motions import FRAMES, write_scenes
from ..world.scenes import CENTRE, COLOURS, GROUNDS, PALETTE, RADIUS, SHAPES, Scenes
from .workflows.parts import VIDEO

FILE = EXAMPLES / VIDEO
SHAPE, COLOUR, GROUND = "circle", "white", "maroon"


def example_scenes() -> Scenes:
    """What its frames show."""
    middle, reach = sum(CENTRE) / 2, (CENTRE[1] - CENTRE[0]) / 2
    angle = math.pi * (1 + 2 * torch.arange(FRAMES) / FRAMES)
    colour = list(COLOURS).index(COLOUR)

    def always(number: int) -> torch.Tensor:
        return torch.full((FRAMES,), number)

    return Scenes(
        shape=always(SHAPES.index(SHAPE)),
        colour=always(colour),
        ground=always(list(GROUNDS).index(GROUND)),
        rgb=PALETTE[always(colour)],
        x=middle + reach * angle.cos(),
        y=middle + reach * angle.sin(),
        radius=torch.full((FRAMES,), RADIUS[0] + 0.75 * (RADIUS[1] - RADIUS[0])),  # "large"
        turn=torch.zeros(FRAMES),
    )


if __name__ == "__main__":
    print(write_scenes(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE, example_scenes()))
