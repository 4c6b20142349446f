"""A result beside its reference, on one page.

Both are drawn over frame numbers: they are compared frame by frame, whatever their seconds.
"""

import dataclasses

import torch
from torch import Tensor

from ..drift import Drift
from ..said import Said
from ..scores.compare import Comparison, Verdict
from .curve import DASHED, draw_curve, reduce_curve
from .grams import GramPanel, draw_gram_pair, midpoints
from .page import CLIP_COLOUR, LEFT, MARGIN, MUTED, NORMAL, RIGHT, TEXT, WIDTH, Page, Say, stacked
from .score_rows import draw_scores, scores_height
from .statistics import sampled_grams
from .strip import SIDE, draw_frames, strip_cells
from .text import number, seconds, tick
from .timeline import time_axes

NAMES, COLOURS = (Said("Reference"), Said("Result")), (TEXT, CLIP_COLOUR)
FRAME = Said("frame")


def comparison_report(comparison: Comparison, say: Say = str) -> Tensor:
    """Draw a comparison: both clips, Gram matrices and step angles, and the scores.

    Args:
        comparison: of `clip_drift.scores.compare`.
        say: puts each text into another language.

    Returns:
        (H, W, 3) float32 in 0..1, W = 1600 px.
    """
    drifts = comparison.reference, comparison.result
    return stacked(
        (200 if comparison.notes else 156, lambda page: _draw_title(page, comparison)),
        (SIDE + 70, lambda page: _draw_clip(page, 0, drifts[0])),
        (SIDE + 70, lambda page: _draw_clip(page, 1, drifts[1])),
        (734, lambda page: _draw_grams(page, drifts)),
        (390, lambda page: _draw_angles(page, drifts)),
        (scores_height(comparison), lambda page: draw_scores(page, comparison)),
        say=say,
    )


def _draw_title(page: Page, comparison: Comparison) -> None:
    """The verdict and the notes."""
    room = WIDTH - 2 * MARGIN
    judged = Verdict(*map(page.say, comparison.judged))
    page.title(76, judged.found)
    rest = judged.rest
    page.text(MARGIN, 128, f"{rest[0].upper()}{rest[1:]}.", room, fontsize=NORMAL, color=TEXT)
    page.text(MARGIN, 174, "  ·  ".join(map(page.say, comparison.notes)), room, color=MUTED)


def _draw_clip(page: Page, which: int, drift: Drift) -> None:
    """A film strip with its name."""
    length = {"frames": f"{len(drift):,}", "seconds": seconds(drift.duration)}
    facts = (drift.source or Said("CLIP drift"), Said("{frames} frames, {seconds}", **length))
    page.heading(
        LEFT, 34, NAMES[which], ("  ·  ".join(map(page.say, facts)), MUTED), color=COLOURS[which]
    )
    if drift.thumbnails is None:
        said = Said("No frames to show: this drift was not made from pictures")
        page.notice(LEFT, 50, RIGHT - LEFT, SIDE, said)
        return
    cells = strip_cells(drift.thumbnails, RIGHT - LEFT)
    draw_frames(page, 50 + (SIDE - cells.height) / 2, drift.thumbnails, cells)


def _draw_grams(page: Page, drifts: tuple[Drift, Drift]) -> None:
    panels = []
    for name, colour, drift in zip(NAMES, COLOURS, drifts, strict=True):
        by_frame = dataclasses.replace(drift, times=torch.arange(len(drift)).double())
        frames, gram, _ = sampled_grams(by_frame)
        panels.append(GramPanel(name, colour, frames, gram))
    draw_gram_pair(page, panels, unit=FRAME)


def _draw_angles(page: Page, drifts: tuple[Drift, Drift]) -> None:
    """Both curves on one axis, so that a still shows as one; frame by frame, as they are scored."""
    frames = torch.arange(len(drifts[0])).double()
    axes = time_axes(page, frames, 250)
    axes.set_xlabel(page.say(FRAME))
    words = zip((Said("reference ‐ ‐"), Said("result —")), COLOURS, strict=True)
    page.heading(LEFT, 34, Said("Step angle"), (Said("rad per step"), MUTED), *words)
    angles = [drift.step_angles() for drift in drifts]
    curves = [reduce_curve(midpoints(frames), values) for values in angles]
    draw_curve(axes, curves[0], COLOURS[0], line=DASHED)
    draw_curve(axes, curves[1], COLOURS[1])
    peak = max(float(values.max()) for values in angles)
    axes.set_ylim(-0.04 * peak if peak else -0.04, 1.12 * peak or 1)
    axes.locator_params(axis="y", nbins=4)
    axes.yaxis.set_major_formatter(tick)
    first, second = (number(drift.path_length()) for drift in drifts)
    page.text(RIGHT, 34, Said("path {a} and {b} rad", a=first, b=second), ha="right")
