"""Which frames a sampler's rows are, for patches that relate frames to one another.

A patch in a model sees rows, not frames. Frames to List and Frame Loop write the numbers of the
frames that they cut out into the CONDITIONING; a batch without numbers counts from 0. While
sampling, the numbers go to the model's patches in `transformer_options`.

Core's context windows call the model for a part of a batch. Frame 0 then goes before the rows
of a window without it, and its result is dropped again: what attends to frame 0, which itself
attends to no other, gets the same from a window as from the whole batch.
"""

from typing import NamedTuple

import torch
from comfy.context_windows import IndexListContextWindow
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...clip_drift.errors import DriftError

FRAMES = "clip_drift_frames"  # in a CONDITIONING's dict, and in transformer_options: [numbers]
_WHOLE = "clip_drift_whole"  # in transformer_options: what the windows are cut from


class _Whole(NamedTuple):
    """A step's input before any window is cut.

    Attributes:
        x: (F, C, H, W).
        conds: each prompt, by the uuid that its windows keep.
    """

    x: Tensor
    conds: dict


def number_frames(model: ModelPatcher) -> None:
    """Let the model's patches find the numbers of a call's frames, frame 0 among them where
    windows are cut, in `extra_options[FRAMES]`."""
    for kind, wrapper in (
        (WrappersMP.OUTER_SAMPLE, _check_counts),
        (WrappersMP.PREDICT_NOISE, _remember_whole),
        (WrappersMP.CALC_COND_BATCH, _number_rows),
    ):
        if not model.get_wrappers(kind, FRAMES):
            model.add_wrapper_with_key(kind, FRAMES, wrapper)


def _check_counts(executor, noise, *args, **kwargs):
    """Core would repeat a walk that is too short, and give every window its first prompts."""
    for conds in executor.class_obj.conds.values():
        for tokens in (cond.get("cross_attn") for cond in conds or []):
            if tokens is not None and len(tokens) not in (1, len(noise)):
                raise DriftError(
                    f"conditioning holds {len(tokens)} frames but the latent {len(noise)}: connect "
                    "frame_count to the latent's batch_size."
                )
    return executor(noise, *args, **kwargs)


def _remember_whole(executor, x, timestep, model_options=None, seed=None):
    prompts = [cond for conds in executor.class_obj.conds.values() for cond in conds or []]
    whole = _Whole(x, {cond["uuid"]: cond for cond in prompts})
    return executor(x, timestep, _with_option(model_options or {}, _WHOLE, whole), seed)


def _number_rows(executor, model, conds, x, timestep, model_options):
    options = model_options["transformer_options"]
    window, whole = options.get("context_window"), options.get(_WHOLE)
    if window is None or whole is None or window.dim != 0:
        numbers = _given_numbers(conds, len(x)) or list(range(len(x)))
        return executor(model, conds, x, timestep, _with_option(model_options, FRAMES, numbers))
    numbers = _window_rows(window)
    if 0 in numbers:
        return executor(model, conds, x, timestep, _with_option(model_options, FRAMES, numbers))

    numbers = [0, *numbers]
    wide = IndexListContextWindow(numbers, dim=0, total_frames=window.total_frames)
    handler = model_options["context_handler"]
    conds = [
        cond and handler.get_resized_cond([whole.conds[c["uuid"]] for c in cond], whole.x, wide)
        for cond in conds
    ]
    x, timestep = torch.cat([whole.x[:1], x]), torch.cat([timestep[:1], timestep])
    outputs = executor(model, conds, x, timestep, _with_option(model_options, FRAMES, numbers))
    return [output[1:] for output in outputs]


def _given_numbers(conds, rows: int) -> list[int] | None:
    """One frame's prompt may also serve a batch of latents, whose frames it does not number."""
    found = (cond[FRAMES] for prompts in conds for cond in prompts or [] if FRAMES in cond)
    return next((numbers for numbers in found if len(numbers) == rows), None)


def _window_rows(window) -> list[int]:
    """The frames in a window's rows; core may put the one before the window first."""
    before = getattr(window, "causal_anchor_index", None)
    return [*([] if before is None or before < 0 else [before]), *window.index_list]


def _with_option(model_options: dict, key: str, value) -> dict:
    """Model options with one more transformer option; those given stay as they are."""
    options = {**model_options.get("transformer_options", {}), key: value}
    return {**model_options, "transformer_options": options}
