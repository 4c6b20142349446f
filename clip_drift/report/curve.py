"""A curve over time, of two steps or of many thousands."""

from typing import NamedTuple

import numpy as np
from torch import Tensor

POINTS = 600  # more steps than this are drawn as a mean and a band from least to most
DASHED = (0, (2.2, 1.2))  # of one of two curves, so that colour is not all that tells them apart


class Curve(NamedTuple):
    """A curve ready to draw: (n,) seconds, and least, mean and most at each; NaN is a gap."""

    time: np.ndarray
    low: np.ndarray
    mean: np.ndarray
    high: np.ndarray


def reduce_curve(time: Tensor, value: Tensor) -> Curve:
    """At most 600 points, each of them standing for as many steps as the others.

    Args:
        time, value: (n,); NaN where there is no value.
    """
    moments, values = time.double().numpy(), value.double().numpy()
    starts = np.linspace(0, len(values), min(len(values), POINTS), endpoint=False).astype(int)

    def mean(x: np.ndarray) -> np.ndarray:
        there = np.isfinite(x)
        count = np.add.reduceat(there.astype(float), starts)
        total = np.add.reduceat(np.where(there, x, 0.0), starts)
        return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)

    # fmin and fmax pass over NaN as well, so one black frame does not blank its whole point.
    low, high = np.fmin.reduceat(values, starts), np.fmax.reduceat(values, starts)
    return Curve(mean(moments), low, mean(values), high)


def draw_curve(axes, curve: Curve, colour: str, weight: float = 1, line: str | tuple = "-") -> None:
    """A line of that style, `weight` times as wide as usual.

    With its band where it stands for many frames, and points where they are few.
    """
    time, low, mean, high = curve
    if np.any(low < high):
        # Outlined, because the band of a single cut is thinner than a pixel.
        axes.fill_between(time, low, high, color=colour, alpha=0.6, linewidth=1.5 * weight)
    width = (3.5 if len(time) < 300 else 2.5) * weight
    dots = {"marker": "o" if len(time) <= 40 else "", "markersize": 7 + 4 * weight}
    look = {"color": colour, "linestyle": line, "linewidth": width, "solid_joinstyle": "round"}
    axes.plot(time, mean, **look, **dots)
