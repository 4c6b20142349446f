"""Scores as numbers and marks, each beside its reference and its two controls."""

from typing import NamedTuple

from ..said import Said
from ..scores import SCORES, SHUFFLES, Comparison
from .page import CLIP_COLOUR, MARGIN, MUTED, NORMAL, PIXEL_COLOUR, SMALL, TEXT, Page
from .text import minus

ROW = 62  # px
AXIS, AXIS_WIDTH = 1130, 420  # px, of the marks
SAID = 500  # px, where words in place of numbers begin
NOTES = (
    Said(
        "Frozen: the result's first frame, repeated. "
        "Shuffled: {orders} orders of its frames, mean.",
        orders=SHUFFLES,
    ),
    Said("Above the line, near 1 is good; both controls are near 0."),
    Said("Below it, near the reference is good: a still has CLIP-F 1 without any motion."),
)


class Axis(NamedTuple):
    """Of a score's marks: least and most, None to fit what is drawn; digits behind the point."""

    least: float | None = 0.0
    most: float | None = 1.0
    digits: int = 3


ABOVE = {"angle_spearman": Axis(-1.0), "gram_correlation": Axis(-1.0)}
BELOW = {
    "motion_ratio": Axis(0.0, None),
    "path_length": Axis(0.0, None),
    "straightness": Axis(),
    "clip_f": Axis(None, 1.0, 4),
    "background_consistency": Axis(None, 1.0, 4),
    "clip_t": Axis(None, None, 4),
}


def scores_height(comparison: Comparison) -> int:
    """Px of the whole panel; a score that was not asked for has no row."""
    rows = sum(value is not None for value in comparison.scores)
    return 130 + ROW * rows + 40 * len(NOTES)


class Mark(NamedTuple):
    """One of the four that a score is given for.

    Attributes:
        field: of Comparison.
        title, colour: of its column; the title begins with the marker's sign.
        x: right edge of its numbers, px.
        shape, size: of matplotlib's marker.
    """

    field: str
    title: str
    colour: str
    x: float
    shape: str
    size: int


MARKS = (
    Mark("of_reference", Said("| Reference"), TEXT, 772, "|", 40),
    Mark("shuffled", Said("× Shuffled"), PIXEL_COLOUR, 1096, "x", 17),
    Mark("frozen", Said("○ Frozen"), "#CC79A7", 916, "o", 21),
    Mark("scores", Said("◆ Result"), CLIP_COLOUR, 596, "D", 17),
)


def draw_scores(page: Page, comparison: Comparison) -> None:
    """The table with a marked axis per row."""
    page.heading(MARGIN, 34, Said("Scores"))
    for mark in MARKS:
        page.text(mark.x, 34, mark.title, ha="right", color=mark.colour, fontsize=SMALL - 2)
    y = 34
    for rows in (ABOVE, BELOW):
        for name, axis in rows.items():
            if getattr(comparison.scores, name) is not None:
                y += ROW
                _draw_row(page, comparison, name, axis, y)
        if rows is ABOVE:
            y += 26
            line = page.axes(MARGIN, y, page.width - 2 * MARGIN, 2)
            line.set_axis_off()
            line.axhspan(0, 1, color=MUTED)
    for i, note in enumerate(NOTES):
        room = page.width - 2 * MARGIN
        page.text(MARGIN, y + 58 + 40 * i, note, room, fontsize=SMALL - 2, color=MUTED)


def _draw_row(page: Page, comparison: Comparison, name: str, axis: Axis, y: float) -> None:
    """One score, its baseline at y px."""
    values = [getattr(getattr(comparison, mark.field), name) for mark in MARKS]
    page.text(MARGIN, y, SCORES[name].label, color=TEXT)
    if name in comparison.silent:
        page.text(
            SAID,
            y,
            Said("does not tell here: {reason}", reason=comparison.silent[name]),
            color=MUTED,
        )
        return
    low = min(values) if axis.least is None else axis.least
    high = max(values) if axis.most is None else axis.most
    span = max(high - low, 0.05)
    axes = page.axes(AXIS, y - 34, AXIS_WIDTH, 46)
    axes.set_xlim(low - 0.05 * span, low + 1.05 * span)
    axes.set_ylim(-1, 1)
    axes.axis("off")
    axes.axhline(0, color=MUTED, linewidth=2, zorder=1)
    if low < 0 < high:
        axes.plot([0, 0], [-0.45, 0.45], color=MUTED, linewidth=2, zorder=1)
    for mark, value in zip(MARKS, values, strict=True):
        size, weight = NORMAL - 3, "bold" if mark.field == "scores" else "normal"
        said, colour = _said(value, axis.digits), mark.colour
        page.text(mark.x, y, said, ha="right", color=colour, fontsize=size, fontweight=weight)
        hollow = {} if mark.shape == "D" else {"markerfacecolor": "none", "markeredgewidth": 4}
        drawn = {"markersize": mark.size, "color": colour, "zorder": 3, "clip_on": False}
        axes.plot(value, 0, mark.shape, **drawn, **hollow)


def _said(value: float, digits: int) -> str:
    """With so many digits behind the point, of large numbers with three in all."""
    return minus(f"{value:.{digits}f}" if abs(value) < 10 else f"{value:,.3g}")
