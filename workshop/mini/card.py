"""Write the model card of the exported files: what they are, what was measured, how to make them.

python -m pack.workshop.mini.card [FOLDER]
"""

import json
import subprocess
import sys
from pathlib import Path

from ...clip_drift.weight_files import read_header
from ..rig.paths import MODELS, REPO
from ..world.scenes import COLOURS, GROUNDS, HELD_OUT, SHAPES, SIZE
from .export import FILES
from .pairs import COUNT
from .runs import RUNS

TITLES = {
    "clip": "CLIP (open_clip's ModifiedResNet and text transformer)",
    "movq": "MoVQ",
    "unet": "decoder UNet",
    "prior": "prior",
}

HISTORY = """| part | steps × batch | seed | minutes |
|---|---|---|---|
| MoVQ | 3000 × 16 | 0 | 14 |
| CLIP | 4800 × 128 | 0 | 33 |
| prior | 8500 × 64 | 0 | 46 |
| decoder UNet | 11000 × 64, then 1100 × 64 | 0, then 1 | 107, then 33 |

Minutes are of wall time, on CPUs of two cores shared with other work.

These very weights were not made in one go. At commit b3acd90 the MoVQ, 3600 steps of
the CLIP, and on its embeddings 5000 of the UNet (its plan was 4000 steps long until step 2003 and
6000 until 2225) and 4000 of the prior. Then the CLIP went on with scenes that differ in shape
alone, and on its new embeddings the UNet to step 6400 and the prior to 5500. The UNet had a plan of
12400 steps until step 8113; at 7179 the two layers of it that take the embedding were rewritten as
of white embeddings, which changed nothing in what they computed, but from there on tilted shapes
were learnt, too. The prior has learnt by its error on white embeddings since step 5500, and without
colours that have no name since 7007. All that is at commit 478c4e0. From its weights the UNet went
on at commit 8e4c1a1, seeing small squares and stars more often:

    python -m pack.workshop.mini.begin models
    python -m pack.workshop.mini.train unet --steps 1100 --rate 4e-4 --seed 1

The commands of the whole training give weights of the same kind, not the same numbers.
"""

# Everything that weights depend on, beside the libraries.
MADE_BY = (
    *(f"workshop/world/{name}.py" for name in ("scenes", "captions", "vocabulary")),
    *(f"workshop/mini/{name}.py" for name in ("ddim", "pairs", "runs", "whitening")),
    ":(glob)workshop/mini/train*.py",
    ":(glob)workshop/mini/*_model.py",
    ":(glob)kandinsky22/*.py",
)


def write_card(folder: Path, runs: Path = RUNS) -> Path:
    """README.md in the folder of the exported files, from them, the runs and evaluation.json."""
    figures = json.loads((runs / "evaluation.json").read_text(encoding="utf-8"))
    path = folder / "README.md"
    path.write_text(_card(folder, figures), encoding="utf-8")
    return path


def _card(folder: Path, figures: dict[str, dict]) -> str:
    rows = []
    for part, file in FILES.items():
        rows.append(
            f"| {TITLES[part]} | `{file}` | {read_header(folder / file).parameters / 1e6:.2f} M "
            f"| {(folder / file).stat().st_size / 1e6:.1f} MB |"
        )
    measured = [
        f"| {part} | {name.replace('_', ' ')} | {value} |"
        for part, values in figures.items()
        for name, value in values.items()
    ]
    return f"""# Mini Kandinsky

A complete, tiny Kandinsky 2.2: CLIP, prior, decoder UNet and MoVQ, of the same classes and in the
same file layout as the real ones. It was trained from nothing on a toy world, and draws nothing
else: one {_listed(SHAPES)}
in {_listed(COLOURS)},
on {_listed(GROUNDS)},
{SIZE} × {SIZE} pixels, of any place, size and tilt. It is there to see the method work without a
download.

Captions are plain words, for instance "a small yellow star, tilted to the left, far right and near
the top on navy".

| model | file | parameters | size |
|---|---|---|---|
{chr(10).join(rows)}

Weights are fp16.

## Measured

On held-out scenes (seeds from {HELD_OUT} on, which no training step uses). Shape, colour and ground
are judged by a classifier that had no part in the training; centre, radius and turn are found by
segmenting the picture and given as fractions of its width. *decoder*: from the true embedding of a
held-out picture. *prior*: from a held-out caption, drawn by the decoder.

| part | figure | value |
|---|---|---|
{chr(10).join(measured)}

## Made by

    python -m pack.workshop.mini.train all
    python -m pack.workshop.mini.export
    python -m pack.workshop.mini.evaluate
    python -m pack.workshop.mini.card

at commit {_commit()}, the UNet and the prior on {COUNT} scenes. No data but the toy world's was
used.

{HISTORY}"""


def _listed(names) -> str:
    *rest, last = names
    return f"{', '.join(rest)} or {last}"


def _commit() -> str:
    """The last one that changed what the weights depend on."""
    command = ["git", "log", "-1", "--format=%h", "--", *MADE_BY]
    answer = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
    return answer.stdout.strip() or "unknown"


if __name__ == "__main__":
    print(write_card(Path(sys.argv[1]) if len(sys.argv) > 1 else MODELS))
