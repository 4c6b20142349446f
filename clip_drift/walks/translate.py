"""`translate`: word-vector arithmetic. The baseline of every rotation."""

from torch import Tensor

from ..sequence import RotationSequence, by_token


def translate(x: Tensor, sequence: RotationSequence, g: Tensor) -> Tensor:
    """`x_i = ‖x_0‖·(x̂_0 + g·(e_i − e_0))`; preserve_norm brings it back to the sphere.

    Reference: Mikolov et al., "Linguistic Regularities in Continuous Space Word
    Representations", 2013.
    """
    shift = by_token(sequence.points - sequence.base).to(x)
    return x + x.norm(dim=-1, keepdim=True) * g.to(x).unsqueeze(-1) * shift
