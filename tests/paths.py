"""Random trajectories in float64, from a seed, and what the tests of the method ask of any."""

import math

import torch
from pack.clip_drift.drift import Drift


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


def between(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Angles between rows, in float64."""
    a, b = normalised(a), normalised(b)
    return 2 * torch.atan2((a - b).norm(dim=-1), (a + b).norm(dim=-1))


def is_sound(drift: Drift) -> bool:
    lengths = drift.embeddings.double().norm(dim=-1)
    return (
        drift.embeddings.dtype == torch.float32
        and drift.times.dtype == torch.float64
        and bool((drift.times.diff() > 0).all())
        and float((lengths - 1).abs().max()) < 1e-6
        and (drift.thumbnails is None or len(drift.thumbnails) == len(drift))
    )
