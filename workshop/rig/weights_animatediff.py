"""A motion module of random weights in AnimateDiff's official layout, for SD 1.x."""

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

LEVELS = (320, 640, 1280, 1280)
DOWN, UP = 2, 3
"""Motion modules per level, beside the UNet's residual blocks on the way down and up."""
LENGTH = 32
"""How many frames it can tell apart."""


def motion_module(path: Path, *, works: bool, pieces: int = 64) -> Path:
    """Write one, 830 MB.

    Args:
        works: whether the modules' last layers are random; zeros make each module the identity.
        pieces: how many thousand numbers are really drawn, and repeated.
    """
    drawn = torch.randn(pieces * 1000 + 7, generator=torch.Generator().manual_seed(0))
    weights = {}
    for name, width in _modules():
        for key, shape in _shapes(width):
            full = f"{name}.temporal_transformer.{key}"
            weights[full] = _filled(key, shape, drawn, works).half()
    save_file(weights, path)
    return path


def _modules() -> Iterator[tuple[str, int]]:
    """Names and widths."""
    for side, widths, count in (("down", LEVELS, DOWN), ("up", LEVELS[::-1], UP)):
        for level, width in enumerate(widths):
            for i in range(count):
                yield f"{side}_blocks.{level}.motion_modules.{i}", width


def _shapes(width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """One module: two attentions over time, one after another, and a gated feed-forward."""
    wide, square = (width,), (width, width)
    yield from {"norm.weight": wide, "norm.bias": wide}.items()
    for layer in ("proj_in", "proj_out"):
        yield from {f"{layer}.weight": square, f"{layer}.bias": wide}.items()
    block = "transformer_blocks.0"
    for i in range(2):
        attention = f"{block}.attention_blocks.{i}"
        for layer in ("to_q", "to_k", "to_v", "to_out.0"):
            yield f"{attention}.{layer}.weight", square
        yield f"{attention}.to_out.0.bias", wide
        yield f"{attention}.pos_encoder.pe", (1, LENGTH, width)
        yield from {f"{block}.norms.{i}.{end}": wide for end in ("weight", "bias")}.items()
    yield f"{block}.ff.net.0.proj.weight", (8 * width, width)
    yield f"{block}.ff.net.0.proj.bias", (8 * width,)
    yield f"{block}.ff.net.2.weight", (width, 4 * width)
    yield f"{block}.ff.net.2.bias", wide
    yield from {f"{block}.ff_norm.{end}": wide for end in ("weight", "bias")}.items()


def _filled(key: str, shape: tuple[int, ...], drawn: Tensor, works: bool) -> Tensor:
    if "norm" in key:
        return torch.full(shape, float(key.endswith("weight")))
    if key.endswith("bias") or (key.startswith("proj_out") and not works):
        return torch.zeros(shape)
    count = torch.Size(shape).numel()
    numbers = drawn.repeat(-(-count // len(drawn)))[:count].view(shape)
    return numbers if "pos_encoder" in key else numbers / shape[-1] ** 0.5
