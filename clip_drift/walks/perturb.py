"""`perturb`: the article's formula, akin to perturbation theory."""

from torch import Tensor

from ..sequence import RotationSequence
from .compose import compose, turned


def perturb(x: Tensor, sequence: RotationSequence, g: Tensor) -> Tensor:
    """Anchored `x_i = x_0 + g·R_{0→i} x_0`; neighbours `x_{i+1} = x_i + g·R_i x_i`.

    The length grows by about (1 + g) per step.

    Reference: Puzitsky, "How to Bring Kandinsky to Life Using Rotation Matrices for Video
    Generation (Part 1)".
    """
    if sequence.pairing == "neighbours":
        planes = sequence.planes
        return compose(
            x,
            g,
            lambda i, rows, share: rows + share.to(rows).unsqueeze(-1) * turned(planes[i], rows),
        )
    x = x.expand(len(sequence), -1, -1)
    return x + g.to(x).unsqueeze(-1) * sequence.frame_planes.apply(x)
