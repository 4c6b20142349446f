"""Walks of the latent noise. A new one is a file here and a line in NOISE_WALKS.

Every method keeps each frame's noise exactly standard normal, and frame i's noise depends on
the seed, the motion, the strength and i alone: chunks and batches give the same clip.
"""

from collections.abc import Sequence

from torch import Tensor

from ..errors import DriftError, MissingFrameError
from ..sequence import RotationSequence
from ..strength import Strength, per_frame
from .correlate import correlate
from .near_identity import near_identity
from .rotate import rotate

# name → (seed, shape, sequence, g (F,) float64, wanted frames) -> (len(frames), *shape)
NOISE_WALKS = {"correlate": correlate, "rotate": rotate, "near_identity": near_identity}


def walk_noise(
    seed: int,
    shape: Sequence[int],
    sequence: RotationSequence,
    method: str = "correlate",
    strength: Strength = 1.0,
    frames: Sequence[int] | None = None,
) -> Tensor:
    """White noise that drifts with a motion.

    >>> import torch
    >>> motion = RotationSequence.from_trajectory(torch.eye(3) + 1)
    >>> walk_noise(7, (4, 8, 8), motion, "correlate", 0.5).shape
    torch.Size([3, 4, 8, 8])

    Args:
        seed: of the white noise; frame 0 gets what a native sampler draws first for this seed.
        shape: of one latent, (C, H, W).
        sequence: the motion, F frames.
        method: a key of `NOISE_WALKS`.
        strength: g, see `strength.per_frame`; 0 gives all frames one noise.
        frames: which frames to make, all by default.

    Returns:
        (len(frames), C, H, W) float32 on the CPU.

    Raises:
        MissingFrameError: a frame that the motion does not have.
        FramesError: more frames than the method has room for in a latent of this size.
        DriftError: an unknown method, or a strength that does not fit.
    """
    if method not in NOISE_WALKS:
        raise DriftError(f"method is {method!r}: choose one of {', '.join(NOISE_WALKS)}.")
    frames = range(len(sequence)) if frames is None else frames
    missing = [i for i in frames if not 0 <= i < len(sequence)]
    if missing:
        raise MissingFrameError(
            f"frame {missing[0]} is asked for, but the motion has frames 0 to {len(sequence) - 1}."
        )
    g = per_frame(strength, len(sequence))
    return NOISE_WALKS[method](seed, tuple(shape), sequence, g, list(frames))
