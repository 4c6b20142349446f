"""The small models' noise schedule, and DDIM along it."""

from collections.abc import Callable

import torch
from torch import Tensor

TIMES = 1000


def signal_power() -> Tensor:
    """(1000,) the signal's share of the power at each time, betas 0.00085 to 0.012 in a line."""
    betas = torch.linspace(0.00085, 0.012, TIMES, dtype=torch.float64)
    return (1 - betas).cumprod(0).float()


@torch.no_grad()
def draw(
    noise_in: Callable[[Tensor, Tensor, Tensor], Tensor],
    given: Tensor,
    noise: Tensor,
    negative: Tensor,
    *,
    steps: int,
    cfg: float,
    chunk: int = 64,
) -> Tensor:
    """DDIM with the prediction clipped to -1..1, as in the official pipeline. The same bits for the
    same input.

    Args:
        noise_in: noisy latents (B, 4, 8, 8), their times (B,) of 0..999 and what they are told
            (B, ...) → the noise that is seen in them.
        given: (F, ...); noise: (F, 4, 8, 8), or (1, 4, 8, 8) for all frames.
        negative: one of `given`, what guidance leads away from.
        steps: of 1000 times. cfg: guidance; 1 = none, and half the work.
        chunk: frames at once; it may change the last bits.

    Returns:
        (F, 4, 8, 8) latents.

    Reference: Song, Meng and Ermon, "Denoising diffusion implicit models", 2021.
    """
    noise = noise.to(given.device).expand(len(given), -1, -1, -1)
    pieces = zip(given.split(chunk), noise.split(chunk), strict=True)
    return torch.cat([_draw(noise_in, *piece, negative, steps, cfg) for piece in pieces])


def _draw(noise_in, given: Tensor, x: Tensor, negative: Tensor, steps: int, cfg: float) -> Tensor:
    powers = signal_power().to(x)
    times = torch.linspace(TIMES - 1, 0, steps).round().long().tolist()
    guided = cfg != 1
    if guided:
        given = torch.cat((negative.expand_as(given), given))
    for time, then in zip(times, [*times[1:], None], strict=True):
        inputs = torch.cat((x, x)) if guided else x
        eps = noise_in(inputs, torch.full((len(inputs),), float(time), device=x.device), given)
        if guided:
            without, with_it = eps.chunk(2)
            eps = without + cfg * (with_it - without)
        power = powers[time]
        clean = ((x - (1 - power).sqrt() * eps) / power.sqrt()).clamp(-1, 1)
        if then is None:
            return clean
        eps = (x - power.sqrt() * clean) / (1 - power).sqrt()
        x = powers[then].sqrt() * clean + (1 - powers[then]).sqrt() * eps
    raise AssertionError("the last step returns")
