"""``rotate``: a true rotation in the video's own planes, ``R_i^g``."""

from torch import Tensor

from ..sequence import RotationSequence
from .compose import compose


def rotate(x: Tensor, sequence: RotationSequence, g: Tensor) -> Tensor:
    """See :class:`clip_drift.walks.Walk`."""
    if sequence.pairing == "neighbours":
        planes = sequence.planes
        return compose(x, g, lambda i, rows, power: planes[i].apply(rows, power))
    return sequence.frame_planes.apply(x.expand(len(sequence), -1, -1), g)
