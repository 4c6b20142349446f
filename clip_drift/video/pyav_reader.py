"""Reading frames with PyAV, which every ComfyUI has and which decodes what FFmpeg decodes."""

import logging
import os
import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from fractions import Fraction

import av
import numpy
import torch
from av.video.reformatter import Interpolation, VideoReformatter
from torch import Tensor

from ..errors import DriftError
from ..preprocess import cut_square, fit_size, over_black
from .deinterlace import deinterlaced
from .hdr import to_sdr
from .info import Damage, VideoInfo
from .probe import moving_pictures, quarter_turns, stream_duration
from .sampling import Sampler
from .source import Source, open_container

_log = logging.getLogger(__name__)

# Without the last two flags swscale halves the chroma's width and darkens by a grey level.
_BICUBIC = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT

# On few cores decoding fills them all, and slicing a frame between threads only costs.
_SCALER_THREADS = max(1, min(4, (os.cpu_count() or 1) // 4))

# Seconds of a damaged video's end that may be missing before that is an error.
_TOLERATED_LOSS = 1.0

# Seconds: a shorter gap between wanted frames is decoded through, for a seek empties the decoder.
_SHORTEST_SEEK = 0.5


def read_pyav(
    source: Source,
    info: VideoInfo,
    sampler: Sampler,
    size: int,
    crop: str,
    stopped: threading.Event,
    damage: Damage,
) -> Generator[tuple[Tensor, float], None, None]:
    """Yield the frames that `sampler` wants, each as a (size, size, 3) uint8 RGB square with its
    time in seconds from the stream's start.

    Args:
        damage: where it is counted.

    Raises:
        DriftError: the file breaks off, or cannot be opened.
    """
    to_square = SquareScaler(size, crop, info.pixel_aspect, info.hdr)
    with closing(_Cursor(source, info, stopped, damage)) as cursor:
        for frame, time in cursor.wanted(sampler):
            yield to_square(frame), time


class SquareScaler:
    """Turns decoded frames into CLIP's squares, keeping FFmpeg's scalers between frames.

    A frame is scaled as YUV and only then becomes RGB: 8-bit 4:4:4 is a third less to
    scale than full-size RGB, and as exact.

    Args:
        size, crop: see `preprocess.fit_size`.
        pixel_aspect, hdr: as in `VideoInfo`.
    """

    def __init__(self, size: int, crop: str, pixel_aspect: Fraction = Fraction(1), hdr: str = ""):
        self._size = size
        self._crop = crop
        self._pixel_aspect = pixel_aspect
        self._hdr = hdr
        self._yuv, self._rgb = ("yuv444p10le", "rgb48le") if hdr else ("yuv444p", "rgb24")
        self._scale = VideoReformatter()
        self._to_rgb = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> Tensor:
        """A (size, size, 3) uint8 RGB tensor: upright, of square pixels, alpha over black."""
        turns = quarter_turns(frame)
        width, height = max(1, round(frame.width * self._pixel_aspect)), frame.height
        if turns % 2:
            width, height = height, width
        fit = fit_size(height, width, self._size, self._crop)
        stored = (fit.height, fit.width) if turns % 2 else (fit.width, fit.height)
        if _may_be_transparent(frame.format):
            frame = self._over_black(frame)
        if _is_yuv(frame.format):
            frame = self._reformat(self._scale, frame, stored, self._yuv)
        pixels = self._reformat(self._to_rgb, frame, stored, self._rgb).to_ndarray()
        if turns:
            pixels = numpy.rot90(pixels, turns)
        square = cut_square(torch.from_numpy(numpy.ascontiguousarray(pixels)), fit, self._size)
        return to_sdr(square.float() / 65535, self._hdr) if self._hdr else square

    def _over_black(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Before it is scaled, or the unseen colours around a shape would bleed into it."""
        pixels = self._reformat(self._scale, frame, (frame.width, frame.height), "rgba")
        opaque = over_black(torch.from_numpy(pixels.to_ndarray()))
        return av.VideoFrame.from_ndarray(opaque.numpy(), format="rgb24")

    @staticmethod
    def _reformat(
        reformatter: VideoReformatter, frame: av.VideoFrame, size: tuple[int, int], layout: str
    ) -> av.VideoFrame:
        return reformatter.reformat(
            frame, *size, format=layout, interpolation=_BICUBIC, threads=_SCALER_THREADS
        )


def _is_yuv(layout: av.VideoFormat) -> bool:
    return not layout.is_rgb and not layout.has_palette and len(layout.components) >= 3


def _may_be_transparent(layout: av.VideoFormat) -> bool:
    return layout.has_palette or any(part.is_alpha for part in layout.components)


class _Cursor:
    """Moves through a stream: decodes on, or jumps to a keyframe where that is less work."""

    def __init__(self, source: Source, info: VideoInfo, stopped: threading.Event, damage: Damage):
        self._source = source
        self._name = info.name
        self._start = info.start
        self._frame_length = 1 / (info.rate or 25.0)
        self._interlaced = info.interlaced
        self._stopped = stopped
        self._damage = damage
        self._can_seek = True
        self._keyframe_gap = 0.0  # seconds: the longest way between two keyframes known so far
        self._open()

    def _open(self) -> None:
        self._container = open_container(self._source)
        self._stream = moving_pictures(self._container, self._source)
        self._stream.thread_type = "AUTO"

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def wanted(self, sampler: Sampler) -> Iterator[tuple[av.VideoFrame, float]]:
        """Frames that the sampler takes, with their times in seconds.

        Raises:
            DriftError: the file breaks off.
        """
        position = 0.0
        while True:
            if self._pays_to_seek(position, sampler.next_instant):
                frames = self._decoded_from_keyframe(position, sampler.next_instant)
            else:
                frames = self._decoded()
            for frame, time in frames:
                if self._stopped.is_set() or sampler.past(time):
                    return
                if sampler.take(time):
                    yield frame, time
                    position = time
                    if sampler.done:
                        return
                    if self._pays_to_seek(position, sampler.next_instant):
                        break
            else:
                return

    def _pays_to_seek(self, position: float, target: float) -> bool:
        return self._can_seek and target - position > max(_SHORTEST_SEEK, self._keyframe_gap)

    def _decoded_from_keyframe(
        self, position: float, target: float
    ) -> Iterator[tuple[av.VideoFrame, float]]:
        """Frames from the last keyframe at or before `target` on."""
        frame, time = None, 0.0
        if self._seek(target):
            frames = self._decoded()
            frame, time = next(frames, (None, 0.0))
        if frame is None or not frame.key_frame or time > target + self._frame_length:
            # No index, or a wrong one: start again, decode all the way, and never jump again.
            self._can_seek = False
            self.close()
            self._open()
            yield from self._decoded()
            return
        if time <= position:  # no keyframe on the way
            self._keyframe_gap = max(self._keyframe_gap, target - time)
        yield frame, time
        yield from frames

    def _seek(self, time: float) -> bool:
        try:
            offset = round((time + self._start) / self._stream.time_base)
            self._container.seek(offset, stream=self._stream)
        except av.error.FFmpegError:
            return False
        return True

    def _decoded(self) -> Iterator[tuple[av.VideoFrame, float]]:
        """Every frame from here on, with its time. A broken packet costs its own frames only."""
        time = -self._frame_length
        keyframe = None
        for frame in self._pictures():
            time = self._time(frame, time)
            if frame.key_frame:
                if keyframe is not None:
                    self._keyframe_gap = max(self._keyframe_gap, time - keyframe)
                keyframe = time
            yield frame, time
        if self._damage.places:
            self._check_reached_end(time)

    def _pictures(self) -> Iterator[av.VideoFrame]:
        frames = self._frames()
        return deinterlaced(frames, self._stream) if self._interlaced else frames

    def _frames(self) -> Iterator[av.VideoFrame]:
        for packet in self._packets():
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                self._damage.places += 1
                continue
            for frame in frames:
                self._damage.places += frame.is_corrupt
                yield frame

    def _time(self, frame: av.VideoFrame, previous: float) -> float:
        """Seconds from the stream's start; a frame without a clock follows the one before it."""
        if frame.pts is not None:
            time = float(frame.pts * frame.time_base - self._start)
            if time > previous:
                return time
        return previous + self._frame_length

    def _packets(self) -> Iterator[av.Packet]:
        try:
            yield from self._container.demux(self._stream)
        except av.error.FFmpegError as error:
            raise DriftError(
                f"{self._name} cannot be read on ({error.strerror}): copy or download it again."
            ) from error

    def _check_reached_end(self, time: float) -> None:
        """Of a damaged file: was it a blemish, or is the rest of the video gone?"""
        duration = stream_duration(self._container, self._stream)
        if duration is not None and time + _TOLERATED_LOSS < duration:
            raise DriftError(
                f"{self._name} is damaged: nothing after {time:.2f} of {duration:.2f} seconds can "
                "be decoded; copy or download it again, or trim it to the good part."
            )
        _log.warning("%s is damaged in %d places.", self._name, self._damage.places)
