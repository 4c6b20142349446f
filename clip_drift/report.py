"""Pictures to look at: a drift's report, and a rotation matrix as a heat map.

The report is the article's figure. It looks at one video in two spaces, pixels and CLIP: all
frames against all frames, each frame against the next, and how far CLIP turns a step.

One look on purpose: dark neutral ground and light text, which sits well in ComfyUI's default
theme. Colour means space (orange is CLIP, blue is pixels: Okabe and Ito's, which colour-blind
eyes tell apart), and text is large enough for a node about 400 px wide.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .drift import Drift
from .errors import DriftError

WIDTH = 1600  # px; a node shows the picture at about a quarter of this
MARGIN = 48  # px
PLOT_LEFT, PLOT_RIGHT = 168, 1432  # px, of every plot over time
GRAM_FRAMES = 256  # more frames than this are sampled for the matrices: memory stays O(256²)
CURVE_POINTS = 600  # more steps than this are drawn as a mean and a band from least to most
CHUNK = 2**22  # numbers of all frames that are in memory as float64 at once
MATRIX_CELLS = 400  # a dense matrix with more rows is pooled to this many cells or fewer

GROUND, PANEL = "#1d1e21", "#141517"
TEXT, MUTED, GRID = "#f2f2f2", "#b4b8bf", "#3a3d42"
CLIP_COLOUR, PIXEL_COLOUR = "#E69F00", "#56B4E9"
# Dark at zero, so that what a rotation changes is what lights up.
CHANGE_COLOURS = ("#d6eeff", "#56B4E9", "#1f6fa8", PANEL, "#a86a00", "#E69F00", "#ffe9b8")
BIG, NORMAL, SMALL = 42, 31, 27  # px: at 72 dpi, matplotlib's points are pixels

STYLE = {
    "font.family": ["sans-serif"],
    "font.size": SMALL,
    "figure.facecolor": GROUND,
    "axes.facecolor": PANEL,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 1.5,
    "axes.formatter.useoffset": False,
    "axes.unicode_minus": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 1.5,
    "text.color": TEXT,
    "text.parse_math": False,  # a "$" in a file's name is a dollar sign
    "axes.labelcolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": TEXT,
    "ytick.labelcolor": TEXT,
    "xtick.major.size": 8,
    "ytick.major.size": 8,
    "xtick.major.width": 1.5,
    "ytick.major.width": 1.5,
}

# Tried in this order, as far as installed: matplotlib's own font has no Chinese or Japanese.
FONTS = (
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Microsoft YaHei",
    "PingFang SC",
    "Arial Unicode MS",
    "WenQuanYi Zen Hei",
)


# ---- public ----------------------------------------------------------------------------------


def drift_report(drift: Drift) -> Tensor:
    """Draw a drift in pixel space and in CLIP space.

    From the top: frames, both Gram matrices on one colour scale, the similarity of neighbouring
    frames in both spaces with Pearson's r between the two curves, step angles over time.
    Without thumbnails the CLIP half is drawn, and the picture says so. Of a drift longer than
    256 frames the matrices show an even sample; curves always come from every frame.

    Args:
        drift: F ≥ 2 frames.

    Returns:
        (H, W, 3) float32 in 0..1, W = 1600 px.
    """
    strip = _film_strip(drift, PLOT_RIGHT - PLOT_LEFT)
    strip_height = 0 if strip is None else strip.shape[0] + 36
    with _style():
        page = _Page.new(1742 + strip_height)
        _draw_title(page, drift)
        if strip is not None:
            page.axes(PLOT_LEFT, 158, strip.shape[1], strip.shape[0], frame=False).imshow(
                strip, interpolation="nearest", aspect="auto"
            )
        top = 158 + strip_height
        _draw_grams(page, drift, top)
        _draw_neighbours(page, drift, top + 764)
        _draw_angles(page, drift, top + 1180)
        return page.render()


def neighbour_similarity(drift: Drift) -> tuple[Tensor, Tensor | None]:
    """Cosine of each frame with the next one, in CLIP space and in pixel space.

    Runs over some frames at a time: memory does not grow with F·h·w.

    Returns:
        (F-1,) float64 for CLIP, and the same for pixels (None without thumbnails). Pixel entries
        at a black frame, which has no direction, are NaN.
    """
    clip = torch.cat([_next_cosine(part.embeddings) for part in _parts(drift, drift.dim)])
    if drift.thumbnails is None:
        return clip, None
    size = drift.thumbnails[0].numel()
    return clip, torch.cat([_next_cosine(part.flat_pixels()) for part in _parts(drift, size)])


def pearson(a: Tensor, b: Tensor) -> float | None:
    """Pearson's correlation of two curves, over the entries that both have.

    Args:
        a, b: (n,) float64; NaN where a curve has no value.

    Returns:
        r in [-1, 1]; None where it means nothing: fewer than three common entries, or a curve
        that does not vary by more than round-off.
    """
    both = torch.isfinite(a) & torch.isfinite(b)
    a, b = a[both].double(), b[both].double()
    if len(a) < 3 or _is_flat(a) or _is_flat(b):
        return None
    a, b = a - a.mean(), b - b.mean()
    return float((a @ b / (a.norm() * b.norm())).clamp(-1, 1))


def matrix_heatmap(matrix: Tensor, title: str = "Rotation matrix") -> Tensor:
    """Draw what a dense rotation does: its difference from the identity, ``R − I``.

    A rotation in one plane differs from the identity by rank 2, in entries about 1/N large:
    beside a diagonal of ones they could not be seen. The scale is symmetric around zero and
    ends where 99 % of the cells do, because CLIP has a few dimensions far larger than the
    others; what lies beyond is drawn in the end colour, and the largest entry is named.

    Args:
        matrix: (N, N) rotation, any float dtype. Large ones are pooled, each cell showing its
            block's entry of largest magnitude, so that no structure aliases away.
        title: heading of the picture.

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
    with _style():
        return _draw_matrix(change, title).render()


# ---- numbers ---------------------------------------------------------------------------------


def _frames(drift: Drift, index: slice | Tensor) -> Drift:
    """Some frames of a drift, as a drift."""
    thumbnails = None if drift.thumbnails is None else drift.thumbnails[index]
    return dataclasses.replace(
        drift,
        embeddings=drift.embeddings[index],
        times=drift.times[index],
        thumbnails=thumbnails,
    )


def _parts(drift: Drift, size: int) -> Iterator[Drift]:
    """A drift in pieces, each beginning with the frame that ends the one before.

    Args:
        size: numbers a frame that will be in memory.
    """
    frames = max(1, CHUNK // size)
    for i in range(0, len(drift) - 1, frames):
        yield _frames(drift, slice(i, i + frames + 1))


def _even_sample(count: int, most: int) -> Tensor:
    """Indices of at most ``most`` of ``count`` frames, evenly spaced, first and last included."""
    return torch.linspace(0, count - 1, min(count, most), dtype=torch.float64).round().long()


def _next_cosine(rows: Tensor) -> Tensor:
    """Cosine of each row with the next, (n-1,) float64; NaN beside a row of zeros.

    In float64, rescaled there: neighbouring frames differ where float32 cosines end.
    """
    rows = rows.double()
    norm = torch.linalg.vecdot(rows, rows).sqrt()
    return (torch.linalg.vecdot(rows[:-1], rows[1:]) / (norm[:-1] * norm[1:])).clamp(-1, 1)


def _is_flat(curve: Tensor) -> bool:
    """Whether a similarity curve varies by no more than the round-off of float32 frames does."""
    change = 1 - curve
    return bool(change.std() <= max(1e-12, 1e-4 * float(change.mean().abs())))


def _sampled_grams(drift: Drift) -> tuple[Tensor, np.ndarray, np.ndarray | None]:
    """Gram matrices over an even sample of at most 256 frames.

    Returns:
        times (n,) seconds, CLIP (n, n), pixels (n, n) or None; NaN at a black frame.
    """
    few = _frames(drift, _even_sample(len(drift), GRAM_FRAMES))
    clip = few.gram().clamp(-1, 1).numpy()
    if few.thumbnails is None:
        return few.times, clip, None
    pixels = few.pixel_gram().clamp(-1, 1)
    black = pixels.diagonal() == 0
    pixels = pixels.masked_fill(black[:, None] | black[None, :], math.nan)
    return few.times, clip, pixels.numpy()


def _edges(times: Tensor) -> np.ndarray:
    """Borders of the cells around (n,) moments: (n+1,) seconds."""
    middle = (times[1:] + times[:-1]) / 2
    first, last = 2 * times[:1] - middle[:1], 2 * times[-1:] - middle[-1:]
    return torch.cat([first, middle, last]).numpy()


class _Curve(NamedTuple):
    """A curve ready to draw: (n,) seconds, and least, mean and most at each."""

    time: np.ndarray
    low: np.ndarray
    mean: np.ndarray
    high: np.ndarray


def _curve(time: Tensor, value: Tensor) -> _Curve:
    """Reduce a curve to at most 600 points. NaN stays a gap.

    Args:
        time, value: (n,).
    """
    x, y = time.double().numpy(), value.double().numpy()
    if len(y) <= CURVE_POINTS:
        return _Curve(x, y, y, y)
    starts = np.linspace(0, len(y), CURVE_POINTS, endpoint=False).astype(int)
    there = np.isfinite(y)
    count = np.add.reduceat(there.astype(float), starts)
    total = np.add.reduceat(np.where(there, y, 0.0), starts)
    mean = np.divide(total, count, out=np.full_like(total, math.nan), where=count > 0)
    size = np.diff(np.append(starts, len(y)))
    # fmin and fmax pass over NaN, so one black frame does not blank its whole bin.
    low, high = np.fmin.reduceat(y, starts), np.fmax.reduceat(y, starts)
    return _Curve(np.add.reduceat(x, starts) / size, low, mean, high)


def _film_strip(drift: Drift, width: int) -> np.ndarray | None:
    """Evenly spaced frames side by side, from end to end unless they are too few for that.

    Args:
        width: px.

    Returns:
        (h, width, 3) float32 in 0..1, or None without thumbnails.
    """
    if drift.thumbnails is None:
        return None
    gap, least = 8, 7
    aspect = drift.thumbnails.shape[2] / drift.thumbnails.shape[1]
    w = max(24, round(min(132 * aspect, width / least - gap)))
    h = max(24, min(132, round(w / aspect)))
    pick = _even_sample(len(drift), max(2, (width + gap) // (w + gap)))
    pictures = drift.thumbnails[pick].movedim(-1, 1).float() / 255
    pictures = torch.nn.functional.interpolate(
        pictures, size=(h, w), mode="bicubic", antialias=True
    )
    pictures = pictures.clamp(0, 1).movedim(1, -1)
    strip = torch.tensor(_rgb(GROUND)).expand(h, width, 3).clone()
    step = min((width - w) / (len(pick) - 1), w + 4 * gap)
    for i, picture in enumerate(pictures):
        x = round(i * step)
        strip[:, x : x + w] = picture
    return strip.numpy()


def _pool_max_abs(matrix: Tensor, block: int) -> Tensor:
    """Each block's entry of largest magnitude, sign kept.

    Args:
        matrix: (N, N).
        block: rows and columns that become one.

    Returns:
        (M, M), M = ⌈N / block⌉.
    """
    cells = -(-len(matrix) // block)
    spare = cells * block - len(matrix)
    padded = torch.nn.functional.pad(matrix, (0, spare, 0, spare))
    blocks = padded.view(cells, block, cells, block).transpose(1, 2).flatten(2)
    return blocks.gather(-1, blocks.abs().argmax(-1, keepdim=True)).squeeze(-1)


# ---- text ------------------------------------------------------------------------------------


def _rgb(colour: str) -> list[float]:
    """ "#rrggbb" as three numbers in 0..1."""
    return [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def _number(x: float) -> str:
    """Three digits, without an exponent where a reader wants none."""
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:.3g}"


def _seconds(x: float) -> str:
    return f"{x:,.1f} s" if abs(x) >= 10 else f"{x:.2f} s"


def _cosine_range(values: np.ndarray) -> str:
    """Least and most of cosines, with the digits that tell the least from 1."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return "no values"
    low, high = float(finite.min()), float(finite.max())
    if low >= 1 - 1e-6:
        return "all 1"
    digits = max(2, 1 - math.floor(math.log10(1 - low)))
    most = "1" if high >= 1 - 1e-6 else f"{high:.{digits}f}"
    return f"{low:.{digits}f} to {most}".replace("-", "−")


def _cosine_tick(span: float) -> Callable[..., str]:
    """Tick labels for cosines: distances from 1 where a plain number would need many digits."""

    def label(value: float, _position: int | None = None) -> str:
        if value > 1 + 1e-3 * span:
            return ""
        if abs(1 - value) <= 1e-3 * span:
            return "1"
        if span >= 1e-4:
            return (f"{value:.5f}".rstrip("0").rstrip(".") or "0").replace("-", "−")
        return f"1−{1 - value:.2g}".replace("e-0", "e-")

    return label


def _readable(text: str, families: list[str]) -> str:
    """One line, with "?" for characters that no font here can draw (they would raise warnings)."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    fonts = [get_font(findfont(FontProperties(family=name))) for name in families]

    def drawable(c: str) -> bool:
        code = ord(c)
        return c.isprintable() and any(font.get_char_index(code) for font in fonts)

    return "".join(c if drawable(c) else "?" for c in " ".join(text.split()))


# ---- drawing ---------------------------------------------------------------------------------


def _style():
    """Context with matplotlib's defaults and this look, whatever a user's rc file says."""
    import matplotlib
    from matplotlib.font_manager import fontManager

    installed = set(fontManager.get_font_names())
    fonts = [name for name in FONTS if name in installed]
    # The backend is the one setting that rc_context does not put back.
    defaults = {k: v for k, v in matplotlib.rcParamsDefault.items() if "backend" not in k}
    return matplotlib.rc_context({**defaults, **STYLE, "font.sans-serif": fonts})


class _Page(NamedTuple):
    """A figure that is laid out in pixels from its top left corner."""

    figure: object
    width: int
    height: int

    @classmethod
    def new(cls, height: int, width: int = WIDTH) -> "_Page":
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        # The hundredth of a pixel keeps Agg, which rounds down, from losing one.
        figure = Figure(figsize=((width + 0.01) / 72, (height + 0.01) / 72), dpi=72)
        FigureCanvasAgg(figure)
        return cls(figure, width, height)

    def axes(self, left: float, top: float, width: float, height: float, frame: bool = True):
        """Axes whose plot area is this rectangle, px."""
        box = (
            left / self.width,
            1 - (top + height) / self.height,
            width / self.width,
            height / self.height,
        )
        axes = self.figure.add_axes(box)
        axes.set_axis_on() if frame else axes.set_axis_off()
        return axes

    def text(self, x: float, y: float, text: str, room: float | None = None, **look):
        """Write with the baseline at (x, y) px; too long for ``room`` px, it loses its middle."""
        from matplotlib import rcParams

        text = _readable(text, rcParams["font.sans-serif"])
        written = self.figure.text(x / self.width, 1 - y / self.height, text, **look)
        while room and written.get_window_extent().width > room and len(text) > 8:
            # Shortened in proportion, so two or three tries are enough for any length.
            share = room / written.get_window_extent().width
            half = max(3, min(len(text) - 3, int(len(text) * share)) // 2)
            text = text[:half] + "…" + text[-half:]
            written.set_text(text)
        return written

    def after(self, written, gap: float = 28) -> float:
        """Where the next words on the line of ``written`` start, px."""
        return written.get_window_extent().x1 + gap

    def heading(self, y: float, text: str, x: float = PLOT_LEFT):
        return self.text(x, y, text, fontsize=NORMAL, fontweight="bold")

    def render(self) -> Tensor:
        """(height, width, 3) float32 in 0..1."""
        self.figure.canvas.draw()
        rgba = np.asarray(self.figure.canvas.buffer_rgba())
        return torch.from_numpy(rgba[..., :3].astype(np.float32) / 255)


def _draw_title(page: _Page, drift: Drift) -> None:
    """Name of the source, and under it the drift in one line."""
    room = page.width - 2 * MARGIN
    name = drift.source or "CLIP drift"
    page.text(MARGIN, 76, name, room, fontsize=BIG, fontweight="bold")
    facts = [
        f"{len(drift):,} frames",
        _seconds(drift.duration),
        drift.encoder or "unnamed encoder",
        f"N = {drift.dim}",
        f"path {_number(drift.path_length())} rad",
    ]
    page.text(MARGIN, 126, "  ·  ".join(facts), room, fontsize=NORMAL, color=MUTED)


def _draw_grams(page: _Page, drift: Drift, top: float) -> None:
    """Both Gram matrices, pixels left and CLIP right, on one colour scale."""
    times, clip, pixels = _sampled_grams(drift)
    side, gap = 590, 40
    finite = [m[np.isfinite(m)] for m in (clip, pixels) if m is not None]
    low = min(float(m.min()) for m in finite if m.size)
    if low > 1 - 1e-6:
        low = 0.9  # a still: a scale over round-off would only confuse
    edges = _edges(times)
    panels = (("Pixels", pixels, PIXEL_COLOUR), ("CLIP", clip, CLIP_COLOUR))
    for i, (name, gram, colour) in enumerate(panels):
        left = PLOT_LEFT + i * (side + gap)
        axes = page.axes(left, top + 50, side, side)
        written = page.text(left, top + 34, name, fontsize=NORMAL, fontweight="bold", color=colour)
        if gram is None:
            _draw_no_pixels(axes)
            continue
        page.text(page.after(written), top + 34, _cosine_range(gram), color=MUTED)
        mesh = axes.pcolormesh(edges, edges, np.ma.masked_invalid(gram), vmin=low, vmax=1)
        axes.set_facecolor("#55585e")  # what a black frame, which has no direction, leaves open
        axes.invert_yaxis()
        axes.locator_params(nbins=5)
        # Cells reach half a step beyond the first and last frame, where there are no seconds.
        ticks = [t for t in axes.get_xticks() if times[0] <= t <= times[-1]]
        axes.set_xticks(ticks)
        axes.set_yticks(ticks)
        axes.set_xlabel("seconds")
        if i:
            axes.tick_params(labelleft=False)
    bar = page.figure.colorbar(
        mesh, cax=page.axes(PLOT_LEFT + 2 * side + gap + 26, top + 50, 30, side)
    )
    bar.ax.locator_params(nbins=5)
    bar.ax.yaxis.set_major_formatter(_cosine_tick(1 - low))
    bar.outline.set_edgecolor(MUTED)
    page.text(WIDTH - MARGIN, top + 34, "cosine", ha="right", color=MUTED)
    notes = []
    if len(times) < len(drift):
        notes.append(f"matrices of {len(times)} of {len(drift):,} frames")
    if pixels is not None and np.isnan(pixels).any():
        notes.append("grey: black frames, whose pixels have no direction")
    page.text(PLOT_LEFT, top + 742, "  ·  ".join(notes), color=MUTED)


def _draw_no_pixels(axes) -> None:
    """Say why the pixel half is empty."""
    axes.set_xticks([])
    axes.set_yticks([])
    message = "No pixel space:\nthis drift was not\nmade from pictures"
    axes.text(
        0.5,
        0.5,
        message,
        transform=axes.transAxes,
        ha="center",
        va="center",
        color=MUTED,
        fontsize=NORMAL,
        linespacing=1.5,
    )


def _draw_neighbours(page: _Page, drift: Drift, top: float) -> None:
    """Similarity of neighbouring frames in both spaces, and how well they follow each other.

    Each space has its own axis. They differ in range many times over, and what is asked is
    whether they rise and fall together; r does not depend on the two scales either.
    """
    clip, pixels = neighbour_similarity(drift)
    middle = (drift.times[1:] + drift.times[:-1]) / 2
    axes = _time_axes(page, drift, top + 50, 290)
    written = page.heading(top + 34, "Neighbouring frames")
    written = page.text(page.after(written), top + 34, "cosine", color=MUTED)
    written = page.text(
        page.after(written),
        top + 34,
        "CLIP" if pixels is None else "CLIP (left)",
        color=CLIP_COLOUR,
    )
    if pixels is not None:
        page.text(page.after(written), top + 34, "pixels (right)", color=PIXEL_COLOUR)
        other = axes.twinx()
        # Wider, so that it shows on both sides of CLIP's line where the two coincide.
        _draw_cosines(other, _curve(middle, pixels), PIXEL_COLOUR, 1.8)
        # twinx draws over its host; CLIP, the subject, belongs on top.
        axes.set_zorder(other.get_zorder() + 1)
        axes.patch.set_visible(False)
        other.set_facecolor(PANEL)
        other.patch.set_visible(True)
        r = pearson(clip, pixels)
        said = "Pearson r: n/a" if r is None else f"Pearson r = {r:.2f}".replace("-", "−")
        page.text(PLOT_RIGHT, top + 34, said, ha="right", fontsize=NORMAL + 3, fontweight="bold")
    _draw_cosines(axes, _curve(middle, clip), CLIP_COLOUR)


def _draw_cosines(axes, curve: _Curve, colour: str, weight: float = 1.0) -> None:
    """One similarity curve, on an axis in its colour that fits it."""
    _draw_curve(axes, curve, colour, weight)
    low, high = curve.low[np.isfinite(curve.low)], curve.high[np.isfinite(curve.high)]
    low, high = (float(low.min()), float(high.max())) if low.size else (0.0, 1.0)
    # Nothing to see below 1e-9: without a least span, a constant curve has no axis at all.
    span = max(high - low, 0.1 * (1 - low), 1e-9)
    axes.set_ylim(low - 0.12 * span, min(high + 0.12 * span, 1 + 0.12 * span))
    axes.locator_params(axis="y", nbins=4)
    if high - low < 1e-12:
        axes.set_yticks([low])
    axes.yaxis.set_major_formatter(_cosine_tick(span))
    axes.tick_params(axis="y", labelcolor=colour)


def _draw_angles(page: _Page, drift: Drift, top: float) -> None:
    """Step angles over time, the largest one marked."""
    angles = drift.step_angles()
    middle = (drift.times[1:] + drift.times[:-1]) / 2
    curve = _curve(middle, angles)
    axes = _time_axes(page, drift, top + 50, 250)
    axes.set_xlabel("seconds")
    written = page.heading(top + 34, "Step angle")
    page.text(page.after(written), top + 34, "rad a step", color=MUTED)
    _draw_curve(axes, curve, CLIP_COLOUR)
    axes.fill_between(curve.time, 0, curve.mean, color=CLIP_COLOUR, alpha=0.25, linewidth=0)
    largest = int(angles.argmax())
    peak, moment = float(angles[largest]), float(middle[largest])
    axes.set_ylim(0, 1.28 * peak or 1)
    axes.locator_params(axis="y", nbins=4)
    axes.yaxis.set_major_formatter(lambda value, _position: f"{value:.3g}")
    said = "no motion"
    if peak == 0:
        axes.set_yticks([0])
    else:
        axes.plot(moment, 1.13 * peak, marker="v", markersize=17, color=TEXT, clip_on=False)
        said = f"largest {_number(peak)} at {_seconds(moment)}"
    page.text(PLOT_RIGHT, top + 34, said, ha="right")


def _time_axes(page: _Page, drift: Drift, top: float, height: float):
    """Axes over the drift's seconds, at the same place in every panel."""
    axes = page.axes(PLOT_LEFT, top, PLOT_RIGHT - PLOT_LEFT, height)
    axes.set_xlim(float(drift.times[0]), float(drift.times[-1]))
    axes.locator_params(axis="x", nbins=8)
    axes.grid(True)
    return axes


def _draw_curve(axes, curve: _Curve, colour: str, weight: float = 1.0) -> None:
    """A line, with its band where it stands for many frames, and points where they are few.

    Args:
        weight: how many times as wide as usual.
    """
    if np.any((curve.low != curve.high) & np.isfinite(curve.mean)):
        # Outlined, because the band of a single cut is thinner than a pixel.
        axes.fill_between(
            curve.time, curve.low, curve.high, color=colour, alpha=0.6, linewidth=1.5 * weight
        )
    axes.plot(
        curve.time,
        curve.mean,
        color=colour,
        linewidth=(3.5 if len(curve.time) < 300 else 2.5) * weight,
        marker="o" if len(curve.time) <= 40 else "",
        markersize=7 + 4 * weight,
        solid_joinstyle="round",
    )


def _draw_matrix(change: Tensor, title: str) -> _Page:
    """``R − I`` with its colour bar.

    Args:
        change: (N, N) float64.
    """
    from matplotlib.colors import LinearSegmentedColormap

    n = len(change)
    block = -(-n // MATRIX_CELLS)
    cells = _pool_max_abs(change, block)
    # Whole pixels a cell: otherwise some cells come out wider than others, as stripes.
    side = round(n / block * max(1, 1056 // len(cells)))
    left, top = 150, 190
    page = _Page.new(top + side + 120, left + side + 230)
    room = page.width - 2 * MARGIN
    page.text(MARGIN, 70, title, room, fontsize=BIG, fontweight="bold")
    page.text(MARGIN, 118, _largest_entry(change), room, color=MUTED)
    if block > 1:
        said = f"a cell shows the largest of {block} × {block} entries"
        page.text(MARGIN, 158, said, room, color=MUTED)
    axes = page.axes(left, top, side, side)
    scale, far = _matrix_scale(cells), len(cells) * block - 0.5
    shown = axes.imshow(
        cells.numpy(),
        cmap=LinearSegmentedColormap.from_list("change", CHANGE_COLOURS),
        vmin=-scale,
        vmax=scale,
        extent=(-0.5, far, far, -0.5),
        interpolation="nearest",
        aspect="auto",
    )
    axes.set_xlim(-0.5, n - 0.5)
    axes.set_ylim(n - 0.5, -0.5)
    axes.locator_params(nbins=6, integer=True)
    axes.set_xlabel("from dimension (column)")
    axes.set_ylabel("to dimension (row)")
    bar = page.figure.colorbar(
        shown,
        cax=page.axes(left + side + 30, top, 30, side),
        extend="both" if float(cells.abs().max()) > scale else "neither",
        extendfrac=0.03,
    )
    bar.set_ticks([-scale, 0, scale], labels=[f"−{scale:.2g}", "0", f"+{scale:.2g}"])
    bar.outline.set_edgecolor(MUTED)
    return page


def _largest_entry(change: Tensor) -> str:
    """What is drawn, and where it is largest, in words."""
    n = len(change)
    row, column = divmod(int(change.abs().argmax()), n)
    largest = float(change[row, column])
    if not largest:
        return f"R − I, {n} × {n}  ·  R is exactly the identity"
    text = f"R − I, {n} × {n}  ·  largest {_number(largest)} at row {row}, column {column}"
    return text.replace("-", "−")


def _matrix_scale(cells: Tensor) -> float:
    """Where the colour scale ends: at the largest of few cells, at the 99th percent of many."""
    size = cells.abs().flatten()
    # All entries equal 0 in the 99 % too, of a matrix that is the identity nearly everywhere.
    return float(size.quantile(0.99)) * (len(cells) >= 64) or float(size.max()) or 1.0
