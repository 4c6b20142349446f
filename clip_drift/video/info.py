"""What there is to know of a video before it is read."""

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class VideoInfo:
    """A video stream as it will be shown.

    Attributes:
        name: the file's name.
        container: FFmpeg's names of the file format, such as `mov,mp4,m4a,3gp,3g2,mj2`.
        codec: FFmpeg's name of the codec, such as `h264` or `av1`.
        pixel_format: FFmpeg's name of the first frame's layout, such as `yuv420p10le`.
        height, width: pixels of the picture as stored, before `rotation`.
        pixel_aspect: width / height of a stored pixel, 1 for square ones.
        rotation: quarter turns counter-clockwise that put it upright, 0 to 3.
        full_range: luma uses 0..255 rather than 16..235.
        interlaced: a frame is two fields of half the rows, seen at different times.
        hdr: "pq" or "hlg", how light is coded in a video of high dynamic range; "" for others.
        rate: average frames per second, 0.0 if unknown.
        start: the first frame's time by the file's own clock, in seconds; times count from it.
        duration: seconds, or None if the file does not say.
        video_streams: how many streams of moving pictures the file holds.
    """

    name: str
    container: str
    codec: str
    pixel_format: str
    height: int
    width: int
    pixel_aspect: Fraction
    rotation: int
    full_range: bool
    interlaced: bool
    hdr: str
    rate: float
    start: Fraction
    duration: float | None
    video_streams: int


@dataclass
class Damage:
    """What a reader could not decode, counted while it reads.

    Attributes:
        places: packets that are broken, and frames that came out spoilt.
    """

    places: int = 0
