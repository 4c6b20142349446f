"""The frames on both sides of the largest steps."""

import numpy as np
from torch import Tensor

from ..drift import Drift
from ..said import Said
from .grams import midpoints
from .page import MUTED, NORMAL, Page
from .strip import resized
from .text import NO_MOTION, NO_PICTURES, number, seconds

WIDTH = 590  # px
SIDE, ROW = 187, 201  # px: of a frame at most, and from one row to the next


def draw_steps(page: Page, drift: Drift, left: float, marked: list[int]) -> None:
    """A row per marked step, three at most: the frame before, the frame after, when, how far."""
    page.heading(left, 34, Said("Largest steps"), (Said("before, after"), MUTED))
    if drift.thumbnails is None or not marked:
        missing = (
            NO_MOTION
            if drift.thumbnails is not None
            else Said("No frames to show:\n{why}", why=NO_PICTURES)
        )
        page.notice(left, 50, WIDTH, WIDTH, missing)
        return
    angles, middle = drift.step_angles(), midpoints(drift.times)
    for row, (letter, step) in enumerate(zip("ABC", marked, strict=False)):
        y = 50 + row * ROW
        before, after = _pair(drift.thumbnails, step)
        height, width = before.shape[:2]
        inset = (SIDE - height) / 2
        page.picture(left, y + inset, before)
        page.picture(left + width + 10, y + inset, after)
        x = left + 2 * width + 10 + 28
        page.text(x, y + 62, letter, fontsize=NORMAL, fontweight="bold")
        page.text(x + 46, y + 62, seconds(float(middle[step])), fontsize=NORMAL)
        page.text(x, y + 112, Said("{angle} rad", angle=number(float(angles[step]))), color=MUTED)


def _pair(thumbnails: Tensor, step: int) -> list[np.ndarray]:
    """Two (h, w, 3) float32 arrays that fit into a square."""
    h, w = thumbnails.shape[1:3]
    scale = SIDE / max(h, w)
    size = max(12, round(h * scale)), max(12, round(w * scale))
    return [picture.numpy() for picture in resized(thumbnails[step : step + 2], *size)]
