"""A clip's path in the picture: how far what moves has come, frame by frame."""

import math
from itertools import pairwise

import torch
from torch import Tensor

SOFT = 1.0
"""How far a peak is blurred, in pixels, so that it can be read between pixels."""


def path_in_picture(thumbnails: Tensor) -> Tensor:
    """How far the picture, or what moves in it, has come since frame 0.

    Each frame's shift against the one before is the peak of their phase correlation, read between
    pixels by a parabola; shifts are summed. A step of half the picture or more wraps around. Where
    that path never leaves a pixel the ground holds it: then it is the way of the centre of what
    differs from the frames' median, which a still ground does not.

    Reference: Kuglin & Hines, "The Phase Correlation Image Alignment Method", 1975.

    Args:
        thumbnails: (F, h, w, 3), any number type.

    Returns:
        (F, 2) float32: x to the right and y down, as shares of the width and the height; the first
        row is 0. A clip in which nothing moves stays at 0.
    """
    frames = thumbnails.float().movedim(-1, 1)
    size = torch.tensor([frames.shape[3], frames.shape[2]])
    steps = [_shift(before, after) for before, after in pairwise(frames)]
    path = torch.tensor([(0.0, 0.0), *steps]).cumsum(0)
    if path.abs().max() < 1:
        path = _centres(frames)
        path = path - path[0]
    return path / size


def _centres(frames: Tensor) -> Tensor:
    """(F, 2) pixels: the centre of what stands out from the frames' median, (F, 3, h, w)."""
    away = (frames - frames.median(0).values).norm(dim=1)
    if not away.any():
        return torch.zeros(len(frames), 2)
    # Less than this share of what stands out most is the ground's own noise.
    weight = (away - 0.3 * away.flatten(1).quantile(0.985, 1)[:, None, None]).clamp_min(0)
    mass = weight.sum((1, 2)).clamp_min(torch.finfo(weight.dtype).tiny)
    rows, columns = torch.arange(weight.shape[1]) + 0.5, torch.arange(weight.shape[2]) + 0.5
    x = (weight * columns).sum((1, 2)) / mass
    y = (weight * rows[:, None]).sum((1, 2)) / mass
    return torch.stack([x, y], 1)


def _shift(before: Tensor, after: Tensor) -> tuple[float, float]:
    """(x, y) pixels by which a picture (3, h, w) moved around a torus."""
    before, after = (torch.fft.fft2(x - x.mean((1, 2), keepdim=True)) for x in (before, after))
    cross = (after * before.conj()).sum(0)
    largest = cross.abs().max()
    if largest == 0:
        return 0.0, 0.0
    height, width = cross.shape
    down, right = torch.fft.fftfreq(height)[:, None], torch.fft.fftfreq(width)
    blur = torch.exp(-2 * (math.pi * SOFT) ** 2 * (down**2 + right**2))
    # A frequency that neither picture has keeps its own phase's noise out.
    peaks = torch.fft.ifft2(cross / (cross.abs() + 1e-6 * largest) * blur).real
    y, x = divmod(int(peaks.argmax()), width)
    return _between(peaks[y], x), _between(peaks[:, x], y)


def _between(line: Tensor, top: int) -> float:
    """The place of a line's top between its pixels, −n/2 … n/2 on a ring of n."""
    count = len(line)
    left, middle, right = (float(line[(top + k) % count]) for k in (-1, 0, 1))
    bend = left - 2 * middle + right
    place = top + (0.5 * (left - right) / bend if bend < 0 else 0.0)
    return (place + count / 2) % count - count / 2
