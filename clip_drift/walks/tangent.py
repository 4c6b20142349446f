"""``tangent``: a rotation of the prompt by the video's own angle, in the plane of the prompt
and the video's motion: ``‖x_0‖·(cos(gθ_i)·x̂_0 + sin(gθ_i)·t̂_i)``."""

import torch
from torch import Tensor

from ..sequence import RotationSequence
from ..sphere import angle, orthogonal_part


def tangent(x: Tensor, sequence: RotationSequence, g: Tensor) -> Tensor:
    """See :class:`clip_drift.walks.Walk`. t̂_i is the part of e_i − e_0 orthogonal to x̂_0."""
    shift = sequence.points - sequence.base
    # A frame equal to the first turns by nothing, in whatever direction.
    shift = torch.nn.functional.normalize(shift, dim=-1).to(x).unsqueeze(1)
    length = x.norm(dim=-1, keepdim=True)
    start = x / length.clamp_min(torch.finfo(x.dtype).tiny)
    theta = (g * angle(sequence.base, sequence.points).to(g).unsqueeze(-1)).unsqueeze(-1)
    towards = orthogonal_part(start, shift)
    return length * (torch.cos(theta).to(x) * start + torch.sin(theta).to(x) * towards)
