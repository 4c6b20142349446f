"""Frames side by side, and what changes from one to the next."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..said import Said
from .page import GROUND, LEFT, MARGIN, MUTED, RIGHT, SMALL, Page
from .statistics import even_sample

GAP, LEAST = 8, 7  # px between frames; frames per strip at least
SIDE = 132  # px, of a frame at most
# Blue is darker, grey unchanged, yellow brighter; made for colour-blind eyes.
CHANGE_COLOURS = "cividis"
BRIGHTNESS = (0.299, 0.587, 0.114)  # of red, green and blue, ITU-R BT.601


class Cells(NamedTuple):
    """Where a strip's frames stand.

    Attributes:
        frames: (n,) which frames are shown, the first and the last among them.
        x: px of each one's left edge from the strip's.
        width, height: px of a frame.
    """

    frames: Tensor
    x: list[int]
    width: int
    height: int


def strip_cells(thumbnails: Tensor, width: int) -> Cells:
    """Evenly spaced frames of (F, h, w, 3) side by side, in `width` px unless they are too few."""
    aspect = thumbnails.shape[2] / thumbnails.shape[1]
    w = max(24, round(min(SIDE * aspect, width / LEAST - GAP)))
    h = max(24, min(SIDE, round(w / aspect)))
    frames = even_sample(len(thumbnails), max(2, (width + GAP) // (w + GAP)))
    step = min((width - w) / (len(frames) - 1), w + 4 * GAP)
    return Cells(frames, [round(i * step) for i in range(len(frames))], w, h)


def resized(pictures: Tensor, height: int, width: int) -> Tensor:
    """(n, h, w, 3) uint8 → (n, height, width, 3) float32 in 0..1."""
    pictures = torch.nn.functional.interpolate(
        pictures.movedim(-1, 1).float() / 255, (height, width), mode="bicubic", antialias=True
    )
    return pictures.clamp(0, 1).movedim(1, -1)


def changes(pictures: Tensor) -> Tensor:
    """What to subtract from each picture but the first to get the one before it.

    (n, h, w, 3) in 0..1 → (n-1, h, w) signed changes of brightness. Their sum is last − first.
    """
    return (pictures @ torch.tensor(BRIGHTNESS)).diff(dim=0)


def draw_frames(page: Page, top: float, thumbnails: Tensor, cells: Cells) -> Tensor:
    """The frames of a strip; returns them, (n, h, w, 3) float32 in 0..1."""
    pictures = resized(thumbnails[cells.frames], cells.height, cells.width)
    page.picture(LEFT, top, _strip(pictures, cells))
    return pictures


def draw_strip(page: Page, thumbnails: Tensor, cells: Cells) -> None:
    """Frames, and below each but the first what to subtract from it to get the one on its left.

    Subtracting all of them leads from the last frame back to the first.
    """
    import matplotlib
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    change = changes(draw_frames(page, 0, thumbnails, cells))
    # A few pixels of an edge must not turn all else grey.
    size = change.abs().flatten()
    scale = float(size[:: max(1, len(size) // 100_000)].quantile(0.995)) or float(size.max())
    scale = max(scale, 1 / 255)  # the least that 8 bits can change
    norm, colours = Normalize(-scale, scale), matplotlib.colormaps[CHANGE_COLOURS]
    painted = torch.from_numpy(colours(norm(change.numpy()))[..., :3]).float()
    first = _ground().expand(1, *painted.shape[1:])
    top = cells.height + 10
    page.picture(LEFT, top, _strip(torch.cat((first, painted)), cells))
    bar = page.colour_bar(ScalarMappable(norm, colours), RIGHT + 26, top, cells.height)
    bar.set_ticks([-scale, 0, scale], labels=[f"−{255 * scale:.0f}", "0", f"+{255 * scale:.0f}"])
    bar.ax.tick_params(labelsize=SMALL - 4)
    middle = LEFT + cells.width / 2, top + cells.height / 2 + 10
    if cells.width > 110:
        page.text(*middle, Said("change"), ha="center", color=MUTED)
    said = Said("Change of brightness (of 255): subtract it, and the frame on its left remains")
    page.text(LEFT, top + cells.height + 36, said, page.width - LEFT - MARGIN, color=MUTED)


def _strip(pictures: Tensor, cells: Cells) -> np.ndarray:
    """Pictures at their cells' places on the page's ground: (h, W, 3) float32."""
    strip = _ground().expand(cells.height, cells.x[-1] + cells.width, 3).clone()
    for x, picture in zip(cells.x, pictures, strict=True):
        strip[:, x : x + cells.width] = picture
    return strip.numpy()


def _ground() -> Tensor:
    from matplotlib.colors import to_rgb

    return torch.tensor(to_rgb(GROUND))
