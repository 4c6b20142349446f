"""`near_identity`: the article's first experiment.

The fixed-seed noise is multiplied by a matrix close to the identity, frame after frame:
`z_{i+1} = exp(g·α_i·A) z_i` along the latent's width, A skew, so the product is a rotation.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import DriftError
from ..sequence import RotationSequence
from ..sphere import angle
from .white import white_rows


def near_identity(
    seed: int, shape: Sequence[int], sequence: RotationSequence, g: Tensor, frames: list[int]
) -> Tensor:
    """See `noise.NOISE_WALKS`.

    A is drawn from the seed and scaled so that a step of angle α turns the noise by about
    g·α. One A serves all steps, so the steps add up: `exp(s_i·A)`.

    Raises:
        DriftError: the latent is one column wide, where nothing can turn.
    """
    width = shape[-1]
    if width < 2:
        raise DriftError("near_identity needs a latent at least two columns wide.")
    generator = torch.Generator().manual_seed(seed)
    draw = torch.randn(width, width, generator=generator, dtype=torch.float64)
    skew = draw - draw.T
    skew = skew * (width**0.5 / skew.norm())  # root mean square turn of a white row: 1 rad

    if sequence.pairing == "neighbours":
        steps = angle(sequence.points[:-1], sequence.points[1:])
        total = torch.cat((torch.zeros(1, dtype=torch.float64), (g[1:] * steps).cumsum(0)))
    else:
        total = g * angle(sequence.base, sequence.points)
    start = next(white_rows(seed, shape)).double()
    noise = torch.empty(len(frames), *shape)
    for place, i in enumerate(frames):  # one by one: a batched product rounds differently
        noise[place] = start @ torch.linalg.matrix_exp(total[i] * skew).mT
    return noise
