"""MoVQ: pictures of the toy world to latents within -1..1, and back, crisp.

The first part of the plan learns on windows of 32 pixels that hold some of a shape's rim, a quarter
of the work of a whole picture and more to learn from; the rest on whole pictures. The encoder is
finished early, so that the UNet can begin while the decoder still learns.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from ..world.scenes import HELD_OUT, SIZE, Scenes, draw_scenes, render
from .movq_model import build_movq, decode_all, encode_all, to_pixels
from .runs import RUNS, Plan, fit, save_picture

PLAN = Plan("movq", steps=3000, batch=16, rate=2e-3, warmup=200, average=0.995, look=250)
WINDOW = 32
WINDOWS_UNTIL = 0.8  # of the plan
ENCODER_UNTIL = 1000  # steps
BATCH_WHOLE = 8

LATENT_NOISE = 0.05  # the decoder has to bear what a UNet leaves
LATENT_LIMIT = 0.95  # the sampler clips its predictions to -1..1


def windows(pictures: Tensor, scenes: Scenes, seed: int) -> Tensor:
    """A window of each picture near the shape's rim, whole cells of the latent or not."""
    generator = torch.Generator().manual_seed(seed)
    count = len(scenes)
    angle = torch.rand(count, generator=generator) * 2 * torch.pi
    reach = scenes.radius.cpu() * torch.rand(count, generator=generator) * 1.6
    centres = torch.stack((scenes.x.cpu(), scenes.y.cpu())) + reach * torch.stack(
        (angle.cos(), angle.sin())
    )
    corners = (centres * SIZE - WINDOW / 2).round().long().clamp(0, SIZE - WINDOW).tolist()
    return torch.stack(
        [
            picture[:, top : top + WINDOW, left : left + WINDOW]
            for picture, left, top in zip(pictures, *corners, strict=True)
        ]
    )


def difference(drawn: Tensor, true: Tensor) -> Tensor:
    """Mean absolute error of the pixels and, for crisp rims, of their slopes."""
    error = drawn - true
    slopes = error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
    return error.abs().mean() + slopes


def train(plan: Plan = PLAN, device: str = "cpu", runs: Path = RUNS) -> nn.Module:
    torch.manual_seed(plan.seed)
    movq = build_movq().to(device)
    movq.quantize.requires_grad_(False)

    def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
        seed = plan.seed_of(step)
        generator = torch.Generator().manual_seed(seed)
        whole = step >= WINDOWS_UNTIL * plan.steps
        count = BATCH_WHOLE if whole else plan.batch
        scenes = draw_scenes(count, seed, blends=0.2)
        pictures = render(scenes.to(device))
        if not whole:
            pictures = windows(pictures, scenes, seed)
        pixels = to_pixels(pictures)
        for part in (movq.encoder, movq.quant_conv):
            part.requires_grad_(step < ENCODER_UNTIL)
        latent = movq.encode(pixels)
        noise = torch.randn(latent.shape, generator=generator).to(device)
        strength = LATENT_NOISE * torch.rand(count, 1, 1, 1, generator=generator).to(device)
        drawn = movq.decode(latent + strength * noise)
        error = difference(drawn, pixels)
        beyond = (latent.abs() - LATENT_LIMIT).relu().square().mean()
        with torch.no_grad():
            figures = {"error": error * 1, "beyond": beyond * 1, "spread": latent.std()}
        return error + 10 * beyond, figures

    return fit(plan, movq, loss_of, look, runs)


def look(step: int, movq: nn.Module, folder: Path) -> None:
    pictures = render(draw_scenes(16, HELD_OUT)).to(next(movq.parameters()).device)
    drawn = decode_all(movq, encode_all(movq, pictures))
    save_picture(folder / f"step-{step:06}.png", torch.cat((pictures, drawn)), scale=4)
