"""Layouts of Stable Diffusion checkpoints: 1.5, and a narrow 2.1 unCLIP."""

from __future__ import annotations

from typing import NamedTuple

from .weight_layout import SILU_GAIN, Layout
from .weights_clip import add_clip_text, add_open_clip_text, add_open_clip_vision

UNET = "model.diffusion_model"
MODEL_WIDTH, TIME_WIDTH = 320, 1280


class UnetSizes(NamedTuple):
    """What differs between the UNets."""

    widths: tuple[int, ...]
    """One per level, from the finest to the coarsest."""
    repeats: int
    """Residual blocks per level on the way down; one more on the way up."""
    deepest_attention: int
    """The last level that looks at the prompt."""
    text_width: int
    linear: bool
    """Whether attention projects by linear layers, as from 2.0 on."""
    class_width: int | None = None
    """Of the vector beside the prompt, where there is one."""


SD15 = UnetSizes((320, 640, 1280, 1280), 2, 2, 768, linear=False)
UNCLIP_L = UnetSizes((320, 320), 1, 1, 1024, linear=True, class_width=2 * 768)
"""Two levels of one block, where the real one has four of two, up to 1280 wide."""


def sd15_layout() -> Layout:
    """The 1130 tensors of an SD 1.5 checkpoint: UNet, VAE, CLIP-L text encoder."""
    layout = Layout()
    _add_unet(layout, SD15)
    _add_vae(layout)
    add_clip_text(layout, "cond_stage_model.transformer", width=768, layers=12)
    return layout


def unclip_layout() -> Layout:
    """An SD 2.1 unCLIP-L checkpoint: VAE, ViT-H's text encoder and ViT-L's image tower as they are,
    with a narrow UNet."""
    layout = Layout()
    _add_unet(layout, UNCLIP_L)
    _add_vae(layout)
    add_open_clip_text(layout, "cond_stage_model.model", width=1024, layers=24)
    add_open_clip_vision(layout, "embedder.model.visual", width=1024, layers=24, embedding=768)
    return layout


def _add_unet(layout: Layout, sizes: UnetSizes):
    layout.linear(f"{UNET}.time_embed.0", MODEL_WIDTH, TIME_WIDTH)
    layout.linear(f"{UNET}.time_embed.2", TIME_WIDTH, TIME_WIDTH, gain=SILU_GAIN)
    if sizes.class_width:
        layout.linear(f"{UNET}.label_emb.0.0", sizes.class_width, TIME_WIDTH)
        layout.linear(f"{UNET}.label_emb.0.2", TIME_WIDTH, TIME_WIDTH, gain=SILU_GAIN)
    skips = _add_unet_encoder(layout, sizes)
    deepest = sizes.widths[-1]
    _add_unet_residual(layout, f"{UNET}.middle_block.0", deepest, deepest)
    _add_unet_attention(layout, f"{UNET}.middle_block.1", deepest, sizes)
    _add_unet_residual(layout, f"{UNET}.middle_block.2", deepest, deepest)
    _add_unet_decoder(layout, skips, sizes)
    layout.norm(f"{UNET}.out.0", MODEL_WIDTH)
    layout.conv(f"{UNET}.out.2", MODEL_WIDTH, 4, gain=SILU_GAIN)


def _add_unet_encoder(layout: Layout, sizes: UnetSizes) -> list[int]:
    """Add the way down; return the widths that the way up is to concatenate."""
    layout.conv(f"{UNET}.input_blocks.0.0", 4, MODEL_WIDTH)
    skips = [MODEL_WIDTH]
    for level, width in enumerate(sizes.widths):
        for _ in range(sizes.repeats):
            block = f"{UNET}.input_blocks.{len(skips)}"
            _add_unet_residual(layout, f"{block}.0", skips[-1], width)
            if level <= sizes.deepest_attention:
                _add_unet_attention(layout, f"{block}.1", width, sizes)
            skips.append(width)
        if level < len(sizes.widths) - 1:
            layout.conv(f"{UNET}.input_blocks.{len(skips)}.0.op", width, width)
            skips.append(width)
    return skips


def _add_unet_decoder(layout: Layout, skips: list[int], sizes: UnetSizes):
    current, index = sizes.widths[-1], 0
    for level, width in reversed(list(enumerate(sizes.widths))):
        for repeat in range(sizes.repeats + 1):
            block = f"{UNET}.output_blocks.{index}"
            _add_unet_residual(layout, f"{block}.0", current + skips.pop(), width)
            has_attention = level <= sizes.deepest_attention
            if has_attention:
                _add_unet_attention(layout, f"{block}.1", width, sizes)
            if level > 0 and repeat == sizes.repeats:
                layout.conv(f"{block}.{2 if has_attention else 1}.conv", width, width)
            current, index = width, index + 1


def _add_unet_residual(layout: Layout, name: str, fan_in: int, fan_out: int):
    names = ("in_layers.0", "in_layers.2", "emb_layers.1", "out_layers.0", "out_layers.3")
    _add_residual(layout, name, fan_in, fan_out, (*names, "skip_connection"))


def _add_residual(layout: Layout, name: str, fan_in: int, fan_out: int, names: tuple):
    """Two norms and convolutions, where `names` has one a layer for the time, and a way around."""
    norm_in, conv_in, time, norm_out, conv_out, around = (
        each and f"{name}.{each}" for each in names
    )
    layout.norm(norm_in, fan_in)
    layout.conv(conv_in, fan_in, fan_out, gain=SILU_GAIN)
    if time:
        layout.linear(time, TIME_WIDTH, fan_out, gain=SILU_GAIN)
    layout.norm(norm_out, fan_out)
    layout.conv(conv_out, fan_out, fan_out, gain=SILU_GAIN)
    if fan_in != fan_out:
        layout.conv(around, fan_in, fan_out, kernel=1)


def _add_unet_attention(layout: Layout, name: str, width: int, sizes: UnetSizes):
    block = f"{name}.transformer_blocks.0"
    layout.norm(f"{name}.norm", width)
    _add_projection(layout, f"{name}.proj_in", width, sizes)
    # An average over 77 tokens is faint; the gain lets the prompt show in the picture.
    for attention, context, gain in (("attn1", width, 1.0), ("attn2", sizes.text_width, 4.0)):
        layout.linear(f"{block}.{attention}.to_q", width, width, bias=False)
        layout.linear(f"{block}.{attention}.to_k", context, width, bias=False)
        layout.linear(f"{block}.{attention}.to_v", context, width, bias=False)
        layout.linear(f"{block}.{attention}.to_out.0", width, width, gain=gain)
    layout.linear(f"{block}.ff.net.0.proj", width, 8 * width)
    layout.linear(f"{block}.ff.net.2", 4 * width, width)
    for index in (1, 2, 3):
        layout.norm(f"{block}.norm{index}", width)
    _add_projection(layout, f"{name}.proj_out", width, sizes)


def _add_projection(layout: Layout, name: str, width: int, sizes: UnetSizes):
    if sizes.linear:
        layout.linear(name, width, width)
    else:
        layout.conv(name, width, width, kernel=1)


VAE = "first_stage_model"
VAE_WIDTHS = (128, 256, 512, 512)


def _add_vae(layout: Layout):
    _add_vae_encoder(layout)
    _add_vae_decoder(layout)
    layout.conv(f"{VAE}.quant_conv", 8, 8, kernel=1)
    layout.conv(f"{VAE}.post_quant_conv", 4, 4, kernel=1)


def _add_vae_encoder(layout: Layout):
    current = VAE_WIDTHS[0]
    layout.conv(f"{VAE}.encoder.conv_in", 3, current)
    for level, width in enumerate(VAE_WIDTHS):
        for repeat in range(2):
            _add_vae_residual(layout, f"{VAE}.encoder.down.{level}.block.{repeat}", current, width)
            current = width
        if level < len(VAE_WIDTHS) - 1:
            layout.conv(f"{VAE}.encoder.down.{level}.downsample.conv", width, width)
    _add_vae_middle(layout, f"{VAE}.encoder.mid", current)
    layout.norm(f"{VAE}.encoder.norm_out", current)
    layout.conv(f"{VAE}.encoder.conv_out", current, 8, gain=SILU_GAIN)


def _add_vae_decoder(layout: Layout):
    current = VAE_WIDTHS[-1]
    layout.conv(f"{VAE}.decoder.conv_in", 4, current)
    _add_vae_middle(layout, f"{VAE}.decoder.mid", current)
    for level, width in reversed(list(enumerate(VAE_WIDTHS))):
        for repeat in range(3):
            _add_vae_residual(layout, f"{VAE}.decoder.up.{level}.block.{repeat}", current, width)
            current = width
        if level > 0:
            layout.conv(f"{VAE}.decoder.up.{level}.upsample.conv", width, width)
    layout.norm(f"{VAE}.decoder.norm_out", current)
    # Decoded pictures lie in -1..1: half the unit signal, so that few pixels are clipped.
    layout.conv(f"{VAE}.decoder.conv_out", current, 3, gain=SILU_GAIN / 2)


def _add_vae_middle(layout: Layout, name: str, width: int):
    _add_vae_residual(layout, f"{name}.block_1", width, width)
    layout.norm(f"{name}.attn_1.norm", width)
    for projection in ("q", "k", "v", "proj_out"):
        layout.conv(f"{name}.attn_1.{projection}", width, width, kernel=1)
    _add_vae_residual(layout, f"{name}.block_2", width, width)


def _add_vae_residual(layout: Layout, name: str, fan_in: int, fan_out: int):
    names = ("norm1", "conv1", None, "norm2", "conv2", "nin_shortcut")
    _add_residual(layout, name, fan_in, fan_out, names)
