"""Curves over a drift's seconds: neighbouring frames in both spaces, and step angles."""

from typing import Any

import numpy as np
from torch import Tensor

from ..drift import Drift
from ..said import Said
from ..scores.correlation import pearson, spearman
from ..scores.measures import CODING_NOISE
from .curve import DASHED, Curve, draw_curve, reduce_curve
from .grams import SECONDS, midpoints
from .page import CLIP_COLOUR, LEFT, MUTED, PIXEL_COLOUR, RIGHT, TEXT, Page
from .statistics import neighbour_similarity
from .text import cosine_tick, minus, number, tick

QUIET: dict[str, Any] = {"color": MUTED}


def time_axes(page: Page, times: Tensor, height: float):
    """Axes over the times of frames, at the same place in every panel."""
    axes = page.axes(LEFT, 50, RIGHT - LEFT, height)
    axes.set_xlim(float(times[0]), float(times[-1]))
    axes.locator_params(axis="x", nbins=8)
    axes.grid(True)
    return axes


def draw_neighbours(page: Page, drift: Drift) -> None:
    """Similarity of neighbouring frames in both spaces, and how well they follow each other.

    Each space has its own axis. They differ in range many times over, and what is asked is
    whether they rise and fall together; no correlation depends on the two scales either.
    """
    clip, pixels = neighbour_similarity(drift)
    axes = time_axes(page, drift.times, 250)
    if pixels is None:
        words = [(Said("cosine, CLIP only: no pictures"), MUTED)]
    else:
        words = [(Said("CLIP — left"), CLIP_COLOUR), (Said("pixels ‐ ‐ right"), PIXEL_COLOUR)]
        other = axes.twinx()
        # Wider, so that it shows on both sides of CLIP's line where the two coincide.
        curve = reduce_curve(midpoints(drift.times), pixels)
        _draw_cosines(other, curve, PIXEL_COLOUR, 1.6, DASHED)
        # twinx draws over its host; CLIP, the subject, belongs on top.
        axes.set_zorder(other.get_zorder() + 1)
        axes.patch.set_visible(False)
        other.patch.set_visible(True)
        said, look = _correlation(clip, pixels)
        page.text(RIGHT, 34, said, ha="right", **look)
    page.heading(LEFT, 34, Said("Neighbours"), *words)
    _draw_cosines(axes, reduce_curve(midpoints(drift.times), clip), CLIP_COLOUR)


def _correlation(clip: Tensor, pixels: Tensor) -> tuple[Said, dict[str, Any]]:
    """How well two curves of cosines follow each other, in words, and how to write them."""
    for said, curve in (
        (Said("r does not tell: CLIP changes evenly"), clip),
        (Said("r does not tell: pixels change evenly"), pixels),
    ):
        angles = curve[curve.isfinite()].clamp(-1, 1).acos()
        if len(angles) > 2 and float(angles.std()) <= CODING_NOISE:
            return said, QUIET
    r = pearson(clip, pixels)
    if r is None:
        return Said("r: n/a"), QUIET
    # One cut can make r; ranks count every step alike.
    rho = spearman(clip, pixels)
    bold = {"fontweight": "bold"}
    if rho is None:
        return Said("Pearson r = {r}", r=minus(f"{r:.2f}")), bold
    both = {"r": minus(f"{r:.2f}"), "rank": minus(f"{rho:.2f}")}
    return Said("Pearson r = {r}, rank {rank}", **both), bold


def _draw_cosines(axes, curve: Curve, colour: str, *look) -> None:
    """One similarity curve, on an axis in its colour that fits it."""
    draw_curve(axes, curve, colour, *look)
    low, high = float(np.fmin.reduce(curve.low)), float(np.fmax.reduce(curve.high))
    if np.isnan(low):  # all frames are black
        low, high = 0.0, 1.0
    # Nothing to see below 1e-9: without a least span, a constant curve has no axis at all.
    span = max(high - low, 0.1 * (1 - low), 1e-9)
    axes.set_ylim(low - 0.12 * span, high + 0.12 * span)
    axes.locator_params(axis="y", nbins=4)
    if high - low < 1e-12:
        axes.set_yticks([low])
    axes.yaxis.set_major_formatter(cosine_tick(span))
    axes.tick_params(axis="y", labelcolor=colour)


def draw_angles(page: Page, drift: Drift, marked: list[int]) -> None:
    """Step angles over time; the marked steps get a letter, in the order of time."""
    angles, middle = drift.step_angles(), midpoints(drift.times)
    curve = reduce_curve(middle, angles)
    axes = time_axes(page, drift.times, 230)
    axes.set_xlabel(page.say(SECONDS))
    page.heading(LEFT, 34, Said("Step angle"), (Said("rad per step"), MUTED))
    draw_curve(axes, curve, CLIP_COLOUR)
    axes.fill_between(curve.time, 0, curve.mean, color=CLIP_COLOUR, alpha=0.25, linewidth=0)
    peak = float(angles.max())
    axes.set_ylim(0, 1.35 * peak or 1)
    axes.locator_params(axis="y", nbins=4)
    axes.yaxis.set_major_formatter(tick)
    if peak == 0:
        axes.set_yticks([0])
    for letter, step in zip("ABC", marked, strict=False):
        moment, size = float(middle[step]), float(angles[step])
        look = {"color": TEXT, "fontweight": "bold", "ha": "center", "va": "bottom"}
        axes.text(moment, size + 0.06 * peak, letter, **look)
    said = Said("no motion") if peak == 0 else Said("largest {angle}", angle=number(peak))
    page.text(RIGHT, 34, said, ha="right")
