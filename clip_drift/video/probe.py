"""What a video file is, found out before any long work: one frame is decoded, no more."""

from fractions import Fraction

import av

from ..errors import DriftError
from .animation import is_animation, probe_animation
from .complete import check_complete
from .info import VideoInfo
from .source import Source, check_exists, open_container, source_name

# FFmpeg's numbers of the transfer functions SMPTE ST 2084 and ARIB STD-B67.
_HDR = {16: "pq", 18: "hlg"}

_LARGEST_ASPECT = 10  # beyond this a file's aspect ratio is a slip of whoever wrote it


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
    if is_animation(source):
        return probe_animation(source)
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
            pixel_aspect=_pixel_aspect(stream),
            rotation=quarter_turns(frame),
            full_range=frame.color_range == av.video.reformatter.ColorRange.JPEG,
            interlaced=bool(frame.interlaced_frame),
            hdr=_HDR.get(stream.codec_context.color_trc, ""),
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


def _pixel_aspect(stream: av.VideoStream) -> Fraction:
    aspect = stream.sample_aspect_ratio or Fraction(1)
    return aspect if 1 / _LARGEST_ASPECT <= aspect <= _LARGEST_ASPECT else Fraction(1)


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
