"""`rotate`: the first frame's noise, carried along the trajectory as one vector of R^D.

`z_i = ‖z_0‖·Q ê_i`, Q an isometry from the span of the trajectory with `Q e_0 = ẑ_0`.
"""

from collections.abc import Sequence
from itertools import islice

import torch
from torch import Tensor

from ..errors import FramesError
from ..lift import coordinates
from ..sequence import RotationSequence
from .white import mix, white_rows


def rotate(
    seed: int, shape: Sequence[int], sequence: RotationSequence, g: Tensor, frames: list[int]
) -> Tensor:
    """See `noise.NOISE_WALKS`.

    Raises:
        FramesError: the motion has more independent directions than the latent has numbers.
    """
    local = coordinates(torch.cat((sequence.base[:1], sequence.swept(g))))[1:]
    rows = torch.stack(list(islice(white_rows(seed, shape), local.shape[1]))).flatten(1)
    if len(rows) > rows.shape[1]:
        raise FramesError(
            f"the motion has {len(rows)} independent directions, more than the latent's "
            f"{rows.shape[1]} numbers."
        )
    q, r = torch.linalg.qr(rows.mT)
    basis = (q * r.diagonal().sign()).mT
    return mix(local[frames], rows[0].norm() * basis.reshape(-1, *shape))
