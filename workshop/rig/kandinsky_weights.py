"""Small Kandinsky 2.2 models of random weights, in the hub's own files and names.

The architecture is the real one, only narrower, so that every loader and node is tested offline.
Without a path nothing is written.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ...kandinsky22.movq import Movq
from ...kandinsky22.prior import Prior
from ...kandinsky22.unet import Unet

SMALL_UNET = {
    "out_channels": 8,
    "latent_channels": 4,
    "channels": (32, 64, 64, 128),
    "layers": (1, 1, 1, 1),
    "attends": (False, True, True, True),
    "time_dim": 128,
    "tokens": 32,
    "token_dim": 32,
    "head_dim": 64,
}
"""Head width and norm groups are the official ones, so no .json is needed beside the weights."""


def small_unet(
    path: Path | None = None, *, in_channels: int = 4, embed_dim: int = 1280
) -> dict[str, Tensor]:
    """Write a decoder's UNet of 2.5 M parameters; 9 channels in are the inpainting decoder's.

    Returns:
        The weights.
    """
    unet = Unet(in_channels=in_channels, embed_dim=embed_dim, **SMALL_UNET)
    return _save(randomise(unet), path)


SMALL_MOVQ = {
    "channels": (32, 32, 64, 64),
    "layers": 1,
    "attends": (False, False, False, True),
    "codes": 64,
}


def small_movq(path: Path | None = None, **sizes) -> dict[str, Tensor]:
    """Write a MoVQ of 1.1 M parameters; sizes are `Movq`'s arguments that are to differ.

    Returns:
        The weights.
    """
    movq = randomise(Movq(**{**SMALL_MOVQ, **sizes}))
    with torch.no_grad():  # most decoded pixels lie in -1..1
        movq.decoder.conv_out.weight.mul_(0.4)
    return _save(movq, path)


SMALL_PRIOR = {"width": 128, "heads": 2, "layers": 2, "hidden": 512}
"""Head width is the official one."""


def small_prior(path: Path | None = None, **sizes) -> dict[str, Tensor]:
    """Write a prior of 1.2 M parameters; sizes are `Prior`'s arguments that are to differ.

    Returns:
        The weights.
    """
    prior = randomise(Prior(**{**SMALL_PRIOR, **sizes}))
    generator = torch.Generator().manual_seed(23)
    with torch.no_grad():
        for bare in (prior.positional_embedding, prior.prd_embedding):
            bare.normal_(std=0.3, generator=generator)
        prior.clip_mean.normal_(std=0.3, generator=generator)
        prior.clip_std.uniform_(0.3, 0.5, generator=generator)
    return _save(prior, path)


def randomise(model: nn.Module, seed: int = 22) -> nn.Module:
    """Fill a model's own weights: normal, such that a layer keeps its signal's strength; norms and
    biases off their defaults, so that a forgotten one shows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if weight.ndim > 1:
                weight.copy_(noise / weight[0].numel() ** 0.5)
            else:
                weight.copy_(0.1 * noise + name.endswith("weight"))
    return model


def _save(model: nn.Module, path: Path | None) -> dict[str, Tensor]:
    weights = model.state_dict()
    if path is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        save_file(weights, path)
    return weights
