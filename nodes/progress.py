"""Progress on the node, and cancelling."""

from collections.abc import Callable

from comfy.model_management import throw_exception_if_processing_interrupted
from comfy.utils import ProgressBar


def batch_progress() -> Callable[[int, int | None], None]:
    """A callback for long work: shows how far it is, and raises when the user cancelled."""
    bar = None

    def on_batch(done: int, total: int | None = None, *_) -> None:
        nonlocal bar
        throw_exception_if_processing_interrupted()
        total = max(total or done + 1, done)
        bar = bar or ProgressBar(total)
        bar.update_absolute(done, total)

    return on_batch
