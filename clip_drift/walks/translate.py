"""``translate``: word-vector arithmetic, ``x̂_0 + g·(e_i − e_0)``. The baseline."""

from torch import Tensor

from ..sequence import RotationSequence


def translate(x: Tensor, sequence: RotationSequence, g: Tensor) -> Tensor:
    """See :class:`clip_drift.walks.Walk`. Scaled by ‖x_0‖; preserve_norm brings it back to
    the sphere."""
    shift = (sequence.points - sequence.base).to(x).unsqueeze(1)
    return x + x.norm(dim=-1, keepdim=True) * g.to(x).unsqueeze(-1) * shift
