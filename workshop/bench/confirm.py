"""The semantic benches' best ways, once more on fresh pairs: seeds that no choice was made on.

    python -m pack.workshop.bench.confirm [FOLDER] [--only TEXT] [--save]

`text_semantics` found the best carrier among several on its own pairs, so that its figure there is
a selection. Here the rows were named before a pair was drawn, and every one of them is in the
table. Prompts say nothing of what moves; the oracle alone is told.
"""

import argparse
from collections.abc import Callable, Container
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ..mini.classifier import shipped_classifier
from ..mini.exported import Mini, load_mini
from ..mini.small_sd import FILE, MiniSD, load_mini_sd
from ..rig.paths import MODELS
from ..world.motions import MOTIONS
from ..world.scenes import HELD_OUT
from . import semantics, text_semantics
from .results import Key, Results
from .semantics import PATHS, Row, run, weights_digest
from .tables import write_table
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
KINDS = {"size": "medium-sized", "tilt": "upright", "colour": "grey"}
"""What may move → a neutral phrase of its kind."""

Draw = Callable[[Row, list[Trial], str], Tensor]


class Group(NamedTuple):
    """Rows about one thing that moves, drawn by one model."""

    name: str
    motions: tuple[str, ...]
    pairs: int
    rows: list[Row]
    draw: Draw

    @property
    def named(self) -> list[Row]:
        """The rows, each with the group's name before its own."""
        return [replace(row, name=f"{self.name}: {row.name}") for row in self.rows]


def by_images(kind: str) -> list[Row]:
    """Mini Kandinsky's, of image embeddings: `follow`, and for paths the article's rows."""
    wanted = {("`follow`", 1.0), ("`tangent`", 1.0), ("`follow` along shuffled frames", None)}
    if kind == "place":
        wanted |= {
            ("`carry`", 1.0),
            ("`rotate`", 1.0),
            ("`rotate`, centred", 1.0),
            ("`perturb`", 0.3),
            ("frozen", None),
            ("oracle: each frame's caption drawn anew", None),
        }
    return only(wanted, semantics.rows())


def by_text(encoder: Encoder, kind: str) -> list[Row]:
    """Mini SD's, of text tokens alone.

    Args:
        kind: "place", or one of KINDS.
    """
    paths = kind == "place"
    right, wrong = (PLACE if paths else KINDS[kind]), (PLACE if kind == "tilt" else "upright")
    own, other = (
        (f"“{right}”", f"“{wrong}” (the wrong kind)")
        if paths
        else ("of its kind", "of another kind")
    )
    follow, tangent = Target("follow"), Target("tangent")
    invert_by = partial(by_inversion, encoder)

    def row(kind: str, name: str, g: float | None, *way: Any) -> Row:
        return Row(kind, name, g, invert_by(*way), semantics.one_noise, ("unsaid",))

    rows = [
        row("carrier", f"carrier {own}, `follow`", g, Target("follow", g), None, (right,))
        for g in (0.5, 1.0, 1.5)
    ]
    if paths:
        phrase = CARRIERS["place"]
        rows.append(row("carrier", f"carrier “{phrase}”, `follow`", 1.0, follow, None, (phrase,)))
    else:
        rows += [
            row("inversion", "inversion of all words, `tangent`", 1.0, tangent),
            row("inversion", "inversion of all words, `follow`", 1.0, follow),
        ]
    if kind == "colour":
        name = "inversion of the word that says it, `follow`"
        rows.append(row("inversion", name, 1.0, follow, words_that_move))
    shared = {
        ("`carry` of the token states, lifted", 1.0),
        ("frozen", None),
        ("oracle: each frame's caption", None),
    }
    along = "along shuffled frames"
    return [
        *rows,
        row("control", f"carrier {other}, `follow`", 1.0, follow, None, (wrong,)),
        row("control", "inversion of the noun, `tangent`", 1.0, tangent, the_noun),
        row(
            "control",
            f"carrier {own}, `follow`, {along}",
            None,
            Target("follow", shuffled=True),
            None,
            (right,),
        ),
        *only(shared, text_semantics.rows(encoder)),
    ]


def only(wanted: Container[Key], rows: list[Row]) -> list[Row]:
    """Some of a bench's rows, each with one wording: the oracle's is told, all others say nothing
    of what moves."""
    return [
        replace(row, starts=("said",) if row.name.startswith("oracle") else ("unsaid",))
        for row in rows
        if (row.name, row.strength) in wanted
    ]


def groups(mini: Mini, sd: MiniSD) -> list[Group]:
    encoder = Encoder(sd)
    by_sd, by_kandinsky = partial(text_semantics.draw, sd), partial(semantics.draw, mini)
    found = [
        Group("path, text tokens", PATHS, PATH_PAIRS, by_text(encoder, "place"), by_sd),
        Group("path, image embeddings", PATHS, PATH_PAIRS, by_images("place"), by_kandinsky),
    ]
    for kind in KINDS:
        motions = semantics.ASPECTS[kind]
        text, images = f"{kind}, text tokens", f"{kind}, image embeddings"
        found += [
            Group(text, motions, OTHER_PAIRS, by_text(encoder, kind), by_sd),
            Group(images, motions, OTHER_PAIRS, by_images(kind), by_kandinsky),
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
    found = groups(mini, sd)
    order = [(row.name, row.strength) for group in found for row in group.named]
    results, judge = Results(RESULTS, about, order, options.save), shipped_classifier()
    for group in found:
        if options.only in group.name:
            trials = make_trials(mini, group.motions, group.pairs, FRESH)
            run(judge, trials, group.named, group.draw, results)
    if options.save:
        write_table(results.whole, "confirm")


if __name__ == "__main__":
    main()
