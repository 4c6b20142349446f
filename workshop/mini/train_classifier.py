"""The classifier: shape, colour and ground of pictures as rough as drawn ones may be."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..world.scenes import draw_scenes, render
from .classifier import Classifier
from .runs import RUNS, Plan, fit
from .train_clip import roughen

PLAN = Plan("classifier", steps=3000, batch=64, rate=2e-3, average=0.99, look=10**9)


def train(plan: Plan = PLAN, device: str = "cpu", runs: Path = RUNS) -> nn.Module:
    torch.manual_seed(plan.seed)
    classifier = Classifier().to(device)

    def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
        seed = plan.seed_of(step)
        scenes = draw_scenes(plan.batch, seed).to(device)
        pictures = roughen(render(scenes, softness=0.7 + 1.3 * (step * 0.618 % 1)), seed)
        answers = scenes.shape, scenes.colour, scenes.ground
        guesses = classifier(pictures)
        loss = sum(map(cross_entropy, guesses, answers))
        right = [
            (guess.argmax(1) == answer).float().mean()
            for guess, answer in zip(guesses, answers, strict=True)
        ]
        return loss, dict(zip(("shape", "colour", "ground"), right, strict=True))

    return fit(plan, classifier, loss_of, runs=runs)
