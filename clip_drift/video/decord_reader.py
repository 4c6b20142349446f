"""Reading frames with decord, which resizes while it decodes, for the plain files it reads right.

It is asked for by name only. Measured here (decord 0.6, whose FFmpeg is of 2018), it is about as
quick as PyAV; its RGB has half the chroma's width and is a grey level darker; it shows wrong frames
of MPEG-TS files; and it decodes ahead without a limit while the encoder is busy: 3000 small frames
grew to 500 MB. So `suits` is strict, and long videos are better read with PyAV.
"""

import importlib.util
import os
import threading
from collections.abc import Generator
from typing import TypeGuard

import torch
from torch import Tensor

from ..preprocess import cut_square, fit_size
from .info import VideoInfo
from .sampling import Sampler
from .source import Source

_CONTAINERS = ("mov,mp4", "matroska")
_CODECS = {"h264", "hevc", "vp8", "vp9", "mpeg4", "mpeg2video"}


def suits(source: Source, info: VideoInfo) -> TypeGuard[str | os.PathLike]:
    """Is decord installed, and is this a file that it reads as PyAV does?"""
    return (
        isinstance(source, (str, os.PathLike))  # it would copy a file in memory once more
        and info.container.startswith(_CONTAINERS)
        and info.codec in _CODECS
        and info.pixel_format == "yuv420p"
        and info.pixel_aspect == 1
        and not (info.full_range or info.rotation or info.interlaced or info.hdr)
        and info.video_streams == 1
        and importlib.util.find_spec("decord") is not None
    )


class DecordError(Exception):
    """decord could not open or decode the file: another reader must take over."""


def read_decord(
    source: str | os.PathLike,
    info: VideoInfo,
    sampler: Sampler,
    size: int,
    crop: str,
    stopped: threading.Event,
    chunk: int = 16,
) -> Generator[tuple[Tensor, float], None, None]:
    """Yield the frames that `sampler` wants, each as a (size, size, 3) uint8 RGB square with its
    time in seconds from the stream's start (decord keeps times in float32).

    Args:
        chunk: frames to decode at a time.

    Raises:
        DecordError: decord fails on opening the file or on the way.
    """
    import decord
    from decord._ffi.base import DECORDLimitReachedError

    fit = fit_size(info.height, info.width, size, crop)
    try:
        # Without a limit decord silently repeats neighbours in place of frames that are broken.
        reader = decord.VideoReader(
            os.path.abspath(source), width=fit.width, height=fit.height, fault_tol=1e-6
        )
        stamps = reader.get_frame_timestamp(range(len(reader)))[:, 0]
        times = (stamps - stamps[0]).tolist()
        wanted = [(i, time) for i, time in enumerate(times) if sampler.take(time)]
        for first in range(0, len(wanted), chunk):
            if stopped.is_set():
                return
            indices, seconds = zip(*wanted[first : first + chunk], strict=True)
            frames = torch.from_numpy(reader.get_batch(indices).asnumpy())
            yield from zip(cut_square(frames, fit, size), seconds, strict=True)
    except (decord.DECORDError, DECORDLimitReachedError, RuntimeError, AssertionError) as error:
        raise DecordError(str(error)) from error
