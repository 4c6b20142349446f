"""Train Mini Kandinsky: a part, or everything in order. The same command goes on where it ended.

    python -m pack.workshop.mini.train clip|movq|unet|prior|classifier|small_sd|all
        [--steps N] [--rate R] [--seed S] [--device cpu|cuda]

State, logs and pictures are kept in .run/mini/<part>/.
"""

import argparse
from pathlib import Path

import torch

from . import (
    train_classifier,
    train_clip,
    train_movq,
    train_prior,
    train_small_sd,
    train_unet,
)
from .runs import RUNS

PARTS = {
    "classifier": train_classifier,
    "clip": train_clip,
    "movq": train_movq,
    "unet": train_unet,
    "prior": train_prior,
}
TRAINERS = PARTS | {"small_sd": train_small_sd}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("part", choices=[*TRAINERS, "all"])
    for name, kind in (("steps", int), ("rate", float), ("seed", int)):
        parser.add_argument(f"--{name}", type=kind, help="instead of that of the part's own plan")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--runs", type=Path, default=RUNS, help="where the state is kept")
    parser.add_argument(
        "--unfinished",
        action="store_true",
        help="let the UNet begin with a CLIP that still learns; start it again when that is done",
    )
    options = parser.parse_args(arguments)
    for part in PARTS if options.part == "all" else [options.part]:
        trainer = TRAINERS[part]
        more = {"unfinished": True} if part == "unet" and options.unfinished else {}
        plan = trainer.PLAN.but(steps=options.steps, rate=options.rate, seed=options.seed)
        trainer.train(plan, options.device, options.runs, **more)


if __name__ == "__main__":
    main()
