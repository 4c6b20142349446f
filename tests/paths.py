"""Random vectors and trajectories for the tests of the method, in float64, from a seed."""

import math

import torch


def randn(seed: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def normalised(x: torch.Tensor) -> torch.Tensor:
    return x.double() / x.double().pow(2).sum(-1, keepdim=True).sqrt()


def trajectory(seed: int, frames: int, dim: int, step: float = 0.3) -> torch.Tensor:
    """A random walk on the sphere, steps of about so many radians."""
    steps = randn(seed, frames, dim) * step / math.sqrt(dim)
    steps[0] = normalised(randn(seed + 1, dim))
    return normalised(steps.cumsum(0))
