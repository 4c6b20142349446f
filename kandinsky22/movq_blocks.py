"""The layers of Kandinsky 2.2's MoVQ; each attribute is a part of its files' parameter names."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad, scaled_dot_product_attention, silu

GROUPS = 32  # of the decoder's norms always, of the encoder's where no .json says otherwise
EPS = 1e-6

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Single-headed attention between the cells of maps, all (B, C, h, w)."""
    size = q.shape[2:]
    q, k, v = (x.flatten(2).transpose(1, 2)[:, None] for x in (q, k, v))
    return scaled_dot_product_attention(q, k, v)[:, 0].transpose(1, 2).unflatten(2, size)


@dataclass(frozen=True)
class Parts:
    """What the layers are made of; with `latent` channels, norms that are told the latent."""

    operations: Any = nn
    attention: Attention = attention
    place: dict = field(default_factory=dict)
    groups: int = GROUPS
    latent: int | None = None

    def conv(self, fan_in: int, fan_out: int, kernel: int = 3, **options) -> nn.Module:
        return self.operations.Conv2d(fan_in, fan_out, kernel, **options, **self.place)

    def linear(self, fan_in: int, fan_out: int) -> nn.Module:
        return self.operations.Linear(fan_in, fan_out, **self.place)

    def group_norm(self, width: int) -> nn.Module:
        return self.operations.GroupNorm(self.groups, width, eps=EPS, **self.place)

    def norm(self, width: int) -> nn.Module:
        if self.latent is None:
            return self.group_norm(width)
        return SpatialNorm(self, width, self.latent)


class SpatialNorm(nn.Module):
    """A group norm whose scale and shift are drawn, cell for cell, from the latent."""

    def __init__(self, parts: Parts, width: int, latent: int):
        super().__init__()
        self.norm_layer = parts.group_norm(width)
        self.conv_y = parts.conv(latent, width, 1)
        self.conv_b = parts.conv(latent, width, 1)

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        # A cell's scale and shift are shared by all that it became, and never enlarged: equal, far
        # faster on a CPU, and two full-size maps fewer in memory.
        sizes = [
            (cells, full // cells)
            for cells, full in zip(latent.shape[2:], x.shape[2:], strict=True)
        ]
        scale, shift = (conv(latent)[:, :, :, None, :, None] for conv in (self.conv_y, self.conv_b))
        x = self.norm_layer(x).unflatten(3, sizes[1]).unflatten(2, sizes[0])
        return torch.addcmul(shift, x, scale).flatten(4, 5).flatten(2, 3)


def normalise(norm: nn.Module, x: Tensor, latent: Tensor | None) -> Tensor:
    """Apply either kind of norm."""
    return norm(x) if latent is None else norm(x, latent)


class Residual(nn.Module):
    """Two convolutions, with the input added: (B, fan_in, h, w) -> (B, fan_out, h, w)."""

    def __init__(self, parts: Parts, fan_in: int, fan_out: int):
        super().__init__()
        self.norm1 = parts.norm(fan_in)
        self.conv1 = parts.conv(fan_in, fan_out, padding=1)
        self.norm2 = parts.norm(fan_out)
        self.conv2 = parts.conv(fan_out, fan_out, padding=1)
        self.conv_shortcut = None if fan_in == fan_out else parts.conv(fan_in, fan_out, 1)

    def forward(self, x: Tensor, latent: Tensor | None) -> Tensor:
        out = self.conv1(silu(normalise(self.norm1, x, latent)))
        out = self.conv2(silu(normalise(self.norm2, out, latent)))
        return out + (x if self.conv_shortcut is None else self.conv_shortcut(x))


class SelfAttention(nn.Module):
    """Every cell looks at every cell, with one head."""

    def __init__(self, parts: Parts, width: int):
        super().__init__()
        if parts.latent is None:
            self.group_norm = parts.norm(width)
        else:
            self.spatial_norm = parts.norm(width)
        self.to_q = parts.linear(width, width)
        self.to_k = parts.linear(width, width)
        self.to_v = parts.linear(width, width)
        self.to_out = nn.ModuleList([parts.linear(width, width)])
        self.attention = parts.attention

    def forward(self, x: Tensor, latent: Tensor | None) -> Tensor:
        norm = self.group_norm if latent is None else self.spatial_norm
        rows = normalise(norm, x, latent).flatten(2).transpose(1, 2)

        def as_map(rows: Tensor) -> Tensor:
            return rows.transpose(1, 2).unflatten(2, x.shape[2:])

        out = self.attention(*(as_map(part(rows)) for part in (self.to_q, self.to_k, self.to_v)))
        return x + as_map(self.to_out[0](out.flatten(2).transpose(1, 2)))


class Downsample(nn.Module):
    """Half the size; maps have even sides."""

    def __init__(self, parts: Parts, width: int):
        super().__init__()
        self.conv = parts.conv(width, width, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Twice the size."""

    def __init__(self, parts: Parts, width: int):
        super().__init__()
        self.conv = parts.conv(width, width, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(interpolate(x, scale_factor=2.0))


class Stage(nn.Module):
    """The layers of one resolution, then the way to the next one.

    Args:
        attends: whether attention follows each residual block.
        onward: name of the way to the next resolution and the layer itself, if there is one.
    """

    def __init__(
        self, parts: Parts, fan_in: int, fan_out: int, layers: int, attends: bool, onward: dict
    ):
        super().__init__()
        widths = [fan_in] + [fan_out] * layers
        self.resnets = nn.ModuleList(Residual(parts, *pair) for pair in pairwise(widths))
        self.attentions = nn.ModuleList(
            SelfAttention(parts, fan_out) for _ in range(layers if attends else 0)
        )
        self.onward = tuple(onward)
        for name, layer in onward.items():
            setattr(self, name, nn.ModuleList([layer]))

    def forward(self, x: Tensor, latent: Tensor | None = None) -> Tensor:
        for index, resnet in enumerate(self.resnets):
            x = resnet(x, latent)
            if self.attentions:
                x = self.attentions[index](x, latent)
        for name in self.onward:
            x = getattr(self, name)[0](x)
        return x


class Middle(nn.Module):
    """The layers between the way down and the way up: attention between two residual blocks."""

    def __init__(self, parts: Parts, width: int):
        super().__init__()
        self.resnets = nn.ModuleList(Residual(parts, width, width) for _ in range(2))
        self.attentions = nn.ModuleList([SelfAttention(parts, width)])

    def forward(self, x: Tensor, latent: Tensor | None = None) -> Tensor:
        x = self.attentions[0](self.resnets[0](x, latent), latent)
        return self.resnets[1](x, latent)


class Encoder(nn.Module):
    """Pictures (B, fan_in, H, W) to what their latents are made of, (B, fan_out, h, w)."""

    def __init__(self, parts: Parts, fan_in: int, fan_out: int, channels, layers: int, attends):
        super().__init__()
        self.conv_in = parts.conv(fan_in, channels[0], padding=1)
        self.down_blocks = nn.ModuleList()
        width = channels[0]
        for level, next_width in enumerate(channels):
            last = level == len(channels) - 1
            onward = {} if last else {"downsamplers": Downsample(parts, next_width)}
            self.down_blocks.append(Stage(parts, width, next_width, layers, attends[level], onward))
            width = next_width
        self.mid_block = Middle(parts, width)
        self.conv_norm_out = parts.norm(width)
        self.conv_out = parts.conv(width, fan_out, padding=1)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.conv_in(pixels)
        for block in self.down_blocks:
            x = block(x)
        return self.conv_out(silu(self.conv_norm_out(self.mid_block(x))))


class Decoder(nn.Module):
    """(B, fan_in, h, w) to pictures (B, fan_out, H, W), each norm told the latent (B, C, h, w)."""

    def __init__(self, parts: Parts, fan_in: int, fan_out: int, channels, layers: int, attends):
        super().__init__()
        width = channels[-1]
        self.conv_in = parts.conv(fan_in, width, padding=1)
        self.mid_block = Middle(parts, width)
        self.up_blocks = nn.ModuleList()
        for level, next_width in reversed(list(enumerate(channels))):
            onward = {"upsamplers": Upsample(parts, next_width)} if level else {}
            self.up_blocks.append(
                Stage(parts, width, next_width, layers + 1, attends[level], onward)
            )
            width = next_width
        self.conv_norm_out = parts.norm(width)
        self.conv_out = parts.conv(width, fan_out, padding=1)

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        x = self.mid_block(self.conv_in(x), latent)
        for block in self.up_blocks:
            x = block(x, latent)
        return self.conv_out(silu(self.conv_norm_out(x, latent)))
