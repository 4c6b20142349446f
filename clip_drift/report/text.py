"""Numbers as a reader wants them."""

import math
from collections.abc import Callable

from torch import Tensor

from ..said import Said

NO_PICTURES = Said("this drift was not\nmade from pictures")
NO_MOTION = Said("No motion: all frames\nare one point in CLIP space")


def number(x: float) -> str:
    """Three digits, without an exponent where a reader wants none."""
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:.3g}"


def seconds(x: float) -> Said:
    """With their unit, by tenths from ten on."""
    return Said("{seconds} s", seconds=f"{x:,.1f}" if abs(x) >= 10 else f"{x:.2f}")


def minus(text: str) -> str:
    """With the minus sign of the tick labels."""
    return text.replace("-", "−")


def percent(share: float) -> str:
    """A share of 1, whole."""
    return f"{share:.0%}".replace("%", " %")


def tick(value: float, _position: int) -> str:
    """Tick labels of three digits at most."""
    return minus(f"{value:.3g}")


def cosine_range(cosines: Tensor) -> str:
    """Least and most of cosines, with the digits that tell the least from 1."""
    finite = cosines[cosines.isfinite()]
    if not len(finite):
        return Said("no values")
    low, high = float(finite.min()), float(finite.max())
    if low >= 1 - 1e-6:
        return Said("all 1")
    digits = max(2, 1 - math.floor(math.log10(1 - low)))
    most = "1" if high >= 1 - 1e-6 else f"{high:.{digits}f}"
    return Said("{low} to {most}", low=minus(f"{low:.{digits}f}"), most=minus(most))


def cosine_tick(span: float) -> Callable[[float, int], str]:
    """Tick labels for cosines: distances from 1 where a plain number would need many digits.

    Args:
        span: what the axis covers.
    """

    def label(value: float, _position: int) -> str:
        if value > 1 + 1e-3 * span:
            return ""
        if abs(1 - value) <= 1e-3 * span:
            return "1"
        if span >= 1e-4:
            return minus(f"{value:.5f}".rstrip("0").rstrip(".") or "0")
        return f"1−{1 - value:.2g}".replace("e-0", "e-")

    return label
