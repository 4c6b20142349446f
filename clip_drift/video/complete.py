"""Is the whole file there? Containers say how long they are; a file that is shorter was cut.

FFmpeg reads a cut MP4 up to the cut and a cut Matroska without a word, so a drift would
silently end early. These checks read a few headers and no pictures.
"""

import io
import struct
from typing import BinaryIO

from ..errors import DriftError
from .source import Source, binary_file, source_name

_EBML_HEADER = 0x1A45DFA3
_MATROSKA_SEGMENT = 0x18538067
_MP4_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")


def check_complete(source: Source) -> None:
    """Raise a DriftError if an MP4/MOV, Matroska/WebM, AVI or WebP file is shorter than it says.

    Other formats, and streamed files that state no length, pass.
    """
    with binary_file(source) as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        start = file.read(12)
        if start[4:8] in _MP4_FIRST_BOXES:
            wanted, has_index = _mp4_extent(file, size)
        elif start[:4] == _EBML_HEADER.to_bytes(4, "big"):
            wanted, has_index = _matroska_extent(file, size), True
        elif start[:4] == b"RIFF" and start[8:12] in (b"AVI ", b"WEBP"):
            # An index written after the first part (OpenDML) makes AVI files longer than this,
            # never shorter.
            wanted, has_index = 8 + struct.unpack("<I", start[4:8])[0], True
        else:
            return
    if wanted > size:
        raise DriftError(
            f"{source_name(source)} is cut off: {wanted - size:,} of {wanted:,} bytes are missing; "
            "copy or download it again."
        )
    if not has_index:
        raise DriftError(
            f"{source_name(source)} has no index (MP4 'moov' box): it was cut off or its recording "
            "never finished; copy it again, or repair it with FFmpeg."
        )


def _mp4_extent(file: BinaryIO, size: int) -> tuple[int, bool]:
    """(bytes that the boxes of an MP4 claim, is there an index) by hopping from box to box."""
    position, has_index = 0, False
    while position + 8 <= size:
        file.seek(position)
        length, kind = struct.unpack(">I4s", file.read(8))
        has_index |= kind == b"moov"
        if length == 0:  # this box goes on to the end of the file
            return size, has_index
        if length == 1:
            length = int.from_bytes(file.read(8), "big")
        if length < 8 or not kind.isascii():  # junk after the last box
            break
        if position + length > size and kind not in (b"mdat", b"moov", b"moof"):
            break  # padding or metadata is cut: every picture is there
        position += length
    return position, has_index


def _matroska_extent(file: BinaryIO, size: int) -> int:
    """Bytes that a Matroska file claims, 0 if it states no length (a live recording)."""
    file.seek(4)
    header = _ebml_number(file)
    if header is None or file.tell() + header > size:
        return 0
    file.seek(header, io.SEEK_CUR)
    if int.from_bytes(file.read(4), "big") != _MATROSKA_SEGMENT:
        return 0
    length = _ebml_number(file)
    return 0 if length is None else file.tell() + length


def _ebml_number(file: BinaryIO) -> int | None:
    """One variable-length number; None if it stands for "unknown" or is malformed."""
    first = file.read(1)
    if not first or first[0] == 0:
        return None
    length = 9 - first[0].bit_length()
    value = int.from_bytes(first + file.read(length - 1), "big")
    bits = 7 * length
    value &= (1 << bits) - 1
    return None if value == (1 << bits) - 1 else value
