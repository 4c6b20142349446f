"""The semantic bench: which walk makes a drawn shape move as the clip's shape does?

    python -m pack.workshop.bench.semantics [FOLDER] [--clips N] [--save] [--only TEXT]

Every row draws the same prompts: each begins where its clip begins, and shares neither shape nor
colour with it. Shape and colour are judged by a classifier that had no part in the training; place,
size, tilt and colour's way are found by segmenting the pictures. --save writes what was measured
to semantics.json beside this file, and its table into the README.
"""

import argparse
import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ...clip_drift import walks
from ...clip_drift.noise import walk_noise
from ...clip_drift.sequence import RotationSequence
from ...clip_drift.sphere import geodesic, unit
from ..mini.classifier import Classifier, shipped_classifier
from ..mini.export import FILES
from ..mini.exported import Mini, load_mini
from ..mini.runs import RUNS, save_picture
from ..rig.paths import MODELS
from ..world.motions import MOTIONS
from ..world.scenes import SIZE, Measures, measure, render
from .semantics_table import write_readme
from .trials import Trial, make_trials

RESULTS = Path(__file__).resolve().parent / "semantics.json"
STEPS, CFG = 10, 2.0  # guided as the first workflow's frames are
SHOWN = slice(None, None, 2)  # the frames that are drawn: neighbours tell little more

PATHS = ("across", "down", "diagonal", "round", "swing")
ASPECTS = {
    "path": PATHS,
    "size": ("grow",),
    "tilt": ("tilt",),
    "colour": ("recolour",),
    "path and size": ("approach",),
}
"""What is asked, and the motions that tell."""

Making = Callable[[Trial], Tensor]


@dataclass(frozen=True)
class Row:
    """One way of making frames.

    Attributes:
        kind: "walk", "noise walk" or "control".
        embeddings: trial → (F, E); noises: trial → (F, 4, h, w).
    """

    kind: str
    name: str
    strength: float | None
    embeddings: Making
    noises: Making


def still(trial: Trial) -> Tensor:
    return trial.start.expand(len(trial.clip), -1)


def one_noise(trial: Trial) -> Tensor:
    return noise_walk(None)(trial)


def noise_walk(method: str | None, g: float = 1.0) -> Making:
    """Rotate Latent Noise; without a method, the first frame's noise for all."""

    def make(trial: Trial) -> Tensor:
        sequence = RotationSequence.from_trajectory(trial.drift, centered=False)
        shape = (4, SIZE // 8, SIZE // 8)
        return walk_noise(trial.seed, shape, sequence, method or "correlate", g if method else 0.0)

    return make


def walk(method: str, g: float, pairing: str, centered: bool, shuffled: bool = False) -> Making:
    """Rotate Conditioning; shuffled: along the clip's frames in another order, from its first."""

    def make(trial: Trial) -> Tensor:
        sequence = RotationSequence.from_trajectory(trial.drift, pairing, centered)
        if shuffled:
            generator = torch.Generator().manual_seed(trial.seed)
            order = torch.randperm(len(sequence), generator=generator)
            sequence = replace(sequence, points=sequence.points[order])
        return walks.walk(trial.start[None], sequence, method, g)[:, 0]

    return make


def towards_clip(share: float) -> Making:
    """Each frame's own embedding mixed into the prompt's, as image prompts are."""

    def make(trial: Trial) -> Tensor:
        return torch.lerp(trial.start, trial.drift, share)

    return make


def prompt_to_prompt(spherical: bool) -> Making:
    """From the first frame's caption to the last one's, evenly; the clip is not looked at."""

    def make(trial: Trial) -> Tensor:
        first, last = trial.told[:1], trial.told[-1:]
        share = torch.linspace(0, 1, len(trial.clip))[:, None]
        if not spherical:
            return torch.lerp(first, last, share)
        length = torch.lerp(first.norm(), last.norm(), share)
        return length * geodesic(unit(first), unit(last), share)

    return make


def rows() -> list[Row]:
    """All of the table's rows."""

    def by_walk(method: str, g: float, pairing: str = "from_first", centered: bool = False) -> Row:
        name = f"`{method}`" + (", neighbours" if pairing == "neighbours" else "")
        name += ", centred" if centered else ""
        return Row("walk", name, g, walk(method, g, pairing, centered), one_noise)

    def by_noise(method: str, g: float) -> Row:
        return Row("noise walk", f"noise `{method}`", g, still, noise_walk(method, g))

    def control(name: str, embeddings: Making) -> Row:
        return Row("control", name, None, embeddings, one_noise)

    return [
        *(by_walk("carry", g) for g in (0.5, 1.0, 1.5)),
        *(by_walk("carry", g, centered=True) for g in (0.5, 1.0)),
        *(by_walk("rotate", g) for g in (1.0, 2.0)),
        *(by_walk("rotate", g, centered=True) for g in (0.3, 0.5, 1.0)),
        by_walk("rotate", 1.0, "neighbours"),
        by_walk("rotate", 1.0, "neighbours", centered=True),
        *(by_walk("perturb", g) for g in (0.3, 1.0)),
        *(by_walk("perturb", g, centered=True) for g in (0.3, 1.0)),
        *(by_walk("translate", g) for g in (0.5, 1.0)),
        *(by_walk("tangent", g) for g in (0.5, 1.0)),
        *(by_noise(method, 1.0) for method in ("correlate", "rotate", "near_identity")),
        control("frozen", still),
        control("`carry` along shuffled frames", walk("carry", 1.0, "from_first", False, True)),
        control(
            "`rotate`, centred, along shuffled frames",
            walk("rotate", 1.0, "from_first", True, True),
        ),
        control("prompt to prompt, linear", prompt_to_prompt(False)),
        control("prompt to prompt, slerp", prompt_to_prompt(True)),
        control("half of each frame's embedding, linear", towards_clip(0.5)),
        control("oracle: each frame's caption drawn anew", lambda trial: trial.told),
    ]


@dataclass
class Drawn:
    """A row's SHOWN frames of one trial: (F, 3, S, S), what is seen in them and in the ideal ones,
    and which of them show the prompt's shape and colour."""

    trial: Trial
    pictures: Tensor
    seen: Measures
    ideal: Measures
    shape_kept: Tensor
    colour_kept: Tensor


def draw(mini: Mini, judge: Classifier, row: Row, trials: list[Trial]) -> list[Drawn]:
    embeddings = torch.cat([row.embeddings(trial)[SHOWN] for trial in trials])
    noises = torch.cat([row.noises(trial)[SHOWN] for trial in trials])
    pictures = mini.draw(embeddings, noise=noises, steps=STEPS, cfg=CFG)
    result = []
    for trial, part in zip(trials, pictures.chunk(len(trials)), strict=True):
        shape, colour, _ = judge.judge(part)
        ideal = trial.ideal[SHOWN]
        result.append(
            Drawn(
                trial,
                part,
                measure(part, ideal.shape),
                measure(render(ideal), ideal.shape),
                shape == ideal.shape,
                colour == ideal.colour,
            )
        )
    return result


def correlation(drawn: Drawn) -> tuple[float, float]:
    """Pearson's r of what the clip changes, and how far it goes: the slope against the ideal.

    Means over x and y where both change. r is 0 where nothing varies or nothing is seen.
    """
    rs, slopes = [], []
    for name in MOTIONS[drawn.trial.motion]:
        seen, ideal = getattr(drawn.seen, name), getattr(drawn.ideal, name)
        if name == "rgb":  # along the clip's way from colour to colour
            way = drawn.trial.clip.rgb[-1] - drawn.trial.clip.rgb[0]
            seen, ideal = seen @ way, ideal @ way
        both = seen.isfinite() & ideal.isfinite()
        a, b = seen[both] - seen[both].mean(), ideal[both] - ideal[both].mean()
        varies = both.sum() > 2 and float(a.norm()) > 1e-5 and float(b.norm()) > 1e-5
        rs.append(float(a @ b / (a.norm() * b.norm())) if varies else 0.0)
        slopes.append(float(a @ b / (b @ b)) if varies else 0.0)
    return math.fsum(rs) / len(rs), math.fsum(slopes) / len(slopes)


def figures(drawings: list[Drawn]) -> dict[str, float]:
    """A row's figures; r and reach are medians over trials, shares are of frames."""
    result = {}
    for aspect, motions in ASPECTS.items():
        of_aspect = [each for each in drawings if each.trial.motion in motions]
        if not of_aspect:
            continue
        found = torch.tensor([correlation(each) for each in of_aspect])
        result[f"{aspect}: r"] = median(found[:, 0])
        result[f"{aspect}: r above 0.9"] = mean(found[:, 0] > 0.9)
        result[f"{aspect}: reach"] = median(found[:, 1])
        shape = torch.cat([each.shape_kept for each in of_aspect])
        colour = torch.cat([each.colour_kept for each in of_aspect])
        result[f"{aspect}: shape kept"] = mean(shape)
        result[f"{aspect}: colour kept"] = mean(colour)
        result[f"{aspect}: kept"] = mean(shape & colour)
    return result


def median(values: Tensor) -> float:
    """Of an even number, the mean of the middle two."""
    return round(float(values.double().quantile(0.5)), 3)


def mean(values: Tensor) -> float:
    return round(float(values.double().mean()), 3)


def run(
    mini: Mini,
    judge: Classifier,
    clips: int,
    chosen: list[Row],
    motions: list[str] | None = None,
    folder: Path | None = None,
) -> list[dict]:
    """Figures of every row; ``clips`` trials a motion. With a folder, pictures of each, too."""
    trials = make_trials(mini, motions or list(MOTIONS), clips)
    done = []
    for row in chosen:
        drawings = draw(mini, judge, row, trials)
        done.append(
            {"kind": row.kind, "name": row.name, "strength": row.strength, **figures(drawings)}
        )
        print(json.dumps(done[-1]), flush=True)
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
            first = [each for at, each in enumerate(drawings) if at % clips == 0]
            clips_shown = [render(each.trial.clip[SHOWN]) for each in first]
            drawn = [each.pictures for each in first]
            shown = [part for both in zip(clips_shown, drawn, strict=True) for part in both]
            name = "".join(c if c.isalnum() else "-" for c in row.name)
            save_picture(folder / f"{name}-{row.strength}.png", torch.cat(shown))
    return done


def weights_digest(folder: Path) -> str:
    """SHA-256 over the model files, in the order of their names: whose figures these are."""
    digest = hashlib.sha256()
    for name in sorted(FILES.values()):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


def main() -> None:

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=MODELS)
    parser.add_argument("--clips", type=int, default=6, help="a motion (default 6)")
    parser.add_argument("--only", help="rows whose name holds this")
    parser.add_argument("--save", action="store_true", help="semantics.json and the README's table")
    options = parser.parse_args()
    mini, judge = load_mini(options.folder), shipped_classifier()
    chosen = [row for row in rows() if not options.only or options.only in row.name]
    measured = {
        "weights": weights_digest(options.folder),
        "clips_a_motion": options.clips,
        "steps": STEPS,
        "cfg": CFG,
        "rows": run(mini, judge, options.clips, chosen, folder=RUNS / "semantics"),
    }
    if options.save:
        RESULTS.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
        write_readme(measured)


if __name__ == "__main__":
    main()
