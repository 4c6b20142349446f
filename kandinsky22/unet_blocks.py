"""What Kandinsky 2.2's UNet is made of: residual blocks, attention to image and tokens, stages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, silu

from .attention import HeadsAttention


@dataclass
class Parts:
    """What every part is built from.

    Attributes:
        time: width of the time embedding.
        tokens: width of the image embedding's tokens.
        groups, eps: of the group norms.
        dtype, device: of the weights.
        operations: where Conv2d, Linear, GroupNorm and LayerNorm come from.
        attention: see `HeadsAttention`.
    """

    time: int
    tokens: int
    groups: int
    eps: float
    dtype: torch.dtype | None
    device: torch.device | None
    operations: Any
    attention: HeadsAttention

    def linear(self, inputs: int, outputs: int) -> nn.Module:
        return self.operations.Linear(inputs, outputs, dtype=self.dtype, device=self.device)

    def conv(self, inputs: int, outputs: int, size: int = 3) -> nn.Module:
        return self.operations.Conv2d(
            inputs, outputs, size, padding=size // 2, dtype=self.dtype, device=self.device
        )

    def layer_norm(self, width: int) -> nn.Module:
        return self.operations.LayerNorm(width, dtype=self.dtype, device=self.device)

    def group_norm(self, channels: int, eps: float | None = None) -> nn.Module:
        eps = self.eps if eps is None else eps
        return self.operations.GroupNorm(
            self.groups, channels, eps=eps, dtype=self.dtype, device=self.device
        )


def activate(x: Tensor) -> Tensor:
    """SiLU of a tensor that nobody else holds: in its own memory where no gradient needs it."""
    return silu(x, inplace=not torch.is_grad_enabled())


def halve(x: Tensor) -> Tensor:
    """Half the size, rounded up: an odd last row or column keeps its place, unblended."""
    return avg_pool2d(x, 2, ceil_mode=True)


def double(x: Tensor, size: torch.Size) -> Tensor:
    """Twice the size, minus the row or column by which `halve` had rounded up."""
    return interpolate(x, scale_factor=2.0, mode="nearest")[..., : size[0], : size[1]]


class Resnet(nn.Module):
    """Two convolutions, scaled and shifted by the time embedding, with the input added."""

    def __init__(self, parts: Parts, inputs: int, outputs: int):
        super().__init__()
        self.norm1 = parts.group_norm(inputs)
        self.conv1 = parts.conv(inputs, outputs)
        self.time_emb_proj = parts.linear(parts.time, 2 * outputs)
        self.norm2 = parts.group_norm(outputs)
        self.conv2 = parts.conv(outputs, outputs)
        self.conv_shortcut = parts.conv(inputs, outputs, 1) if inputs != outputs else None

    def forward(
        self, x: Tensor, time: Tensor, resample: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """x: (B, inputs, h, w); time: (B, time width), activated. `resample` changes h and w."""
        out = activate(self.norm1(x))
        if resample is not None:
            out, x = resample(out), resample(x)
        out = self.conv1(out)
        scale, shift = self.time_emb_proj(time)[..., None, None].chunk(2, dim=1)
        out = activate(torch.addcmul(shift, self.norm2(out), 1 + scale))
        out = self.conv2(out)
        if self.conv_shortcut is not None:
            x = self.conv_shortcut(x)
        return x + out


class Attention(nn.Module):
    """Every pixel attends to the image embedding's tokens and to every pixel."""

    def __init__(self, parts: Parts, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.attention = parts.attention
        self.group_norm = parts.group_norm(channels, eps=1e-5)
        self.to_q = parts.linear(channels, channels)
        self.to_k = parts.linear(channels, channels)
        self.to_v = parts.linear(channels, channels)
        self.add_k_proj = parts.linear(parts.tokens, channels)
        self.add_v_proj = parts.linear(parts.tokens, channels)
        self.to_out = nn.ModuleList([parts.linear(channels, channels)])

    def forward(self, x: Tensor, tokens: Tensor, **options: Any) -> Tensor:
        """x: (B, C, h, w); tokens: (B, T, token width). `options` go to the attention."""
        pixels = self.group_norm(x).flatten(2).transpose(1, 2).contiguous()
        keys = torch.cat([self.add_k_proj(tokens), self.to_k(pixels)], dim=1)
        values = torch.cat([self.add_v_proj(tokens), self.to_v(pixels)], dim=1)
        out = self.attention(self.to_q(pixels), keys, values, self.heads, **options)
        return x + self.to_out[0](out).transpose(1, 2).reshape(x.shape)


class Stage(nn.Module):
    """The layers of one resolution.

    Args:
        widths: channels in and out, one pair per residual block.
        heads: of the attentions, or 0 for none.
        attentions: how many residual blocks, from the first, are followed by one.
    """

    def __init__(
        self, parts: Parts, widths: list[tuple[int, int]], heads: int, attentions: int | None = None
    ):
        super().__init__()
        followed = len(widths) if attentions is None else attentions
        channels = widths[-1][1]
        self.resnets = nn.ModuleList([Resnet(parts, *pair) for pair in widths])
        self.attentions = nn.ModuleList(
            Attention(parts, channels, heads) for _ in range(followed if heads else 0)
        )

    def layer(self, index: int, x: Tensor, time: Tensor, tokens: Tensor, **options: Any) -> Tensor:
        """The residual block of that index, then its attention."""
        x = self.resnets[index](x, time)
        if index < len(self.attentions):
            x = self.attentions[index](x, tokens, **options)
        return x


class DownStage(Stage):
    """On the way down: every layer's result is added to `skips`, then `halves` the size."""

    def __init__(self, parts: Parts, widths: list[tuple[int, int]], heads: int, halves: bool):
        super().__init__(parts, widths, heads)
        channels = widths[-1][1]
        self.downsamplers = nn.ModuleList([Resnet(parts, channels, channels)] if halves else [])

    def forward(self, x: Tensor, skips: list[Tensor], *given: Tensor, **options: Any) -> Tensor:
        for index in range(len(self.resnets)):
            x = self.layer(index, x, *given, **options)
            skips.append(x)
        for resnet in self.downsamplers:
            x = resnet(x, given[0], halve)
            skips.append(x)
        return x


class MiddleStage(Stage):
    """Between them: attention between two residual blocks."""

    def __init__(self, parts: Parts, channels: int, heads: int):
        super().__init__(parts, [(channels, channels)] * 2, heads, attentions=1)

    def forward(self, x: Tensor, *given: Tensor, **options: Any) -> Tensor:
        for index in range(len(self.resnets)):
            x = self.layer(index, x, *given, **options)
        return x


class UpStage(Stage):
    """On the way up: every layer takes the last of `skips` with its input, then `doubles`."""

    def __init__(self, parts: Parts, widths: list[tuple[int, int]], heads: int, doubles: bool):
        super().__init__(parts, widths, heads)
        channels = widths[-1][1]
        self.upsamplers = nn.ModuleList([Resnet(parts, channels, channels)] if doubles else [])

    def forward(self, x: Tensor, skips: list[Tensor], *given: Tensor, **options: Any) -> Tensor:
        for index in range(len(self.resnets)):
            x = self.layer(index, torch.cat([x, skips.pop()], dim=1), *given, **options)
        for resnet in self.upsamplers:
            x = resnet(x, given[0], partial(double, size=skips[-1].shape[-2:]))
        return x
