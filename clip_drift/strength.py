"""Strength g: one number, one per frame, or a curve over the clip."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .errors import DriftError

Strength = float | Sequence[float] | Callable[[Sequence[float]], Sequence[float]]


def per_frame(strength: Strength, frames: int) -> Tensor:
    """Spread a strength over the frames of a clip.

    Args:
        strength: a number for all frames; a sequence of one per frame; or a curve, called with
            the frames' places in the clip, 0 for the first to 1 for the last.
        frames: how many frames there are.

    Returns:
        (frames,) float64. In a composed walk, entry i drives the step that leads into frame i.

    Raises:
        DriftError: a sequence of another length, or a value that is not finite.
    """
    if callable(strength):
        strength = strength(torch.linspace(0, 1, frames, dtype=torch.float64).tolist())
    g = torch.as_tensor(strength, dtype=torch.float64).reshape(-1)
    if g.numel() == 1:
        g = g.expand(frames)
    if g.numel() != frames:
        raise DriftError(
            f"strength is a list of {g.numel()} numbers but the motion has {frames} frames: "
            f"give one number, or {frames} of them."
        )
    if not bool(torch.isfinite(g).all()):
        raise DriftError("strength holds a value that is not a finite number.")
    return g
