"""The decoder UNet: noise out of latents, told the CLIP embedding of the picture."""

from pathlib import Path

import torch
from torch import Tensor, nn

from ..world.scenes import HELD_OUT, SHAPES, SIZE, draw_scenes, render
from .clip_model import embed_all, trained_clip
from .ddim import TIMES, signal_power
from .movq_model import decode_all, trained_movq
from .pairs import make_pairs
from .runs import RUNS, Plan, fit, save_picture
from .unet_model import build_unet, draw_latents, learn_as_of_white
from .whitening import whitening_of

PLAN = Plan("unet", steps=11000, batch=64, rate=1e-3, warmup=200, average=0.999, look=500)
DROPPED = 0.1  # how often the embedding is that of an empty picture, for guidance
UNSURE = 0.05  # the most noise on an embedding, of its length: walks and the prior leave it too
HEAVIEST = 5.0
ALIKE = ("square", "star")  # small ones look much alike,
SMALL = 0.16  # up to this radius,
OFTEN = 3.0  # and are drawn so many times as often


def empty_embedding(clip: nn.Module) -> Tensor:
    """(E,) the embedding of a picture that is zero after normalisation: the official negative."""
    return embed_all(clip, torch.full((1, 3, SIZE, SIZE), 0.5))[0]


def whitening_for(embeddings: Tensor) -> Tensor:
    """(N, E) → (E, E), of embeddings as unsure as the UNet gets them."""
    return whitening_of(embeddings, UNSURE / 3**0.5 * embeddings.square().mean().sqrt().item())


def train(
    plan: Plan = PLAN, device: str = "cpu", runs: Path = RUNS, unfinished: bool = False
) -> nn.Module:
    pairs = make_pairs(runs, device, unfinished)
    latents, embeddings = pairs.latents.to(device), pairs.embeddings.to(device)
    clip, movq = trained_clip(runs), trained_movq(runs)
    empty = empty_embedding(clip).to(device)
    powers = signal_power()
    alike = torch.isin(pairs.scenes.shape, torch.tensor([SHAPES.index(name) for name in ALIKE]))
    often = torch.where(alike & (pairs.scenes.radius < SMALL), OFTEN, 1.0)
    torch.manual_seed(plan.seed)
    unet = learn_as_of_white(build_unet(), whitening_for(embeddings)).to(device)

    def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
        generator = torch.Generator().manual_seed(plan.seed_of(step))

        def uniform(*shape: int) -> Tensor:
            return torch.rand(shape, generator=generator).to(device)

        def normal(shape: torch.Size) -> Tensor:
            return torch.randn(shape, generator=generator).to(device)

        rows = torch.multinomial(often, plan.batch, True, generator=generator).to(device)
        given = embeddings[rows]
        blur = UNSURE * uniform(plan.batch, 1) * given.norm(dim=1, keepdim=True)
        given = given + blur * normal(given.shape) / given.shape[1] ** 0.5
        given = torch.where(uniform(plan.batch, 1) < DROPPED, empty, given)
        times = torch.randint(TIMES, (plan.batch,), generator=generator)
        power = powers[times].to(device)[:, None, None, None]
        eps = normal(latents[rows].shape)
        noisy = power.sqrt() * latents[rows] + (1 - power).sqrt() * eps
        error = (unet(noisy, times.to(device), given[:, None]) - eps).square().mean((1, 2, 3))
        # Where there is much noise, a small error of the noise is a large one of the picture.
        weight = ((1 - power) / power).flatten().clamp(0.5, HEAVIEST)
        return (weight * error).mean(), {"error": error.detach().mean()}

    def look(step: int, average: nn.Module, folder: Path) -> None:
        pictures = render(draw_scenes(16, HELD_OUT))
        given = embed_all(clip, pictures).to(device)
        drawn = draw_latents(average, given, empty, seed=1).cpu()
        picture = torch.cat((pictures, decode_all(movq, drawn)))
        save_picture(folder / f"step-{step:06}.png", picture, scale=4)

    return fit(plan, unet, loss_of, look, runs)
