"""What processes hold over time, and whether that is flat."""

from __future__ import annotations

import csv
import statistics
import time
from pathlib import Path

import psutil

LOOK_SECONDS = 2.0
"""Between two looks at the same process."""
FEWEST_LOOKS = 30
"""A process that was seen less often is still starting."""


class Memory:
    """Writes `path` (seconds, what, process, MiB) while processes are noted."""

    def __init__(self, path: Path):
        self._file = path.open("a", newline="", encoding="utf-8")
        self._rows = csv.writer(self._file)
        self._started = time.monotonic()
        self._held: dict[tuple[str, int], list[float]] = {}

    def note(self, name: str, process: psutil.Process) -> None:
        """Write the process's resident memory, if it is still there."""
        try:
            mib = process.memory_info().rss / 2**20
        except psutil.NoSuchProcess:
            return
        self._held.setdefault((name, process.pid), []).append(mib)
        passed = time.monotonic() - self._started
        self._rows.writerow([f"{passed:.0f}", name, process.pid, f"{mib:.1f}"])
        self._file.flush()

    def report(self) -> list[str]:
        """One line per kind of process, about the one that lived longest.

        How it grew is the median of the last third of its looks over that of the middle third; in
        the first third it starts.
        """
        lines = []
        for name in sorted({name for name, _ in self._held}):
            lives = [looks for (kind, _), looks in self._held.items() if kind == name]
            largest, longest = max(map(max, lives)), max(lives, key=len)
            grown = _grown(longest) if len(longest) >= FEWEST_LOOKS else float("nan")
            lines.append(
                f"{name}: {len(lives)} processes, largest {largest:.0f} MiB; the one that lived "
                f"longest ({len(longest) * LOOK_SECONDS:.0f} s): last third over middle third "
                f"{grown:.3f}"
            )
        return lines


def _grown(looks: list[float]) -> float:
    third = len(looks) // 3
    return statistics.median(looks[-third:]) / statistics.median(looks[third : 2 * third])
