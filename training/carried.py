"""Does motion carry over? Walks of held-out clips, applied to held-out pictures' embeddings.

`paths` says how the centre, size and turn of walked embeddings follow the clip's, read off the
embeddings by a regression or off drawn pictures by segmenting them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from motions import MOTIONS, draw_clip
from torch import Tensor
from torch.nn import functional
from world import CENTRE, HELD_OUT, RADIUS, TURN, Scenes, draw_scenes, render

PAIRS_SEED = HELD_OUT + 50_000_000


@dataclass
class Trial:
    """A clip and a picture that shares neither its shape nor its colour.

    Attributes:
        clip: F scenes; still: one scene.
        drift: (F, E) embeddings of the clip's frames, as CLIP gives them.
        start: (E,) the embedding that is to be moved.
    """

    clip: Scenes
    still: Scenes
    drift: Tensor
    start: Tensor


def make_trials(
    motion: str,
    count: int,
    embed: Callable[[Tensor], Tensor],
    start: Callable[[Scenes], Tensor] | None = None,
    aligned: bool = True,
) -> list[Trial]:
    """Pairs of a clip and a picture to be moved; the same ones each time.

    Args:
        embed: pictures (B, 3, 64, 64) → (B, E).
        start: scenes → (B, E); None = their pictures' embeddings.
        aligned: the picture begins where the clip begins, in what the clip changes; else in the
            middle of the picture.
    """
    trials = []
    for number in range(count):
        clip = draw_clip(motion, PAIRS_SEED + 100 * number)
        still = _unlike(clip, PAIRS_SEED + 100 * number + 50)
        if aligned:
            changes = [name for name in MOTIONS[motion] if name != "rgb"]
            still = still.but(**{name: getattr(clip, name)[:1] for name in changes})
        moved = embed(render(still))[0] if start is None else start(still)[0]
        trials.append(Trial(clip, still, embed(render(clip)), moved))
    return trials


def _unlike(clip: Scenes, seed: int) -> Scenes:
    """A scene of another shape and another colour, near the middle so that there is room."""
    while True:
        scene = draw_scenes(1, seed)
        if scene.shape != clip.shape[:1] and scene.colour != clip.colour[:1]:
            middle = torch.full((1,), 0.5)
            return scene.but(x=middle, y=middle)
        seed += 1


def correlation(a: Tensor, b: Tensor) -> float:
    """Pearson's, NaN where one of the two does not vary or is not there."""
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / (a.norm() * b.norm()))


class Reader(torch.nn.Module):
    """Reads x, y, radius and turn off embeddings: a regression, for looks at CLIP alone."""

    names = ("x", "y", "radius", "turn")

    def __init__(self, width: int):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(width, 256), torch.nn.GELU(), torch.nn.Linear(256, len(self.names))
        )

    def forward(self, embeddings: Tensor) -> Tensor:
        return self.layers(functional.normalize(embeddings, dim=-1) * embeddings.shape[-1] ** 0.5)

    def read(self, embeddings: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            values = self(embeddings.float()).unbind(-1)
        return dict(zip(self.names, values, strict=True))


def fit_reader(embeddings: Tensor, scenes: Scenes, steps: int = 600) -> Reader:
    """Trained on embeddings (N, E) of scenes; the numbers it reads are scaled to about -1..1."""
    torch.manual_seed(0)
    reader = Reader(embeddings.shape[1])
    answers = scaled(scenes)
    weight = torch.ones_like(answers)
    weight[:, 3] = scenes.shape != 0  # a circle's turn cannot be seen
    optimiser = torch.optim.AdamW(reader.parameters(), 3e-3)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 3e-3 * (1 - step / steps)
        rows = torch.randint(len(embeddings), (256,))
        error = (reader(embeddings[rows]) - answers[rows]) * weight[rows]
        optimiser.zero_grad()
        error.square().mean().backward()
        optimiser.step()
    return reader.train(False)


def scaled(scenes: Scenes) -> Tensor:
    """(B, 4) x, y, radius and turn, each -1..1 over its range."""
    limits = (CENTRE, CENTRE, RADIUS, TURN)
    values = (scenes.x, scenes.y, scenes.radius, scenes.turn)
    return torch.stack(
        [2 * (v - low) / (high - low) - 1 for v, (low, high) in zip(values, limits, strict=True)], 1
    )
