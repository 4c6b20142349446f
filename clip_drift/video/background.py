"""Work ahead in a thread: the next batch is decoded while the last one is encoded."""

import queue
import threading
import weakref
from collections.abc import Generator
from typing import Generic, TypeVar

T = TypeVar("T")

_END = object()
_POLL = 0.05  # seconds: how soon a producer that waits for room notices that nobody wants more


class Background(Generic[T]):
    """An iterator over what a generator yields, run in a thread of its own.

    The thread holds at most `ahead` finished items (and is at work on one more). What the
    generator raises is raised here. `close`, or losing the last reference, stops the thread,
    and the generator is closed in it, so that its files are closed too.

    Args:
        items: a generator; it may look at `stopped` in long stretches without a `yield`.
        ahead: finished items to hold.
        stopped: set when no more items are wanted.
    """

    def __init__(self, items: Generator[T, None, None], ahead: int, stopped: threading.Event):
        self._stopped = stopped
        self._queue: queue.Queue = queue.Queue(ahead)
        self._thread = threading.Thread(
            target=_produce,
            args=(items, self._queue, stopped),
            name="clip-drift-video",
            daemon=True,
        )
        # The thread must not refer to this object, or dropping it would never stop the thread.
        weakref.finalize(self, stopped.set)
        self._thread.start()

    def __iter__(self) -> "Background[T]":
        return self

    def __next__(self) -> T:
        if self._stopped.is_set():
            raise StopIteration
        item = self._queue.get()
        if item is _END:
            self.close()
            raise StopIteration
        if isinstance(item, _Failure):
            self.close()
            raise item.error
        return item

    def close(self) -> None:
        """Stop the thread, and return when it has ended."""
        self._stopped.set()
        self._thread.join()


class _Failure:
    """What the generator raised, on its way through the queue."""

    def __init__(self, error: BaseException):
        self.error = error


def _produce(items: Generator, out: queue.Queue, stopped: threading.Event) -> None:
    last = _END
    try:
        for item in items:
            if not _put(out, item, stopped):
                break
    except BaseException as error:  # raised again in the thread that reads
        last = _Failure(error)
    finally:
        items.close()
    _put(out, last, stopped)


def _put(out: queue.Queue, item: object, stopped: threading.Event) -> bool:
    """Wait for room and put `item`; False if it is not wanted any more."""
    while not stopped.is_set():
        try:
            out.put(item, timeout=_POLL)
            return True
        except queue.Full:
            continue
    return False
