"""Which carrier: the neutral phrase behind a prompt whose words alone may move.

A carrier says what kind of thing may change. The wrong kind cannot carry a motion: moved as far
as it goes, its words bring the text vector hardly any nearer to the targets. That shows before
anything is drawn, and within a few steps. In the toy world, for paths of prompts that say no
place, the share of the way after 10 steps is 0.78 for "in the middle", 0.74 for "at the centre",
0.21 for "on the left" and 0.05 for "upright"; several joined reach further, "halfway across and at
middle height" 0.86. It does not tell kinds apart that hardly move the vector: for clips that tilt
or change colour, all of them stay below 0.3 there, and the winner means little.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import DriftError
from .inversion import KEEP, invert
from .tower import TextTower

CARRIERS = {
    "place": ("in the middle", "halfway across and at middle height"),
    "size": ("medium-sized",),
    "distance": ("at middle distance",),
    "view": ("seen from the front",),
    "tilt": ("upright",),
    "pose": ("standing still",),
    "movement": ("at rest",),
    "light": ("in soft light",),
    "time of day": ("at noon",),
    "weather": ("in clear weather",),
    "season": ("in summer",),
    "expression": ("with a calm face",),
    "colour": ("in soft colours",),
}
"""Group of the bank → neutral phrases of its kind."""

FRAMES = 4
STEPS = 10


class Candidate(NamedTuple):
    """A prompt with a carrier behind it.

    Attributes:
        embeddings: (1, T, W) input embeddings up to the end token.
        free: (T,) 1 at the carrier's tokens.
    """

    embeddings: Tensor
    free: Tensor


def carrier_scores(
    tower: TextTower,
    candidates: Sequence[Candidate],
    walk: Callable[[Tensor], Tensor],
    *,
    frames: int = FRAMES,
    steps: int = STEPS,
    keep: float = KEEP,
) -> Tensor:
    """How far each carrier's words bring a prompt towards the motion's frames in a few steps.

    Args:
        candidates: prompts to compare.
        walk: from a prompt's text vector (1, N) to its targets (F, N).
        frames: of the motion that are tried, spread evenly, the first left out.
        steps, keep: as in `invert`.

    Returns:
        (candidates,) mean share of the way reached, as `Moved.reached`; 1 is all of it.
    """
    if not candidates:
        raise DriftError("there is no carrier to choose from: name one.")
    scores = []
    for embeddings, free in candidates:
        with torch.no_grad():
            start = tower.text_vector(embeddings, embeddings.shape[1] - 1)
        targets = walk(start)
        some = torch.linspace(len(targets) - 1, 0, min(frames, len(targets) - 1) + 1)
        moved = invert(
            tower, embeddings, targets[some.round().long()[:-1]], free, steps=steps, keep=keep
        )
        scores.append(moved.reached.mean())
    return torch.stack(scores).cpu()


def choose_carrier(
    tower: TextTower,
    candidates: Sequence[Candidate],
    walk: Callable[[Tensor], Tensor],
    **options,
) -> int:
    """The index of the candidate with the best of `carrier_scores`; the first of equals."""
    return int(carrier_scores(tower, candidates, walk, **options).argmax())
