"""What a video file is, found out before any long work: one frame is decoded, no more."""

from dataclasses import dataclass
from fractions import Fraction

import av

from ..errors import DriftError
from .complete import check_complete
from .source import Source, check_exists, open_container, source_name


@dataclass(frozen=True)
class VideoInfo:
    """A video stream as it will be shown.

    Attributes:
        name: the file's name.
        container: FFmpeg's names of the file format, such as ``mov,mp4,m4a,3gp,3g2,mj2``.
        codec: FFmpeg's name of the codec, such as ``h264`` or ``av1``.
        pixel_format: FFmpeg's name of the first frame's layout, such as ``yuv420p10le``.
        height, width: pixels of the picture as stored, before ``rotation``.
        rotation: quarter turns counter-clockwise that put it upright, 0 to 3.
        full_range: luma uses 0..255 rather than 16..235.
        rate: average frames a second, 0.0 if unknown.
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
    rotation: int
    full_range: bool
    rate: float
    start: Fraction
    duration: float | None
    video_streams: int


def probe(source: Source) -> VideoInfo:
    """Find out what a video is, and that it can be read.

    Args:
        source: path of a file, or a file in memory.

    Raises:
        DriftError: missing, empty, cut off or not a video; no video stream; a codec that cannot
            be decoded; not a single frame.
    """
    check_exists(source)
    check_complete(source)
    with open_container(source) as container:
        stream = moving_pictures(container, source)
        frame = _first_frame(container, stream, source)
        return VideoInfo(
            name=source_name(source),
            container=container.format.name,
            codec=stream.codec_context.codec.canonical_name,
            pixel_format=frame.format.name,
            height=frame.height,
            width=frame.width,
            rotation=quarter_turns(frame),
            full_range=frame.color_range == av.video.reformatter.ColorRange.JPEG,
            rate=float(stream.average_rate or stream.guessed_rate or 0),
            start=(frame.pts or 0) * stream.time_base,
            duration=stream_duration(container, stream),
            video_streams=len(_moving(container)),
        )


def moving_pictures(container: av.container.InputContainer, source: Source) -> av.VideoStream:
    """The video stream that FFmpeg ranks best, as players do; never a cover picture.

    Raises:
        DriftError: there is none, or this PyAV has no decoder for it.
    """
    candidates = _moving(container)
    if not candidates:
        what = "a cover picture" if container.streams.video else "audio or data"
        raise DriftError(
            f"{source_name(source)} has no video stream, only {what}: choose a file with pictures."
        )
    best = container.streams.best("video")
    stream = best if best in candidates else candidates[0]
    if stream.codec_context is None:
        raise DriftError(
            f"{source_name(source)} uses a video codec that this PyAV cannot decode: "
            "convert it to H.264."
        )
    return stream


def quarter_turns(frame: av.VideoFrame) -> int:
    """Quarter turns counter-clockwise that a frame's display matrix asks for, 0 to 3."""
    return round(frame.rotation / 90) % 4


def stream_duration(container: av.container.InputContainer, stream: av.VideoStream) -> float | None:
    """Seconds that a stream lasts, or None if the file does not say."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    if container.duration:
        return container.duration / av.time_base
    return None


def _moving(container: av.container.InputContainer) -> list[av.VideoStream]:
    cover = av.stream.Disposition.attached_pic
    return [stream for stream in container.streams.video if not stream.disposition & cover]


def _first_frame(
    container: av.container.InputContainer, stream: av.VideoStream, source: Source
) -> av.VideoFrame:
    try:
        for frame in container.decode(stream):
            return frame
    except av.error.FFmpegError as error:
        raise DriftError(
            f"{source_name(source)}: its first frame ({stream.codec_context.name}) cannot be "
            f"decoded ({error.strerror}); copy the file again or convert it to H.264."
        ) from error
    raise DriftError(
        f"{source_name(source)} has a video stream without a single frame: choose another file."
    )
