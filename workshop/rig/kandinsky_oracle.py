"""diffusers' Kandinsky 2.2 decoder, of any size: what ours is compared with."""

from __future__ import annotations

from typing import NamedTuple

import torch
from diffusers import DDIMScheduler, DDPMScheduler, UNet2DConditionModel, VQModel
from torch import Tensor

from ...kandinsky22.unet import unet_config

SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_schedule": "linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
}


class Given(NamedTuple):
    """What is drawn: image embeddings (B, E), and how far from the negative to the positive."""

    positive: Tensor
    negative: Tensor
    cfg: float = 4.0


OFFICIAL = {
    "in_channels": 4,
    "out_channels": 8,
    "channels": (384, 768, 1152, 1536),
    "layers": 3,
    "embed_dim": 1280,
    "token_dim": 768,
    "head_dim": 64,
    "groups": 32,
}
"""Sizes of kandinsky-2-2-decoder's UNet: 1,253,057,288 parameters."""


def reference_unet(**sizes) -> UNet2DConditionModel:
    """diffusers' UNet of OFFICIAL's sizes but for those given, its weights as diffusers draws
    them."""
    size = {**OFFICIAL, **sizes}
    deeper = len(size["channels"]) - 1
    return UNet2DConditionModel(
        in_channels=size["in_channels"],
        out_channels=size["out_channels"],
        block_out_channels=size["channels"],
        layers_per_block=size["layers"],
        down_block_types=("ResnetDownsampleBlock2D", *["SimpleCrossAttnDownBlock2D"] * deeper),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=(*["SimpleCrossAttnUpBlock2D"] * deeper, "ResnetUpsampleBlock2D"),
        attention_head_dim=size["head_dim"],
        norm_num_groups=size["groups"],
        cross_attention_dim=size["token_dim"],
        encoder_hid_dim=size["embed_dim"],
        encoder_hid_dim_type="image_proj",
        addition_embed_type="image",
        resnet_time_scale_shift="scale_shift",
    ).train(False)


OFFICIAL_MOVQ = {
    "channels": (128, 256, 256, 512),
    "layers": 2,
    "attends": (False, False, False, True),
    "latent": 4,
    "codes": 16384,
    "groups": 32,
}


def reference_movq(**sizes):
    """diffusers' VQModel, of the official sizes but for those given."""
    size = {**OFFICIAL_MOVQ, **sizes}
    attends = size["attends"]
    return VQModel(
        block_out_channels=size["channels"],
        down_block_types=tuple(f"{'Attn' * on}DownEncoderBlock2D" for on in attends),
        up_block_types=tuple(f"{'Attn' * on}UpDecoderBlock2D" for on in reversed(attends)),
        layers_per_block=size["layers"],
        latent_channels=size["latent"],
        vq_embed_dim=size["latent"],
        num_vq_embeddings=size["codes"],
        norm_num_groups=size["groups"],
        norm_type="spatial",
    ).train(False)


def reference_of(weights: dict[str, Tensor]) -> UNet2DConditionModel:
    """diffusers' UNet with these weights, in float32. Its image tokens are always 32."""
    sizes = unet_config({name: tuple(w.shape) for name, w in weights.items()}, {})
    with torch.device("meta"):
        unet = reference_unet(**{key: sizes[key] for key in OFFICIAL})
    unet.load_state_dict({name: w.float() for name, w in weights.items()}, assign=True)
    return unet


@torch.no_grad()
def reference_noise(unet: UNet2DConditionModel, x: Tensor, timestep, embedding: Tensor) -> Tensor:
    """The noise that diffusers' UNet sees in x, without the learned variance.

    Args:
        x: (B, C, h, w), whatever inpainting adds included.
        embedding: (B, E).
    """
    out = unet(x, timestep, None, added_cond_kwargs={"image_embeds": embedding}).sample
    return out[:, : out.shape[1] // 2]


def ddim(clip: bool) -> DDIMScheduler:
    """The DDIM schedule; `clip` clips the predicted x0 to ±1."""
    return DDIMScheduler(**SCHEDULE, clip_sample=clip, set_alpha_to_one=True)


def ddpm(clip: bool) -> DDPMScheduler:
    return DDPMScheduler(**SCHEDULE, clip_sample=clip)


SCHEDULERS = {"ddim": ddim, "ddpm": ddpm}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def guided(unet: UNet2DConditionModel, x: Tensor, timestep, given: Given) -> Tensor:
    """diffusers' classifier-free guidance, as its pipeline has it."""
    down = reference_noise(unet, x, timestep, given.negative)
    return down + given.cfg * (reference_noise(unet, x, timestep, given.positive) - down)


def run(
    name: str,
    unet: UNet2DConditionModel,
    x: Tensor,
    given: Given,
    steps: int,
    clip: bool = True,
    seed: int = 6,
) -> Tensor:
    """x after so many steps of "ddim" or of "ddpm", which adds noise drawn from the seed."""
    scheduler = SCHEDULERS[name](clip)
    scheduler.set_timesteps(steps)
    # Samplers in ComfyUI only know x0, so what is clipped also tells the noise.
    options = {"use_clipped_model_output": clip} if name == "ddim" else {"generator": seeded(seed)}
    for step in scheduler.timesteps:
        noise = guided(unet, x, step, given)
        x = scheduler.step(noise, step, x, **options).prev_sample
    return x
