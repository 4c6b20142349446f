"""The frames of a folder as a video."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
from PIL import Image

from .errors import FarmError
from .folder import HALF_WRITTEN

QUALITY = "16"
"""H.264's constant rate factor: 0 is lossless, 23 the encoder's default."""


def write_video(frames: Sequence[Path], target: Path, rate: float) -> None:
    """Encode pictures as H.264, all of the first one's size (an odd edge loses a pixel).

    Raises:
        FarmError: PyAV has no such encoder here, a picture cannot be read, or the disk is full.
    """
    half = target.with_name(f"{target.stem}{target.suffix}{HALF_WRITTEN}")
    try:
        _encode(frames, half, rate)
        half.replace(target)
    except (OSError, ValueError) as error:  # PyAV's errors are among them
        half.unlink(missing_ok=True)
        raise FarmError(
            f"{target.name} could not be made ({error}): the frames are all there; call the same "
            "command again."
        ) from error


def _encode(frames: Sequence[Path], target: Path, rate: float) -> None:
    with Image.open(frames[0]) as first:
        width, height = (edge - edge % 2 for edge in first.size)
    with av.open(target, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": QUALITY}
        for path in frames:
            with Image.open(path) as picture:
                shown = picture.convert("RGB").crop((0, 0, width, height))
            container.mux(stream.encode(av.VideoFrame.from_image(shown)))
        container.mux(stream.encode(None))
