"""What all walks share: shapes, spaces, strengths, norms and memory; and the registry of walks."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..errors import DriftError
from ..sequence import RotationSequence
from ..spaces import columns_of, into_space
from ..sphere import at_least_float32
from ..strength import Strength, per_frame
from .carry import carry
from .follow import follow
from .perturb import perturb
from .rotate import rotate
from .tangent import tangent
from .translate import translate


@dataclass(frozen=True)
class Walk:
    """A registry entry.

    Attributes:
        move: `(x, sequence, g) -> (F, T, N)` for x (1 or F, T, N), float32 or better, and
            strengths g (F, T) float64; x and the sequence lie in one space.
        lifts: it makes sense between spaces of different dimensions.
        composes: with neighbour pairing, a frame's place depends on the steps before it.
        directed: it takes a number of principal directions.
    """

    move: Callable[..., Tensor]
    lifts: bool = False
    composes: bool = False
    directed: bool = False


WALKS = {
    "carry": Walk(carry, lifts=True),
    "rotate": Walk(rotate, composes=True),
    "perturb": Walk(perturb, composes=True),
    "translate": Walk(translate),
    "tangent": Walk(tangent),
    "follow": Walk(follow, directed=True),
}

# Numbers worked on at a time: bounds what a walk needs beside its result (float32, 64 MB per copy).
CHUNK = 2**24


def walk(
    x: Tensor,
    sequence: RotationSequence,
    method: str = "carry",
    strength: Strength = 1.0,
    *,
    preserve_norm: bool = True,
    pivot: Tensor | None = None,
    mask: Tensor | None = None,
    lift: str = "isometry",
    seed: int = 0,
    directions: int = 0,
    name: str = "the conditioning",
) -> Tensor:
    """Walk an embedding along a motion.

    >>> import torch
    >>> clip = torch.tensor([[1.0, 0.0, 0.0], [0.96, 0.28, 0.0]])
    >>> motion = RotationSequence.from_trajectory(clip)
    >>> walk(torch.tensor([[[0.0, 0.0, 2.0]]]), motion, "tangent")[:, 0].round(decimals=2)
    tensor([[0.0000, 0.0000, 2.0000],
            [0.0000, 0.5600, 1.9200]])

    Args:
        x: (1, T, D) tokens, or (F, T, D) ones that already walked; any float dtype.
        sequence: the motion, F frames in R^N. Where D is two encoders side by side and one of
            them has width N, only that block moves.
        method: a key of `WALKS`.
        strength: g, see `strength.per_frame`.
        preserve_norm: give each token the length it had.
        pivot: (1, T, D) walk about these tokens instead of the origin.
        mask: (T,) 0..1, how much of the strength each token takes.
        lift: a key of `spaces.LIFTS`: how the motion comes into D ≠ N dimensions.
        seed: of the directions that a lift draws.
        directions: how many principal directions of the motion `follow` takes; 0 = by itself.
        name: of x, for an error.

    Returns:
        (F, T, D) tensor of x's dtype and device.

    Raises:
        DriftError: an unknown method, shapes or frame counts that do not fit, dimensions that
            differ where the method needs them equal, or numbers that are not finite.
    """
    if method not in WALKS:
        raise DriftError(f"method is {method!r}: choose one of {', '.join(WALKS)}.")
    if x.ndim != 3:
        raise DriftError(
            f"an embedding to walk has the shape (batch, tokens, dimensions), not {tuple(x.shape)}."
        )
    if pivot is not None and (pivot.shape[1:] != x.shape[1:] or len(pivot) not in (1, len(x))):
        raise DriftError(
            f"pivot has the shape {tuple(pivot.shape)} but {name} {tuple(x.shape)}: "
            "encode both with the same CLIP."
        )
    for which, tensor in ((name, x), ("pivot", pivot)):
        if tensor is not None and not bool(torch.isfinite(tensor).all()):
            raise DriftError(f"{which} holds NaN or infinity: check the encoder and its precision.")
    still = per_frame_batch(x, len(sequence), name)
    block = columns_of(x.shape[-1], sequence.dim)
    sequence = _in_space_of(x[..., block], sequence, method, lift, seed, name)
    g = per_frame(strength, len(sequence)).unsqueeze(-1)
    g = g * (torch.ones(x.shape[1]) if mask is None else _fitting_mask(mask, x.shape[1])).double()

    result = still.clone()
    for tokens in torch.arange(x.shape[1]).split(max(1, CHUNK // (len(sequence) * x.shape[2]))):
        result[:, tokens, block] = _walk_tokens(
            x[:, tokens, block],
            sequence.for_tokens(tokens),
            WALKS[method],
            directions,
            g[:, tokens],
            preserve_norm,
            None if pivot is None else pivot[:, tokens, block],
        )
    return result


def per_frame_batch(x: Tensor, frames: int, name: str = "the conditioning") -> Tensor:
    """(1 or F, T, D) as (F, T, D), a view.

    Raises:
        DriftError: another batch.
    """
    if len(x) not in (1, frames):
        raise DriftError(
            f"{name} has a batch of {len(x)} but the motion {frames} frames: "
            f"give a batch of 1 or of {frames}."
        )
    return x.expand(frames, -1, -1)


def _in_space_of(
    x: Tensor, sequence: RotationSequence, method: str, lift: str, seed: int, name: str
) -> RotationSequence:
    tokens, dim = x.shape[1:]
    if sequence.points.ndim == 3 and sequence.points.shape[1] != tokens:
        raise DriftError(
            f"the rotation moves {sequence.points.shape[1]} tokens but {name} has {tokens}: make "
            "both from the same text."
        )
    if sequence.dim != dim and not WALKS[method].lifts:
        raise DriftError(
            f"method {method} needs one space, but the rotation has {sequence.dim} dimensions and "
            f"{name} {dim}: use method carry, or an encoder with {dim} dimensions."
        )
    return into_space(sequence, dim, lift, seed)


def _fitting_mask(mask: Tensor, tokens: int) -> Tensor:
    if mask.shape != (tokens,):
        raise DriftError(
            f"words holds weights for {mask.numel()} tokens but the conditioning has {tokens}: "
            "select the words in the same text, with the same CLIP."
        )
    return mask


def _walk_tokens(
    x: Tensor,
    sequence: RotationSequence,
    method: Walk,
    directions: int,
    g: Tensor,
    preserve_norm: bool,
    pivot: Tensor | None,
) -> Tensor:
    rows = at_least_float32(x)
    center = 0 if pivot is None else pivot.to(rows)
    rows = rows - center
    move = partial(method.move, directions=directions) if method.directed else method.move
    moved = move(rows, sequence, g.to(rows.device))
    if preserve_norm:
        length = moved.norm(dim=-1, keepdim=True)
        scale = rows.norm(dim=-1, keepdim=True) / length.clamp_min(torch.finfo(rows.dtype).tiny)
        moved = moved * scale
    moved = (moved + center).to(x.dtype)
    if not bool(torch.isfinite(moved).all()):
        raise DriftError(
            "the walk grew past what numbers can hold: switch preserve_norm on or lower strength."
        )
    untouched = g == 0
    if method.composes and sequence.pairing == "neighbours":
        untouched = untouched.cumprod(0).bool()
    return torch.where(untouched.unsqueeze(-1).to(x.device), x, moved)
