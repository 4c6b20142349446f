"""The time of a noisy latent or embedding, as both networks take it."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import silu


class TimeEmbedding(nn.Module):
    """Cosines, then sines, of the time at falling frequencies, through two layers.

    Reference: Ho, Jain and Abbeel, "Denoising diffusion probabilistic models", 2020, appendix B.

    Args:
        waves: how many cosines and sines.
        width: of the result.
        linear: (inputs, outputs) -> a linear layer.
    """

    def __init__(self, waves: int, width: int, linear: Callable[[int, int], nn.Module]):
        super().__init__()
        self.waves = waves
        self.linear_1 = linear(waves, width)
        self.linear_2 = linear(width, width)

    def forward(self, timesteps: Tensor, like: Tensor) -> Tensor:
        """(B,) times, 0 to 999, whole or not, as (B, width) in the type of `like`."""
        half = self.waves // 2
        places = torch.arange(half, dtype=torch.float32, device=timesteps.device)
        angles = timesteps[:, None].float() * torch.exp(-math.log(10_000) * places / half)
        waves = torch.cat((angles.cos(), angles.sin()), dim=-1)
        return self.linear_2(silu(self.linear_1(waves.to(like))))
