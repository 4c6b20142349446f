"""ComfyUI's own model classes at a small size, with random weights, as MODELs to sample with.

Their weights are hub downloads of gigabytes; their code is core's, and so is all sampling code.
What is as in the real model: everything that a conditioning meets (widths of tokens, pooled
vectors and image embeddings, latent channels). Fewer and narrower layers are what is small.

Import this after ComfyUI is importable (fixture `pack`).
"""

from functools import cache

import comfy.cldm.cldm
import comfy.controlnet
import comfy.model_patcher
import comfy.ops
import comfy.supported_models as supported
import torch

import nodes as core_nodes

CPU = torch.device("cpu")
UNET = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 32,
    "num_res_blocks": [1, 1],
    "channel_mult": [1, 2],
    "transformer_depth": [1, 1],
    "transformer_depth_middle": 1,
    "transformer_depth_output": [1, 1, 1, 1],
    "num_heads": -1,
    "num_head_channels": 32,
    "use_spatial_transformer": True,
    "use_linear_in_transformer": True,
    "use_temporal_attention": False,
}


@cache
def sdxl():
    return _patcher(
        supported.SDXL, UNET | {"context_dim": 2048, "adm_in_channels": 2816} | _CLASSES
    )


@cache
def sd15():
    return _patcher(supported.SD15, UNET | {"context_dim": 768})


@cache
def sd21_unclip_h():
    return _patcher(
        supported.SD21UnclipH, UNET | {"context_dim": 1024, "adm_in_channels": 2048} | _CLASSES
    )


@cache
def sd21_unclip_l():
    return _patcher(
        supported.SD21UnclipL, UNET | {"context_dim": 1024, "adm_in_channels": 1536} | _CLASSES
    )


@cache
def flux():
    config = {
        "image_model": "flux",
        "in_channels": 16,
        "out_channels": 16,
        "patch_size": 2,
        "vec_in_dim": 768,
        "context_in_dim": 4096,
        "hidden_size": 64,
        "mlp_ratio": 2.0,
        "num_heads": 2,
        "depth": 1,
        "depth_single_blocks": 1,
        "axes_dim": [8, 12, 12],
        "theta": 10000,
        "qkv_bias": True,
        "guidance_embed": True,
        "txt_ids_dims": [],
    }
    return _patcher(supported.Flux, config)


@cache
def wan():
    """A video model."""
    config = {"image_model": "wan2.1", "model_type": "t2v", "dim": 32, "ffn_dim": 64}
    return _patcher(supported.WAN21_T2V, config | {"num_heads": 2, "num_layers": 1})


@cache
def kandinsky5():
    """The video model: latents (B, 16, T, H, W)."""
    return _patcher(supported.Kandinsky5, KANDINSKY5)


@cache
def kandinsky5_image():
    """The picture model of the family: latents (B, 16, H, W)."""
    return _patcher(supported.Kandinsky5Image, KANDINSKY5 | {"visual_embed_dim": 64})


_CLASSES = {"num_classes": "sequential"}
# in_text_dim, in_text_dim2 and the visual dimensions are core's defaults, the real ones.
KANDINSKY5 = {
    "image_model": "kandinsky5",
    "model_dim": 32,
    "time_dim": 32,
    "ff_dim": 64,
    "num_text_blocks": 1,
    "num_visual_blocks": 1,
    "axes_dims": (8, 12, 12),
}


def controlnet():
    """A ControlNet for sd15()."""
    config = {
        k: v for k, v in UNET.items() if k not in ("out_channels", "transformer_depth_output")
    }
    model = comfy.cldm.cldm.ControlNet(
        **config,
        context_dim=768,
        hint_channels=3,
        dtype=torch.float32,
        operations=comfy.ops.manual_cast,
    )
    fill(model)
    return comfy.controlnet.ControlNet(model.requires_grad_(False), load_device=CPU)


def _patcher(config_class, unet_config: dict):
    config = config_class({**unet_config, "dtype": torch.float32})
    config.unet_config.update(unet_config)  # over the head width that core's class sets
    model = config.get_model({}, device="cpu")
    fill(model.diffusion_model)
    return comfy.model_patcher.CoreModelPatcher(model, load_device=CPU, offload_device=CPU)


def fill(module: torch.nn.Module) -> None:
    """Random weights that keep activations at size one; core leaves them unset until loaded."""
    generator = torch.Generator().manual_seed(0)
    for name, weight in module.named_parameters():
        if weight.ndim > 1:
            fan_in = weight[0].numel()
            weight.data = torch.randn(weight.shape, generator=generator) / fan_in**0.5
        else:
            weight.data = torch.full(weight.shape, float(name.endswith(("weight", "scale"))))


def sample(model, positive, latent: dict, negative=None, cfg: float = 3.0, steps: int = 2):
    """Core's KSampler on a latent: its samples, and what reached the model for the positive.

    Returns:
        samples, and the arguments of the first model call, cut to the positive's rows.
    """
    calls = []

    def record(apply_model, call):
        rows = len(call["input"]) // len(call["cond_or_uncond"])
        for place, which in enumerate(call["cond_or_uncond"]):
            if which == 0:
                cut = slice(place * rows, (place + 1) * rows)
                calls.append({k: v[cut] for k, v in call["c"].items() if torch.is_tensor(v)})
        return apply_model(call["input"], call["timestep"], **call["c"])

    model = model.clone()
    model.set_model_unet_function_wrapper(record)
    negative = positive if negative is None else negative
    (result,) = core_nodes.common_ksampler(
        model, 5, steps, cfg, "euler", "normal", positive, negative, latent
    )
    return result["samples"], calls[0]
