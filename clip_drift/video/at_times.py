"""The frames of a video that are shown at given times: those that a drift took, say."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import DriftError
from .source import Source, source_name
from .stream import open_frames

# Seconds: stored times are rounded.
_ROUNDING = 0.001


def frames_at(source: Source, times: Sequence[float], size: int, crop: str = "center") -> Tensor:
    """The frames shown at some moments, as squares; no more than those are in memory.

    Args:
        source, size, crop: see `open_frames`.
        times: seconds from the stream's start, increasing; behind the end stands the last frame.

    Returns:
        (F, size, size, 3) uint8, a frame for each of the times.

    Raises:
        DriftError: a file that cannot be read, or one that ends before the first of the times.
    """
    found: list[Tensor] = []
    shown = None
    start, seconds = times[0], times[-1] - times[0] + 1
    with open_frames(source, size, crop=crop, start=start, duration=seconds) as batches:
        for batch in batches:
            for frame, time in zip(batch.frames, batch.times, strict=True):
                while len(found) < len(times) and times[len(found)] < time - _ROUNDING:
                    found.append(frame if shown is None else shown)
                shown = frame
    if shown is None:
        raise DriftError(f"{source_name(source)} has no frame at {times[0]:.2f} seconds or later.")
    return torch.stack(found + [shown] * (len(times) - len(found)))
