"""``perturb``: the article's formula, ``x + g·R x``, akin to perturbation theory."""

from torch import Tensor

from ..sequence import RotationSequence
from .compose import compose


def perturb(x: Tensor, sequence: RotationSequence, g: Tensor) -> Tensor:
    """See :class:`clip_drift.walks.Walk`. The length grows by about (1 + g) a step."""
    if sequence.pairing == "neighbours":
        planes = sequence.planes
        return compose(
            x, g, lambda i, rows, share: rows + share.to(rows).unsqueeze(-1) * planes[i].apply(rows)
        )
    x = x.expand(len(sequence), -1, -1)
    return x + g.to(x).unsqueeze(-1) * sequence.frame_planes.apply(x)
