"""CONDITIONING as frames: how many it holds, and how to cut one out."""

from torch import Tensor

from ...clip_drift.errors import DriftError
from .frame_numbers import FRAMES
from .unclip import image_frame, walks_images


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


def conditioning_frame(conditioning, i: int, frames: int, anchor: bool = False):
    """Frame i of a CONDITIONING of so many frames, numbered so (see frame_numbers.py).

    What has one entry a frame is cut, as core pairs it with a batch of latents: tokens, pooled
    vectors, attention masks, area masks, reference latents, ControlNet pictures. The rest
    serves every frame.

    Args:
        anchor: whether frame 0 goes before it, see `with_anchor`.

    Raises:
        DriftError: with an anchor, image embeddings that were walked: core takes one for all rows.
    """
    numbers = with_anchor(i, anchor)
    if len(numbers) > 1 and any(walks_images(extra) for _, extra in conditioning):
        raise DriftError(
            "anchor is on, but conditioning carries unCLIP images that differ from frame to frame, "
            "and core draws one for all rows of a call: turn anchor off, or remove the images."
        )
    return [
        [
            _cut(tokens, numbers, frames),
            {key: _cut(value, numbers, frames) for key, value in extra.items()}
            | image_frame(extra, i)
            | {FRAMES: numbers},
        ]
        for tokens, extra in conditioning
    ]


def with_anchor(i: int, anchor: bool) -> list[int]:
    """The frames to sample for frame i: with an anchor frame 0 too, before it."""
    return [0, i] if anchor and i else [i]


def _cut(value, numbers: list[int], frames: int):
    if isinstance(value, Tensor):
        # A row of numbers is no batch.
        return value[numbers] if value.ndim > 1 and len(value) == frames > 1 else value
    if isinstance(value, list):
        return [_cut(item, numbers, frames) for item in value]
    if hasattr(value, "cond_hint_original"):
        return _control_frame(value, numbers, frames)
    return value


def _control_frame(control, numbers: list[int], frames: int):
    """A ControlNet, and those chained before it, with the frames' pictures.

    One without a picture a frame stays the same object: core then samples it together with the
    negative's.
    """
    hint = _cut(control.cond_hint_original, numbers, frames)
    masks = _cut(control.extra_concat_orig, numbers, frames)
    before = control.previous_controlnet
    previous = None if before is None else _control_frame(before, numbers, frames)
    same_masks = all(a is b for a, b in zip(masks, control.extra_concat_orig, strict=True))
    if hint is control.cond_hint_original and same_masks and previous is before:
        return control
    cut = control.copy()
    cut.cond_hint_original, cut.extra_concat_orig = hint, masks
    return cut.set_previous_controlnet(previous)
