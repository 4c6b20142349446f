"""`tangent`: a rotation of the prompt by the video's own angle, towards the video's motion."""

import torch
from torch import Tensor

from ..sequence import RotationSequence, by_token
from ..sphere import angle, orthogonal_part


def tangent(x: Tensor, sequence: RotationSequence, g: Tensor) -> Tensor:
    """`x_i = ‖x_0‖·(cos(gθ_i)·x̂_0 + sin(gθ_i)·t̂_i)`, `θ_i = angle(e_0, e_i)` and t̂_i the part
    of e_i − e_0 orthogonal to x̂_0, normalised.

    Reference: ours, in the plane of the prompt and the motion after Rodrigues, 1840.
    """
    shift = sequence.points - sequence.base
    # A frame equal to the first turns by nothing, in whatever direction.
    shift = by_token(torch.nn.functional.normalize(shift, dim=-1)).to(x)
    length = x.norm(dim=-1, keepdim=True)
    start = x / length.clamp_min(torch.finfo(x.dtype).tiny)
    turn = by_token(angle(sequence.base, sequence.points).unsqueeze(-1)).to(g)
    theta = g.unsqueeze(-1) * turn
    towards = orthogonal_part(start, shift)
    return length * (torch.cos(theta).to(x) * start + torch.sin(theta).to(x) * towards)
