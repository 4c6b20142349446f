"""`rotate`: a true rotation in the video's own planes."""

from torch import Tensor

from ..sequence import RotationSequence
from .compose import compose, turned


def rotate(x: Tensor, sequence: RotationSequence, g: Tensor) -> Tensor:
    """Anchored `x_i = R_{0→i}^g x_0`; neighbours `x_{i+1} = R_i^g x_i`.

    Reference: Puzitsky, "How to Bring Kandinsky to Life Using Rotation Matrices for Video
    Generation (Part 1)"; Rodrigues, 1840, in N dimensions.
    """
    if sequence.pairing == "neighbours":
        planes = sequence.planes
        return compose(x, g, lambda i, rows, power: turned(planes[i], rows, power))
    return sequence.frame_planes.apply(x.expand(len(sequence), -1, -1), g)
