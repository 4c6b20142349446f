"""What the report measures: cosines of frames, and how well two curves follow each other."""

import dataclasses
import math

import torch
from torch import Tensor

from ..drift import Drift

GRAM_FRAMES = 256  # more frames than this are sampled for the matrices: memory stays O(256²)
CHUNK = 2**22  # numbers of all frames that are in memory as float64 at once


def neighbour_similarity(drift: Drift) -> tuple[Tensor, Tensor | None]:
    """Cosine of each frame with the next one, in CLIP space and in pixel space.

    Runs over some frames at a time: memory does not grow with F·h·w.

    Returns:
        (F-1,) float64 for CLIP, and the same for pixels (None without thumbnails). Pixel entries
        at a black frame, which has no direction, are NaN.
    """
    pixels = None if drift.thumbnails is None else _next_cosine(drift.thumbnails)
    return _next_cosine(drift.embeddings), pixels


def pearson(a: Tensor, b: Tensor) -> float | None:
    """Pearson's correlation of two curves, over the entries that both have.

    Args:
        a, b: (n,) float64; NaN where a curve has no value.

    Returns:
        r in [-1, 1]; None where it means nothing: fewer than three common entries, or a curve
        that does not vary by more than round-off.
    """
    both = torch.isfinite(a) & torch.isfinite(b)
    a, b = a[both].double(), b[both].double()
    if len(a) < 3 or _is_flat(a) or _is_flat(b):
        return None
    a, b = a - a.mean(), b - b.mean()
    return float((a @ b / (a.norm() * b.norm())).clamp(-1, 1))


def sampled_grams(drift: Drift) -> tuple[Tensor, Tensor, Tensor | None]:
    """Gram matrices over an even sample of at most 256 frames.

    Returns:
        times (n,) seconds, CLIP (n, n), pixels (n, n) or None; NaN at a black frame.
    """
    pick = even_sample(len(drift), GRAM_FRAMES)
    few = dataclasses.replace(
        drift,
        embeddings=drift.embeddings[pick],
        times=drift.times[pick],
        thumbnails=None if drift.thumbnails is None else drift.thumbnails[pick],
    )
    clip = few.gram().clamp(-1, 1)
    if few.thumbnails is None:
        return few.times, clip, None
    pixels = few.pixel_gram().clamp(-1, 1)
    black = pixels.diagonal() == 0
    return few.times, clip, pixels.masked_fill(black[:, None] | black, math.nan)


def even_sample(count: int, most: int) -> Tensor:
    """Indices of at most ``most`` of ``count`` frames, evenly spaced, first and last included."""
    return torch.linspace(0, count - 1, min(count, most), dtype=torch.float64).round().long()


def _next_cosine(frames: Tensor) -> Tensor:
    """Cosine of each frame with the next; NaN beside a frame of zeros.

    In float64, because neighbouring frames differ where float32 cosines end.

    Args:
        frames: (F, ...), any dtype.

    Returns:
        (F-1,) float64.
    """
    size = max(1, CHUNK // frames[0].numel())
    cosines = []
    for i in range(0, len(frames) - 1, size):
        rows = frames[i : i + size + 1].flatten(1).double()
        norm = torch.linalg.vecdot(rows, rows).sqrt()
        cosines.append(torch.linalg.vecdot(rows[:-1], rows[1:]) / (norm[:-1] * norm[1:]))
    return torch.cat(cosines).clamp(-1, 1)


def _is_flat(curve: Tensor) -> bool:
    """Whether a similarity curve varies by no more than the round-off of float32 frames does."""
    change = 1 - curve
    return bool(change.std() <= max(1e-12, 1e-4 * float(change.mean().abs())))
