"""The toy world's MoVQ: the pack's own class, narrow."""

from pathlib import Path

import torch
from torch import Tensor, nn

from ...kandinsky22.movq import Movq
from .runs import RUNS, load_trained

SIZES = {
    "channels": (32, 32, 64, 96),
    "layers": 1,
    "attends": (False, False, False, True),
    "codes": 256,
}


def build_movq() -> nn.Module:
    return Movq(**SIZES)


def trained_movq(runs: Path = RUNS, average: bool = True) -> nn.Module:
    """The MoVQ; without `average`, of the latest weights, whose encoder is the final one as soon
    as it is finished."""
    return load_trained("movq", build_movq(), runs, average)


@torch.no_grad()
def encode_all(movq: nn.Module, pictures: Tensor, chunk: int = 128) -> Tensor:
    """(B, 3, S, S) in 0..1 → (B, 4, S/8, S/8) raw latents."""
    return torch.cat([movq.encode(to_pixels(part)) for part in pictures.split(chunk)])


@torch.no_grad()
def decode_all(movq: nn.Module, latents: Tensor, chunk: int = 128) -> Tensor:
    """(B, 4, h, w) raw latents → (B, 3, 8h, 8w) in 0..1."""
    pictures = [movq.decode(part) for part in latents.split(chunk)]
    return (torch.cat(pictures) / 2 + 0.5).clamp(0, 1)


def to_pixels(pictures: Tensor) -> Tensor:
    return pictures * 2 - 1
