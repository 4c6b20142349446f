"""Scores as numbers and marks, each beside its reference and its two controls."""

from typing import NamedTuple

from ..scores.compare import SHUFFLES, Comparison
from .page import CLIP_COLOUR, MARGIN, MUTED, NORMAL, PIXEL_COLOUR, SMALL, TEXT, Page
from .text import minus

ROW = 62  # px
AXIS, AXIS_WIDTH = 1130, 420  # px, of the marks
NOTES = (
    f"Frozen: the result's first frame, repeated. Shuffled: {SHUFFLES} orders of its frames, mean.",
    "Above the line, near 1 is good; both controls are near 0.",
    "Below it, near the reference is good: a still has CLIP-F 1 without any motion.",
)


class Row(NamedTuple):
    """A score's place in the table.

    Attributes:
        field: of Scores.
        name: what it is called.
        least, most: of its axis; None to fit what is drawn.
        digits: behind the point.
    """

    field: str
    name: str
    least: float | None = 0.0
    most: float | None = 1.0
    digits: int = 3


ABOVE = (
    Row("angle_spearman", "Step angles, Spearman", -1.0),
    Row("gram_correlation", "Gram matrices, Pearson", -1.0),
)
BELOW = (
    Row("motion_ratio", "Motion ratio", 0.0, None),
    Row("path_length", "Path length, rad", 0.0, None),
    Row("straightness", "Straightness"),
    Row("clip_f", "CLIP-F", None, 1.0, 4),
    Row("background_consistency", "Background consistency", None, 1.0, 4),
    Row("clip_t", "CLIP-T", None, None, 4),
)

HEIGHT = 130 + ROW * (len(ABOVE) + len(BELOW)) + 40 * len(NOTES)  # px, of the whole panel


class Mark(NamedTuple):
    """One of the four that a score is given for.

    Attributes:
        field: of Comparison.
        name, colour: of its column.
        x: right edge of its numbers, px.
        shape: matplotlib's marker.
        sign: the same in text.
    """

    field: str
    name: str
    colour: str
    x: float
    shape: str
    sign: str


MARKS = (
    Mark("of_reference", "Reference", TEXT, 772, "|", "|"),
    Mark("shuffled", "Shuffled", PIXEL_COLOUR, 1096, "x", "×"),
    Mark("frozen", "Frozen", "#CC79A7", 916, "o", "○"),
    Mark("scores", "Result", CLIP_COLOUR, 596, "D", "◆"),
)


def draw_scores(page: Page, comparison: Comparison, top: float) -> None:
    """The table with a marked axis a row; HEIGHT px high."""
    page.heading(MARGIN, top + 34, "Scores")
    for mark in MARKS:
        name = f"{mark.sign} {mark.name}"
        page.text(mark.x, top + 34, name, ha="right", color=mark.colour, fontsize=SMALL - 2)
    y = top + 34
    for rows in (ABOVE, BELOW):
        for row in rows:
            y += ROW
            _draw_row(page, comparison, row, y)
        if rows is ABOVE:
            y += 26
            line = page.axes(MARGIN, y, page.width - 2 * MARGIN, 2)
            line.set_axis_off()
            line.axhspan(0, 1, color=MUTED)
    for note in NOTES:
        y += 44 if note is NOTES[0] else 40
        page.text(MARGIN, y + 14, note, page.width - 2 * MARGIN, fontsize=SMALL - 2, color=MUTED)


def _draw_row(page: Page, comparison: Comparison, row: Row, y: float) -> None:
    """One score, its baseline at y px."""
    values = {mark: getattr(getattr(comparison, mark.field), row.field) for mark in MARKS}
    page.text(MARGIN, y, row.name, color=TEXT)
    if None in values.values():
        page.text(MARKS[0].x, y, "connect prompt", ha="right", color=MUTED)
        return
    for mark, value in values.items():
        page.text(
            mark.x,
            y,
            _said(value, row.digits),
            ha="right",
            color=mark.colour,
            fontsize=NORMAL - 3,
            fontweight="bold" if mark.field == "scores" else "normal",
        )
    low = min(values.values()) if row.least is None else row.least
    high = max(values.values()) if row.most is None else row.most
    span = max(high - low, 0.05)
    axes = page.axes(AXIS, y - 34, AXIS_WIDTH, 46)
    axes.set_xlim(low - 0.05 * span, low + 1.05 * span)
    axes.set_ylim(-1, 1)
    axes.axis("off")
    axes.axhline(0, color=MUTED, linewidth=2, zorder=1)
    if low < 0 < high:
        axes.plot([0, 0], [-0.45, 0.45], color=MUTED, linewidth=2, zorder=1)
    for mark, value in values.items():
        hollow: dict[str, object] = {"markerfacecolor": "none", "markeredgewidth": 4}
        size = {"|": 40, "x": 17, "o": 21, "D": 17}[mark.shape]
        axes.plot(
            value,
            0,
            mark.shape,
            markersize=size,
            color=mark.colour,
            zorder=3,
            clip_on=False,
            **({} if mark.shape == "D" else hollow),
        )


def _said(value: float, digits: int) -> str:
    """With so many digits behind the point, of large numbers with three in all."""
    return minus(f"{value:.{digits}f}" if abs(value) < 10 else f"{value:,.3g}")
