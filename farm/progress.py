"""What the user sees while frames come in."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from tqdm import tqdm

from .workers import Worker


class Progress:
    """A bar over the frames, with their rate and the time left, on the standard error."""

    def __init__(self):
        self._bar: tqdm | None = None

    def say(self, text: str) -> None:
        """A line above the bar."""
        tqdm.write(text, file=sys.stderr)

    def lost(self, worker: Worker, why: str) -> None:
        """A worker is gone."""
        self.say(f"lost a worker: {worker.name}: {why}")

    @contextlib.contextmanager
    def over(self, total: int, done: int) -> Iterator[None]:
        """Show the bar while frames are rendered, some of which are done."""
        with tqdm(total=total, initial=done, unit="frame", file=sys.stderr) as self._bar:
            yield

    def add(self, count: int) -> None:
        """So many more are done."""
        if self._bar is not None:
            self._bar.update(count)
