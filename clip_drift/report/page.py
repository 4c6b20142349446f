"""The look, and a page that is laid out in pixels.

One look on purpose: dark neutral ground and light text, which sits well in ComfyUI's default
theme. Colour means space (orange is CLIP, blue is pixels: Okabe and Ito's, which colour-blind
eyes tell apart), and text is large enough for a node about 400 px wide.

Matplotlib is imported where it draws, so that ComfyUI starts without waiting for it.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Say = Callable[[str], str]
"""Puts a text into the reader's language: see `clip_drift.said`."""

WIDTH = 1600  # px; a node shows the picture at about a quarter of this
MARGIN = 48  # px
LEFT, RIGHT = 168, 1432  # px, of every plot over time

GROUND, PANEL = "#1d1e21", "#141517"
TEXT, MUTED, GRID = "#f2f2f2", "#b4b8bf", "#3a3d42"
CLIP_COLOUR, PIXEL_COLOUR = "#E69F00", "#56B4E9"
BIG, NORMAL, SMALL = 46, 35, 30  # px: at 72 dpi, matplotlib's points are pixels

STYLE = {
    "font.family": ["sans-serif"],
    "font.size": SMALL,
    "figure.facecolor": GROUND,
    "axes.facecolor": PANEL,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 1.5,
    "axes.formatter.useoffset": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 1.5,
    "text.color": TEXT,
    "text.parse_math": False,  # a "$" in a file's name is a dollar sign
    "axes.labelcolor": MUTED,
}
for _tick in ("xtick", "ytick"):
    STYLE |= {f"{_tick}.color": MUTED, f"{_tick}.labelcolor": TEXT}
    STYLE |= {f"{_tick}.major.size": 8, f"{_tick}.major.width": 1.5}

# Tried in this order, as far as installed: matplotlib's own font has no Chinese or Japanese.
FONTS = ["DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Microsoft YaHei", "PingFang SC"]
FONTS += ["Arial Unicode MS", "WenQuanYi Zen Hei"]


def style():
    """Context with matplotlib's defaults and this look, whatever a user's rc file says."""
    import matplotlib
    from matplotlib.font_manager import fontManager

    installed = set(fontManager.get_font_names())
    fonts = [name for name in FONTS if name in installed]
    # The backend is the one setting that rc_context does not put back.
    defaults = {k: v for k, v in matplotlib.rcParamsDefault.items() if "backend" not in k}
    return matplotlib.rc_context({**defaults, **STYLE, "font.sans-serif": fonts})


class Page:
    """A figure that is laid out in pixels from its top left corner. Use it within `style`.

    Attributes:
        figure: matplotlib's.
        width, height: px.
        top: px, where all heights are counted from: where the panel that is drawn begins.
        say: what every text goes through before it is written.
    """

    def __init__(self, width: int, height: int, say: Say = str):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        # The hundredth of a pixel keeps Agg, which rounds down, from losing one.
        self.figure = Figure(figsize=((width + 0.01) / 72, (height + 0.01) / 72), dpi=72)
        self.width, self.height, self.top = width, height, 0
        self.say = say
        FigureCanvasAgg(self.figure)

    def axes(self, left: float, top: float, width: float, height: float):
        """Axes whose plot area is this rectangle, px."""
        bottom = 1 - (self.top + top + height) / self.height
        across, up = width / self.width, height / self.height
        return self.figure.add_axes((left / self.width, bottom, across, up))

    def text(self, x: float, y: float, text: str, room: float | None = None, **look) -> float:
        """Write with the baseline at (x, y) px; too long for `room` px, it loses its middle.

        Returns:
            Where the text ends, px.
        """
        text = _drawable(self.say(text))
        written = self.figure.text(x / self.width, 1 - (self.top + y) / self.height, text, **look)
        while room and written.get_window_extent().width > room and len(text) > 8:
            # Shortened in proportion, so two or three tries are enough for any length.
            share = room / written.get_window_extent().width
            half = max(3, min(len(text) - 3, int(len(text) * share)) // 2)
            text = f"{text[:half]}…{text[-half:]}"
            written.set_text(text)
        return written.get_window_extent().x1

    def title(self, y: float, text: str) -> None:
        """The picture's heading."""
        self.text(MARGIN, y, text, self.width - 2 * MARGIN, fontsize=BIG, fontweight="bold")

    def heading(self, x: float, y: float, text: str, *more: tuple[str, str], color=TEXT) -> None:
        """A panel's heading, and smaller words after it, each with its colour."""
        end = self.text(x, y, text, fontsize=NORMAL, fontweight="bold", color=color)
        for words, colour in more:
            end = self.text(end + 28, y, words, color=colour)

    def picture(self, left: float, top: float, pixels: np.ndarray) -> None:
        """Show a picture pixel for pixel.

        Args:
            pixels: (h, w, 3) float in 0..1.
        """
        axes = self.axes(round(left), round(top), pixels.shape[1], pixels.shape[0])
        axes.set_axis_off()
        axes.imshow(pixels, interpolation="nearest", aspect="auto")

    def notice(self, left: float, top: float, width: float, height: float, said: str) -> None:
        """An empty panel that says why it is empty."""
        axes = self.axes(left, top, width, height)
        axes.set_xticks([])
        axes.set_yticks([])
        look = {"color": MUTED, "fontsize": NORMAL, "linespacing": 1.5}
        axes.text(
            0.5, 0.5, self.say(said), transform=axes.transAxes, ha="center", va="center", **look
        )

    def colour_bar(self, shown, left: float, top: float, height: float, **options):
        """The colour scale of what is shown, 30 px wide."""
        bar = self.figure.colorbar(shown, cax=self.axes(left, top, 30, height), **options)
        bar.outline.set_edgecolor(MUTED)
        return bar

    def render(self) -> Tensor:
        """(height, width, 3) float32 in 0..1."""
        self.figure.canvas.draw()
        rgba = np.asarray(self.figure.canvas.buffer_rgba())
        return torch.tensor(rgba[..., :3]).float() / 255


Band = tuple[int, Callable[[Page], None]]
"""A panel of a page: its height in px, and what draws it on a page whose `top` is its own."""


def stacked(*bands: Band, say: Say = str) -> Tensor:
    """Draw panels below each other, `WIDTH` px wide; (H, W, 3) float32 in 0..1."""
    with style():
        page = Page(WIDTH, sum(height for height, _ in bands), say)
        for height, draw in bands:
            draw(page)
            page.top += height
        return page.render()


def _drawable(text: str) -> str:
    """One line, with "?" for characters that no font here has (they would raise warnings)."""
    from matplotlib import rcParams
    from matplotlib.font_manager import FontProperties, findfont, get_font

    families = rcParams["font.sans-serif"]
    fonts = [get_font(findfont(FontProperties(family=name))) for name in families]

    def drawn(c: str) -> str:
        return c if c.isprintable() and any(f.get_char_index(ord(c)) for f in fonts) else "?"

    return "".join(map(drawn, " ".join(text.split())))
