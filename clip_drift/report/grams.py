"""Two Gram matrices side by side on one colour scale."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..said import Said
from .page import LEFT, MARGIN, MUTED, Page
from .text import cosine_range, cosine_tick

SIDE, GAP = 590, 40  # px
SECONDS = Said("seconds")
BLACK_COLOUR = "#55585e"  # of cells without a direction: black frames in pixel space


class GramPanel(NamedTuple):
    """One of two matrices.

    Attributes:
        name, colour: its heading.
        times: (n,) seconds or frames.
        gram: (n, n), NaN cells stay grey; None for an empty panel.
        missing: what an empty panel says.
    """

    name: str
    colour: str
    times: Tensor
    gram: Tensor | None
    missing: str = ""


def draw_gram_pair(page: Page, panels: Sequence[GramPanel], unit: str = SECONDS) -> None:
    """Two matrices over the same times, and their common colour bar; the second one is there."""
    low = min(float(p.gram.nan_to_num(1).min()) for p in panels if p.gram is not None)
    if low > 1 - 1e-6:
        low = 0.9  # a still: a scale over round-off would only confuse
    right = LEFT + SIDE + GAP
    for left, panel in zip((LEFT, right), panels, strict=True):
        if panel.gram is None:
            page.heading(left, 34, panel.name, color=panel.colour)
            page.notice(left, 50, SIDE, SIDE, panel.missing)
            continue
        words = (cosine_range(panel.gram), MUTED)
        page.heading(left, 34, panel.name, words, color=panel.colour)
        axes = page.axes(left, 50, SIDE, SIDE)
        mesh = _draw_gram(axes, panel.times, panel.gram, low)
        axes.set_xlabel(page.say(unit))
    axes.tick_params(labelleft=False)
    bar = page.colour_bar(mesh, right + SIDE + 26, 50, SIDE)
    bar.ax.locator_params(nbins=5)
    bar.ax.yaxis.set_major_formatter(cosine_tick(1 - low))
    page.text(page.width - MARGIN, 34, Said("cosine"), ha="right", color=MUTED)


def midpoints(times: Tensor) -> Tensor:
    """(F-1,) seconds: the moments between neighbouring frames."""
    return (times[1:] + times[:-1]) / 2


def _draw_gram(axes, times: Tensor, gram: Tensor, low: float):
    """One Gram matrix in colours from the cosine `low` to 1; returns what a colour bar needs."""
    # Cells lie around their frames and end halfway to the next ones.
    middle = midpoints(times)
    first, last = 2 * times[:1] - middle[:1], 2 * times[-1:] - middle[-1:]
    edges = torch.cat([first, middle, last]).numpy()
    mesh = axes.pcolormesh(edges, edges, np.ma.masked_invalid(gram.numpy()), vmin=low, vmax=1)
    axes.set_facecolor(BLACK_COLOUR)
    axes.invert_yaxis()
    axes.locator_params(nbins=5)
    # The outer cells reach beyond the first and last frame, where the clip is not.
    ticks = [t for t in axes.get_xticks() if times[0] <= t <= times[-1]]
    axes.set_xticks(ticks)
    axes.set_yticks(ticks)
    return mesh
