"""The drift's report: its panels on one page."""

from torch import Tensor

from ..drift import Drift
from .grams import GramPanel, draw_gram_pair
from .page import CLIP_COLOUR, LEFT, MARGIN, MUTED, NORMAL, PIXEL_COLOUR, RIGHT, WIDTH, Page, style
from .path import SIDE, draw_path
from .statistics import largest_steps, sampled_grams
from .steps import draw_steps
from .strip import draw_changes, draw_frames, strip_cells
from .text import NO_PICTURES, number, seconds
from .timeline import draw_angles, draw_neighbours

MARKED = 3  # steps that are shown with their frames


def drift_report(drift: Drift) -> Tensor:
    """Draw a drift in pixel space and in CLIP space.

    From the top: frames and what changes between them; both Gram matrices on one colour scale; the
    similarity of neighbouring frames in both spaces with the correlation of the two curves; step
    angles over time; the path in its first two principal directions; the frames of the largest
    steps. A panel that has nothing to show says why. Of long drifts the matrices show an even
    sample of 256 frames and the path one of 600; curves always come from every frame.

    Args:
        drift: F ≥ 2 frames.

    Returns:
        (H, W, 3) float32 in 0..1, W = 1600 px.
    """
    pictures = drift.thumbnails
    with style():
        cells = None if pictures is None else strip_cells(pictures, RIGHT - LEFT)
        top = 158 if cells is None else 158 + 2 * cells.height + 84
        page = Page(WIDTH, top + 2218)
        _draw_title(page, drift)
        if pictures is not None and cells is not None:
            draw_frames(page, LEFT, 158, pictures, cells)
            draw_changes(page, LEFT, 158 + cells.height + 10, pictures, cells)
        _draw_grams(page, drift, top)
        draw_neighbours(page, drift, top + 778)
        marked = largest_steps(drift.step_angles(), MARKED)
        draw_angles(page, drift, top + 1140, marked)
        draw_path(page, drift, LEFT, top + 1500)
        draw_steps(page, drift, LEFT + SIDE + 70, top + 1500, marked)
        return page.render()


def _draw_title(page: Page, drift: Drift) -> None:
    """Name of the source, and under it the drift in one line."""
    page.title(76, drift.source or "CLIP drift")
    facts = [
        f"{len(drift):,} frames",
        seconds(drift.duration),
        drift.encoder or "unnamed encoder",
        f"N = {drift.dim}",
        f"path {number(drift.path_length())} rad",
    ]
    room = page.width - 2 * MARGIN
    page.text(MARGIN, 126, "  ·  ".join(facts), room, fontsize=NORMAL, color=MUTED)


def _draw_grams(page: Page, drift: Drift, top: float) -> None:
    """Both Gram matrices, pixels left and CLIP right."""
    times, clip, pixels = sampled_grams(drift)
    missing = f"No pixel space:\n{NO_PICTURES}"
    draw_gram_pair(
        page,
        top,
        GramPanel("Pixels", PIXEL_COLOUR, times, pixels, missing),
        GramPanel("CLIP", CLIP_COLOUR, times, clip),
    )
    notes = []
    if len(times) < len(drift):
        notes.append(f"matrices of {len(times)} of {len(drift):,} frames")
    if pixels is not None and pixels.isnan().any():
        notes.append("grey: black frames, whose pixels have no direction")
    page.text(LEFT, top + 752, "  ·  ".join(notes), color=MUTED)
