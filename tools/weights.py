"""Model files of random weights in real layouts, so that real loaders can be tested offline.

    python tools/weights.py MODELS_DIR [sd15] [vit_l] [open_clip]

Each file has the tensor names and shapes of a published model and seeded random numbers in them,
scaled so that signals neither die out nor explode on their way through. ComfyUI's native loaders
take them for the real thing; only the pictures are noise.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import save_file

SEED = 1234
RECIPE = "1"
"""Stored in every file. Raise it when the numbers change, and old files are written anew."""

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


# --- Stable Diffusion 1.5 -------------------------------------------------------------------------

UNET = "model.diffusion_model"
UNET_WIDTHS = (320, 640, 1280, 1280)
UNET_DEEPEST_ATTENTION = 2
TIME_WIDTH = 1280
TEXT_WIDTH = 768


def sd15_layout() -> Layout:
    """The 1130 tensors of an SD 1.5 checkpoint: UNet, VAE, CLIP-L text encoder."""
    layout = Layout()
    _add_unet(layout)
    _add_vae(layout)
    _add_clip_text(layout)
    return layout


def _add_unet(layout: Layout):
    layout.linear(f"{UNET}.time_embed.0", 320, TIME_WIDTH)
    layout.linear(f"{UNET}.time_embed.2", TIME_WIDTH, TIME_WIDTH, gain=SILU_GAIN)
    skips = _add_unet_encoder(layout)
    deepest = UNET_WIDTHS[-1]
    _add_unet_residual(layout, f"{UNET}.middle_block.0", deepest, deepest)
    _add_unet_attention(layout, f"{UNET}.middle_block.1", deepest)
    _add_unet_residual(layout, f"{UNET}.middle_block.2", deepest, deepest)
    _add_unet_decoder(layout, skips)
    layout.norm(f"{UNET}.out.0", UNET_WIDTHS[0])
    layout.conv(f"{UNET}.out.2", UNET_WIDTHS[0], 4, gain=SILU_GAIN)


def _add_unet_encoder(layout: Layout) -> list[int]:
    """Add the way down; return the widths that the way up is to concatenate."""
    layout.conv(f"{UNET}.input_blocks.0.0", 4, UNET_WIDTHS[0])
    skips = [UNET_WIDTHS[0]]
    for level, width in enumerate(UNET_WIDTHS):
        for _ in range(2):
            block = f"{UNET}.input_blocks.{len(skips)}"
            _add_unet_residual(layout, f"{block}.0", skips[-1], width)
            if level <= UNET_DEEPEST_ATTENTION:
                _add_unet_attention(layout, f"{block}.1", width)
            skips.append(width)
        if level < len(UNET_WIDTHS) - 1:
            layout.conv(f"{UNET}.input_blocks.{len(skips)}.0.op", width, width)
            skips.append(width)
    return skips


def _add_unet_decoder(layout: Layout, skips: list[int]):
    current, index = UNET_WIDTHS[-1], 0
    for level, width in reversed(list(enumerate(UNET_WIDTHS))):
        for repeat in range(3):
            block = f"{UNET}.output_blocks.{index}"
            _add_unet_residual(layout, f"{block}.0", current + skips.pop(), width)
            has_attention = level <= UNET_DEEPEST_ATTENTION
            if has_attention:
                _add_unet_attention(layout, f"{block}.1", width)
            if level > 0 and repeat == 2:
                layout.conv(f"{block}.{2 if has_attention else 1}.conv", width, width)
            current, index = width, index + 1


def _add_unet_residual(layout: Layout, name: str, fan_in: int, fan_out: int):
    layout.norm(f"{name}.in_layers.0", fan_in)
    layout.conv(f"{name}.in_layers.2", fan_in, fan_out, gain=SILU_GAIN)
    layout.linear(f"{name}.emb_layers.1", TIME_WIDTH, fan_out, gain=SILU_GAIN)
    layout.norm(f"{name}.out_layers.0", fan_out)
    layout.conv(f"{name}.out_layers.3", fan_out, fan_out, gain=SILU_GAIN)
    if fan_in != fan_out:
        layout.conv(f"{name}.skip_connection", fan_in, fan_out, kernel=1)


def _add_unet_attention(layout: Layout, name: str, width: int):
    block = f"{name}.transformer_blocks.0"
    layout.norm(f"{name}.norm", width)
    layout.conv(f"{name}.proj_in", width, width, kernel=1)
    # An average over 77 tokens is faint; the gain lets the prompt show in the picture.
    for attention, context, gain in (("attn1", width, 1.0), ("attn2", TEXT_WIDTH, 4.0)):
        layout.linear(f"{block}.{attention}.to_q", width, width, bias=False)
        layout.linear(f"{block}.{attention}.to_k", context, width, bias=False)
        layout.linear(f"{block}.{attention}.to_v", context, width, bias=False)
        layout.linear(f"{block}.{attention}.to_out.0", width, width, gain=gain)
    layout.linear(f"{block}.ff.net.0.proj", width, 8 * width)
    layout.linear(f"{block}.ff.net.2", 4 * width, width)
    for index in (1, 2, 3):
        layout.norm(f"{block}.norm{index}", width)
    layout.conv(f"{name}.proj_out", width, width, kernel=1)


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
    _add_vae_middle(layout, f"{VAE}.encoder.mid")
    layout.norm(f"{VAE}.encoder.norm_out", current)
    layout.conv(f"{VAE}.encoder.conv_out", current, 8, gain=SILU_GAIN)


def _add_vae_decoder(layout: Layout):
    current = VAE_WIDTHS[-1]
    layout.conv(f"{VAE}.decoder.conv_in", 4, current)
    _add_vae_middle(layout, f"{VAE}.decoder.mid")
    for level, width in reversed(list(enumerate(VAE_WIDTHS))):
        for repeat in range(3):
            _add_vae_residual(layout, f"{VAE}.decoder.up.{level}.block.{repeat}", current, width)
            current = width
        if level > 0:
            layout.conv(f"{VAE}.decoder.up.{level}.upsample.conv", width, width)
    layout.norm(f"{VAE}.decoder.norm_out", current)
    # Decoded pictures lie in -1..1: half the unit signal, so that few pixels are clipped.
    layout.conv(f"{VAE}.decoder.conv_out", current, 3, gain=SILU_GAIN / 2)


def _add_vae_middle(layout: Layout, name: str):
    width = VAE_WIDTHS[-1]
    _add_vae_residual(layout, f"{name}.block_1", width, width)
    layout.norm(f"{name}.attn_1.norm", width)
    for projection in ("q", "k", "v", "proj_out"):
        layout.conv(f"{name}.attn_1.{projection}", width, width, kernel=1)
    _add_vae_residual(layout, f"{name}.block_2", width, width)


def _add_vae_residual(layout: Layout, name: str, fan_in: int, fan_out: int):
    layout.norm(f"{name}.norm1", fan_in)
    layout.conv(f"{name}.conv1", fan_in, fan_out, gain=SILU_GAIN)
    layout.norm(f"{name}.norm2", fan_out)
    layout.conv(f"{name}.conv2", fan_out, fan_out, gain=SILU_GAIN)
    if fan_in != fan_out:
        layout.conv(f"{name}.nin_shortcut", fan_in, fan_out, kernel=1)


# --- CLIP ViT-L/14 --------------------------------------------------------------------------------


def _add_clip_text(layout: Layout):
    text = "cond_stage_model.transformer.text_model"
    layout.parameter(f"{text}.embeddings.token_embedding.weight", 49408, TEXT_WIDTH, std=1.0)
    layout.parameter(f"{text}.embeddings.position_embedding.weight", 77, TEXT_WIDTH, std=0.3)
    _add_clip_encoder(layout, f"{text}.encoder", TEXT_WIDTH, layers=12)
    layout.norm(f"{text}.final_layer_norm", TEXT_WIDTH)


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


# --- A small OpenCLIP model -----------------------------------------------------------------------

OPEN_CLIP_CONFIG = {
    "model_cfg": {
        "embed_dim": 768,
        "vision_cfg": {
            "image_size": 224,
            "patch_size": 32,
            "width": 128,
            "head_width": 32,
            "layers": 4,
        },
        "text_cfg": {
            "context_length": 77,
            "vocab_size": 49408,
            "width": 64,
            "heads": 2,
            "layers": 2,
        },
    },
    "preprocess_cfg": {
        "mean": [0.48145466, 0.4578275, 0.40821073],
        "std": [0.26862954, 0.26130258, 0.27577711],
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    },
}


def _open_clip_tensors() -> dict[str, torch.Tensor]:
    """OpenCLIP's own initialisation of the model that `OPEN_CLIP_CONFIG` describes."""
    from open_clip import CLIP  # takes seconds to import, and only this file needs it

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return CLIP(**OPEN_CLIP_CONFIG["model_cfg"]).state_dict()


# --- Files ----------------------------------------------------------------------------------------


def random_tensors(layout: Layout, dtype: torch.dtype = torch.float16) -> dict[str, torch.Tensor]:
    """Draw every tensor of a layout, the same ones every time."""
    generator = torch.Generator().manual_seed(SEED)
    return {
        name: torch.empty(spec.shape).normal_(spec.mean, spec.std, generator=generator).to(dtype)
        for name, spec in layout.items()
    }


class WeightFile(NamedTuple):
    """A file below the models folder, and how to make its content."""

    path: str
    tensors: Callable[[], dict[str, torch.Tensor]]
    config: dict | None = None
    """Written beside the file as `.json` where the weights alone do not tell the model."""


FILES = {
    "sd15": WeightFile(
        "checkpoints/random_sd15.safetensors", lambda: random_tensors(sd15_layout())
    ),
    "vit_l": WeightFile(
        "clip_vision/random_vit_l.safetensors", lambda: random_tensors(vit_l_layout())
    ),
    "open_clip": WeightFile(
        "open_clip/random_small.safetensors", _open_clip_tensors, OPEN_CLIP_CONFIG
    ),
}


def ensure(models_dir: Path, *names: str) -> list[Path]:
    """Write the named files (all of them by default) where they are missing; return their paths."""
    return [_ensure_file(Path(models_dir), FILES[name]) for name in names or FILES]


def _ensure_file(models_dir: Path, file: WeightFile) -> Path:
    path = models_dir / file.path
    if _recipe_of(path) == RECIPE:
        return path
    print(f"writing random weights: {path}", flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    if file.config is not None:
        config = json.dumps(file.config, indent=2) + "\n"
        _write_atomically(path.with_suffix(".json"), lambda part: part.write_text(config))
    tensors = file.tensors()
    metadata = {"format": "pt", "recipe": RECIPE}
    _write_atomically(path, lambda part: save_file(tensors, part, metadata))
    return path


def _recipe_of(path: Path) -> str | None:
    """The recipe that a file was made by, or None where there is no file."""
    if not path.exists():
        return None
    with safe_open(path, framework="pt") as file:
        return (file.metadata() or {}).get("recipe")


def _write_atomically(path: Path, write: Callable[[Path], object]):
    """Let `write` fill a file of another name first, so that no reader ever sees half a file."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        write(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


if __name__ == "__main__":
    if len(sys.argv) < 2 or not set(sys.argv[2:]) <= set(FILES):
        sys.exit(f"usage: weights.py MODELS_DIR [{'] ['.join(FILES)}]")
    for written in ensure(*sys.argv[1:]):
        print(written)
