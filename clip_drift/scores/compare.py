"""A result against its reference, beside the controls that a score needs."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..drift import Drift
from ..errors import DriftError
from ..said import Said
from ..shaping import resample
from .measures import NOISE_SPREAD, Motion, Scores, score

SHUFFLES = 99
"""A correlation that beats all of them comes by chance once in a hundred times."""

LEAST_FRAMES = 4  # three step angles, the fewest that have a rank correlation
FEW_FRAMES = 8
MOST_FRAMES = 512  # longer clips are resampled: Gram matrices stay small
STILL_RATIO = 0.1  # what moves less than this share of the reference's path is called a still


class Verdict(NamedTuple):
    """A comparison in words: what was found, why, and how far the result moves.

    `str` of it is the sentence, "found: why; far."; a part that is empty is left out.
    """

    found: str
    why: str = ""
    far: str = ""

    @property
    def rest(self) -> str:
        """What follows `found`."""
        return "; ".join(filter(None, (self.why, self.far)))

    def __str__(self) -> str:
        return f"{self.found}{': ' if self.why else '; '}{self.rest}."


@dataclass(frozen=True, eq=False)
class Comparison:
    """A result's scores beside those that need no skill.

    Attributes:
        reference, result: the drifts as they were compared, equally many frames each.
        scores: of the result.
        of_reference: of the reference itself: what a perfect result has.
        frozen: of the result's first frame, repeated.
        shuffled: of the result's frames in random order, mean of `SHUFFLES` seeded orders.
        judged: what the scores say of the result.
        silent: the scores that tell nothing about these clips, and why; no verdict uses them.
        notes: what was done to the clips before, and what to beware of, a sentence each.
    """

    reference: Drift
    result: Drift
    scores: Scores
    of_reference: Scores
    frozen: Scores
    shuffled: Scores
    judged: Verdict
    silent: dict[str, Said]
    notes: tuple[Said, ...]

    @property
    def verdict(self) -> str:
        """The result in one sentence."""
        return str(self.judged)


def compare(reference: Drift, result: Drift, prompt: Tensor | None = None) -> Comparison:
    """Score a clip against the drift that it was rendered with; formulas in `measures.score`.

    >>> points = torch.tensor([[1.0, 0, 0], [0.9, 0.1, 0], [0.5, 0.5, 0.1], [0.4, 0.5, 0.5]])
    >>> clip = Drift.from_embeddings(points)
    >>> compare(clip, clip).scores.gram_correlation
    1.0

    Clips of different frame counts are compared at the smaller count, the longer one resampled on
    the sphere; of more than 512 frames, both are.

    Args:
        reference: drift of the clip to follow.
        result: drift of the rendered clip, by the same encoder.
        prompt: (N,) or (1, N), the prompt in the same space, for CLIP-T.

    Raises:
        DriftError: different dimensions, fewer than four frames, or not one prompt.
    """
    count = _require_comparable(reference, result)
    prompt = None if prompt is None else _one_prompt(prompt, result.dim)
    notes = _notes(reference, result, count)
    # At equal counts frames are compared one by one, whatever their times.
    reference, result = (
        drift if len(drift) == count else resample(drift, count) for drift in (reference, result)
    )
    theirs, ours = (Motion.of(drift.embeddings, prompt) for drift in (reference, result))
    scores = score(ours, theirs)
    shuffles = [score(ours.reordered(order), theirs) for order in _orders(count)]
    silent = _silent(theirs, ours, scores, shuffles)
    return Comparison(
        reference,
        result,
        scores,
        of_reference=score(theirs, theirs),
        frozen=score(ours.reordered(torch.zeros(count, dtype=torch.long)), theirs),
        shuffled=_mean(shuffles),
        judged=_verdict(scores, shuffles, silent),
        silent=silent,
        notes=notes,
    )


def _require_comparable(reference: Drift, result: Drift) -> int:
    """How many frames are compared."""
    if reference.dim != result.dim:
        raise DriftError(
            f"reference has {reference.dim} dimensions and result {result.dim}: encode both clips "
            "with one encoder."
        )
    for name, drift in (("reference", reference), ("result", result)):
        if len(drift) < LEAST_FRAMES:
            raise DriftError(
                f"{name} has {len(drift)} frames: comparing needs {LEAST_FRAMES} or more, because "
                "fewer steps have no rank correlation."
            )
    return min(len(reference), len(result), MOST_FRAMES)


def _one_prompt(prompt: Tensor, dim: int) -> Tensor:
    """(N,) float64."""
    rows = prompt.detach().cpu().double().reshape(-1, prompt.shape[-1])
    if len(rows) != 1:
        raise DriftError(
            f"prompt holds {len(rows)} vectors where one is needed: give the prompt before it is "
            "walked."
        )
    if rows.shape[1] != dim:
        raise DriftError(
            f"prompt has {rows.shape[1]} dimensions and result {dim}: CLIP-T needs both from one "
            "CLIP, its text encoder with its projection and its image encoder."
        )
    return rows[0]


def _notes(reference: Drift, result: Drift, count: int) -> tuple[Said, ...]:
    notes = []
    before, after = f"{len(reference):,}", f"{count:,}"
    if before != after:
        notes.append(
            Said("Reference resampled from {before} to {after} frames", before=before, after=after)
        )
    before = f"{len(result):,}"
    if before != after:
        notes.append(
            Said("Result resampled from {before} to {after} frames", before=before, after=after)
        )
    if reference.encoder != result.encoder:
        names = [drift.encoder or Said("unnamed") for drift in (reference, result)]
        notes.append(Said("Different encoders: {a} and {b}", a=names[0], b=names[1]))
    if count < FEW_FRAMES:
        few = Said("{frames} frames are few: chance reaches high correlations", frames=count)
        notes.append(few)
    return tuple(notes)


def _orders(count: int) -> list[Tensor]:
    """Random orders of the frames; the one they have is none of them."""
    generator = torch.Generator().manual_seed(0)
    orders: list[Tensor] = []
    while len(orders) < SHUFFLES:
        order = torch.randperm(count, generator=generator)
        if bool((order.diff() != 1).any()):
            orders.append(order)
    return orders


def _mean(many: list[Scores]) -> Scores:
    columns = zip(*(scores.floats() for scores in many), strict=True)
    mean = Scores(*(sum(values) / len(values) for values in columns))
    return mean._replace(clip_t=None) if many[0].clip_t is None else mean


def _silent(
    reference: Motion, result: Motion, scores: Scores, shuffles: list[Scores]
) -> dict[str, Said]:
    """Which correlations tell nothing here, and why.

    A pace that varies no more than noise does still tells where the result follows it, or runs
    against it, beyond chance.
    """
    if reference.hardly_moves():
        still = Said("the reference is a still")
        return dict.fromkeys(("gram_correlation", "angle_spearman"), still)
    chance = [s.angle_spearman for s in shuffles]
    by_chance = min(chance) <= scores.angle_spearman <= max(chance)
    if by_chance and max(reference.spread, result.spread) <= NOISE_SPREAD:
        return {"angle_spearman": Said("the clip hardly changes its pace")}
    return {}


def _verdict(scores: Scores, shuffles: list[Scores], silent: dict[str, Said]) -> Verdict:
    """Does it move like the reference, or like something that needs no skill?

    A correlation counts when it beats every shuffle of the result's own frames. Both must, unless
    the pace is silent: the Gram correlation alone is high for any two clips that move steadily away
    from their start.
    """
    if "gram_correlation" in silent:
        return Verdict(Said("The reference is a still"), Said("there is no motion to follow"))
    far = _far(scores.motion_ratio)
    if scores.motion_ratio < STILL_RATIO:
        return Verdict(Said("Nearly a still"), Said("{far} as the reference", far=far))
    path = scores.gram_correlation > max(s.gram_correlation for s in shuffles)
    pace = scores.angle_spearman > max(s.angle_spearman for s in shuffles)
    if path and "angle_spearman" in silent:
        reason = silent["angle_spearman"]
        said = Said("{far}; step angles do not tell, {reason}", far=far, reason=reason)
        return Verdict(Said("Moves like the reference"), far=said)
    if not path and not pace:
        why = Said("no better than its own frames in random order")
        return Verdict(Said("Unrelated"), why, far)
    if path and pace:
        return Verdict(Said("Moves like the reference"), far=far)
    if path:
        return Verdict(Said("In the reference's order, but not at its pace"), far=far)
    return Verdict(Said("At the reference's pace, but not along its path"), far=far)


def _far(ratio: float) -> Said:
    """How far it moves, beside the reference."""
    if ratio >= 2:
        return Said("it moves {times} times as far", times=f"{ratio:.1f}")
    percent = f"{100 * ratio:.{0 if ratio >= 0.01 else 1}f}"
    return Said("it moves {percent} % as far", percent=percent)
