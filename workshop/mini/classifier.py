"""A small judge of shape, colour and ground: trained by itself, for measuring only."""

import itertools
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ..world.scenes import COLOURS, GROUNDS, SHAPES
from .runs import RUNS, load_trained

SHIPPED = Path(__file__).resolve().parent / "judge.safetensors"


class Classifier(nn.Module):
    """(B, 3, 64, 64) in 0..1 → logits of SHAPES, COLOURS and GROUNDS."""

    def __init__(self):
        super().__init__()
        widths = (3, 16, 32, 64, 64)
        layers = []
        for fan_in, fan_out in itertools.pairwise(widths):
            layers += [nn.Conv2d(fan_in, fan_out, 3, 2, 1), nn.GroupNorm(8, fan_out), nn.SiLU()]
        self.tower = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 16, 128), nn.SiLU())
        self.heads = nn.ModuleList(nn.Linear(128, len(names)) for names in _QUESTIONS)

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        seen = self.tower(pictures * 2 - 1)
        return tuple(head(seen) for head in self.heads)

    @torch.no_grad()
    def judge(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """(B,) indices of the shape, of the colour and of the ground."""
        return tuple(logits.argmax(1) for logits in self(pictures))


_QUESTIONS = (SHAPES, COLOURS, GROUNDS)


def trained_classifier(runs: Path = RUNS) -> Classifier:
    return load_trained("classifier", Classifier(), runs)


def shipped_classifier() -> Classifier:
    """The one that the figures in docs/figures.md were judged by."""
    judge = Classifier()
    weights = {name: value.float() for name, value in load_file(SHIPPED).items()}
    judge.load_state_dict(weights)
    return judge.train(False).requires_grad_(False)
