"""The decoder UNet: noise out of latents, told the CLIP embedding of the picture."""

from pathlib import Path

import torch
from clip_model import embed_all, trained_clip
from movq_model import decode_all, trained_movq
from pairs import make_pairs
from runs import RUNS, Plan, fit, save_picture
from torch import Tensor, nn
from unet_model import (
    TIMES,
    build_unet,
    draw_latents,
    learn_as_of_white,
    signal_power,
)
from whitening import whitening_of
from world import HELD_OUT, SIZE, draw_scenes, render

PLAN = Plan("unet", steps=11000, batch=64, rate=1e-3, warmup=200, average=0.999, look=500)
DROPPED = 0.1  # how often the embedding is that of an empty picture, for guidance
UNSURE = 0.1  # the most noise on an embedding, of its length: walks and the prior leave it too
HEAVIEST = 5.0


def empty_embedding(clip: nn.Module) -> Tensor:
    """(E,) the embedding of a picture that is zero after normalisation: the official negative."""
    return embed_all(clip, torch.full((1, 3, SIZE, SIZE), 0.5))[0]


def train(
    steps: int | None = None, device: str = "cpu", runs: Path = RUNS, unfinished: bool = False
) -> nn.Module:
    plan = PLAN.until(steps)
    pairs = make_pairs(runs, device, unfinished)
    latents, embeddings = pairs.latents.to(device), pairs.embeddings.to(device)
    clip, movq = trained_clip(runs), trained_movq(runs)
    empty = empty_embedding(clip).to(device)
    powers = signal_power()
    torch.manual_seed(plan.seed)
    unsure = UNSURE / 3**0.5 * embeddings.square().mean().sqrt().item()
    unet = learn_as_of_white(build_unet(), whitening_of(embeddings, unsure)).to(device)

    def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
        generator = torch.Generator().manual_seed(plan.seed_of(step))

        def uniform(*shape: int) -> Tensor:
            return torch.rand(shape, generator=generator).to(device)

        def normal(shape: torch.Size) -> Tensor:
            return torch.randn(shape, generator=generator).to(device)

        rows = torch.randint(len(latents), (plan.batch,), generator=generator).to(device)
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
