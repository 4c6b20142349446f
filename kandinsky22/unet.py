"""Kandinsky 2.2's decoder UNet: from a noisy latent and an image embedding to the noise."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..clip_drift.errors import DriftError
from ..clip_drift.weight_files import Shapes
from .attention import HeadsAttention, torch_attention
from .files import count_numbered, setting
from .time_embedding import TimeEmbedding
from .unet_blocks import DownStage, MiddleStage, Parts, UpStage, activate

HEAD_DIM = 64  # the official model's, as are the two below
GROUPS = 32
EPS = 1e-5


class Unet(nn.Module):
    """The UNet, of any size; `unet_config` tells the arguments.

    Args:
        in_channels: those of the latent, and of what inpainting adds to it.
        latent_channels: how many of the output channels are the noise; the others are a learned
            variance, which Kandinsky's own pipeline discards.
        out_channels: the noise's and the variance's.
        channels: of each resolution, from the finest.
        layers: residual blocks per resolution, on the way down; one more on the way up.
        attends: whether a resolution has attention.
        time_dim, embed_dim: width of the time embedding and of the image embedding.
        tokens, token_dim: how many tokens the image embedding becomes, and their width.
        head_dim: width of an attention head.
        groups, eps: of the group norms.
        dtype, device, operations: as in ComfyUI's own models.
        attention: see `HeadsAttention`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        latent_channels: int,
        channels: tuple[int, ...],
        layers: tuple[int, ...],
        attends: tuple[bool, ...],
        time_dim: int,
        embed_dim: int,
        tokens: int,
        token_dim: int,
        head_dim: int = HEAD_DIM,
        groups: int = GROUPS,
        eps: float = EPS,
        dtype: torch.dtype | None = None,
        device: torch.device | None = None,
        operations: Any = torch.nn,
        attention: HeadsAttention = torch_attention,
    ):
        super().__init__()
        self.dtype = dtype
        self.in_channels = in_channels
        self.latent_channels = latent_channels
        self.embed_dim = embed_dim
        parts = Parts(time_dim, token_dim, groups, eps, dtype, device, operations, attention)
        heads = [
            width // head_dim if attend else 0
            for width, attend in zip(channels, attends, strict=True)
        ]
        last = len(channels) - 1
        first = channels[0]

        self.time_embedding = TimeEmbedding(first, parts.time, parts.linear)
        self.add_embedding = ImageTimeEmbedding(parts, embed_dim)
        self.encoder_hid_proj = ImageTokens(parts, embed_dim, tokens)
        self.conv_in = parts.conv(in_channels, first)
        self.conv_norm_out = parts.group_norm(first)
        self.conv_out = parts.conv(first, out_channels)

        self.down_blocks = nn.ModuleList()
        skips = [first]  # the channels of what the way up gets from the way down
        for level, width in enumerate(channels):
            widths = [(skips[-1], width), *[(width, width)] * (layers[level] - 1)]
            self.down_blocks.append(DownStage(parts, widths, heads[level], halves=level < last))
            skips += [width] * (layers[level] + (level < last))

        self.mid_block = MiddleStage(parts, channels[last], channels[last] // head_dim)

        self.up_blocks = nn.ModuleList()
        before = channels[last]
        for level in reversed(range(len(channels))):
            widths = []
            for _ in range(layers[level] + 1):
                widths.append((before + skips.pop(), channels[level]))
                before = channels[level]
            self.up_blocks.append(UpStage(parts, widths, heads[level], doubles=level > 0))

    def forward(self, x: Tensor, timesteps: Tensor, context: Tensor, **options: Any) -> Tensor:
        """The noise in x.

        Args:
            x: (B, in_channels, h, w), of any h and w.
            timesteps: (B,), 0 to 999, whole or not.
            context: (B, 1, embed_dim) or (B, embed_dim), CLIP's image embedding.
            options: handed on to every call of the attention, with `block`, ("input", "middle"
                or "output", number), which says where it is.

        Returns:
            (B, latent_channels, h, w).
        """
        embedding = context.reshape(len(context), -1)
        if embedding.shape[1] != self.embed_dim:
            raise DriftError(
                f"the decoder takes one image embedding of width {self.embed_dim}, but got "
                f"{tuple(context.shape[1:])}: give it the prior's."
            )
        time = self.time_embedding(timesteps, x) + self.add_embedding(embedding)
        given = activate(time), self.encoder_hid_proj(embedding)

        x = self.conv_in(x)
        skips = [x]
        for level, stage in enumerate(self.down_blocks):
            x = stage(x, skips, *given, block=("input", level), **options)
        x = self.mid_block(x, *given, block=("middle", 0), **options)
        for level, stage in enumerate(self.up_blocks):
            x = stage(x, skips, *given, block=("output", level), **options)
        x = self.conv_out(activate(self.conv_norm_out(x)))
        return x[:, : self.latent_channels]


class ImageTimeEmbedding(nn.Module):
    """What the image embedding adds to the time embedding."""

    def __init__(self, parts: Parts, embed_dim: int):
        super().__init__()
        self.image_proj = parts.linear(embed_dim, parts.time)
        self.image_norm = parts.layer_norm(parts.time)

    def forward(self, embedding: Tensor) -> Tensor:
        return self.image_norm(self.image_proj(embedding))


class ImageTokens(nn.Module):
    """The image embedding as tokens, (B, tokens, token width)."""

    def __init__(self, parts: Parts, embed_dim: int, tokens: int):
        super().__init__()
        self.tokens = tokens
        self.image_embeds = parts.linear(embed_dim, tokens * parts.tokens)
        self.norm = parts.layer_norm(parts.tokens)

    def forward(self, embedding: Tensor) -> Tensor:
        return self.norm(self.image_embeds(embedding).unflatten(-1, (self.tokens, -1)))


def unet_config(shapes: Shapes, config: dict) -> dict[str, Any]:
    """Unet's arguments, from the weights.

    Args:
        shapes: of a file's tensors, by name.
        config: the .json beside it, or {}: what weights cannot tell (head width, norm groups).

    Raises:
        DriftError: these are not the weights of such a UNet, or the .json does not fit them.
    """
    try:
        in_channels = shapes["conv_in.weight"][1]
        levels = count_numbered(shapes, "down_blocks.")
        channels, layers, attends = [], [], []
        for level in range(levels):
            name = f"down_blocks.{level}."
            channels.append(shapes[f"{name}resnets.0.conv1.weight"][0])
            layers.append(count_numbered(shapes, f"{name}resnets."))
            attends.append(f"{name}attentions.0.to_q.weight" in shapes)
        token_dim = shapes["encoder_hid_proj.norm.weight"][0]
        token_sum, embed_dim = shapes["encoder_hid_proj.image_embeds.weight"]
        out_channels = shapes["conv_out.weight"][0]
        time_dim = shapes["time_embedding.linear_1.weight"][0]
    except (KeyError, IndexError, ValueError) as error:
        raise DriftError(
            f"this is not a Kandinsky 2.2 decoder: its weights lack {error}; choose the unet "
            "of kandinsky-2-2-decoder."
        ) from error
    found = {
        "in_channels": in_channels,
        "out_channels": out_channels,
        "latent_channels": _latent_channels(in_channels, out_channels),
        "channels": tuple(channels),
        "layers": tuple(layers),
        "attends": tuple(attends),
        "time_dim": time_dim,
        "embed_dim": embed_dim,
        "tokens": token_sum // token_dim,
        "token_dim": token_dim,
        "head_dim": setting(config, "attention_head_dim", HEAD_DIM),
        "groups": setting(config, "norm_num_groups", GROUPS),
        "eps": setting(config, "norm_eps", EPS),
    }
    _check_divisions(found)
    return found


def _latent_channels(in_channels: int, out_channels: int) -> int:
    """The input is a latent, for inpainting with a second one and a mask; the output its noise,
    with or without a variance."""
    for latent in (in_channels, (in_channels - 1) // 2):
        if in_channels in (latent, 2 * latent + 1) and out_channels in (latent, 2 * latent):
            return latent
    raise DriftError(
        f"the decoder takes {in_channels} channels and gives {out_channels}: that is neither the "
        "text-to-image decoder of Kandinsky 2.2 (4 and 8) nor the inpainting one (9 and 8)."
    )


def _check_divisions(found: dict[str, Any]) -> None:
    groups, head = found["groups"], found["head_dim"]
    # The middle, as wide as the last resolution, always has attention.
    attends = (*found["attends"][:-1], True)
    for width, attend in zip(found["channels"], attends, strict=True):
        if width % groups or (attend and width % head):
            raise DriftError(
                f"the decoder has a block of {width} channels, which do not divide into {groups} "
                f"norm groups and heads of {head}: put the model's own config.json beside it."
            )
