"""How still a drawn clip holds what its motion does not change.

Toy world only, where it is known what changes. Spreads are over a clip's frames: 0 is a clip that
holds still, and no score of steadiness means anything without how far the motion was followed.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...clip_drift.scores.measures import Motion, background_consistency
from ..world.motions import MOTIONS
from ..world.scenes import FOLD, SHAPES, Scenes, measure


@dataclass(frozen=True)
class Steadiness:
    """One clip's. None where the motion itself changes it, or nothing can be read.

    Attributes:
        ground, colour: standard deviation of the ground's and of the shape's colour, of 255.
        size: standard deviation of the shape's radius, of its mean.
        tilt: circular standard deviation of its turn, in degrees, within the shape's own symmetry.
        shape_kept: the share of frames that show the prompt's shape.
        flicker: VBench's temporal flickering, of 1: 1 where neighbouring frames are the same.
        background: VBench's background consistency, of 1, where embeddings are given.
    """

    ground: float
    colour: float | None
    size: float | None
    tilt: float | None
    shape_kept: float
    flicker: float
    background: float | None


def steadiness(
    pictures: Tensor,
    motion: str,
    ideal: Scenes,
    shapes: Tensor,
    embeddings: Tensor | None = None,
) -> Steadiness:
    """Measure a clip.

    Args:
        pictures: (F, 3, S, S) in 0..1, as drawn.
        motion: a key of MOTIONS, which says what changes.
        ideal: F scenes, what ought to be seen.
        shapes: (F,) indices of SHAPES, as a judge saw the pictures.
        embeddings: (F, N), CLIP's of the pictures.
    """
    changes = MOTIONS[motion]
    seen = measure(pictures, ideal.shape)
    fold = FOLD.get(SHAPES[int(ideal.shape[0])])
    return Steadiness(
        ground=_colour_spread(pictures.flatten(2).median(-1).values),
        colour=None if "rgb" in changes else _colour_spread(seen.rgb),
        size=None if "radius" in changes else _share_of_mean(seen.radius),
        tilt=None if "turn" in changes or fold is None else _circular_spread(seen.turn, fold),
        shape_kept=float((shapes == ideal.shape).float().mean()),
        flicker=temporal_flickering(pictures),
        background=None
        if embeddings is None
        else background_consistency(Motion.of(embeddings).gram),
    )


def temporal_flickering(pictures: Tensor) -> float:
    """(255 − mean absolute difference of neighbours) / 255, pictures in 0..1.

    Reference: Huang et al., "VBench: Comprehensive Benchmark Suite for Video Generative Models",
    2024.
    """
    return 1 - float(pictures.float().diff(dim=0).abs().mean())


def _colour_spread(rgb: Tensor) -> float:
    """(F, 3) → root mean square over the channels, of 255. Frames without a shape do not count."""
    rgb = rgb[rgb.isfinite().all(-1)]
    return float(rgb.var(0, correction=0).mean().sqrt()) * 255 if len(rgb) else math.nan


def _share_of_mean(x: Tensor) -> float:
    x = x[x.isfinite()]
    return float(x.std(correction=0) / x.mean()) if len(x) else math.nan


def _circular_spread(turn: Tensor, fold: int) -> float:
    """Degrees, of angles that repeat after 2π/fold.

    Reference: Mardia & Jupp, "Directional Statistics", 2000.
    """
    turn = turn[turn.isfinite()]
    if not len(turn):
        return math.nan
    length = torch.polar(torch.ones_like(turn), fold * turn).mean().abs().clamp(1e-9, 1)
    return math.degrees(math.sqrt(-2 * math.log(float(length))) / fold)
