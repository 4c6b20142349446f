"""What the report measures: cosines of frames, the largest steps, the path's main directions."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ..drift import Drift

GRAM_FRAMES = 256  # more frames than this are sampled for the matrices: memory stays O(256²)
PATH_FRAMES = 600  # the same for the path
CHUNK = 2**22  # numbers of all frames that are in memory as float64 at once


def neighbour_similarity(drift: Drift) -> tuple[Tensor, Tensor | None]:
    """Cosine of each frame with the next one, `e_i·e_{i+1}`, in CLIP space and in pixel space.

    Runs over some frames at a time: memory does not grow with F·h·w.

    Returns:
        (F-1,) float64 for CLIP, and the same for pixels (None without thumbnails). Pixel entries
        at a black frame, which has no direction, are NaN.
    """
    pixels = None if drift.thumbnails is None else _next_cosine(drift.thumbnails)
    return _next_cosine(drift.embeddings), pixels


def sampled_grams(drift: Drift) -> tuple[Tensor, Tensor, Tensor | None]:
    """Gram matrices `e_i·e_j` over an even sample of at most 256 frames.

    Returns:
        times (n,) seconds, CLIP (n, n), pixels (n, n) or None; NaN at a black frame.
    """
    pick = even_sample(len(drift), GRAM_FRAMES)
    shown = None if drift.thumbnails is None else drift.thumbnails[pick]
    few = Drift(drift.embeddings[pick], drift.times[pick], shown)
    clip = few.gram().clamp(-1, 1)
    if few.thumbnails is None:
        return few.times, clip, None
    pixels = few.pixel_gram().clamp(-1, 1)
    black = pixels.diagonal() == 0
    return few.times, clip, pixels.masked_fill(black[:, None] | black, math.nan)


class Path(NamedTuple):
    """A drift's frames in its first two principal directions.

    Attributes:
        points: (n, 2) float64; on the unit sphere, so distances are nearly radians.
        share: (2,) of the frames' variance along each direction.
        frames: (n,) which frames they are.
    """

    points: Tensor
    share: Tensor
    frames: Tensor


def principal_path(drift: Drift) -> Path | None:
    """The drift seen from the side that shows most of it: its principal components.

    The first direction is turned so that the path ends further right than it began, the second
    so that its widest excursion points up.

    Returns:
        The path of at most 600 evenly spaced frames; None for a still, which has no directions.

    Reference: Pearson, On lines and planes of closest fit to systems of points in space, 1901.
    """
    pick = even_sample(len(drift), PATH_FRAMES)
    points = drift.embeddings[pick].double()
    points = points - points.mean(0)
    # Principal components of n frames from their (n, n) inner products: n is below N or so.
    power, directions = torch.linalg.eigh(points @ points.mT)
    power = power.flip(0).clamp_min(0)
    total = float(power.sum())
    if math.sqrt(total / len(pick)) < 1e-6:  # round-off of float32 embeddings
        return None
    shown = directions.flip(1)[:, :2] * power[:2].sqrt()
    widest = shown[shown[:, 1].abs().argmax(), 1]
    sign = torch.stack((shown[-1, 0] - shown[0, 0], widest)).sign()
    return Path(shown * torch.where(sign == 0, 1, sign), power[:2] / total, pick)


def largest_steps(angles: Tensor, count: int) -> list[int]:
    """At most `count` of the largest of (F-1,) steps, apart from each other, in the order of time.

    Two that lie closer than a sixteenth of the clip would show the same event twice. Fewer where
    there is no more motion.
    """
    apart, left = len(angles) / 16, angles.clone()
    found: list[int] = []
    place = torch.arange(len(angles))
    while len(found) < count and float(left.max()) > 0:
        found.append(int(left.argmax()))
        left[(place - found[-1]).abs() <= apart] = 0
    return sorted(found)


def even_sample(count: int, most: int) -> Tensor:
    """Indices of at most `most` of `count` frames, evenly spaced, first and last included."""
    return torch.linspace(0, count - 1, min(count, most), dtype=torch.float64).round().long()


def _next_cosine(frames: Tensor) -> Tensor:
    """(F, ...) → (F-1,): cosine of each frame with the next; NaN beside a frame of zeros.

    In float64, because neighbouring frames differ where float32 cosines end.
    """
    size = max(1, CHUNK // frames[0].numel())
    cosines = []
    for i in range(0, len(frames) - 1, size):
        rows = frames[i : i + size + 1].flatten(1).double()
        norm = torch.linalg.vecdot(rows, rows).sqrt()
        cosines.append(torch.linalg.vecdot(rows[:-1], rows[1:]) / (norm[:-1] * norm[1:]))
    return torch.cat(cosines).clamp(-1, 1)
