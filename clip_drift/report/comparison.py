"""A result beside its reference, on one page.

Both are drawn over frame numbers: they are compared frame by frame, whatever their seconds.
"""

import dataclasses

import torch
from torch import Tensor

from ..scores.compare import Comparison
from .curve import DASHED, draw_curve, reduce_curve
from .grams import GramPanel, draw_gram_pair, midpoints
from .page import CLIP_COLOUR, LEFT, MARGIN, MUTED, NORMAL, RIGHT, TEXT, WIDTH, Page, style
from .score_rows import HEIGHT, draw_scores
from .statistics import sampled_grams
from .strip import SIDE, draw_frames, strip_cells
from .text import number, seconds, tick
from .timeline import time_axes

REFERENCE_COLOUR, RESULT_COLOUR = TEXT, CLIP_COLOUR


def comparison_report(comparison: Comparison) -> Tensor:
    """Draw a comparison: both clips, Gram matrices and step angles, and the scores.

    Args:
        comparison: of :func:`clip_drift.scores.compare`.

    Returns:
        (H, W, 3) float32 in 0..1, W = 1600 px.
    """
    with style():
        notes = "  ·  ".join(comparison.notes)
        clips = 200 if notes else 156  # px, where the film strips begin
        page = Page(WIDTH, clips + 2 * (SIDE + 70) + 1124 + HEIGHT)
        room = WIDTH - 2 * MARGIN
        page.title(76, _verdict_head(comparison))
        page.text(MARGIN, 128, _verdict_tail(comparison), room, fontsize=NORMAL, color=TEXT)
        page.text(MARGIN, 174, notes, room, color=MUTED)
        top = _draw_clips(page, comparison, clips)
        _draw_grams(page, comparison, top)
        _draw_angles(page, comparison, top + 734)
        draw_scores(page, comparison, top + 1124)
        return page.render()


def _verdict_head(comparison: Comparison) -> str:
    return comparison.verdict.rstrip(".").split("; ")[0].split(": ")[0]


def _verdict_tail(comparison: Comparison) -> str:
    """The rest of the verdict's sentence."""
    rest = comparison.verdict[len(_verdict_head(comparison)) :].lstrip(";: ")
    return rest[:1].upper() + rest[1:]


def _clips(comparison: Comparison):
    """Name, colour and drift of both."""
    yield "Reference", REFERENCE_COLOUR, comparison.reference
    yield "Result", RESULT_COLOUR, comparison.result


def _draw_clips(page: Page, comparison: Comparison, top: float) -> float:
    """Both film strips with their names; where they end, px."""
    for name, colour, drift in _clips(comparison):
        facts = (
            f"{drift.source or 'CLIP drift'}  ·  {len(drift):,} frames, {seconds(drift.duration)}"
        )
        page.heading(LEFT, top + 34, name, (facts, MUTED), color=colour)
        if drift.thumbnails is None:
            said = "No frames to show: this drift was not made from pictures"
            page.notice(LEFT, top + 50, RIGHT - LEFT, SIDE, said)
        else:
            cells = strip_cells(drift.thumbnails, RIGHT - LEFT)
            draw_frames(page, LEFT, top + 50 + (SIDE - cells.height) / 2, drift.thumbnails, cells)
        top += 50 + SIDE + 20
    return top


def _draw_grams(page: Page, comparison: Comparison, top: float) -> None:
    panels = []
    for name, colour, drift in _clips(comparison):
        by_frame = dataclasses.replace(drift, times=torch.arange(len(drift)).double())
        frames, gram, _ = sampled_grams(by_frame)
        panels.append(GramPanel(name, colour, frames, gram))
    reference, result = panels
    draw_gram_pair(page, top, reference, result, unit="frame")


def _draw_angles(page: Page, comparison: Comparison, top: float) -> None:
    """Both curves on one axis, so that a still shows as one; frame by frame, as they are scored."""
    theirs, ours = comparison.reference, comparison.result
    frames = torch.arange(len(theirs)).double()
    axes = time_axes(page, frames, top + 50, 250)
    axes.set_xlabel("frame")
    words = [("reference ‐ ‐", REFERENCE_COLOUR), ("result —", RESULT_COLOUR)]
    page.heading(LEFT, top + 34, "Step angle", ("rad a step", MUTED), *words)
    middle = midpoints(frames)
    angles = theirs.step_angles(), ours.step_angles()
    draw_curve(axes, reduce_curve(middle, angles[0]), REFERENCE_COLOUR, 1.0, DASHED)
    draw_curve(axes, reduce_curve(middle, angles[1]), RESULT_COLOUR)
    peak = max(float(a.max()) for a in angles)
    axes.set_ylim(-0.04 * peak if peak else -0.04, 1.12 * peak or 1)
    axes.locator_params(axis="y", nbins=4)
    axes.yaxis.set_major_formatter(tick)
    paths = " and ".join(number(drift.path_length()) for drift in (theirs, ours))
    page.text(RIGHT, top + 34, f"path {paths} rad", ha="right")
