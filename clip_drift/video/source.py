"""Naming and opening what a user calls "the video"."""

import io
import os
from contextlib import contextmanager

import av

from ..errors import DriftError

Source = str | os.PathLike | io.BytesIO

# FFmpeg "decodes" text files into pictures of their text; nobody means that by a video.
_TEXT_ART = {"tty", "bin", "xbin", "adf", "idf"}


def source_name(source: Source) -> str:
    """What to call a source in messages and metadata: the file's name."""
    if isinstance(source, io.BytesIO):
        return "video in memory"
    return os.path.basename(os.fspath(source))


@contextmanager
def binary_file(source: Source):
    """The source as a readable binary file; a BytesIO is rewound, and left open at the end."""
    if isinstance(source, io.BytesIO):
        source.seek(0)
        yield source
    else:
        with open(source, "rb") as file:
            yield file


def check_exists(source: Source) -> None:
    """Raise a DriftError unless the source is a file that can be read and is not empty."""
    if isinstance(source, io.BytesIO):
        size = source.seek(0, io.SEEK_END)
        source.seek(0)
    else:
        if os.path.isdir(source):
            raise DriftError(f"{source} is a folder, not a video: give the path of one file.")
        if not os.path.isfile(source):
            raise DriftError(f"there is no file {source}: check the path of the video.")
        size = os.path.getsize(source)
    if size == 0:
        raise DriftError(f"{source_name(source)} is empty (0 bytes): copy or download it again.")


def open_container(source: Source) -> av.container.InputContainer:
    """Open a source with PyAV.

    Raises:
        DriftError: not a file that FFmpeg knows as audio or video.
    """
    target: io.BytesIO | str
    if isinstance(source, io.BytesIO):
        source.seek(0)
        target = source
    else:
        # An absolute path: FFmpeg would take "concat:a" or "http:..." for a protocol.
        target = os.path.abspath(source)
    try:
        # Broken bytes in a tag's text must not stop a video from being read.
        container = av.open(target, metadata_errors="replace")
    except (av.error.FFmpegError, OSError) as error:
        raise DriftError(
            f"{source_name(source)} is not a video that FFmpeg can read ({error.strerror}): "
            "convert it to MP4, or check that the file is what its name says."
        ) from error
    if container.format.name in _TEXT_ART:
        container.close()
        raise DriftError(f"{source_name(source)} is a text file, not a video: choose another file.")
    return container
