"""Does weighing the directions of motion beat cutting them off? A question to `follow`.

    python -m pack.workshop.bench.weighting [FOLDER]

`follow` takes whole as many principal directions as explain enough of the motion, and nothing of
the rest. Here direction j gets the weight λ_j / (λ_j + p) instead, λ_j its share of the variance,
as in ridge regression. On the pairs that the cut was chosen on, never on a table's.
"""

import argparse
import json
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ...clip_drift.sphere import unit
from ..mini.classifier import shipped_classifier
from ..mini.exported import load_mini
from ..rig.paths import MODELS
from ..world.motions import MOTIONS
from .results import Results
from .semantics import Making, Row, draw, motion_of, one_noise, run, walk, weights_digest
from .trials import SEED, Trial, make_trials

RESULTS = Path(__file__).resolve().parent / "weighting.json"
TUNING = SEED + 20_000_000
PAIRS = 3
"""A motion."""


def weighted(p: float) -> Making:
    """`follow` at g = 1 with λ / (λ + p) in place of the cut."""

    def make(trial: Trial, start: Tensor) -> Tensor:
        points = motion_of(trial).points.to(start)
        _, spread, directions = torch.linalg.svd(points - points.mean(0), full_matrices=False)
        share = spread.square() / spread.square().sum()
        length, here = start.norm(dim=-1, keepdim=True), unit(start)
        step = (points - here) @ directions.mT * (share / (share + p)) @ directions
        return length * unit(here + step)

    return make


def rows() -> list[Row]:
    def row(name: str, making: Making) -> Row:
        return Row("walk", name, None, making, one_noise, ("unsaid",))

    return [
        row("`follow`, the cut", walk("follow", 1.0)),
        *(row(f"weights, p = {p}", weighted(p)) for p in (0.01, 0.03, 0.1, 0.3)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=MODELS)
    options = parser.parse_args()
    mini, chosen = load_mini(options.folder), rows()
    about = {"weights": weights_digest(options.folder), "seed": TUNING, "clips_a_motion": PAIRS}
    results = Results(RESULTS, about, [(row.name, row.strength) for row in chosen], saving=True)
    trials = make_trials(mini, list(MOTIONS), PAIRS, TUNING)
    found = run(shipped_classifier(), trials, chosen, partial(draw, mini), results)
    shown = (
        "path: r",
        "path: reach",
        "path: kept",
        "size: r",
        "tilt: r",
        "colour: r",
        "size: kept",
    )
    for row in found:
        print(row["name"], json.dumps({key: row["unsaid"][key] for key in shown}))


if __name__ == "__main__":
    main()
