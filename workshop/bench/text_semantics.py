"""The semantic bench on text tokens: which way of moving a prompt does a Stable Diffusion follow?

    python -m pack.workshop.bench.text_semantics [FOLDER] [--clips N] [--only TEXT] [--save]

The pairs, the wordings and the measures are those of `semantics`. But the prompt reaches Mini SD as
the states of its text tokens alone, as in SD 1.x, so that the motion of a clip in CLIP's joint
space has to come through the text encoder.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import Tensor

from ...clip_drift import walks
from ...clip_drift.through.captions import caption_path
from ...clip_drift.through.carriers import Candidate, choose_carrier
from ...clip_drift.through.end_token import end_token_shifts
from ...clip_drift.through.inversion import invert
from ...clip_drift.through.layouts import tower_from_state
from ...clip_drift.through.tower import TextTower
from ..mini.classifier import shipped_classifier
from ..mini.exported import load_mini
from ..mini.runs import RUNS
from ..mini.small_sd import CFG, FILE, MiniSD, load_mini_sd, tokens_of
from ..rig.paths import MODELS
from ..world.captions import words_of
from ..world.motions import MOTIONS
from ..world.scenes import SHAPES
from .results import Results
from .semantics import SHOWN, Row, motion_of, noise_walk, one_noise, run, weights_digest
from .tables import write_table
from .trials import STARTS, Trial, make_trials

RESULTS = Path(__file__).resolve().parent / "text_semantics.json"
STEPS = 10

# What may move is said by a neutral phrase of its kind.
CARRIERS = {"place": "in the middle", "size": "medium-sized", "tilt": "upright"}
ACROSS = tuple(
    f"{across} {down}"
    for across in (
        "far left and",
        "on the left and",
        "slightly left of the centre and",
        "halfway across and",
        "slightly right of the centre and",
        "on the right and",
        "far right and",
    )
    for down in (
        "at the very top",
        "at the top",
        "slightly above the middle",
        "at middle height",
        "slightly below the middle",
        "at the bottom",
        "at the very bottom",
    )
)
BANK = (
    *ACROSS,
    *("tiny", "small", "medium-sized", "large", "huge"),
    *("tilted far to the left", "tilted to the left", "upright"),
    *("tilted to the right", "tilted far to the right"),
)
"""Phrases behind the prompt, for the captions way: where, how large and how upright things are."""

Contexts = Callable[[Trial, str], Tensor]
"""(trial, the prompt's text) → (F, T, W) context of each frame."""


@dataclass
class Encoder:
    """Mini SD's text tower: a prompt's tokens, and the states that the UNet is told.

    Attributes:
        sd: the model. Its window is filled up behind the end token with the end token.
    """

    sd: MiniSD

    @cached_property
    def tower(self) -> TextTower:
        return tower_from_state(
            self.sd.clip.state_dict(), activation="gelu", heads=3, name="Mini SD's tower"
        )

    def prompt(self, text: str) -> tuple[Tensor, int]:
        """(1, T) token numbers of the whole window, and the place of the end token."""
        tokens = tokens_of([text])
        return tokens, int(tokens.argmax(1))

    def vector(self, text: str) -> Tensor:
        """(1, N) where the text stands in the joint space, unit."""
        tokens, end = self.prompt(text)
        with torch.no_grad():
            return self.tower.text_vector(self.tower.embed(tokens[:, : end + 1]), end)

    def free(self, text: str, words: set[str]) -> Tensor:
        """(end + 1,) 1 at the tokens of the words that may move."""
        pieces = text.replace(",", " ,").split()
        free = [0.0]
        for at, piece in enumerate(pieces):
            count = self.prompt(" ".join(pieces[: at + 1]))[1] - len(free)
            free += [float(piece in words)] * count
        return torch.tensor([*free, 0.0])

    def states(self, deltas: Tensor, text: str) -> Tensor:
        """(F, end + 1, W) to add to the input embeddings → (F, T, W) states."""
        tokens, _ = self.prompt(text)
        embeddings = self.tower.embed(tokens).expand(len(deltas), -1, -1).clone()
        embeddings[:, : deltas.shape[1]] += deltas
        with torch.no_grad():
            return self.tower.states(embeddings)


@dataclass(frozen=True)
class Target:
    """A walk in the joint space: where each frame's text should stand."""

    method: str
    g: float = 1.0
    pairing: str = "from_first"
    directions: int = 0
    shuffled: bool = False

    def __call__(self, trial: Trial, start: Tensor) -> Tensor:
        """(1, N) → (F, N)."""
        sequence = motion_of(trial, self.pairing, shuffled=self.shuffled)
        return walks.walk(start[None], sequence, self.method, self.g, directions=self.directions)[
            :, 0
        ]


def as_rotate_conditioning(encoder: Encoder, method: str, g: float) -> Contexts:
    """What Rotate Conditioning does with the token states: lifted, the start token kept."""

    def make(trial: Trial, text: str) -> Tensor:
        states = encoder.sd.read([text])
        mask = torch.ones(states.shape[1])
        mask[0] = 0
        return walks.walk(states, motion_of(trial), method, g, mask=mask)

    return make


def by_end_token(encoder: Encoder, target: Target, padding: bool) -> Contexts:
    """The end token's state moved in closed form, and the padding's with it or not."""

    def make(trial: Trial, text: str) -> Tensor:
        _, end = encoder.prompt(text)
        states = encoder.sd.read([text])
        wanted = target(trial, encoder.vector(text))
        shifts = end_token_shifts(encoder.tower.projection, states[0, end], wanted)
        moved = states.repeat(len(wanted), 1, 1)
        moved[:, end : None if padding else end + 1] += shifts[:, None]
        return moved

    return make


def by_inversion(
    encoder: Encoder,
    target: Target,
    words: Callable[[Trial], set[str]] | None = None,
    carriers: tuple[str, ...] = (),
) -> Contexts:
    """The words moved by gradient.

    Args:
        words: which may move; all where there is neither a choice of words nor a carrier.
        carriers: phrases to put behind the prompt, whose words alone may move; of several, the
            one that the tower answers to.
    """

    def make(trial: Trial, text: str) -> Tensor:
        def candidate(whole: str, free: Tensor) -> Candidate:
            tokens, end = encoder.prompt(whole)
            return Candidate(encoder.tower.embed(tokens[:, : end + 1]), free)

        texts = [f"{text} {carrier}" for carrier in carriers] or [text]
        own = encoder.prompt(text)[1]
        candidates = []
        for whole in texts:
            end = encoder.prompt(whole)[1]
            free = torch.zeros(end + 1)
            free[(own if carriers else 1) : end] = 1
            if words is not None:
                free = encoder.free(whole, words(trial))
            candidates.append(candidate(whole, free))
        wanted = partial(target, trial)
        chosen = choose_carrier(encoder.tower, candidates, wanted) if len(texts) > 1 else 0
        embeddings, free = candidates[chosen]
        if not bool(free.any()):
            return encoder.sd.read([text]).expand(len(trial.clip), -1, -1)
        moved = invert(encoder.tower, embeddings, wanted(encoder.vector(texts[chosen])), free)
        return encoder.states(moved.deltas, texts[chosen])

    return make


def by_captions(encoder: Encoder, target: Target, nearest: int) -> Contexts:
    """The prompt with the bank's phrase that is nearest to each frame's target behind it."""

    def make(trial: Trial, text: str) -> Tensor:
        texts = [f"{text} {phrase}" for phrase in BANK]
        bank = torch.cat([encoder.vector(each) for each in texts])
        path = caption_path(bank, target(trial, encoder.vector(text)), nearest=nearest)
        states = encoder.sd.read(texts)[path.indices]
        return (path.weights[..., None, None] * states).sum(1)

    return make


def words_that_move(trial: Trial) -> set[str]:
    """Those of a caption that say what the clip changes."""
    return set().union(*(words_of(name) for name in MOTIONS[trial.motion]))


def the_noun(trial: Trial) -> set[str]:
    """A word that the clip does not change."""
    return {*words_of("shape"), *SHAPES}


def rows(encoder: Encoder) -> list[Row]:
    """All of the table's rows."""

    def still(trial: Trial, text: str) -> Tensor:
        return encoder.sd.read([text]).expand(len(trial.clip), -1, -1)

    def row(kind: str, name: str, g: float | None, contexts: Contexts, starts=STARTS) -> Row:
        return Row(kind, name, g, contexts, one_noise, starts)

    follow, tangent = Target("follow"), Target("tangent")
    place, all_carriers = (CARRIERS["place"],), tuple(CARRIERS.values())
    invert_by = partial(by_inversion, encoder)
    # Behind a prompt that says its place, a carrier has nothing left to say.
    carried = partial(row, starts=("unsaid",))
    return [
        *(
            row(
                "walk",
                "`carry` of the token states, lifted",
                g,
                as_rotate_conditioning(encoder, "carry", g),
            )
            for g in (0.5, 1.0, 1.5)
        ),
        *(
            row(
                "end token",
                f"end token, {method}{', padding too' * padding}",
                g,
                by_end_token(encoder, Target(method, g), padding),
            )
            for method, g in (("tangent", 1.0), ("tangent", 1.5), ("follow", 1.0))
            for padding in (False, True)
        ),
        *(
            row("inversion", f"inversion of all words, {method}", 1.0, invert_by(Target(method)))
            for method in ("tangent", "follow", "carry")
        ),
        *(
            row(
                "inversion",
                "inversion of the words that say it, `tangent`",
                g,
                invert_by(Target("tangent", g), words_that_move),
                ("said",),
            )
            for g in (0.5, 1.0, 1.5)
        ),
        row("control", "inversion of the noun, `tangent`", 1.0, invert_by(tangent, the_noun)),
        *(
            carried(
                "carrier",
                "carrier “in the middle”, `follow`",
                g,
                invert_by(Target("follow", g), None, place),
            )
            for g in (0.5, 1.0, 1.5)
        ),
        *(
            carried(
                "carrier",
                f"carrier “in the middle”, `follow`, {k} directions",
                1.0,
                invert_by(Target("follow", directions=k), None, place),
            )
            for k in (2, 3)
        ),
        carried(
            "carrier",
            "carrier “in the middle”, `tangent` from the mean",
            1.5,
            invert_by(Target("tangent", 1.5, "from_mean"), None, place),
        ),
        carried(
            "carrier",
            "carrier “at the centre”, `follow`",
            1.0,
            invert_by(follow, None, ("at the centre",)),
        ),
        carried(
            "carrier",
            "carrier “halfway across and at middle height”, `follow`",
            1.0,
            invert_by(follow, None, ("halfway across and at middle height",)),
        ),
        carried(
            "carrier",
            "carrier chosen by the tower, `follow`",
            1.0,
            invert_by(follow, None, all_carriers),
        ),
        carried(
            "control",
            "carrier “upright” (the wrong kind for paths), `follow`",
            1.0,
            invert_by(follow, None, (CARRIERS["tilt"],)),
        ),
        row("captions", "captions, the nearest, `follow`", 1.0, by_captions(encoder, follow, 1)),
        row(
            "captions",
            "captions, the 4 nearest mixed, `follow`",
            1.0,
            by_captions(encoder, follow, 4),
        ),
        Row("noise walk", "noise `correlate`", 1.0, still, noise_walk("correlate")),
        row("control", "frozen", None, still),
        carried(
            "control",
            "carrier “in the middle”, `follow`, along shuffled frames",
            None,
            invert_by(Target("follow", shuffled=True), None, place),
        ),
        row(
            "control",
            "oracle: each frame's caption",
            None,
            lambda trial, _: encoder.sd.read(trial.captions),
            ("said",),
        ),
    ]


def draw(sd: MiniSD, row: Row, trials: list[Trial], start: str) -> Tensor:
    """A row's pictures, the SHOWN frames of one trial after another's."""
    contexts = [row.embeddings(trial, trial.text[start])[SHOWN] for trial in trials]
    noises = torch.cat([row.noises(trial)[SHOWN] for trial in trials])
    negative = sd.read([""])[0]
    return sd.decode(sd.draw(torch.cat(contexts), noises, negative, steps=STEPS, cfg=CFG))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=MODELS)
    parser.add_argument("--clips", type=int, default=6, help="per motion (default 6)")
    parser.add_argument("--only", help="rows whose name holds this")
    parser.add_argument("--save", action="store_true", help="text_semantics.json, and its table")
    parser.add_argument("--anew", action="store_true", help="draw what was measured before, too")
    options = parser.parse_args()
    sd = load_mini_sd(options.folder)
    about = {
        "weights": weights_digest(options.folder, FILE),
        "clips_a_motion": options.clips,
        "steps": STEPS,
        "cfg": CFG,
    }
    whole = rows(Encoder(sd))
    order = [(row.name, row.strength) for row in whole]
    results = Results(RESULTS, about, order, options.save, options.anew)
    chosen = [row for row in whole if not options.only or options.only in row.name]
    trials = make_trials(load_mini(options.folder), list(MOTIONS), options.clips)
    judge, folder = shipped_classifier(), RUNS / "text_semantics"
    run(judge, trials, chosen, partial(draw, sd), results, folder)
    if options.save:
        write_table(results.whole, "text_semantics")


if __name__ == "__main__":
    main()
