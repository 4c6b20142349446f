"""A cluster of Ray on this machine, for the tests of two workers."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import ray

STARTS = 5
"""On a busy machine Ray's processes miss their own deadline of 30 seconds."""


@contextmanager
def two_cores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Room for two workers of one core; another cluster that runs here is left alone."""
    monkeypatch.setenv("RAY_worker_niceness", "0")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    for attempt in range(STARTS):
        try:
            ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
            break
        except Exception as error:  # Ray's own is no narrower
            ray.shutdown()
            if attempt == STARTS - 1:
                pytest.skip(f"Ray did not start in {STARTS} attempts: {error}")
    try:
        yield
    finally:
        ray.shutdown()
