"""CONDITIONING and LATENT as frames: how many they hold, and how to cut one out."""

import node_helpers
from torch import Tensor, cat

from ..clip_drift.errors import DriftError


def conditioning_frames(conditioning) -> int:
    """The batch of a CONDITIONING: its entries must agree, entries of one fit any.

    Raises:
        DriftError: there is no entry, or entries have different batches.
    """
    sizes = {len(tokens) for tokens, _ in conditioning} - {1}
    if not conditioning or len(sizes) > 1:
        raise DriftError(
            f"conditioning has entries of different batches ({sorted(sizes)})."
            if sizes
            else "conditioning is empty: connect a prompt."
        )
    return sizes.pop() if sizes else 1


def conditioning_frame(conditioning, i: int):
    """Frame i of a CONDITIONING; what has a batch of one serves every frame."""
    frame = []
    for tokens, extra in conditioning:
        pooled = extra.get("pooled_output")
        cut = {} if pooled is None else {"pooled_output": _frame(pooled, i)}
        frame += node_helpers.conditioning_set_values([[_frame(tokens, i), extra]], cut)
    return frame


def latent_samples(latent: dict, what: str = "latent") -> Tensor:
    """The samples of a LATENT of pictures, (B, C, H, W).

    Raises:
        DriftError: a nested or 5-D (video) latent.
    """
    samples = latent["samples"]
    if samples.is_nested:
        raise DriftError(
            f"{what} holds several latents in one (video with audio?), which cannot be split into "
            "frames: use a latent of a picture model."
        )
    if samples.ndim != 4:
        raise DriftError(
            f"{what} is {samples.ndim}-D {tuple(samples.shape)}, but frames need a 4-D latent of a "
            "picture model: for a video model, connect Rotate Latent Noise to its sampler instead."
        )
    return samples


def latent_frame(latent: dict, i: int) -> dict:
    """Frame i of a LATENT, with the batch_index that gives it its own noise.

    A latent of one serves every frame, with one noise for all.
    """
    samples = latent_samples(latent)
    indices = latent.get("batch_index", range(len(samples)))
    place = i if len(samples) > 1 else 0
    frame = {**latent, "samples": _frame(samples, i), "batch_index": [indices[place]]}
    if latent.get("noise_mask") is not None:
        frame["noise_mask"] = _frame(latent["noise_mask"], i)
    return frame


def join_latents(frames: list[dict]) -> dict:
    """Latents of one as a batch, numbered from 0; other keys are the first one's."""
    batch = {
        key: cat([frame[key] for frame in frames])
        for key in ("samples", "noise_mask")
        if all(frame.get(key) is not None for frame in frames)
    }
    return {**frames[0], **batch, "batch_index": list(range(len(frames)))}


def common_frames(conditioning, latent: dict) -> int:
    """How many frames a conditioning and a latent make together; a batch of one fits any.

    Raises:
        DriftError: they hold different numbers of frames.
    """
    sizes = {conditioning_frames(conditioning), len(latent_samples(latent))} - {1}
    if len(sizes) > 1:
        raise DriftError(
            f"conditioning has {conditioning_frames(conditioning)} frames and latent "
            f"{len(latent_samples(latent))}: give both the same number, or one of them one."
        )
    return sizes.pop() if sizes else 1


def _frame(batch: Tensor, i: int) -> Tensor:
    return batch[i : i + 1] if len(batch) > 1 else batch
