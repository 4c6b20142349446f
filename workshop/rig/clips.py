"""Small video files, really encoded, for the examples, the tests and the benchmark."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write_clip(
    path: Path,
    frames: Iterable[np.ndarray],
    fps: float,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
) -> Path:
    """Encode `frames` (uint8, height × width × RGB) into the container that `path` ends in."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, Fraction(fps).limit_denominator(1001))
        stream.pix_fmt = pix_fmt
        stream.options = options or {}
        for index, image in enumerate(frames):
            if index == 0:
                stream.height, stream.width = image.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return Path(path)


def sample_clip(
    path: Path, seconds: float = 2.0, fps: float = 24.0, size: tuple[int, int] = (384, 256)
) -> Path:
    """Write an H.264 clip of `size` (width, height): a ball that comes nearer along a curve."""
    return write_clip(path, rolling_ball(round(seconds * fps), size), fps, options={"crf": "16"})


def repeat_clip(source: Path, target: Path, times: int) -> Path:
    """The same packets over and over: a long file without long encoding."""
    with av.open(source) as reader, av.open(target, "w") as writer:
        stream = reader.streams.video[0]
        length = stream.duration
        packets = [packet for packet in reader.demux(stream) if packet.dts is not None]
        copy = writer.add_stream_from_template(stream)
        for _ in range(times):
            for packet in packets:
                packet.stream = copy
                writer.mux(packet)
                packet.stream = stream
                packet.pts += length
                packet.dts += length
    return target


def rolling_ball(count: int, size: tuple[int, int] = (384, 256)) -> Iterator[np.ndarray]:
    """Draw `count` frames of a shaded ball that swings from left to right, grows, changes hue."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    for progress in np.linspace(0.0, 1.0, count):
        radius = height * (0.08 + 0.17 * progress)
        centre_x = width * (0.24 + 0.42 * progress)  # within the middle square that CLIP sees
        centre_y = height * (0.45 + 0.22 * np.sin(2 * np.pi * progress))
        hue = 0.02 + 0.55 * progress
        picture = _sky(y / height, hue + 0.5)
        picture *= 1 - 0.45 * _shadow(x - centre_x, y - 0.9 * height, radius)[..., None]
        picture = _draw_ball(picture, x - centre_x, y - centre_y, radius, _rgb(hue, 0.8, 0.95))
        yield (picture.clip(0, 1) * 255).round().astype(np.uint8)


def _rgb(hue: float, saturation: float, value: float) -> np.ndarray:
    return np.array(colorsys.hsv_to_rgb(hue % 1.0, saturation, value), dtype=np.float32)


def _sky(depth: np.ndarray, hue: float) -> np.ndarray:
    """A gradient from a deep tone at the top (`depth` 0) to a pale one at the bottom."""
    top, bottom = _rgb(hue, 0.55, 0.35), _rgb(hue + 0.08, 0.25, 0.9)
    return top + (bottom - top) * depth[..., None]


def _shadow(dx: np.ndarray, dy: np.ndarray, radius: float) -> np.ndarray:
    """A soft, flat spot below the ball."""
    return np.exp(-((dx / radius) ** 2) - (dy / (0.3 * radius)) ** 2)


def _draw_ball(
    picture: np.ndarray, dx: np.ndarray, dy: np.ndarray, radius: float, colour: np.ndarray
) -> np.ndarray:
    """Blend a ball, lit from the upper left, over the picture; its edge is one pixel soft."""
    distance = np.hypot(dx, dy)
    facing = np.sqrt((1 - (distance / radius) ** 2).clip(0, 1))
    light = ((-0.5 * dx - 0.6 * dy) / radius + 0.62 * facing).clip(0, 1)
    shaded = colour * (0.25 + 0.75 * light[..., None]) + 0.5 * light[..., None] ** 16
    cover = (radius - distance + 0.5).clip(0, 1)[..., None]
    return picture * (1 - cover) + shaded * cover
