"""Kandinsky 2.2's MoVQ: pictures to latents and back, under its files' own parameter names.

The decoder is told the latent once more at every normalisation, which makes it sharper than a plain
autoencoder's. Latents are raw: not scaled, and not snapped to the codebook on the way back.
"""

from typing import Any

import torch
from torch import Tensor, nn

from ..clip_drift.errors import DriftError
from ..clip_drift.weight_files import Shapes
from .files import count_numbered, setting
from .movq_blocks import GROUPS, Attention, Decoder, Encoder, Parts, attention


def movq_config(shapes: Shapes, config: dict) -> dict:
    """`Movq`'s sizes, from the shapes of a file's tensors and its .json (or {}).

    Raises:
        DriftError: a tensor that tells a size is missing, or the sizes do not fit together.
    """
    try:
        levels = count_numbered(shapes, "encoder.down_blocks.")
        channels = tuple(
            shapes[f"encoder.down_blocks.{level}.resnets.0.conv1.weight"][0]
            for level in range(levels)
        )
        sizes = {
            "pixel_channels": shapes["encoder.conv_in.weight"][1],
            "latent_channels": shapes["encoder.conv_out.weight"][0],
            "code_channels": shapes["quant_conv.weight"][0],
            "codes": shapes["quantize.embedding.weight"][0],
            "channels": channels,
            "layers": count_numbered(shapes, "encoder.down_blocks.0.resnets."),
            "attends": tuple(
                f"encoder.down_blocks.{level}.attentions.0.to_q.weight" in shapes
                for level in range(levels)
            ),
        }
    except (KeyError, IndexError) as error:
        raise DriftError(
            f"the MoVQ lacks the tensor {error.args[0]}: choose a complete file."
        ) from error
    groups = setting(config, "norm_num_groups", GROUPS)
    if not levels or any(width % GROUPS or width % groups for width in channels):
        raise DriftError(
            f"the MoVQ has the widths {list(channels)}, not all multiples of {GROUPS} and of "
            f"norm_num_groups {groups}: its .json belongs to another model, or the file is damaged."
        )
    return {**sizes, "groups": groups}


class Movq(nn.Module):
    """The MoVQ, of any size; `movq_config` tells the arguments.

    Args:
        pixel_channels, latent_channels: of the picture and of the latent.
        code_channels, codes: width and number of the codebook's entries.
        channels: of each resolution, from the finest.
        layers: residual blocks per resolution on the way in; one more on the way out.
        attends: whether a resolution has attention.
        groups: of the encoder's norms.
        dtype, device, operations: as in ComfyUI's own models.
        attention: (q, k, v) -> out, all maps (B, C, h, w).
    """

    def __init__(
        self,
        pixel_channels: int = 3,
        latent_channels: int = 4,
        code_channels: int = 4,
        codes: int = 16384,
        channels: tuple[int, ...] = (128, 256, 256, 512),
        layers: int = 2,
        attends: tuple[bool, ...] = (False, False, False, True),
        groups: int = GROUPS,
        dtype: torch.dtype | None = None,
        device: torch.device | None = None,
        operations: Any = nn,
        attention: Attention = attention,
    ):
        super().__init__()
        self.ratio = 2 ** (len(channels) - 1)
        """Pixels per latent cell, along a side."""
        place = {"dtype": dtype, "device": device}
        plain = Parts(operations, attention, place, groups)
        told = Parts(operations, attention, place, latent=code_channels)
        stages = (channels, layers, attends)
        self.encoder = Encoder(plain, pixel_channels, latent_channels, *stages)
        self.quant_conv = plain.conv(latent_channels, code_channels, 1)
        self.post_quant_conv = plain.conv(code_channels, latent_channels, 1)
        self.decoder = Decoder(told, latent_channels, pixel_channels, *stages)
        # In the files, and for whoever trains with it; Kandinsky decodes without.
        self.quantize = nn.Module()
        self.quantize.embedding = operations.Embedding(codes, code_channels, **place)

    def encode(self, pixels: Tensor) -> Tensor:
        """The raw latent of pictures.

        Args:
            pixels: (B, 3, H, W) in -1..1, H and W multiples of `ratio`.

        Returns:
            (B, C, H / ratio, W / ratio).
        """
        return self.quant_conv(self.encoder(pixels))

    def decode(self, latent: Tensor) -> Tensor:
        """The pictures of a raw latent: (B, C, h, w) -> (B, 3, h · ratio, w · ratio), -1..1."""
        return self.decoder(self.post_quant_conv(latent), latent)
