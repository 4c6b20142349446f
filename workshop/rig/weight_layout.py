"""Tensor names and shapes of models, and what random numbers to fill them with."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

SEED = 1234

SILU_GAIN = 1.68
"""SiLU leaves 0.36 of a unit signal's power; this gain in the next layer makes up for it."""


class Spec(NamedTuple):
    """What one tensor looks like: its shape, and the normal distribution it is drawn from."""

    shape: tuple[int, ...]
    mean: float
    std: float


class Layout(dict[str, Spec]):
    """Tensor names of a model and their specs, added a layer at a time."""

    def linear(self, name: str, fan_in: int, fan_out: int, *, bias: bool = True, gain: float = 1.0):
        """Add a linear layer that keeps a unit signal at `gain`."""
        self._weight(name, (fan_out, fan_in), bias, gain)

    def conv(self, name: str, fan_in: int, fan_out: int, kernel: int = 3, *, bias: bool = True,
             gain: float = 1.0):  # fmt: skip
        """Add a two-dimensional convolution that keeps a unit signal at `gain`."""
        self._weight(name, (fan_out, fan_in, kernel, kernel), bias, gain)

    def norm(self, name: str, width: int):
        """Add a group or layer norm that does nothing but normalise."""
        self[f"{name}.weight"] = Spec((width,), mean=1.0, std=0.0)
        self[f"{name}.bias"] = Spec((width,), mean=0.0, std=0.0)

    def parameter(self, name: str, *shape: int, std: float):
        """Add a bare tensor, such as an embedding table."""
        self[name] = Spec(shape, mean=0.0, std=std)

    def _weight(self, name: str, shape: tuple[int, ...], bias: bool, gain: float):
        self[f"{name}.weight"] = Spec(shape, mean=0.0, std=gain / math.sqrt(math.prod(shape[1:])))
        if bias:
            self[f"{name}.bias"] = Spec(shape[:1], mean=0.0, std=0.0)


def random_tensors(layout: Layout, dtype: torch.dtype = torch.float16) -> dict[str, torch.Tensor]:
    """Draw every tensor of a layout, the same ones every time."""
    generator = torch.Generator().manual_seed(SEED)
    return {
        name: torch.empty(spec.shape).normal_(spec.mean, spec.std, generator=generator).to(dtype)
        for name, spec in layout.items()
    }
