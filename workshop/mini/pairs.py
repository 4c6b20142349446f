"""Scenes with their CLIP embeddings and MoVQ latents, made once for the UNet and the prior."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ...clip_drift.whole_file import whole_file
from ..world.scenes import Scenes, draw_scenes, render
from .clip_model import embed_all, trained_clip
from .movq_model import encode_all, trained_movq
from .runs import RUNS, folder_of, progress_of
from .train_movq import ENCODER_UNTIL

CHUNK = 2000
COUNT = 20_000
FIRST_SEED = 990_000_000  # beyond every run's own seeds, below HELD_OUT
BLENDS = 0.1


@dataclass
class Pairs:
    """N scenes; embeddings (N, E) not normalised, and latents (N, 4, 8, 8), float32."""

    scenes: Scenes
    embeddings: Tensor
    latents: Tensor

    def __len__(self) -> int:
        return len(self.scenes)


def make_pairs(runs: Path = RUNS, device: str = "cpu", unfinished: bool = False) -> Pairs:
    """All pairs; made in chunks, each of which is kept.

    Args:
        unfinished: take the CLIP as it is, though it still learns.

    Raises:
        SystemExit: the CLIP or the MoVQ's encoder is not finished, so their pairs would not fit
            the models in the end.
    """
    if not unfinished:
        _require_finished("clip", runs)
    _require_finished("movq", runs, ENCODER_UNTIL)
    clip, movq = trained_clip(runs).to(device), trained_movq(runs, average=False).to(device)
    folder = folder_of("pairs", runs)
    clip_step = progress_of("clip", runs)["step"]
    scenes, embeddings, latents = [], [], []
    for number in range(COUNT // CHUNK):
        drawn = draw_scenes(CHUNK, FIRST_SEED + number, BLENDS)
        scenes.append(drawn)
        pictures = partial(render, drawn.to(device))
        embeddings.append(
            _kept(
                folder / f"clip-{clip_step}-{number:03}.pt", lambda p=pictures: embed_all(clip, p())
            )
        )
        latents.append(
            _kept(folder / f"movq-{number:03}.pt", lambda p=pictures: encode_all(movq, p()))
        )
    joined = Scenes(**{n: torch.cat([getattr(s, n) for s in scenes]) for n in vars(scenes[0])})
    return Pairs(joined, torch.cat(embeddings).float(), torch.cat(latents).float())


def _require_finished(part: str, runs: Path, enough: int | None = None) -> None:
    done = progress_of(part, runs)
    needed = done["plan"]["steps"] if enough is None else min(enough, done["plan"]["steps"])
    if done["step"] < needed:
        raise SystemExit(f"{part} is at step {done['step']} of {needed}: train it first")


def _kept(path: Path, make: Callable[[], Tensor]) -> Tensor:
    """A tensor from its file, or made and kept there, in half precision."""
    if path.is_file():
        return torch.load(path, weights_only=True)
    made = make().half().cpu()
    with whole_file(path) as file:
        torch.save(made, file)
    print(f"pairs {path.name}", flush=True)
    return made
