"""Gives the missing frames to the workers, and keeps what comes back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait

from .errors import FarmError
from .folder import RenderFolder
from .renderer import Job, WorkerLostError
from .workers import IN_FLIGHT, Worker

WAKE_SECONDS = 1.0
"""Waiting is cut into pieces, so that Ctrl-C is noticed on Windows too."""

Chunk = tuple[int, int]
"""The first frame and how many."""


def chunks(frames: Iterable[int], size: int) -> Iterator[Chunk]:
    """Frames, in ascending order, as runs of neighbours of at most `size`."""
    start = count = 0
    for frame in frames:
        if count and (frame != start + count or count == size):
            yield start, count
            count = 0
        if not count:
            start = frame
        count += 1
    if count:
        yield start, count


def render_missing(
    folder: RenderFolder,
    job: Job,
    workers: list[Worker],
    size: int,
    on_frames: Callable[[int], object],
    on_lost: Callable[[Worker, str], object],
) -> None:
    """Render every frame that the folder's manifest lacks.

    A lost worker's chunks go to the others.

    Raises:
        FarmError: a node failed, the folder cannot be written, or no worker is left.
    """
    waiting = deque(chunks(folder.require_manifest().missing(), size))
    running: dict[Future[list[bytes]], tuple[Worker, Chunk]] = {}
    alive = list(workers)
    while waiting or running:
        for worker in _free(alive, running):
            if waiting:
                chunk = waiting.popleft()
                running[worker.render(job, *chunk)] = worker, chunk
        done, _ = wait(running, WAKE_SECONDS, FIRST_COMPLETED)
        for future in done:
            worker, (start, count) = running.pop(future)
            try:
                pictures = future.result()
            except WorkerLostError as error:
                waiting.appendleft((start, count))
                if worker in alive:
                    alive.remove(worker)
                    on_lost(worker, str(error))
                    if not alive:
                        raise FarmError(
                            f"no worker is left ({error}): call the same command again once one "
                            "is back; what is done is kept."
                        ) from error
                continue
            folder.keep({start + i: picture for i, picture in enumerate(pictures)})
            on_frames(count)


def _free(alive: list[Worker], running: dict[Future[list[bytes]], tuple[Worker, Chunk]]):
    """Workers that take another chunk, the idle ones first."""
    load = dict.fromkeys(alive, 0)
    for worker, _ in running.values():
        if worker in load:
            load[worker] += 1
    for level in range(IN_FLIGHT):
        yield from [worker for worker in alive if load[worker] <= level]
