"""The most memory that a process has held, and a fresh process to measure it in."""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from unittest.mock import patch

# Large blocks go back to the system at once, so that the peak is the one of living tensors.
GIVING_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}


def process_peak(anew: bool = False) -> int:
    """The most bytes held so far; `anew`: from now on."""
    status = Path("/proc/self/status")
    if not status.exists():  # not Linux: the whole process's, with what loading took
        import resource  # which Windows lacks

        return 0 if anew else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) * 1024


@contextmanager
def fresh_process(**environment: str) -> Iterator[ProcessPoolExecutor]:
    """A fresh process for what is submitted to it."""
    with (
        patch.dict(os.environ, environment),
        ProcessPoolExecutor(1, get_context("spawn")) as pool,
    ):
        yield pool
