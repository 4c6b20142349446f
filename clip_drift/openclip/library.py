"""The package open_clip_torch itself: imported late, and kept from chattering."""

import logging
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from ..errors import DriftError

ClipModel = Any
"""A torch module as open_clip builds it; no stub tells what its towers have."""


def import_open_clip() -> ModuleType:
    """open_clip, or a DriftError that tells how to get it."""
    # Imported late: it takes seconds, and the rest of the library does without it.
    try:
        import open_clip
    except ImportError as error:
        raise DriftError(
            f"OpenCLIP models need the package open_clip_torch ({error}): "
            "install it with pip install open_clip_torch, or use another encoder."
        ) from error
    return open_clip


@contextmanager
def quiet():
    """Silence open_clip's warning that a model has no weights: they are loaded right after."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
