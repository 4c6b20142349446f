"""The semantic bench: which walk makes a drawn shape move as the clip's shape does?

    python -m pack.workshop.bench.semantics [FOLDER] [--clips N] [--save] [--only TEXT]

Every row draws the same prompts, which share neither shape nor colour with their clip: once worded
so that they begin where it begins, once so that they say nothing of what moves. Shape and colour
are judged by a classifier that had no part in the training; place, size, tilt and colour's way are
found by segmenting the pictures. --save writes what was measured to semantics.json beside this
file, and its table into the page that shows it.
"""

import argparse
import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
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
from .results import Results
from .tables import write_table
from .trials import STARTS, Trial, make_trials

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

Making = Callable[[Trial, Tensor], Tensor]
"""(trial, (1, E) the prompt's embedding) → one tensor per frame."""


@dataclass(frozen=True)
class Row:
    """One way of making frames.

    Attributes:
        kind: "walk", "noise walk" or "control".
        embeddings: of the frames, (F, E). noises: trial → (F, 4, h, w).
        starts: which wordings of the prompt tell something.
    """

    kind: str
    name: str
    strength: float | None
    embeddings: Making
    noises: Callable[[Trial], Tensor]
    starts: tuple[str, ...] = STARTS


def still(trial: Trial, start: Tensor) -> Tensor:
    return start.expand(len(trial.clip), -1)


def one_noise(trial: Trial) -> Tensor:
    return noise_walk(None)(trial)


def noise_walk(method: str | None, g: float = 1.0) -> Callable[[Trial], Tensor]:
    """Rotate Latent Noise; without a method, the first frame's noise for all."""

    def make(trial: Trial) -> Tensor:
        sequence = RotationSequence.from_trajectory(trial.drift, centered=False)
        shape = (4, SIZE // 8, SIZE // 8)
        return walk_noise(trial.seed, shape, sequence, method or "correlate", g if method else 0.0)

    return make


def walk(
    method: str,
    g: float,
    pairing: str = "from_first",
    centered: bool = False,
    directions: int = 0,
    shuffled: bool = False,
) -> Making:
    """Rotate Conditioning; shuffled: along the clip's frames in another order, from its first."""

    def make(trial: Trial, start: Tensor) -> Tensor:
        sequence = motion_of(trial, pairing, centered, shuffled)
        return walks.walk(start[None], sequence, method, g, directions=directions)[:, 0]

    return make


def motion_of(
    trial: Trial, pairing: str = "from_first", centered: bool = False, shuffled: bool = False
) -> RotationSequence:
    sequence = RotationSequence.from_trajectory(trial.drift, pairing, centered)
    if not shuffled:
        return sequence
    generator = torch.Generator().manual_seed(trial.seed)
    return replace(
        sequence, points=sequence.points[torch.randperm(len(sequence), generator=generator)]
    )


def towards_clip(share: float) -> Making:
    """Each frame's own embedding mixed into the prompt's, as image prompts are."""

    def make(trial: Trial, start: Tensor) -> Tensor:
        return torch.lerp(start, trial.drift, share)

    return make


def prompt_to_prompt(spherical: bool) -> Making:
    """From the first frame's caption to the last one's, evenly; the clip is not looked at."""

    def make(trial: Trial, start: Tensor) -> Tensor:
        first, last = trial.told[:1], trial.told[-1:]
        share = torch.linspace(0, 1, len(trial.clip))[:, None]
        if not spherical:
            return torch.lerp(first, last, share)
        length = torch.lerp(first.norm(), last.norm(), share)
        return length * geodesic(unit(first), unit(last), share)

    return make


def rows() -> list[Row]:
    """All of the table's rows."""

    def by_walk(
        method: str,
        g: float,
        pairing: str = "from_first",
        centered: bool = False,
        directions: int = 0,
    ) -> Row:
        name = f"`{method}`" + {"neighbours": ", neighbours", "from_mean": ", from the mean"}.get(
            pairing, ""
        )
        name += ", centred" if centered else ""
        name += f", {directions} directions" if directions else ""
        making = walk(method, g, pairing, centered, directions)
        return Row("walk", name, g, making, one_noise)

    def by_noise(method: str, g: float) -> Row:
        return Row("noise walk", f"noise `{method}`", g, still, noise_walk(method, g))

    def control(name: str, embeddings: Making, starts: tuple[str, ...] = STARTS) -> Row:
        return Row("control", name, None, embeddings, one_noise, starts)

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
        by_walk("tangent", 1.5, "from_mean"),
        by_walk("follow", 1.0),
        *(by_walk("follow", 1.0, directions=k) for k in (1, 2, 3)),
        *(by_noise(method, 1.0) for method in ("correlate", "rotate", "near_identity")),
        control("frozen", still),
        control("`carry` along shuffled frames", walk("carry", 1.0, shuffled=True)),
        control(
            "`rotate`, centred, along shuffled frames",
            walk("rotate", 1.0, centered=True, shuffled=True),
        ),
        control("`follow` along shuffled frames", walk("follow", 1.0, shuffled=True)),
        control("prompt to prompt, linear", prompt_to_prompt(False), ("said",)),
        control("prompt to prompt, slerp", prompt_to_prompt(True), ("said",)),
        control("half of each frame's embedding, linear", towards_clip(0.5)),
        control("oracle: each frame's caption drawn anew", lambda trial, _: trial.told, ("said",)),
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


def draw(mini: Mini, row: Row, trials: list[Trial], start: str) -> Tensor:
    """A row's pictures, the SHOWN frames of one trial after another's."""
    embeddings = [row.embeddings(trial, trial.start[start])[SHOWN] for trial in trials]
    noises = torch.cat([row.noises(trial)[SHOWN] for trial in trials])
    return mini.draw(torch.cat(embeddings), noise=noises, steps=STEPS, cfg=CFG)


def judged(judge: Classifier, trials: list[Trial], pictures: Tensor) -> list[Drawn]:
    """What is seen in the pictures, per trial."""
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
    judge: Classifier,
    trials: list[Trial],
    chosen: list[Row],
    draw: Callable[[Row, list[Trial], str], Tensor],
    results: Results | None = None,
    folder: Path | None = None,
) -> list[dict]:
    """Figures of every row, by wording of the prompt.

    Args:
        draw: (row, trials, wording) → their SHOWN frames.
        results: what it holds is not drawn again, and each row is added to it.
        folder: for pictures of each row.
    """
    done = []
    for row in chosen:
        known = results.known((row.name, row.strength)) if results else {}
        measured = {"kind": row.kind, "name": row.name, "strength": row.strength}
        measured |= {start: known[start] for start in STARTS if start in known}
        for start in row.starts:
            if start in measured:
                continue
            drawings = judged(judge, trials, draw(row, trials, start))
            measured[start] = figures(drawings)
            if folder:
                save_first(folder / f"{row.name}-{row.strength}-{start}", drawings)
            if results:
                results.add(measured)
            print(json.dumps(measured), flush=True)
        done.append(measured)
    return done


def save_first(path: Path, drawings: list[Drawn]) -> None:
    """The first trial of each motion as a PNG: the clip, and below it what was drawn."""
    first = {each.trial.motion: each for each in reversed(drawings)}.values()
    shown = [part for each in first for part in (render(each.trial.clip[SHOWN]), each.pictures)]
    path.parent.mkdir(parents=True, exist_ok=True)
    name = "".join(c if c.isalnum() else "-" for c in path.name)
    save_picture(path.with_name(f"{name}.png"), torch.cat(shown))


def weights_digest(folder: Path, *more: Path) -> str:
    """SHA-256 over the model files, in the order of their names: whose figures these are."""
    digest = hashlib.sha256()
    for file in (*(folder / name for name in sorted(FILES.values())), *more):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=MODELS)
    parser.add_argument("--clips", type=int, default=6, help="per motion (default 6)")
    parser.add_argument("--only", help="rows whose name holds this")
    parser.add_argument(
        "--save", action="store_true", help="semantics.json, and its table in docs/figures.md"
    )
    parser.add_argument("--anew", action="store_true", help="draw what semantics.json holds, too")
    options = parser.parse_args()
    mini, judge = load_mini(options.folder), shipped_classifier()
    about = {
        "weights": weights_digest(options.folder),
        "clips_a_motion": options.clips,
        "steps": STEPS,
        "cfg": CFG,
    }
    order = [(row.name, row.strength) for row in rows()]
    results = Results(RESULTS, about, order, options.save, options.anew)
    chosen = [row for row in rows() if not options.only or options.only in row.name]
    trials = make_trials(mini, list(MOTIONS), options.clips)
    run(judge, trials, chosen, partial(draw, mini), results, RUNS / "semantics")
    if options.save:
        write_table(results.whole, "semantics")


if __name__ == "__main__":
    main()
