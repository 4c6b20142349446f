"""CLIP: pictures and captions of the toy world into one space, by InfoNCE."""

import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..world.captions import write_captions
from ..world.scenes import SHAPES, Scenes, draw_scenes, render
from .clip_model import build_clip, build_tokenizer, embed_pictures, text_states, trim
from .runs import RUNS, Plan, fit

PLAN = Plan("clip", steps=4800, batch=128, rate=1e-3, warmup=200, weight_decay=0.05, look=10**9)
HOTTEST = 30.0  # cap of the logit scale
GROUP = 4  # scenes that are much alike
_DEGREES = ("x", "y", "radius", "turn")
_VARYING = (*_DEGREES, "shape")


def roughen(pictures: Tensor, seed: int) -> Tensor:
    """Pictures as they come from files: softened, off in colour, noisy, each in its own measure.

    The CLIP must read a video's frames and a decoder's drawings as it reads the world's own.
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator).to(pictures.device)

    count = len(pictures)
    soft = functional.avg_pool2d(pictures, 3, 1, 1, count_include_pad=False)
    pictures = torch.lerp(pictures, soft, uniform(count, 1, 1, 1))
    pictures = pictures * (0.95 + 0.1 * uniform(count, 3, 1, 1))
    noise = torch.randn(pictures.shape, generator=generator).to(pictures.device)
    return (pictures + noise * 0.03 * uniform(count, 1, 1, 1)).clamp(0, 1)


def draw_alike(count: int, seed: int) -> Scenes:
    """Scenes of which three in four come in groups that differ in place, size, tilt or shape alone.

    Among scenes drawn at random, colour, ground and place nearly always tell a caption's picture,
    and the rest would hardly be learnt.
    """
    scenes = draw_scenes(count, seed, blends=0.1)
    generator = torch.Generator().manual_seed(seed + 1)
    grouped = count * 3 // 4 // GROUP * GROUP
    first = torch.arange(count)
    first[:grouped] = first[:grouped] // GROUP * GROUP
    weights = torch.tensor([1.0, 1.0, 1.0, 2.0, 2.0])  # tilt and shape are the hardest to see
    varying = torch.multinomial(weights, count, replacement=True, generator=generator)[first]
    circle = scenes.shape[first] == SHAPES.index("circle")
    varying = torch.where(circle & (varying == _DEGREES.index("turn")), 0, varying)
    changes = {name: getattr(scenes, name)[first] for name in ("colour", "ground", "rgb")}
    one_shape = varying != _VARYING.index("shape")
    changes["shape"] = torch.where(one_shape, scenes.shape[first], scenes.shape)
    for number, name in enumerate(_DEGREES):
        shared = (torch.rand(count, generator=generator)[first] < 0.75) & (varying != number)
        values = getattr(scenes, name)
        changes[name] = torch.where(shared, values[first], values)
    return scenes.but(**changes)


def train(plan: Plan = PLAN, device: str = "cpu", runs: Path = RUNS) -> nn.Module:
    torch.manual_seed(plan.seed)
    clip = build_clip().to(device)
    tokenize = build_tokenizer(runs)

    def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
        seed = plan.seed_of(step)
        scenes = draw_alike(plan.batch, seed)
        softness = 0.7 + 1.3 * (step * 0.618 % 1)
        pictures = roughen(render(scenes.to(device), softness=softness), seed)
        tokens = tokenize(write_captions(scenes, seed, complete=0.8)).to(device)
        image = functional.normalize(embed_pictures(clip, pictures), dim=-1)
        text = functional.normalize(text_states(clip, trim(tokens))[1], dim=-1)
        with torch.no_grad():
            clip.logit_scale.clamp_(max=math.log(HOTTEST))
        logits = clip.logit_scale.exp() * image @ text.T
        answers = torch.arange(plan.batch, device=device)
        loss = functional.cross_entropy(logits, answers) + functional.cross_entropy(
            logits.T, answers
        )
        right = (logits.argmax(1) == answers).float().mean()
        return loss / 2, {"right": right, "scale": clip.logit_scale.detach().exp()}

    return fit(plan, clip, loss_of, runs=runs)
