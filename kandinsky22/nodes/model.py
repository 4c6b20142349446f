"""The decoder as ComfyUI's MODEL: what samplers, offloading and LoRA loaders ask of a model."""

import logging
import os

import comfy.conds
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.supported_models_base
import comfy.utils
import torch
from comfy.ldm.modules.attention import attention_pytorch, optimized_attention
from torch import Tensor

from ...clip_drift.errors import DriftError
from ...nodes.core.attention import JOINT
from ..unet import Unet, unet_config
from .latent import Kandinsky22Latent
from .lora import diffusers_lora_keys
from .weights import can_assign, checked_sizes

WEIGHT_DTYPES = {
    "default": {},
    "fp8_e4m3fn": {"dtype": torch.float8_e4m3fn},
    "fp8_e4m3fn_fast": {"dtype": torch.float8_e4m3fn, "fp8_optimizations": True},
    "fp8_e5m2": {"dtype": torch.float8_e5m2},
}
"""Core's choices in Load Diffusion Model, and what they mean to its loaders."""


def decoder_config(path: str | os.PathLike) -> dict:
    """The UNet's sizes, from the file's header alone.

    Raises:
        DriftError: the file is something else.
    """
    return checked_sizes(path, "decoder", "unet_name", Unet, unet_config)[1]


def load_decoder(
    path: str | os.PathLike,
    vae: comfy.sd.VAE,
    model_options: dict | None = None,
    disable_dynamic: bool = False,
) -> comfy.model_patcher.ModelPatcher:
    """Load the decoder's UNet as core's load_diffusion_model loads its own models.

    Args:
        path: a .safetensors file under the hub's parameter names.
        vae: the MoVQ, whose latents these are.
        model_options: `dtype` and `fp8_optimizations`, as in core.
        disable_dynamic: as in core.

    Raises:
        DriftError: the file is something else, or of other latents; before its weights are read.
    """
    options = model_options or {}
    sizes = decoder_config(path)
    if sizes["latent_channels"] != vae.latent_channels:
        raise DriftError(
            f"unet_name draws latents of {sizes['latent_channels']} channels, but movq_name has "
            f"{vae.latent_channels}: choose the two that were trained together."
        )
    config = Kandinsky22Config(sizes)
    config.latent_format = Kandinsky22Latent(vae)

    management = comfy.model_management
    weights = comfy.utils.load_torch_file(str(path))
    supported = list(config.supported_inference_dtypes)
    dtype = options.get("dtype") or management.unet_dtype(
        model_params=comfy.utils.calculate_parameters(weights),
        supported_dtypes=supported,
        weight_dtype=comfy.utils.weight_dtype(weights),
    )
    device = management.get_torch_device()
    offload_device = management.unet_offload_device()
    config.set_inference_dtype(
        dtype, management.unet_manual_cast(dtype, device, supported), device=device
    )
    config.optimizations["fp8"] = options.get("fp8_optimizations", False)

    model = Kandinsky22(config)
    patchers = comfy.model_patcher
    patcher_class = patchers.ModelPatcher if disable_dynamic else patchers.CoreModelPatcher
    patcher = patcher_class(model, load_device=device, offload_device=offload_device)
    if not management.is_device_cpu(offload_device):
        model.to(offload_device)
    model.load_model_weights(weights, assign=can_assign(patcher, weights, dtype))
    patcher.cached_patcher_init = (load_decoder, (path, vae, options))
    return patcher


def clip_predictions(model: comfy.model_patcher.ModelPatcher) -> None:
    """Clip what every step predicts for the finished latent to -1..1, as the official scheduler
    does, after classifier-free guidance."""
    model.set_model_sampler_post_cfg_function(_clipped)


def _clipped(args: dict) -> Tensor:
    return args["denoised"].clamp(-1.0, 1.0)


class NativeUnet(Unet):
    """The UNet, called as ComfyUI calls its own and with the attention that it chose."""

    replaceable = (JOINT,)

    def __init__(self, **config):
        super().__init__(**config, attention=_attention)

    def forward(self, x, timesteps, context, control=None, transformer_options=None, **unused):
        if control is not None:
            raise DriftError(
                "Kandinsky 2.2 takes no ControlNet: remove Apply ControlNet from its conditioning."
            )
        return super().forward(x, timesteps, context, transformer_options=transformer_options)


def _attention(
    q: Tensor, k: Tensor, v: Tensor, heads: int, block=None, transformer_options=None, **options
) -> Tensor:
    given = transformer_options or {}
    replace = given.get("patches_replace", {}).get(JOINT, {}).get(block)
    if replace is not None:
        return replace(q, k, v, given | {"n_heads": heads})
    # On the CPU core prefers its sub-quadratic attention, which is slower than torch's.
    best = attention_pytorch if q.device.type == "cpu" else optimized_attention
    return best(q, k, v, heads, transformer_options=transformer_options, **options)


class Kandinsky22Config(comfy.supported_models_base.BASE):
    unet_extra_config = {}  # noqa: RUF012, as in core: copied for every instance
    # The official betas rise linearly. Core calls that sqrt_linear; its linear is another curve.
    sampling_settings = {  # noqa: RUF012
        "beta_schedule": "sqrt_linear",
        "linear_start": 0.00085,
        "linear_end": 0.012,
    }
    memory_usage_factor = 1.0

    def process_unet_state_dict_for_saving(self, state_dict: dict) -> dict:
        """Save under the hub's names, not with core's prefix: so the loader takes the file."""
        return state_dict


class Kandinsky22(comfy.model_base.BaseModel):
    """Predicts noise from a latent and one image embedding.

    The embedding comes as the conditioning's only token, which is where Kandinsky 2.2 Prior and
    Rotate Conditioning put it. unCLIP conditioning takes its place, as it takes that of the pooled
    vector in SDXL: the images' embeddings, summed by strength. Its noise augmentation is of Stable
    unCLIP's own making and has no counterpart here.

    The inpainting decoder also gets the latent that is to be kept, and where: from the noise mask
    of the latent, or from Inpaint Model Conditioning. Without a mask everything is painted.
    """

    def __init__(self, config: Kandinsky22Config, device=None):
        super().__init__(
            config, comfy.model_base.ModelType.EPS, device=device, unet_model=NativeUnet
        )
        if self.diffusion_model.in_channels > self.diffusion_model.latent_channels:
            self.concat_keys = ("masked_image", "mask_inverted")

    def extra_conds(self, **kwargs) -> dict:
        unclip = kwargs.get("unclip_conditioning")
        if unclip:
            kwargs["cross_attn"] = _images_embedding(unclip)
        embedding = kwargs.get("cross_attn")
        self._check(embedding, kwargs.get("prompt_type", "the"), bool(unclip))
        conds = super().extra_conds(**kwargs)
        # Not a CONDCrossAttn: that one repeats tokens to make two prompts equally long.
        conds["c_crossattn"] = comfy.conds.CONDRegular(embedding)
        return conds

    def _check(self, embedding: Tensor | None, prompt_type: str, images: bool) -> None:
        width = self.diffusion_model.embed_dim
        if embedding is not None and embedding.shape[1:] == (1, width):
            return
        tokens, found = (0, 0) if embedding is None else embedding.shape[1:]
        needed = (
            f"the images need to be encoded by the CLIP vision model of width {width} "
            "(clip_vision_g for the official decoder), or take Kandinsky 2.2 Prior"
            if images
            else "connect Kandinsky 2.2 Prior (a text encoder's output goes into that node)"
        )
        raise DriftError(
            f"{prompt_type} conditioning holds {tokens} token{'s' * (tokens != 1)} of width "
            f"{found}, where a Kandinsky 2.2 decoder takes one image embedding of width {width}: "
            f"{needed}."
        )

    def blank_inpaint_image_like(self, latent: Tensor) -> Tensor:
        """What core takes for the kept image where there is no mask."""
        return torch.zeros_like(latent)

    def concat_cond(self, **kwargs) -> Tensor | None:
        """What inpainting adds to the input: (B, latent channels + 1, h, w), the kept latent and
        1 where it is kept. As in the official pipeline, what touches the mask is painted too."""
        if not self.concat_keys:
            return None
        parts = super().concat_cond(**kwargs)
        kept = _kept_inside(parts[:, -1:])
        return torch.cat([parts[:, :-1] * kept, kept], dim=1)

    def lora_keys(self) -> dict[str, str]:
        """More names that LoRA files have for this model's layers (see lora.py)."""
        return diffusers_lora_keys(self.state_dict())


def _images_embedding(unclip: list[dict]) -> Tensor:
    """(1, 1, width): unCLIP conditioning's images, summed by strength."""
    if any(entry["noise_augmentation"] for entry in unclip):
        logging.warning("Kandinsky 2.2 has no noise augmentation: that of unCLIP is not used.")
    total = sum(
        entry["strength"] * entry["clip_vision_output"].image_embeds.sum(dim=0) for entry in unclip
    )
    return total[None, None]


_SPREAD = ((0, 1), (1, 0), (1, 1))  # right or left, below or above, and one of the diagonals


def _kept_inside(kept: Tensor) -> Tensor:
    """A (B, 1, h, w) mask of 0 and 1, with 0 beside every 0 too, as in the official pipeline."""
    height, width = kept.shape[-2:]
    padded = torch.nn.functional.pad(kept, (1, 1, 1, 1), value=1.0)
    result = kept
    for down, right in _SPREAD:
        for sign in (-1, 1):
            top, left = 1 + sign * down, 1 + sign * right
            result = result * padded[..., top : top + height, left : left + width]
    return result
