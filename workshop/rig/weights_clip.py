"""Layouts of CLIP's towers, in Hugging Face's names and in OpenCLIP's."""

from __future__ import annotations

import math

from .weight_layout import SILU_GAIN, Layout


def add_clip_text(layout: Layout, name: str, *, width: int, layers: int):
    """Add a text tower in Hugging Face's layout, without a projection."""
    text = f"{name}.text_model" if name else "text_model"
    layout.parameter(f"{text}.embeddings.token_embedding.weight", 49408, width, std=1.0)
    layout.parameter(f"{text}.embeddings.position_embedding.weight", 77, width, std=0.3)
    _add_clip_encoder(layout, f"{text}.encoder", width, layers)
    layout.norm(f"{text}.final_layer_norm", width)


def big_g_layout() -> Layout:
    """OpenCLIP bigG's text tower in Hugging Face's layout, as Kandinsky 2.2's prior comes with."""
    layout = Layout()
    add_clip_text(layout, "", width=1280, layers=32)
    layout.linear("text_projection", 1280, 1280, bias=False)
    return layout


def vit_l_layout() -> Layout:
    """CLIP ViT-L/14's image tower with its projection, in Hugging Face's layout."""
    layout, vision, width = Layout(), "vision_model", 1024
    # The class token starts out small, or every picture would end up with nearly its embedding.
    layout.parameter(f"{vision}.embeddings.class_embedding", width, std=0.1)
    layout.conv(f"{vision}.embeddings.patch_embedding", 3, width, kernel=14, bias=False)
    layout.parameter(f"{vision}.embeddings.position_embedding.weight", 257, width, std=0.3)
    layout.norm(f"{vision}.pre_layrnorm", width)  # spelt like this in every CLIP file
    _add_clip_encoder(layout, f"{vision}.encoder", width, layers=24)
    layout.norm(f"{vision}.post_layernorm", width)
    layout.linear("visual_projection", width, 768, bias=False)
    return layout


def _add_clip_encoder(layout: Layout, name: str, width: int, layers: int):
    for index in range(layers):
        layer = f"{name}.layers.{index}"
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            layout.linear(f"{layer}.self_attn.{projection}", width, width)
        layout.norm(f"{layer}.layer_norm1", width)
        layout.linear(f"{layer}.mlp.fc1", width, 4 * width)
        layout.linear(f"{layer}.mlp.fc2", 4 * width, width, gain=SILU_GAIN)
        layout.norm(f"{layer}.layer_norm2", width)


def add_open_clip_text(layout: Layout, name: str, *, width: int, layers: int):
    """Add a text tower in OpenCLIP's layout."""
    layout.parameter(f"{name}.token_embedding.weight", 49408, width, std=1.0)
    layout.parameter(f"{name}.positional_embedding", 77, width, std=0.3)
    _add_open_clip_blocks(layout, name, width, layers)
    layout.norm(f"{name}.ln_final", width)
    layout.parameter(f"{name}.text_projection", width, width, std=1 / math.sqrt(width))


def add_open_clip_vision(layout: Layout, name: str, *, width: int, layers: int, embedding: int):
    """Add an image tower for 224 pixels in patches of 14, in OpenCLIP's layout."""
    layout.parameter(f"{name}.class_embedding", width, std=0.1)
    layout.conv(f"{name}.conv1", 3, width, kernel=14, bias=False)
    layout.parameter(f"{name}.positional_embedding", 257, width, std=0.3)
    layout.norm(f"{name}.ln_pre", width)
    _add_open_clip_blocks(layout, name, width, layers)
    layout.norm(f"{name}.ln_post", width)
    layout.parameter(f"{name}.proj", width, embedding, std=1 / math.sqrt(width))


def _add_open_clip_blocks(layout: Layout, name: str, width: int, layers: int):
    for index in range(layers):
        block = f"{name}.transformer.resblocks.{index}"
        layout.norm(f"{block}.ln_1", width)
        layout.parameter(f"{block}.attn.in_proj_weight", 3 * width, width, std=1 / math.sqrt(width))
        layout.parameter(f"{block}.attn.in_proj_bias", 3 * width, std=0.0)
        layout.linear(f"{block}.attn.out_proj", width, width)
        layout.norm(f"{block}.ln_2", width)
        layout.linear(f"{block}.mlp.c_fc", width, 4 * width)
        layout.linear(f"{block}.mlp.c_proj", 4 * width, width, gain=SILU_GAIN)
