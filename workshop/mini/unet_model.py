"""The toy world's decoder UNet: the pack's own class, small."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ...kandinsky22.unet import Unet
from .clip_model import EMBEDDING
from .ddim import draw
from .runs import RUNS, load_trained

HEAD_DIM = 32
SIZES = {
    "in_channels": 4,
    "out_channels": 4,
    "latent_channels": 4,
    "channels": (64, 128),
    "layers": (2, 2),
    "attends": (True, True),
    "time_dim": 256,
    "embed_dim": EMBEDDING,
    "tokens": 8,
    "token_dim": 64,
    "head_dim": HEAD_DIM,
}


def build_unet() -> nn.Module:
    return Unet(**SIZES)


class OfWhite(nn.Module):
    """Weights (O, E) of a linear layer, learnt as if its input were white.

    What is small in CLIP's space, a tilt beside a colour, would otherwise be learnt last.
    """

    def __init__(self, whitening: Tensor):
        super().__init__()
        self.register_buffer("whitening", whitening)

    def forward(self, weight: Tensor) -> Tensor:
        return weight @ self.whitening


def learn_as_of_white(unet: nn.Module, whitening: Tensor, learnt: bool = False) -> nn.Module:
    """Give the two layers that take the embedding weights of its whitened form, in place.

    Args:
        learnt: the UNet computes what it did before; otherwise its weights are the start of
            a new form.
    """
    for layer in _embedding_layers(unet):
        if learnt:
            layer.weight.data = torch.linalg.solve(whitening, layer.weight.data, left=False)
        parametrize.register_parametrization(layer, "weight", OfWhite(whitening))
    return unet


def _embedding_layers(unet: nn.Module) -> tuple[nn.Module, nn.Module]:
    return unet.add_embedding.image_proj, unet.encoder_hid_proj.image_embeds


def trained_unet(runs: Path = RUNS) -> nn.Module:
    """The UNet, its weights those of the embedding as it is."""
    unet = load_trained("unet", learn_as_of_white(build_unet(), torch.eye(EMBEDDING)), runs)
    for layer in _embedding_layers(unet):
        parametrize.remove_parametrizations(layer, "weight")
    return unet


def draw_latents(
    unet: nn.Module,
    embeddings: Tensor,
    negative: Tensor,
    *,
    steps: int = 25,
    cfg: float = 2.0,
    seed: int = 0,
    noise: Tensor | None = None,
    chunk: int = 64,
) -> Tensor:
    """Latents (B, 4, 8, 8) of embeddings (B, E), see `draw`; noise: None = from the seed."""
    if noise is None:
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(len(embeddings), 4, 8, 8, generator=generator)

    def noise_in(x: Tensor, times: Tensor, given: Tensor) -> Tensor:
        return unet(x, times, given[:, None])

    return draw(noise_in, embeddings, noise, negative, steps=steps, cfg=cfg, chunk=chunk)
