"""`follow`: the prompt's coordinates of motion become the clip's own."""

import torch
from torch import Tensor

from ..sequence import RotationSequence

EXPLAINED = 0.85
"""Share of a motion's variance that its directions explain, where they are not counted by hand.

In the toy world that takes one direction for what changes in one way (size, tilt, colour) and two
or three for a path, whose way through CLIP's space is bent. More bring the clip's look along.
"""


def follow(x: Tensor, sequence: RotationSequence, g: Tensor, directions: int = 0) -> Tensor:
    """`x_i = ‖x_0‖·unit(x̂_0 + g·P_M(e_i − x̂_0))`, P_M the projection onto the clip's motion.

    At g = 1 the prompt is, along the clip's principal directions of motion, where the clip is,
    and everything else of it stays: so a prompt that says no place gets the clip's. The other
    walks add what the clip changes to where the prompt begins.

    Args:
        directions: how many principal directions; 0 = as few as explain `EXPLAINED` of the
            variance.

    Reference: ours; principal directions after Pearson, "On lines and planes of closest fit to
    systems of points in space", 1901.
    """
    motion = principal_directions(sequence.points, directions).to(x)
    length = x.norm(dim=-1, keepdim=True)
    start = x / length.clamp_min(torch.finfo(x.dtype).tiny)
    missing = (sequence.token_points.to(x) - start).unsqueeze(-2)
    step = (missing @ motion.mT @ motion).squeeze(-2)
    return length * torch.nn.functional.normalize(start + g.to(x).unsqueeze(-1) * step, dim=-1)


def principal_directions(points: Tensor, count: int = 0) -> Tensor:
    """Directions in which points spread most, the widest first.

    Args:
        points: (F, N), or (F, T, N) for each token by itself, F ≥ 2.
        count: how many; 0 = as few as explain `EXPLAINED` of the variance, of any token's points.
            There are never more than the points span.

    Returns:
        (k, N) or (T, k, N) orthonormal rows.
    """
    rows = points.movedim(0, -2)
    _, spread, directions = torch.linalg.svd(
        rows - rows.mean(-2, keepdim=True), full_matrices=False
    )
    variance = spread.square()
    known = int((spread > spread[..., :1] * 1e-6).sum(-1).max())
    if not count:
        explained = variance.cumsum(-1) / variance.sum(-1, keepdim=True)
        count = 1 + int((explained < EXPLAINED).sum(-1).max())
    return directions[..., : min(count, known), :]
