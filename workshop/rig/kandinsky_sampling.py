"""A Kandinsky 2.2 decoder in ComfyUI's own samplers, in this process."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from .kandinsky_oracle import SCHEDULERS, Given, seeded
from .kandinsky_weights import small_movq, small_unet

WIDTH = 1280


class Decoder:
    """Small weights in a folder, and what the pack's loaders make of them.

    Attributes:
        weights: the UNet's, as they lie in the file.
        vae: the small MoVQ.
    """

    def __init__(self, pack: ModuleType, folder: Path, in_channels: int = 4):
        self.path = folder / f"unet{in_channels}.safetensors"
        self.weights = small_unet(self.path, in_channels=in_channels)
        small_movq(folder / "movq.safetensors")
        self.vae = pack.kandinsky22.nodes.vae.load_movq(folder / "movq.safetensors")
        self._model = pack.kandinsky22.nodes.model

    def model(self, clip_x0: bool = False, **options):
        """A fresh MODEL."""
        model = self._model.load_decoder(self.path, self.vae, options)
        if clip_x0:
            self._model.clip_predictions(model)
        return model


def randn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=seeded(seed))


def embedding(seed: int, batch: int = 1) -> Tensor:
    """(B, 1280), of about the length that the prior gives."""
    return randn(seed, batch, WIDTH)


def conditioning(embeds: Tensor, **extra) -> list:
    """CONDITIONING as Kandinsky 2.2 Prior gives it, from (B, E)."""
    return [[embeds[:, None], extra]]


def sample(model, noise: Tensor, positive: list, negative: list, sigmas: Tensor, *, cfg: float = 4,
           latent: Tensor | None = None, mask: Tensor | None = None, sampler: str = "euler",
           **options) -> Tensor:  # fmt: skip
    """ComfyUI's own sampling. `options` are the sampler function's."""
    import comfy.sample
    import comfy.samplers

    return comfy.sample.sample_custom(
        model,
        noise,
        cfg,
        comfy.samplers.ksampler(sampler, options),
        sigmas,
        positive,
        negative,
        torch.zeros_like(noise) if latent is None else latent,
        noise_mask=mask,
        disable_pbar=True,
        seed=7,
    )


def sigmas_of(scheduler) -> Tensor:
    """ComfyUI's noise levels at a diffusers scheduler's time steps, and 0 at the end."""
    kept = scheduler.alphas_cumprod[scheduler.timesteps]
    return torch.cat([((1 - kept) / kept).sqrt(), torch.zeros(1)])


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


def run(name: str, model, x: Tensor, given: Given, steps: int, seed: int = 6) -> Tensor:
    """What the oracle's `run` does, by ComfyUI's samplers; the MODEL clips, or does not."""
    scheduler = SCHEDULERS[name](clip=False)
    scheduler.set_timesteps(steps)
    sigmas = sigmas_of(scheduler)
    # ComfyUI starts from sigma * noise, diffusers from noise of variance 1: the same x here.
    start = x * (1 + sigmas[0] ** 2).sqrt() / sigmas[0]
    options = {"sampler": "euler"}
    if name == "ddpm":
        generator = seeded(seed)

        def noise(sigma: Tensor, _: Tensor) -> Tensor:
            return torch.randn(x.shape, generator=generator).to(sigma.device)

        options = {"sampler": "ddpm", "noise_sampler": noise}
    prompts = conditioning(given.positive), conditioning(given.negative)
    return sample(model, start, *prompts, sigmas, cfg=given.cfg, **options)
