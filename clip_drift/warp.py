"""Frames that begin as the first one, moved: the motion prior of Text2Video-Zero.

Frame 0 is drawn down to a noise level σ0. Frame k begins as that picture, shifted, with noise put
back up to a higher level σ1.

Reference: Khachatryan et al., "Text2Video-Zero: Text-to-Image Diffusion Models are Zero-Shot
Video Generators", 2023.
"""

import math

import torch
from torch import Tensor

from .errors import DriftError


def shifted(picture: Tensor, x: float, y: float) -> Tensor:
    """A picture moved by whole pixels, the nearest to what is asked for.

    Whole pixels keep the noise that is still in it white. What comes in at the edges is the
    picture reflected. A half is rounded towards the lower sample, as the published code does.

    Args:
        picture: (..., h, w).
        x, y: pixels to the right and down.
    """
    rows = _reflected(picture.shape[-2], y).to(picture.device)
    columns = _reflected(picture.shape[-1], x).to(picture.device)
    return picture[..., rows, :][..., columns]


def _reflected(count: int, shift: float) -> Tensor:
    """Which of `count` samples each place takes: backward sampling, the edge sample twice."""
    places = (torch.arange(count) + math.ceil(-shift - 0.5)) % (2 * count)
    return torch.minimum(places, 2 * count - 1 - places)


def noised(x: Tensor, noise: Tensor, low: float, high: float, flow: bool = False) -> Tensor:
    """A latent at noise level `low`, raised to `high`.

    With σ the share of noise, x = latent + σ·n for models that predict noise; flow models have
    x = (1 − σ)·latent + σ·n, so x is first scaled by a = (1 − high)/(1 − low).

    Args:
        x: at `low`.
        noise: standard normal, like x.
        low, high: σ0 and σ1.
        flow: whether the model is a flow model.

    Raises:
        DriftError: `high` is not above `low`.
    """
    scale = (1 - high) / (1 - low) if flow else 1.0
    added = high**2 - (scale * low) ** 2
    if added <= 0:
        raise DriftError(
            f"sigmas begin at {high:g} and end at {low:g}: give the steps from the higher noise "
            "level down to the lower one."
        )
    return scale * x + math.sqrt(added) * noise
