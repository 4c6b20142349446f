"""What a node shows while it works and afterwards, and cancelling."""

import math
import time
from contextlib import suppress

from comfy.model_management import throw_exception_if_processing_interrupted
from comfy.utils import ProgressBar
from PIL import Image
from torch import Tensor, cat

from ...clip_drift.drift import Drift
from ...clip_drift.encode import OnBatch
from ...clip_drift.errors import DriftError
from ...clip_drift.sphere import angle
from .language import say
from .message import show_on_node

SECONDS_BETWEEN_PICTURES = 0.5  # one costs about a millisecond
PICTURE_SIDE = 192


def batch_progress(node) -> OnBatch:
    """A callback for the encoders: shows on the node how far they are, the current frame and its
    step angle, and raises when the user cancelled.

    Args:
        node: the node that runs now; its schema must ask for `Hidden.unique_id`.
    """
    bar, last, shown_at = None, None, -math.inf

    def on_batch(done: int, total: int | None, thumbnail: Tensor, embeddings: Tensor) -> None:
        nonlocal bar, last, shown_at
        throw_exception_if_processing_interrupted()
        total = max(total or done + 1, done)
        bar = bar or ProgressBar(total)
        picture = None
        if time.monotonic() - shown_at >= SECONDS_BETWEEN_PICTURES:
            shown_at = time.monotonic()
            picture = ("JPEG", Image.fromarray(thumbnail.numpy()), PICTURE_SIDE)
            where = say("frame {done} of {total}", done=done, total=total)
            show_on_node(node, where + _step(last, embeddings))
        bar.update_absolute(done, total, picture)
        last = embeddings[-1:].clone()

    return on_batch


def _step(last: Tensor | None, embeddings: Tensor) -> str:
    """The angle to the newest frame from the one before, as words; nothing for the first frame."""
    points = embeddings[-2:] if last is None else cat([last, embeddings])[-2:]
    with suppress(DriftError):  # a frame without a direction: the drift will name it
        if len(points) == 2:
            turned = float(angle(points[0], points[1]))
            return say(" · step {turned:.4f} rad", turned=turned)
    return ""


def summary(drift: Drift) -> str:
    """A drift in one line, for the node that made it."""
    return say(
        "{frames} frames · {seconds:.1f} s · {fps:.4g} per second · {encoder} · "
        "path {path:.2f} rad",
        frames=len(drift),
        seconds=len(drift) / drift.fps,
        fps=drift.fps,
        encoder=drift.encoder or say("unknown encoder"),
        path=drift.path_length(),
    )
