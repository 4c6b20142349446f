"""Which frames of a video are read: a window of time, a rate, a largest number."""

import math

from ..errors import DriftError

# Seconds: stored times are rounded (Matroska keeps milliseconds), so comparisons have some give.
_ROUNDING = 0.001


class Sampler:
    """Chooses frames by their times, in the order in which they are shown.

    A rate of `sample_fps` puts a grid of instants over the window, one every 1 / sample_fps
    seconds, and takes the first frame at or after each. No frame is taken twice: where the video
    is slower than the grid, every frame is taken.

    Args:
        start: seconds from the stream's start.
        duration: seconds, 0 = to the end.
        sample_fps: frames per second, 0 = every frame.
        max_frames: the first so many of the chosen frames, 0 = all.

    Raises:
        DriftError: a number that is negative or not finite.
    """

    def __init__(
        self,
        start: float = 0.0,
        duration: float = 0.0,
        sample_fps: float = 0.0,
        max_frames: int = 0,
    ):
        for name, value in (
            ("start", start),
            ("duration", duration),
            ("sample_fps", sample_fps),
            ("max_frames", max_frames),
        ):
            if not math.isfinite(value) or value < 0:
                raise DriftError(f"{name} is {value}: it must be 0 or more.")
        self.start = start
        self.end = start + duration if duration else math.inf
        self.sample_fps = sample_fps
        self.max_frames = max_frames
        self.taken = 0
        self._step = 0

    @property
    def next_instant(self) -> float:
        """Seconds: no frame before this one will be taken any more."""
        return self.start + (self._step / self.sample_fps if self.sample_fps else 0.0)

    @property
    def done(self) -> bool:
        """Has the last wanted frame been taken?"""
        return bool(self.max_frames) and self.taken >= self.max_frames

    def past(self, time: float) -> bool:
        """Is a frame at `time` seconds behind the window, and with it all that follow?"""
        return time >= self.end - _ROUNDING

    def take(self, time: float) -> bool:
        """Is the frame at `time` seconds wanted? Call it once per frame, in order."""
        if self.done or self.past(time) or time < self.next_instant - _ROUNDING:
            return False
        self.taken += 1
        if self.sample_fps:
            self._step = math.floor((time + _ROUNDING - self.start) * self.sample_fps) + 1
        return True

    def expected(self, duration: float | None, rate: float) -> int | None:
        """About how many frames will be taken, for a progress bar; None if nobody can tell.

        Args:
            duration: of the whole video in seconds, None if unknown.
            rate: its average frames per second, 0 if unknown.
        """
        seconds = min(self.end, math.inf if duration is None else duration) - self.start
        frames_a_second = min(self.sample_fps or math.inf, rate or math.inf)
        limits = [self.max_frames] if self.max_frames else []
        if math.isfinite(seconds) and math.isfinite(frames_a_second):
            limits.append(max(1, math.ceil(seconds * frames_a_second - 1e-6)))
        return min(limits, default=None)
