"""Which space a motion is carried into: a conditioning's encoders, its tokens, and lifts.

A drift lives in its encoder's space R^N. What it moves may hold several encoders side by side,
start tokens that should stay, or have another dimension altogether.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from .errors import DriftError
from .lift import isometry
from .sequence import RotationSequence

CLIP_CONTEXT = 77
CLIP_WIDTHS = (768, 1024, 1280, 2048)  # CLIP-L, ViT-H, bigG, and SDXL's L beside G

# Conditionings that hold two text encoders side by side: width → an encoder's width → its columns.
# 2048 is SDXL's CLIP-L ‖ CLIP-bigG.
BLOCKS = {2048: {768: slice(0, 768), 1280: slice(768, 2048)}}

# How a motion comes into a space of another dimension: (sequence, D, seed) → a sequence in R^D,
# whose points are (F, D), or (F, T, D) where each token moves in its own way.
LIFTS: dict[str, Callable[[RotationSequence, int, int], RotationSequence]] = {"isometry": isometry}


def columns_of(width: int, dim: int) -> slice:
    """Which columns of a conditioning a motion moves.

    Args:
        width: D, of the conditioning.
        dim: N, of the motion's encoder.

    Returns:
        The columns of that encoder where D is two encoders side by side, otherwise all of them.
    """
    return BLOCKS.get(width, {}).get(dim, slice(None))


def into_space(
    sequence: RotationSequence, dim: int, lift: str = "isometry", seed: int = 0
) -> RotationSequence:
    """A motion in R^dim: itself where it lives there, otherwise lifted.

    Args:
        sequence: F frames in R^N.
        dim: D.
        lift: a key of `LIFTS`.
        seed: of directions that the lift draws.

    Raises:
        DriftError: an unknown lift, or the motion spans more than D directions.
    """
    if lift not in LIFTS:
        raise DriftError(f"lift is {lift!r}: choose one of {', '.join(LIFTS)}.")
    return sequence if sequence.dim == dim else LIFTS[lift](sequence, dim, seed)


def without_start_tokens(tokens: int, dim: int | None = None) -> Tensor:
    """Weights that leave a CLIP prompt's start-of-text tokens alone.

    Moving them moves the whole picture, whatever the words. CLIP prompts come in chunks of 77
    tokens that each begin with one; other lengths and widths belong to encoders without.

    Args:
        tokens: how many there are.
        dim: their width, where known.

    Returns:
        (tokens,) float32 of ones, and zeros at the start tokens.
    """
    weights = torch.ones(tokens)
    if tokens % CLIP_CONTEXT == 0 and (dim is None or dim in CLIP_WIDTHS):
        weights[::CLIP_CONTEXT] = 0
    return weights


def pivot_for(
    pivot: Tensor | None, pooled: Tensor | None, tokens: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    """A pivot's tokens, repeated to as many as the prompt's, and its pooled vector as a token.

    A long prompt comes in chunks, and each is walked about the same pivot.

    Args:
        pivot: (1, t, D), or None.
        pooled: (1, P), or None.
        tokens: (B, T, D) of the prompt, T a multiple of t.

    Returns:
        (1, T, D) and (1, 1, P), each None where there is none.

    Raises:
        DriftError: the pivot does not fit the prompt.
    """
    if pivot is None:
        return None, None
    repeats, rest = divmod(tokens.shape[1], pivot.shape[1])
    if rest or len(pivot) != 1 or pivot.shape[2] != tokens.shape[2]:
        raise DriftError(
            f"pivot has shape {tuple(pivot.shape)}, which does not fit a prompt of "
            f"{tokens.shape[1]} tokens of {tokens.shape[2]} numbers: encode it (an empty text, "
            "say) with the same CLIP, as a batch of one."
        )
    return pivot.repeat(1, repeats, 1), None if pooled is None else pooled[:, None]
