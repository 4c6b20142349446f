"""`correlate`: the article's drift tensor, formed from the correlation matrix of CLIP space.

`Z = L W` with `L Lᵀ = C^(g)`, W rows white: `cov(z_i, z_j) = C^(g)_ij · I` exactly.
"""

from collections.abc import Sequence

from torch import Tensor

from ..lift import coordinates
from ..sequence import RotationSequence
from .white import mix, white_rows


def correlate(
    seed: int, shape: Sequence[int], sequence: RotationSequence, g: Tensor, frames: list[int]
) -> Tensor:
    """See `noise.NOISE_WALKS`.

    `C^(g)` is the Gram matrix of the trajectory at strength g. Its lower-triangular factor
    needs no white row beyond the first F, and one row is held at a time.
    """
    return mix(coordinates(sequence.swept(g))[frames], white_rows(seed, shape))
