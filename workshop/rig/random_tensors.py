"""Tensor names and shapes of published models, as their own code has them, and random numbers to
fill them with."""

from __future__ import annotations

import json
import math
import re

import torch
from torch import Tensor, nn

from .in_process import import_comfyui
from .paths import comfyui_path

SEED = 1234

Shapes = dict[str, torch.Size]

SILU_GAIN = 1.68
"""SiLU leaves 0.36 of a unit signal's power; this gain in the next layer makes up for it."""
GAINS = {
    # An average over 77 tokens is faint; the gain lets the prompt show in the picture.
    r"attn2\.to_out\.0": 4.0,
    # Decoded pictures lie in -1..1: half the unit signal, so that few pixels are clipped.
    r"decoder\.conv_out": SILU_GAIN / 2,
    # What comes behind an activation: in a UNet, in a VAE, in CLIP's two layouts.
    r"time_embed\.2|label_emb\.0\.2|in_layers\.2|emb_layers\.1|out_layers\.3|out\.2": SILU_GAIN,
    r"block\.\d\.conv[12]|block_\d\.conv[12]|encoder\.conv_out": SILU_GAIN,
    r"fc2|c_proj": SILU_GAIN,
}
"""By the end of a layer's name; 1 for the others."""
BARE = {
    "token_embedding": 1.0,
    r"position\w*_embedding": 0.3,
    # The class token starts out small, or every picture would end up with nearly its embedding.
    "class_embedding": 0.1,
}
"""Standard deviations of what no signal goes through, by the end of its name."""


def random_tensors(shapes: Shapes, dtype: torch.dtype = torch.float16) -> dict[str, Tensor]:
    """Draw every tensor, the same ones every time."""
    generator = torch.Generator().manual_seed(SEED)
    return {
        name: torch.empty(shape).normal_(*distribution(name, shape), generator=generator).to(dtype)
        for name, shape in shapes.items()
    }


def distribution(name: str, shape: torch.Size) -> tuple[float, float]:
    """Mean and standard deviation of a tensor: norms only normalise, biases are 0, and a layer
    keeps a unit signal at its gain."""
    layer = name.removesuffix(".weight")
    if bare := _by_ending(layer, BARE):
        return 0.0, bare
    if len(shape) == 1:
        return float(layer != name), 0.0
    return 0.0, (_by_ending(layer, GAINS) or 1.0) / math.sqrt(math.prod(shape[1:]))


def _by_ending(layer: str, table: dict[str, float]) -> float | None:
    found = (value for end, value in table.items() if re.search(rf"(^|\.)({end})$", layer))
    return next(found, None)


# --- Models ---------------------------------------------------------------------------------------


def sd15_shapes() -> Shapes:
    """The 1130 tensors of an SD 1.5 checkpoint: UNet, VAE, CLIP-L text encoder."""
    unet = _unet(
        num_res_blocks=[2] * 4,
        channel_mult=[1, 2, 4, 4],
        transformer_depth=[1] * 6 + [0] * 2,
        transformer_depth_output=[1] * 9 + [0] * 3,
        context_dim=768,
    )
    text = clip_text_shapes("sd1_clip_config", "cond_stage_model.transformer.")
    return unet | _vae() | _unprojected(text)


def unclip_shapes() -> Shapes:
    """An SD 2.1 unCLIP-L checkpoint: VAE, ViT-H's text encoder and ViT-L's image tower as they are,
    with a narrow UNet: two levels of one block, where the real one has four of two."""
    import open_clip  # takes seconds

    unet = _unet(
        num_res_blocks=[1] * 2,
        channel_mult=[1, 1],
        transformer_depth=[1] * 2,
        transformer_depth_output=[1] * 4,
        context_dim=1024,
        use_linear_in_transformer=True,
        num_classes="sequential",
        adm_in_channels=2 * 768,
    )
    with torch.device("meta"):
        text = open_clip.CLIP(**open_clip.get_model_config("ViT-H-14"))
        image = open_clip.CLIP(**open_clip.get_model_config("ViT-L-14")).visual
    del text.visual, text.logit_scale
    text, image = _shapes(text, "cond_stage_model.model."), _shapes(image, "embedder.model.visual.")
    return unet | _vae() | text | image


def sdxl_shapes() -> Shapes:
    """An SDXL checkpoint: VAE, CLIP-L and OpenCLIP's bigG as they are, with a narrow UNet of as
    many blocks as KOALA's, the smallest that ComfyUI takes for SDXL."""
    import open_clip

    unet = _unet(
        num_res_blocks=[1] * 3,
        channel_mult=[1] * 3,
        transformer_depth=[0, 2, 5],
        transformer_depth_middle=5,
        transformer_depth_output=[0, 0, 2, 2, 5, 5],
        context_dim=768 + 1280,
        use_linear_in_transformer=True,
        num_classes="sequential",
        adm_in_channels=2816,
    )
    with torch.device("meta"):
        text = open_clip.CLIP(**open_clip.get_model_config("ViT-bigG-14"))
    del text.visual, text.logit_scale
    small = clip_text_shapes("sd1_clip_config", "conditioner.embedders.0.transformer.")
    big = _shapes(text, "conditioner.embedders.1.model.")
    return unet | _vae() | _unprojected(small) | big


def sd3_shapes() -> Shapes:
    """An SD 3.5 checkpoint without its text encoders: VAE, and a transformer of two blocks."""
    import_comfyui()
    from comfy.ldm.modules.diffusionmodules.mmdit import MMDiT

    with torch.device("meta"):
        transformer = MMDiT(
            input_size=None,
            depth=2,
            in_channels=16,
            adm_in_channels=768 + 1280,
            context_embedder_config={
                "target": "torch.nn.Linear",
                "params": {"in_features": 4096, "out_features": 2 * 64},
            },
            num_patches=192**2,
            pos_embed_max_size=192,
            qk_norm="rms",
            operations=nn,
        )
    return _shapes(transformer, "model.diffusion_model.") | _vae(16)


def vit_l_shapes() -> Shapes:
    """CLIP ViT-L/14's image tower with its projection, in Hugging Face's layout."""
    import_comfyui()
    from comfy.clip_model import CLIPVisionModelProjection

    config = _config("clip_vision_config_vitl")
    with torch.device("meta"):
        return _shapes(CLIPVisionModelProjection(config, None, None, nn))


def clip_text_shapes(config: str, prefix: str = "") -> Shapes:
    """The CLIP text tower of one of ComfyUI's configs, with a projection, in Hugging Face's
    layout."""
    import_comfyui()
    from comfy.clip_model import CLIPTextModel

    with torch.device("meta"):
        return _shapes(CLIPTextModel(_config(config), None, None, nn), prefix)


def _unet(**sizes) -> Shapes:
    import_comfyui()
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    with torch.device("meta"):
        unet = UNetModel(
            image_size=32,
            in_channels=4,
            out_channels=4,
            model_channels=320,
            num_head_channels=64,
            use_spatial_transformer=True,
            **{"transformer_depth_middle": 1} | sizes,
        )
    return _shapes(unet, "model.diffusion_model.")


def _unprojected(text: Shapes) -> Shapes:
    return {key: shape for key, shape in text.items() if "text_projection" not in key}


def _vae(channels: int = 4) -> Shapes:
    import_comfyui()
    from comfy.ldm.models.autoencoder import AutoencoderKL

    sizes = {
        "in_channels": 3,
        "out_ch": 3,
        "z_channels": channels,
        "ch": 128,
        "ch_mult": [1, 2, 4, 4],
    }
    sizes |= {"num_res_blocks": 2, "attn_resolutions": [], "resolution": 256, "double_z": True}
    with torch.device("meta"):
        return _shapes(AutoencoderKL(ddconfig=sizes, embed_dim=channels), "first_stage_model.")


def _config(name: str) -> dict:
    return json.loads((comfyui_path() / "comfy" / f"{name}.json").read_text(encoding="utf-8"))


def _shapes(model: nn.Module, prefix: str = "") -> Shapes:
    return {f"{prefix}{name}": tensor.shape for name, tensor in model.state_dict().items()}
