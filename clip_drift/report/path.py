"""The path in its first two principal directions."""

import numpy as np

from ..drift import Drift
from ..said import Said
from .page import MUTED, PANEL, TEXT, Page
from .statistics import principal_path
from .text import NO_MOTION, percent, tick

SIDE = 590  # px
# Time: from plasma's violet to its yellow; its darkest part would drown in the ground.
COLOURS, FIRST_COLOUR, LAST_COLOUR = "plasma", 0.25, 0.97


def draw_path(page: Page, drift: Drift, left: float) -> None:
    """Where the clip goes, from the side that shows most of it: dark is early, light is late."""
    from matplotlib import colormaps
    from matplotlib.collections import LineCollection
    from matplotlib.colors import ListedColormap

    path = principal_path(drift)
    if path is None:
        page.heading(left, 34, Said("Path"))
        page.notice(left, 50, SIDE, SIDE, NO_MOTION)
        return
    share = percent(float(path.share.sum()))
    page.heading(left, 34, Said("Path"), (Said("{share} of the variance", share=share), MUTED))
    axes = page.axes(left, 50, SIDE, SIDE)
    axes.grid(True)
    colours = ListedColormap(colormaps[COLOURS](np.linspace(FIRST_COLOUR, LAST_COLOUR, 256)))
    points = path.points.numpy()
    moments = drift.times[path.frames].numpy()
    steps, middle = np.stack((points[:-1], points[1:]), axis=1), (moments[1:] + moments[:-1]) / 2
    look = {"linewidths": 5, "capstyle": "round"}
    axes.add_collection(LineCollection(steps, cmap=colours, array=middle, **look))
    if len(points) <= 64:
        axes.scatter(*points.T, c=moments, cmap=colours, s=90, zorder=3)
    _mark(axes, points[0], page.say(Said("start")), "o", 20)
    _mark(
        axes, points[-1], page.say(Said("end")), "s", -48
    )  # below: of a loop, both are in one place
    # Equal scales both ways, so that the path keeps its shape.
    middle = (points.min(0) + points.max(0)) / 2
    reach = 0.62 * float((points.max(0) - points.min(0)).max())
    axes.set_xlim(middle[0] - reach, middle[0] + reach)
    axes.set_ylim(middle[1] - reach, middle[1] + reach)
    axes.locator_params(nbins=4)
    first, second = (percent(float(part)) for part in path.share)
    axes.set_xlabel(page.say(Said("1st direction, {share}", share=first)))
    axes.set_ylabel(page.say(Said("2nd direction, {share}", share=second)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(tick)


def _mark(axes, point, name: str, marker: str, above: float) -> None:
    axes.plot(*point, marker=marker, markersize=19, color=TEXT, zorder=4, markeredgecolor=PANEL)
    place = {"xytext": (0, above), "textcoords": "offset pixels", "ha": "center"}
    axes.annotate(name, point, zorder=5, fontweight="bold", **place)
