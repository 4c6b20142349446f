"""Begin runs with exported weights instead of with nothing; `train.py` then goes on from there.

    python -m pack.workshop.mini.begin FOLDER [PART ...]

The state of every named part (all of them without names) is written as one that has learnt no
step yet, so a plan's learning rate starts anew.
"""

import argparse
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file

from .clip_model import build_clip
from .export import FILES
from .movq_model import build_movq
from .pairs import make_pairs
from .prior_model import build_prior
from .runs import RUNS, Plan, state_file
from .train_unet import whitening_for
from .unet_model import build_unet, learn_as_of_white

# The UNet after those whose pairs it learns from.
BUILDERS = {"clip": build_clip, "movq": build_movq, "unet": build_unet, "prior": build_prior}


def begin(part: str, folder: Path, runs: Path = RUNS) -> Path:
    """Write a part's state from its exported file.

    Raises:
        SystemExit: the part has a run already, which would be lost.
    """
    path = state_file(part, runs)
    if path.is_file():
        raise SystemExit(f"{part}: {path} is there already; move it away to begin anew")
    module = BUILDERS[part]()
    weights = {name: value.float() for name, value in load_file(folder / FILES[part]).items()}
    module.load_state_dict(weights)
    if part == "unet":
        learn_as_of_white(module, whitening_for(make_pairs(runs).embeddings), learnt=True)
    nothing_planned = Plan(part, steps=0, batch=0, rate=0.0)
    state = {"step": 0, "seconds": 0.0, "plan": asdict(nothing_planned), "optimiser": {}}
    torch.save(state | {"module": module.state_dict(), "average": module.state_dict()}, path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="of exported files, as the pack's models")
    parser.add_argument("parts", nargs="*", metavar="PART", choices=[[], *BUILDERS])
    options = parser.parse_args()
    for part in options.parts or BUILDERS:
        print(begin(part, options.folder))


if __name__ == "__main__":
    main()
