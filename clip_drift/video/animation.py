"""Animated WebP pictures, which FFmpeg cannot read and Pillow can. GIF and APNG are FFmpeg's."""

import threading
from collections.abc import Generator
from fractions import Fraction

import numpy
import torch
from PIL import Image
from torch import Tensor

from ..errors import DriftError
from ..preprocess import to_square
from .info import VideoInfo
from .sampling import Sampler
from .source import Source, binary_file, source_name

_CONTAINER = "animated webp"
_ANIMATION_FLAG = 0x02
_UNSAID = 100  # milliseconds that a frame is shown if its file says 0, as browsers do


def is_animation(source: Source) -> bool:
    """Is it a WebP file that says that it is animated?"""
    with binary_file(source) as file:
        start = file.read(21)
    return (
        start[:4] == b"RIFF"
        and start[8:16] == b"WEBPVP8X"
        and bool(start[20:] and start[20] & _ANIMATION_FLAG)
    )


def probe_animation(source: Source) -> VideoInfo:
    """What there is to know of an animated WebP; its length is known when it has been read.

    Raises:
        DriftError: its first picture cannot be decoded.
    """
    with binary_file(source) as file:
        try:
            with Image.open(file) as picture:
                picture.load()
                width, height = picture.size
                layout = "rgba" if picture.mode == "RGBA" else "rgb24"
        except (OSError, ValueError, EOFError) as error:
            raise _unreadable(source) from error
    return VideoInfo(
        name=source_name(source),
        container=_CONTAINER,
        codec="webp",
        pixel_format=layout,
        height=height,
        width=width,
        pixel_aspect=Fraction(1),
        rotation=0,
        full_range=True,
        interlaced=False,
        hdr="",
        rate=0.0,
        start=Fraction(0),
        duration=None,
        video_streams=1,
    )


def suits(info: VideoInfo) -> bool:
    """Is it this reader's file?"""
    return info.container == _CONTAINER


def read_animation(
    source: Source, sampler: Sampler, size: int, crop: str, stopped: threading.Event
) -> Generator[tuple[Tensor, float], None, None]:
    """Yield the frames that `sampler` wants, each as a (size, size, 3) uint8 RGB square with its
    time in seconds.

    Raises:
        DriftError: the file breaks off.
    """
    time = 0.0
    with binary_file(source) as file, Image.open(file) as picture:
        for index in range(getattr(picture, "n_frames", 1)):
            if stopped.is_set() or sampler.done or sampler.past(time):
                return
            try:
                picture.seek(index)
                picture.load()
            except (OSError, ValueError, EOFError) as error:
                raise _unreadable(source) from error
            if sampler.take(time):
                pixels = torch.from_numpy(numpy.array(picture.convert("RGBA")))
                yield to_square(pixels[None], size, crop)[0], time
            time += (picture.info["duration"] or _UNSAID) / 1000


def _unreadable(source: Source) -> DriftError:
    return DriftError(
        f"{source_name(source)} is an animated WebP that cannot be decoded: copy or download it "
        "again, or convert it to MP4."
    )
