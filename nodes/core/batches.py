"""LATENT as frames: how many it holds, and how to cut one out and join them again."""

from torch import Tensor, cat

from ...clip_drift.errors import DriftError
from .conditioning import conditioning_frames, with_anchor


def is_video(samples: Tensor) -> bool:
    """Whether each latent of a batch is a clip; a 5-D latent of one frame is a picture."""
    return samples.ndim == 5 and samples.shape[2] > 1


def latent_samples(latent: dict, what: str = "latent") -> Tensor:
    """The samples of a LATENT of pictures or videos, (B, C, H, W) or (B, C, T, H, W).

    Raises:
        DriftError: a nested latent, or one of something else (sound).
    """
    samples = latent["samples"]
    if samples.is_nested:
        raise DriftError(
            f"{what} holds several latents in one (video with audio?), which cannot be split into "
            "frames: use a latent of a picture model."
        )
    if samples.ndim not in (4, 5):
        raise DriftError(
            f"{what} is {samples.ndim}-D {tuple(samples.shape)}, but frames need a latent of a "
            "picture model (4-D) or of a video model (5-D): use one of these."
        )
    return samples


def picture_samples(latent: dict, what: str = "latent") -> Tensor:
    """The samples of a LATENT of pictures, (B, C, H, W) or (B, C, 1, H, W).

    Raises:
        DriftError: a nested latent, or one of videos.
    """
    samples = latent_samples(latent, what)
    if is_video(samples):
        raise DriftError(
            f"{what} is a video, 5-D {tuple(samples.shape)}, but a loop needs the latent of a "
            "picture model: for a video model, pick one prompt with Frames to List (count 1), and "
            "connect Rotate Latent Noise to its sampler."
        )
    return samples


def latent_frame(latent: dict, i: int, anchor: bool = False) -> dict:
    """Entry i of a LATENT, with the batch_index that gives it its own noise.

    A latent of one serves every frame, with one noise for all.

    Args:
        anchor: whether frame 0 goes before it, see `with_anchor`.
    """
    samples = latent_samples(latent)
    indices = latent.get("batch_index", range(len(samples)))
    places = [n if len(samples) > 1 else 0 for n in with_anchor(i, anchor)]
    frame = {
        **latent,
        "samples": samples[places],
        "batch_index": [indices[place] for place in places],
    }
    mask = latent.get("noise_mask")
    # A video's mask may have one entry a latent frame instead.
    if mask is not None and (not is_video(samples) or len(mask) == len(samples)):
        frame["noise_mask"] = mask[places] if len(mask) > 1 else mask
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


def last_frame(latent: dict) -> dict:
    """A LATENT's last entry: the frame itself, where an anchor went before it."""
    frame = {**latent, "samples": latent["samples"][-1:]}
    frame |= {k: latent[k][-1:] for k in ("noise_mask", "batch_index") if latent.get(k) is not None}
    return frame
