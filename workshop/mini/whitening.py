"""White embeddings: what is small in CLIP's space counts as much as what is large."""

import torch
from torch import Tensor


def whitening_of(embeddings: Tensor, noise: float) -> Tensor:
    """(N, E) → the symmetric (E, E) that makes them white, as far as they stand out of noise.

    Args:
        noise: the noise's standard deviation, each way.
    """
    moment = embeddings.T @ embeddings / len(embeddings)
    power, axes = torch.linalg.eigh(moment.double())
    return ((axes * (power + noise**2).rsqrt()) @ axes.T).float()
