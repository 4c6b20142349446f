"""A video as a stream of batches, ready for an image tower, in memory that does not grow."""

import logging
import threading
from collections.abc import Generator, Iterable, Iterator
from copy import copy
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import DriftError
from ..preprocess import fit_size
from .animation import read_animation
from .animation import suits as suits_pillow
from .background import Background
from .decord_reader import DecordError, read_decord
from .decord_reader import suits as suits_decord
from .info import Damage, VideoInfo
from .probe import probe
from .pyav_reader import read_pyav
from .sampling import Sampler
from .source import Source

BACKENDS = ("pyav", "decord")

_log = logging.getLogger(__name__)

# Finished batches that wait for the encoder; one more is being decoded.
_AHEAD = 2


class FrameBatch(NamedTuple):
    """Neighbouring frames.

    Attributes:
        frames: (b, S, S, 3) uint8 RGB.
        times: b numbers, seconds from the start of the video stream, increasing.
    """

    frames: Tensor
    times: list[float]


class FrameStream:
    """An iterator of `FrameBatch`, decoded ahead in a thread; close it, or use `with`.

    Attributes:
        info: what the video is.
        total: about how many frames will come, None if the file does not say.
        damage: what could not be decoded so far.
    """

    def __init__(
        self,
        info: VideoInfo,
        total: int | None,
        batches: Generator[FrameBatch, None, None],
        stopped: threading.Event,
        damage: Damage,
    ):
        self.info = info
        self.total = total
        self.damage = damage
        self._batches = Background(batches, _AHEAD, stopped)

    def __iter__(self) -> "FrameStream":
        return self

    def __next__(self) -> FrameBatch:
        return next(self._batches)

    def __enter__(self) -> "FrameStream":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading, and return when the thread has ended and the file is closed."""
        self._batches.close()


def open_frames(
    source: Source,
    size: int,
    *,
    crop: str = "center",
    start: float = 0.0,
    duration: float = 0.0,
    sample_fps: float = 0.0,
    max_frames: int = 0,
    batch_size: int = 16,
    backend: str = "pyav",
) -> FrameStream:
    """Read a video as squares of `size` pixels, resized as CLIP wants them, batch by batch.

    Frames are upright and of square pixels (rotation and aspect metadata are applied), in their
    own colours (matrix and range are respected, high dynamic range is brought to the standard one),
    whole (interlaced ones are deinterlaced) and opaque (alpha is put over black). A few batches are
    in memory at any time, however long the video is.

    Args:
        source: path of a file, or a file in memory (nobody else may use it meanwhile).
        size: S, the image tower's side in pixels.
        crop: `center`, `pad` or `stretch`, see `preprocess.fit_size`.
        start: seconds from the stream's start.
        duration: seconds, 0 = to the end.
        sample_fps: frames per second of video, 0 = every frame; the first frame at or after each
            multiple of 1 / sample_fps is taken.
        max_frames: the first so many of these frames, 0 = all.
        batch_size: frames per batch; the last one may hold fewer.
        backend: `pyav`, or `decord` for files that it reads right (otherwise PyAV). They are as
            quick; decord's colours are a grey level off, and it decodes ahead without a bound
            while the encoder is busy.

    Raises:
        DriftError: at once for a file that cannot be read (see `probe`), a number out of its
            range or a start behind the end; while iterating for a file that is damaged further on.
    """
    if batch_size < 1:
        raise DriftError(f"batch_size is {batch_size}: it must be 1 or more.")
    if backend not in BACKENDS:
        raise DriftError(f"backend is {backend!r}: choose one of {', '.join(BACKENDS)}.")
    sampler = Sampler(start, duration, sample_fps, max_frames)
    info = probe(source)
    fit_size(info.height, info.width, size, crop)  # raises for an unknown crop
    if info.duration is not None and start >= info.duration:
        raise DriftError(
            f"{info.name} lasts {info.duration:.2f} seconds, but the trim starts at {start:.2f}: "
            "start earlier."
        )
    stopped, damage = threading.Event(), Damage()
    if suits_pillow(info):
        frames = read_animation(source, sampler, size, crop, stopped)
    else:
        frames = read_pyav(source, info, sampler, size, crop, stopped, damage)
        if backend == "decord" and suits_decord(source, info):
            quick = read_decord(source, info, copy(sampler), size, crop, stopped, batch_size)
            frames = _first_that_works(quick, frames, info.name)
    total = sampler.expected(info.duration, info.rate)
    return FrameStream(info, total, _batches(frames, batch_size), stopped, damage)


def _first_that_works(
    frames: Iterable[tuple[Tensor, float]], fallback: Iterator[tuple[Tensor, float]], name: str
) -> Generator[tuple[Tensor, float], None, None]:
    """What decord reads; where it fails, the rest of what PyAV reads."""
    done = 0
    try:
        for item in frames:
            yield item
            done += 1
    except DecordError as error:
        _log.warning("decord failed on %s after %d frames, PyAV reads on: %s", name, done, error)
        yield from islice(fallback, done, None)


def _batches(
    frames: Generator[tuple[Tensor, float], None, None], batch_size: int
) -> Generator[FrameBatch, None, None]:
    try:
        while items := list(islice(frames, batch_size)):
            squares, times = zip(*items, strict=True)
            yield FrameBatch(torch.stack(squares), list(times))
    finally:
        frames.close()  # and with it the file
