"""The drift's report: its panels on one page."""

from torch import Tensor

from ..drift import Drift
from ..said import Said
from .grams import GramPanel, draw_gram_pair
from .page import (
    CLIP_COLOUR,
    LEFT,
    MARGIN,
    MUTED,
    NORMAL,
    PIXEL_COLOUR,
    RIGHT,
    Band,
    Page,
    Say,
    stacked,
)
from .path import SIDE, draw_path
from .statistics import largest_steps, sampled_grams
from .steps import draw_steps
from .strip import draw_strip, strip_cells
from .text import NO_PICTURES, number, seconds
from .timeline import draw_angles, draw_neighbours

MARKED = 3  # steps that are shown with their frames


def drift_report(drift: Drift, say: Say = str) -> Tensor:
    """Draw a drift in pixel space and in CLIP space.

    From the top: frames and what changes between them; both Gram matrices on one colour scale; the
    similarity of neighbouring frames in both spaces with the correlation of the two curves; step
    angles over time; the path in its first two principal directions; the frames of the largest
    steps. A panel that has nothing to show says why. Of long drifts the matrices show an even
    sample of 256 frames and the path one of 600; curves always come from every frame.

    Args:
        drift: F ≥ 2 frames.
        say: puts each text into another language.

    Returns:
        (H, W, 3) float32 in 0..1, W = 1600 px.
    """
    marked = largest_steps(drift.step_angles(), MARKED)
    bands: list[Band] = [
        (158, lambda page: _draw_title(page, drift)),
        (778, lambda page: _draw_grams(page, drift)),
        (362, lambda page: draw_neighbours(page, drift)),
        (360, lambda page: draw_angles(page, drift, marked)),
        (718, lambda page: _draw_path_and_steps(page, drift, marked)),
    ]
    pictures = drift.thumbnails
    if pictures is not None:
        cells = strip_cells(pictures, RIGHT - LEFT)
        bands.insert(1, (2 * cells.height + 84, lambda page: draw_strip(page, pictures, cells)))
    return stacked(*bands, say=say)


def _draw_title(page: Page, drift: Drift) -> None:
    """Name of the source, and under it the drift in one line."""
    page.title(76, drift.source or Said("CLIP drift"))
    facts = [
        Said("{frames} frames", frames=f"{len(drift):,}"),
        seconds(drift.duration),
        drift.encoder or Said("unnamed encoder"),
        f"N = {drift.dim}",
        Said("path {path} rad", path=number(drift.path_length())),
    ]
    room = page.width - 2 * MARGIN
    page.text(MARGIN, 126, "  ·  ".join(map(page.say, facts)), room, fontsize=NORMAL, color=MUTED)


def _draw_grams(page: Page, drift: Drift) -> None:
    """Both Gram matrices, pixels left and CLIP right."""
    times, clip, pixels = sampled_grams(drift)
    missing = Said("No pixel space:\n{why}", why=NO_PICTURES)
    left = GramPanel(Said("Pixels"), PIXEL_COLOUR, times, pixels, missing)
    draw_gram_pair(page, (left, GramPanel("CLIP", CLIP_COLOUR, times, clip)))
    notes = []
    if len(times) < len(drift):
        said = Said("matrices of {some} of {all} frames", some=len(times), all=f"{len(drift):,}")
        notes.append(said)
    if pixels is not None and pixels.isnan().any():
        notes.append(Said("grey: black frames, whose pixels have no direction"))
    page.text(LEFT, 752, "  ·  ".join(map(page.say, notes)), color=MUTED)


def _draw_path_and_steps(page: Page, drift: Drift, marked: list[int]) -> None:
    draw_path(page, drift, LEFT)
    draw_steps(page, drift, LEFT + SIDE + 70, marked)
