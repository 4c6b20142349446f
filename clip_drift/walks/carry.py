"""`carry`: the whole trajectory, moved so that it starts at the prompt."""

import torch
from torch import Tensor

from ..rotation import PlaneRotation
from ..sequence import RotationSequence, by_token
from ..sphere import angle, orthogonal_part, unit


def carry(x: Tensor, sequence: RotationSequence, g: Tensor) -> Tensor:
    """`x_i = ‖x_0‖·Q exp_{e_0}(g·log_{e_0} e_i)`, Q the rotation `e_0 → x̂_0`.

    At g = 1 the Gram matrix of the walk is the video's own. With a centred sequence, x's part
    along the mean stays and the rest is carried.

    Reference: ours; rotations of R^N after Rodrigues, 1840.
    """
    base, points = sequence.about_center
    kept: Tensor | int = 0
    if sequence.center is not None:
        axis = unit(sequence.center).to(x)
        kept = (x @ axis).unsqueeze(-1) * axis
        x = x - kept
    leaving = by_token(orthogonal_part(base, points)).to(x)
    theta = g * by_token(angle(base, points).unsqueeze(-1)).squeeze(-1).to(g)
    base = by_token(base).to(x)

    length = x.norm(dim=-1, keepdim=True)
    start = torch.where(length > 0, x, base)
    turn = PlaneRotation.from_vectors(base, start, "token")
    start = unit(start, "token")
    # Q·leaving, by the rank-2 formula for a vector orthogonal to u = base.
    alpha = turn.angles.unsqueeze(-1).to(x)
    along_v = (leaving * turn.v).sum(-1, keepdim=True)
    carried = leaving + along_v * ((torch.cos(alpha) - 1) * turn.v - torch.sin(alpha) * base)

    cos, sin = torch.cos(theta).to(x).unsqueeze(-1), torch.sin(theta).to(x).unsqueeze(-1)
    return kept + length * (cos * start + sin * carried)
