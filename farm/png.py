"""PNG files as bytes: without what a server writes beside the picture, and whole or not."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
TEXT = (b"tEXt", b"zTXt", b"iTXt")


class BrokenPictureError(ValueError):
    """The bytes are no whole PNG file."""


def without_text(data: bytes) -> bytes:
    """The same picture without its texts.

    ComfyUI writes the prompt into every file, which names the chunk that it was rendered in:
    without it, a frame's bytes are the same however it was rendered.

    Raises:
        BrokenPictureError: it is no whole PNG file.
    """
    kept = [data[begin:end] for kind, begin, end in _chunks(data) if kind not in TEXT]
    return SIGNATURE + b"".join(kept)


def is_whole(data: bytes) -> bool:
    """Whether the file has all its parts and each is what was written."""
    try:
        return bool(list(_chunks(data)))
    except BrokenPictureError:
        return False


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Each chunk's kind and place; a chunk is its length, kind, content and checksum
    (Portable Network Graphics Specification, Third Edition, 2025, section 5.3)."""
    if not data.startswith(SIGNATURE):
        raise BrokenPictureError("it does not begin as a PNG file")
    place, kind = len(SIGNATURE), b""
    while place < len(data):
        if place + 12 > len(data):
            raise BrokenPictureError("it ends within a chunk")
        (length,) = struct.unpack_from(">I", data, place)
        end = place + 12 + length
        if end > len(data):
            raise BrokenPictureError("it ends within a chunk")
        kind = data[place + 4 : place + 8]
        (checksum,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(data[place + 4 : end - 4]) != checksum:
            raise BrokenPictureError("a chunk has another checksum")
        yield kind, place, end
        place = end
    if kind != b"IEND":
        raise BrokenPictureError("its end is missing")
