"""CONDITIONING as frames: how many it holds, and how to cut one out."""

from torch import Tensor

from ...clip_drift.errors import DriftError
from .unclip import image_frame


def conditioning_frames(conditioning) -> int:
    """The batch of a CONDITIONING: its entries must agree, entries of one fit any.

    Raises:
        DriftError: there is no entry, or entries have different batches.
    """
    sizes = {len(tokens) for tokens, _ in conditioning} - {1}
    if not conditioning or len(sizes) > 1:
        raise DriftError(
            f"conditioning has entries of different batches ({sorted(sizes)}): give each entry a "
            "batch of one, or of the same number of frames."
            if sizes
            else "conditioning is empty: connect a prompt."
        )
    return sizes.pop() if sizes else 1


def conditioning_frame(conditioning, i: int, frames: int):
    """Frame i of a CONDITIONING of so many frames.

    What has one entry a frame is cut, as core pairs it with a batch of latents: tokens, pooled
    vectors, attention masks, area masks, reference latents, ControlNet pictures. The rest
    serves every frame.
    """
    return [
        [
            _cut(tokens, i, frames),
            {key: _cut(value, i, frames) for key, value in extra.items()} | image_frame(extra, i),
        ]
        for tokens, extra in conditioning
    ]


def _cut(value, i: int, frames: int):
    if isinstance(value, Tensor):
        # A row of numbers is no batch.
        return value[i : i + 1] if value.ndim > 1 and len(value) == frames else value
    if isinstance(value, list):
        return [_cut(item, i, frames) for item in value]
    if hasattr(value, "cond_hint_original"):
        return _control_frame(value, i, frames)
    return value


def _control_frame(control, i: int, frames: int):
    """A ControlNet, and those chained before it, with frame i's picture.

    One without a picture a frame stays the same object: core then samples it together with the
    negative's.
    """
    hint = _cut(control.cond_hint_original, i, frames)
    masks = _cut(control.extra_concat_orig, i, frames)
    before = control.previous_controlnet
    previous = None if before is None else _control_frame(before, i, frames)
    same_masks = all(a is b for a, b in zip(masks, control.extra_concat_orig, strict=True))
    if hint is control.cond_hint_original and same_masks and previous is before:
        return control
    cut = control.copy()
    cut.cond_hint_original, cut.extra_concat_orig = hint, masks
    return cut.set_previous_controlnet(previous)
