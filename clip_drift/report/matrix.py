"""A rotation matrix as a heat map."""

import torch
from torch import Tensor

from ..errors import DriftError
from ..said import Said
from .page import MARGIN, MUTED, PANEL, Page, Say, style
from .text import minus, number

CELLS = 400  # a matrix with more rows is pooled to this many cells or fewer
SIDE = 1056  # px, of small matrices; pooled ones are up to 800 px
# Dark at zero, so that what a rotation changes is what lights up.
COLOURS = ("#d6eeff", "#56B4E9", "#1f6fa8", PANEL, "#a86a00", "#E69F00", "#ffe9b8")


def matrix_heatmap(matrix: Tensor, title: str = Said("Rotation matrix"), say: Say = str) -> Tensor:
    """Draw what a dense rotation does: its difference from the identity, `R − I`.

    A rotation in one plane differs from the identity by rank 2, in entries about 1/N large:
    beside a diagonal of ones they could not be seen. The scale is symmetric around zero and
    ends where 99 % of the cells do, because CLIP has a few dimensions far larger than the
    others; what lies beyond is drawn in the end colour, and the largest entry is named.

    Args:
        matrix: (N, N) rotation, any float dtype. Large ones are pooled, each cell showing its
            block's entry of largest magnitude, so that no structure aliases away.
        title: heading of the picture.
        say: puts each text into another language.

    Returns:
        (H, W, 3) float32 in 0..1.

    Raises:
        DriftError: the matrix is not square, is empty, or holds NaN or infinity.
    """
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
        raise DriftError(
            f"a rotation matrix is square, (N, N), but this one is {tuple(matrix.shape)}."
        )
    if not bool(torch.isfinite(matrix).all()):
        raise DriftError("the rotation matrix holds NaN or infinity: check what it was made from.")
    change = matrix.detach().cpu().double() - torch.eye(len(matrix), dtype=torch.float64)
    with style():
        return _draw(change, title, say).render()


def _draw(change: Tensor, title: str, say: Say) -> Page:
    """`R − I`, (N, N) float64, with its colour bar."""
    from matplotlib.colors import LinearSegmentedColormap

    n = len(change)
    block = -(-n // CELLS)
    cells = _pool_max_abs(change, block)
    # Whole pixels per cell: otherwise some cells come out wider than others, as stripes.
    side = round(n / block * max(1, SIDE // len(cells)))
    left, top = 150, 190
    page = Page(left + side + 230, top + side + 120, say)
    room = page.width - 2 * MARGIN
    page.title(70, title)
    page.text(MARGIN, 118, _largest_entry(change), room, color=MUTED)
    if block > 1:
        said = Said("a cell shows the largest of {block} × {block} entries", block=block)
        page.text(MARGIN, 158, said, room, color=MUTED)
    axes = page.axes(left, top, side, side)
    scale, far = _scale(cells), len(cells) * block - 0.5
    colours = LinearSegmentedColormap.from_list("change", COLOURS)
    look = {"cmap": colours, "vmin": -scale, "vmax": scale, "extent": (-0.5, far, far, -0.5)}
    shown = axes.imshow(cells.numpy(), interpolation="nearest", aspect="auto", **look)
    # The last cells may reach beyond the matrix.
    axes.set_xlim(-0.5, n - 0.5)
    axes.set_ylim(n - 0.5, -0.5)
    axes.locator_params(nbins=6, integer=True)
    axes.set_xlabel(page.say(Said("from dimension (column)")))
    axes.set_ylabel(page.say(Said("to dimension (row)")))
    beyond = "both" if float(cells.abs().max()) > scale else "neither"
    bar = page.colour_bar(shown, left + side + 30, top, side, extend=beyond, extendfrac=0.03)
    bar.set_ticks([-scale, 0, scale], labels=[f"−{scale:.2g}", "0", f"+{scale:.2g}"])
    return page


def _pool_max_abs(matrix: Tensor, block: int) -> Tensor:
    """(N, N) → (M, M), M = ⌈N / block⌉: each block's entry of largest magnitude, sign kept."""
    cells = -(-len(matrix) // block)
    spare = cells * block - len(matrix)
    padded = torch.nn.functional.pad(matrix, (0, spare, 0, spare))
    blocks = padded.view(cells, block, cells, block).transpose(1, 2).flatten(2)
    return blocks.gather(-1, blocks.abs().argmax(-1, keepdim=True)).squeeze(-1)


def _scale(cells: Tensor) -> float:
    """Where the colour scale ends: at the largest of few cells, at the 99th percent of many."""
    size = cells.abs().flatten()
    most = float(size.max()) or 1.0  # of the identity, all is 0
    return most if len(cells) < 64 else float(size.quantile(0.99)) or most


def _largest_entry(change: Tensor) -> str:
    """What is drawn, and where it is largest, in words."""
    n = len(change)
    row, column = divmod(int(change.abs().argmax()), n)
    largest = float(change[row, column])
    if not largest:
        return Said("R − I, {n} × {n}  ·  R is exactly the identity", n=n)
    said = minus(number(largest))
    where = {"n": n, "largest": said, "row": row, "column": column}
    return Said("R − I, {n} × {n}  ·  largest {largest} at row {row}, column {column}", **where)
