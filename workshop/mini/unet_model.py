"""The toy world's decoder UNet: the pack's own class, small; its schedule, and a sampler."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ...kandinsky22.unet import Unet
from .clip_model import EMBEDDING
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
TIMES = 1000


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


def signal_power() -> Tensor:
    """(1000,) the signal's share of the power at each time, betas 0.00085 to 0.012 in a line."""
    betas = torch.linspace(0.00085, 0.012, TIMES, dtype=torch.float64)
    return (1 - betas).cumprod(0).float()


@torch.no_grad()
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
    """DDIM with the prediction clipped to -1..1, as in the official pipeline.

    Args:
        embeddings: (B, E); negative: (E,), what guidance leads away from.
        noise: (B, 4, 8, 8) to start from; None = from the seed.

    Returns:
        (B, 4, 8, 8).
    """
    device = embeddings.device
    if noise is None:
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(len(embeddings), 4, 8, 8, generator=generator)
    return torch.cat(
        [
            _draw(unet, part, negative, start.to(device), steps, cfg)
            for part, start in zip(embeddings.split(chunk), noise.split(chunk), strict=True)
        ]
    )


def _draw(
    unet: nn.Module, embeddings: Tensor, negative: Tensor, x: Tensor, steps: int, cfg: float
) -> Tensor:
    powers = signal_power().to(x.device)
    times = torch.linspace(TIMES - 1, 0, steps).round().long().tolist()
    given = torch.cat((negative.expand_as(embeddings), embeddings)) if cfg != 1 else embeddings
    for time, then in zip(times, [*times[1:], None], strict=True):
        power = powers[time]
        inputs = torch.cat((x, x)) if cfg != 1 else x
        eps = unet(inputs, torch.full((len(inputs),), float(time), device=x.device), given[:, None])
        if cfg != 1:
            without, with_it = eps.chunk(2)
            eps = without + cfg * (with_it - without)
        clean = ((x - (1 - power).sqrt() * eps) / power.sqrt()).clamp(-1, 1)
        if then is None:
            return clean
        eps = (x - power.sqrt() * clean) / (1 - power).sqrt()
        x = powers[then].sqrt() * clean + (1 - powers[then]).sqrt() * eps
    raise AssertionError("the last step returns")
