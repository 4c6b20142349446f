"""Makers of video files for the tests, ordinary and odd, with PyAV.

Every frame shows its own number as black and white bars, so that a frame can be told after
decoding, resizing and turning.
"""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

BITS = 10
_RATE = Fraction(25)


def numbered(index: int, width: int = 320, height: int = 240) -> np.ndarray:
    """A picture with `index` in binary: BITS columns, the lowest bit at the left, and a band of
    colours at the bottom.

    Returns:
        (height, width, 3) uint8.
    """
    edges = np.linspace(0, width, BITS + 1).round().astype(int)
    picture = np.zeros((height, width, 3), np.uint8)
    for bit in range(BITS):
        picture[:, edges[bit] : edges[bit + 1]] = 220 if index >> bit & 1 else 30
    third = width // 3
    for i, colour in enumerate([(180, 60, 60), (60, 180, 60), (60, 60, 180)]):
        picture[height * 3 // 4 :, i * third : (i + 1) * third] = colour
    return picture


def number_in(picture: np.ndarray) -> int:
    """Read the number out of a (S, S, 3) picture that shows the whole frame (crop "stretch")."""
    size = picture.shape[1]
    row = picture[: size // 2].astype(float).mean(axis=(0, 2))
    columns = np.array_split(row, BITS)
    return sum(1 << bit for bit, column in enumerate(columns) if np.median(column) > 125)


def write_video(
    path: Path,
    pictures: Iterable[np.ndarray],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rate: Fraction = _RATE,
    times: Iterable[float] | None = None,
    keyframe_every: int = 12,
    b_frames: int = 2,
    rotation: int = 0,
    full_range: bool = False,
    colorspace: int | None = None,
    pixel_aspect: Fraction | None = None,
    hdr: str = "",
    options: dict[str, str] | None = None,
    format: str | None = None,
) -> Path:
    """Encode RGB (or RGBA) pictures; those of uint16 with all their bits.

    Args:
        pixel_aspect: width / height of a pixel, written into the file.
        hdr: "pq" or "hlg" tags the file as such, with BT.2020's primaries and matrix.
        times: seconds of each frame, for variable frame rate; None = one every 1 / rate.
        rotation: degrees counter-clockwise that a player must turn the picture by.
        colorspace: one of `av.video.reformatter.Colorspace`, converted to and tagged.
    """
    pictures = iter(pictures)
    first = next(pictures)
    with av.open(path, "w", format=format) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = pix_fmt
        stream.options = options or {}
        context = stream.codec_context
        context.gop_size = keyframe_every
        if codec.startswith("libx26"):
            context.max_b_frames = b_frames
            context.options = {"preset": "ultrafast", "crf": "15", **(options or {})}
        if rotation:
            stream.set_display_rotation(rotation)
        wanted = {}
        if full_range:
            context.color_range = wanted["dst_color_range"] = 2
        if colorspace is not None:
            context.colorspace = wanted["dst_colorspace"] = colorspace
        if pixel_aspect is not None:
            context.sample_aspect_ratio = pixel_aspect
        if hdr:
            context.color_trc = {"pq": 16, "hlg": 18}[hdr]
            context.color_primaries = 9
            context.colorspace = wanted["dst_colorspace"] = 9
        clock = Fraction(1, 90000) if times is not None else 1 / rate
        context.time_base = clock
        stamps = iter(times) if times is not None else None
        for i, picture in enumerate(_chain(first, pictures)):
            layout = "rgba" if picture.shape[-1] == 4 else "rgb24"
            layout = "rgb48le" if picture.dtype == np.uint16 else layout
            frame = av.VideoFrame.from_ndarray(picture, format=layout)
            frame = frame.reformat(format=pix_fmt, **wanted)
            frame.pts = i if stamps is None else round(next(stamps) / clock)
            frame.time_base = clock
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _chain(first: np.ndarray, rest: Iterable[np.ndarray]) -> Iterable[np.ndarray]:
    yield first
    yield from rest


def numbered_video(path: Path, count: int = 50, *, size: tuple[int, int] = (320, 240), **how):
    """A video of `count` numbered frames of `size` (width, height); see write_video."""
    return write_video(path, (numbered(i, *size) for i in range(count)), **how)


def remux(source: Path, target: Path, **options: str) -> Path:
    """The same packets in another container."""
    with av.open(source) as reader, av.open(target, "w", options=options) as writer:
        stream = reader.streams.best("video")
        copy = writer.add_stream_from_template(stream)
        for packet in reader.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                writer.mux(packet)
    return target


def cut(source: Path, target: Path, share: float) -> Path:
    """The first `share` of a file's bytes."""
    data = source.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])
    return target


def audio_file(path: Path, cover: np.ndarray | None = None) -> Path:
    """A second of silence, with a cover picture if one is given."""
    with av.open(path, "w") as container:
        audio = container.add_stream("aac", rate=16000)
        picture = None
        if cover is not None:
            picture = container.add_stream("mjpeg", rate=1)
            picture.height, picture.width = cover.shape[:2]
            picture.pix_fmt = "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic
        for i in range(16):
            frame = av.AudioFrame.from_ndarray(
                np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
            )
            frame.sample_rate, frame.pts = 16000, i * 1024
            container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
        if picture is not None:
            frame = av.VideoFrame.from_ndarray(cover, format="rgb24").reformat(format="yuvj420p")
            frame.pts = 0
            container.mux(picture.encode(frame))
            container.mux(picture.encode(None))
    return path


def combed(index: int, width: int, height: int) -> np.ndarray:
    """A grey bar on black as an interlaced camera sees it: by the second field, the odd rows, it
    has moved on by 6 pixels, half of the way to the next frame's, so that an edge is a comb.

    Args:
        index: of the frame.
    """
    first = 12 * index
    picture = np.zeros((height, width, 3), np.uint8)
    picture[0::2, first : first + 40] = 200
    picture[1::2, first + 6 : first + 46] = 200
    return picture


def teeth(picture: np.ndarray) -> float:
    """How much of a comb there is: the mean difference of neighbouring rows, in grey levels."""
    return float(np.abs(np.diff(picture.astype(float), axis=0)).mean())


def animation(path: Path, pictures: Iterable[np.ndarray], milliseconds: list[int]) -> Path:
    """An animated WebP, GIF or PNG of RGB or RGBA pictures, each shown for so long."""
    first, *rest = map(Image.fromarray, pictures)
    how = {"lossless": True} if path.suffix == ".webp" else {}
    first.save(path, save_all=True, append_images=rest, duration=milliseconds, loop=0, **how)
    return path


def two_streams(path: Path, sizes: list[tuple[int, int]], count: int = 20) -> Path:
    """Two video streams of `sizes`: the first shows numbers from 0, the second from 100."""
    with av.open(path, "w") as container:
        streams = []
        for width, height in sizes:
            stream = container.add_stream("libx264", rate=_RATE)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            streams.append(stream)
        for i in range(count):
            for first, stream in zip((0, 100), streams, strict=True):
                picture = numbered(first + i, stream.width, stream.height)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    return path
