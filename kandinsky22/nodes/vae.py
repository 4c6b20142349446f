"""Kandinsky 2.2's MoVQ as ComfyUI's VAE, for every node that takes one."""

import os

import comfy.ops
import comfy.sd
import comfy.utils
import torch
from comfy.ldm.modules.diffusionmodules.model import vae_attention
from comfy.model_management import archive_model_dtypes, dtype_size, vae_offload_device
from comfy.model_patcher import CoreModelPatcher, ModelPatcher

from ..movq import Movq, movq_config
from .weights import can_assign, checked_sizes

# Elements per picture's pixel that core allows its own VAE of the same widths, and that width.
ENCODE_ELEMENTS, DECODE_ELEMENTS, WIDTH = 1767, 2178, 256


def load_movq(path: str | os.PathLike, disable_dynamic: bool = False) -> comfy.sd.VAE:
    """Load a MoVQ's weights.

    Args:
        path: a .safetensors file in the hub's layout; a .json beside it tells what weights cannot.
        disable_dynamic: keep the weights whole in memory, as core's loaders understand it.

    Raises:
        DriftError: the file is something else or damaged; before any weights are read.
    """
    _, config = checked_sizes(path, "movq", "movq_name", Movq, movq_config)

    # Core's VAE recognises its own models only. That of pixels is the least of them: it has every
    # attribute that a VAE is asked for, whatever core's version, and the MoVQ takes its place.
    vae = comfy.sd.VAE(sd={"pixel_space_vae": torch.tensor(1.0)})
    movq = Movq(
        **config,
        dtype=vae.vae_dtype,
        operations=comfy.ops.disable_weight_init,
        attention=vae_attention(),
    )
    movq.train(False).requires_grad_(False)
    archive_model_dtypes(movq)
    patcher = ModelPatcher if disable_dynamic else CoreModelPatcher
    vae.patcher = patcher(movq, load_device=vae.device, offload_device=vae_offload_device())
    weights = comfy.utils.load_torch_file(str(path))
    assign = can_assign(vae.patcher, weights, vae.vae_dtype)
    movq.load_state_dict(weights, strict=False, assign=assign)
    vae.patcher.cached_patcher_init = (load_movq_patcher, (path,))

    vae.first_stage_model = movq
    vae.disable_offload = False
    vae.size = None
    vae.latent_channels = config["code_channels"]
    vae.output_channels = config["pixel_channels"]
    vae.downscale_ratio = vae.upscale_ratio = movq.ratio
    scale = max(config["channels"][:2]) / WIDTH
    vae.memory_used_encode = lambda shape, dtype: (
        ENCODE_ELEMENTS * scale * shape[2] * shape[3] * dtype_size(dtype)
    )
    vae.memory_used_decode = lambda shape, dtype: (
        DECODE_ELEMENTS * scale * shape[2] * shape[3] * movq.ratio**2 * dtype_size(dtype)
    )
    vae.model_size()
    return vae


def load_movq_patcher(path: str | os.PathLike, disable_dynamic: bool = False) -> ModelPatcher:
    """A fresh copy from the file, which ComfyUI makes for another device."""
    return load_movq(path, disable_dynamic).patcher
