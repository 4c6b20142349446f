"""The semantic benches' best ways, once more on fresh pairs: seeds that no choice was made on.

    python -m pack.workshop.bench.confirm [FOLDER] [--only TEXT] [--save]

`text_semantics` found the best carrier among several on its own pairs, so that its figure there is
a selection. Here the rows were named before a pair was drawn, and every one of them is in the
table. Prompts say nothing of what moves; the oracle alone is told.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from ..mini.classifier import shipped_classifier
from ..mini.exported import Mini, load_mini
from ..mini.small_sd import FILE, MiniSD, load_mini_sd
from ..rig.paths import MODELS
from ..world.motions import MOTIONS
from ..world.scenes import HELD_OUT
from . import semantics, text_semantics
from .semantics import PATHS, Keeping, Row, run, weights_digest
from .semantics_table import write_table
from .text_semantics import CARRIERS, Encoder, Target, by_inversion, the_noun, words_that_move
from .trials import SEED, Trial, make_trials

RESULTS = Path(__file__).resolve().parent / "confirm.json"

FRESH = HELD_OUT + 500_000_000
"""The first of the seeds. The other benches' pairs begin at `SEED`, those that `follow`'s threshold
was chosen on 20 million further; a motion takes a million."""
assert SEED + 20_000_000 + 1_000_000 * len(MOTIONS) < FRESH

PATH_PAIRS, OTHER_PAIRS = 6, 12
"""A motion: 30 pairs of paths, 12 each of size, tilt and colour."""

PLACE = "halfway across and at middle height"
KINDS = {"size": CARRIERS["size"], "tilt": CARRIERS["tilt"], "colour": "grey"}
"""What may move → a neutral phrase of its kind."""

Draw = Callable[[Row, list[Trial], str], Tensor]


class Group(NamedTuple):
    """Rows about one thing that moves, drawn by one model."""

    name: str
    motions: tuple[str, ...]
    pairs: int
    rows: list[Row]
    draw: Draw


def by_images() -> list[Row]:
    """Mini Kandinsky's, of image embeddings: `follow`, the article's rows, and the controls."""
    wanted = {
        ("`follow`", 1.0),
        ("`tangent`", 1.0),
        ("`carry`", 1.0),
        ("`rotate`", 1.0),
        ("`rotate`, centred", 1.0),
        ("`perturb`", 0.3),
        ("`follow` along shuffled frames", None),
        ("frozen", None),
        ("oracle: each frame's caption drawn anew", None),
    }
    return [
        replace(row, starts=("said",) if row.name.startswith("oracle") else ("unsaid",))
        for row in semantics.rows()
        if (row.name, row.strength) in wanted
    ]


def by_text(encoder: Encoder, kind: str) -> list[Row]:
    """Mini SD's, of text tokens alone.

    Args:
        kind: "place", or one of KINDS.
    """
    carrier = PLACE if kind == "place" else KINDS[kind]
    wrong = CARRIERS["tilt"] if kind != "tilt" else PLACE
    shared = {
        ("`carry` of the token states, lifted", 1.0),
        ("frozen", None),
        ("oracle: each frame's caption", None),
    }
    invert_by = partial(by_inversion, encoder)

    def row(kind: str, name: str, g: float | None, contexts: text_semantics.Contexts) -> Row:
        return Row(kind, name, g, contexts, semantics.one_noise, ("unsaid",))

    def carried(phrase: str, g: float = 1.0, what: str = "") -> Row:
        name = f"carrier “{phrase}”{what}, `follow`"
        return row("carrier", name, g, invert_by(Target("follow", g), None, (phrase,)))

    rows = [carried(carrier, g) for g in (0.5, 1.0, 1.5)]
    if kind == "place":
        rows.append(carried(CARRIERS["place"]))
    else:
        rows += [
            row(
                "inversion",
                f"inversion of all words, {method}",
                1.0,
                invert_by(Target(method)),
            )
            for method in ("tangent", "follow")
        ]
    if kind == "colour":
        rows.append(
            row(
                "inversion",
                "inversion of the colour's word, `follow`",
                1.0,
                invert_by(Target("follow"), words_that_move),
            )
        )
    return [
        *rows,
        carried(wrong, what=" (the wrong kind)"),
        row(
            "control",
            "inversion of the noun, `tangent`",
            1.0,
            invert_by(Target("tangent"), the_noun),
        ),
        row(
            "control",
            f"carrier “{carrier}”, `follow`, along shuffled frames",
            None,
            invert_by(Target("follow", shuffled=True), None, (carrier,)),
        ),
        *(
            replace(each, starts=("said",) if each.name.startswith("oracle") else ("unsaid",))
            for each in text_semantics.rows(encoder)
            if (each.name, each.strength) in shared
        ),
    ]


def groups(mini: Mini, sd: MiniSD) -> list[Group]:
    encoder = Encoder(sd)
    by_sd, by_kandinsky = partial(text_semantics.draw, sd), partial(semantics.draw, mini)
    found = [
        Group("path, text tokens", PATHS, PATH_PAIRS, by_text(encoder, "place"), by_sd),
        Group("path, image embeddings", PATHS, PATH_PAIRS, by_images(), by_kandinsky),
    ]
    for kind in KINDS:
        motions = semantics.ASPECTS[kind]
        text, images = f"{kind}, text tokens", f"{kind}, image embeddings"
        found += [
            Group(text, motions, OTHER_PAIRS, by_text(encoder, kind), by_sd),
            Group(images, motions, OTHER_PAIRS, by_images(), by_kandinsky),
        ]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=MODELS)
    parser.add_argument("--only", default="", help="groups whose name holds this")
    parser.add_argument("--save", action="store_true", help="confirm.json, and its table")
    options = parser.parse_args()
    mini, sd = load_mini(options.folder), load_mini_sd(options.folder)
    about = {
        "weights": weights_digest(options.folder, FILE),
        "seed": FRESH,
        "pairs": {"path": PATH_PAIRS * len(PATHS), "other": OTHER_PAIRS},
        "steps": semantics.STEPS,
    }
    keep = Keeping(RESULTS, about, options.save, anew=False)
    judge = shipped_classifier()
    done: list[dict] = []
    for group in groups(mini, sd):
        rows = [replace(row, name=f"{group.name}: {row.name}") for row in group.rows]
        if options.only not in group.name:
            names = {(row.name, row.strength) for row in rows}
            done += [row for row in keep.known if (row["name"], row["strength"]) in names]
            continue
        trials = make_trials(mini, group.motions, group.pairs, FRESH)
        before = list(done)
        done += run(
            judge,
            trials,
            rows,
            group.draw,
            known=keep.known,
            save=lambda rows, before=before: keep(before + rows),
        )
    if options.save:
        write_table(about | {"rows": done}, "confirm")


if __name__ == "__main__":
    main()
