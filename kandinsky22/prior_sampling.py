"""Drawing an image embedding from the prior: ancestral sampling of the clean embedding.

The schedule is the cosine one over 1000 times. From time t to an earlier s, with ā the share of
the signal's power, b = 1 - ā_t/ā_s and the clean embedding x̂ as predicted and clipped::

    x_s = √ā_s·b/(1 - ā_t)·x̂ + √(ā_t/ā_s)·(1 - ā_s)/(1 - ā_t)·x_t + √((1 - ā_s)/(1 - ā_t)·b)·noise
"""

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from ..clip_drift.text import TextStates
from .prior import Prior

TIMES = 1000
CLIP = 10.0
"""What a normalised embedding stays within."""

MAX_BETA = 0.999
SMALLEST_VARIANCE = 1e-20


class Step(NamedTuple):
    """From one time to the next: x = clean·x̂ + kept·x + noise·ε."""

    time: int
    clean: float
    kept: float
    noise: float


@cache
def signal_power() -> tuple[float, ...]:
    """ā at each of the 1000 times: x_t = √ā·x_0 + √(1 - ā)·ε."""

    def cosine(share: float) -> float:
        return math.cos((share + 0.008) / 1.008 * math.pi / 2) ** 2

    powers, power = [], 1.0
    for time in range(TIMES):
        beta = min(1 - cosine((time + 1) / TIMES) / cosine(time / TIMES), MAX_BETA)
        power *= 1 - beta
        powers.append(power)
    return tuple(powers)


def schedule(steps: int) -> list[Step]:
    """The steps from the last time to the first, evenly apart, and from there to the result."""
    times = [round(i * (TIMES - 1) / max(steps - 1, 1)) for i in range(steps)][::-1]
    if steps == 1:
        times = [TIMES - 1]
    powers = signal_power()
    result = []
    for time, earlier in zip(times, [*times[1:], None], strict=True):
        now = powers[time]
        then = 1.0 if earlier is None else powers[earlier]
        fresh = 1 - now / then
        variance = (1 - then) / (1 - now) * fresh
        result.append(
            Step(
                time,
                clean=math.sqrt(then) * fresh / (1 - now),
                kept=math.sqrt(now / then) * (1 - then) / (1 - now),
                noise=0.0 if earlier is None else math.sqrt(max(variance, SMALLEST_VARIANCE)),
            )
        )
    return result


@torch.no_grad()
def sample_prior(
    prior: Prior,
    text: TextStates,
    negative: TextStates | None = None,
    *,
    steps: int = 25,
    cfg: float = 4.0,
    seed: int = 0,
    on_step: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Draw the image embeddings of texts.

    Args:
        prior: on the device and in the type of the texts' tensors, or casting by itself.
        text: what the pictures show.
        negative: what they do not show, as many or one; may be left out where cfg is 1.
        steps: how many predictions, 1 to 1000.
        cfg: how far each prediction goes from the negative text's to the text's; 1 is there.
        seed: of the noise, which is drawn on the CPU and so is the same on each device.
        on_step: called after each step with how many are done of how many; may raise.

    Returns:
        (B, embedding) float32 as CLIP's image tower would give them, on the texts' device.
    """
    device, dtype = text.states.device, text.states.dtype
    generator = torch.Generator("cpu").manual_seed(seed)
    count = len(text.states)

    def noise() -> Tensor:
        return torch.randn(count, prior.embedding, generator=generator).to(device)

    guided = False
    if negative is not None and cfg != 1.0:
        guided = True
        text = TextStates(
            *(torch.cat((no.expand_as(yes), yes)) for no, yes in zip(negative, text, strict=True))
        )
    x = noise()
    plan = schedule(steps)
    for done, step in enumerate(plan, start=1):
        time = torch.tensor(step.time, device=device)
        clean = prior(torch.cat((x, x) if guided else (x,)).to(dtype), time, *text).float()
        if guided:
            without, with_text = clean.chunk(2)
            clean = without + cfg * (with_text - without)
        x = step.clean * clean.clamp(-CLIP, CLIP) + step.kept * x
        if step.noise:
            x = x + step.noise * noise()
        if on_step:
            on_step(done, steps)
    return prior.denormalise(x)
