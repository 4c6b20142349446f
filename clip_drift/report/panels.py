"""The drift's report, panel by panel."""

import numpy as np
import torch
from torch import Tensor

from ..drift import Drift
from .curve import Curve, draw_curve, reduce_curve
from .page import CLIP_COLOUR, GROUND, MARGIN, MUTED, NORMAL, PIXEL_COLOUR, TEXT, Page, style
from .statistics import even_sample, neighbour_similarity, pearson, sampled_grams
from .text import cosine_range, cosine_tick, minus, number, seconds

WIDTH = 1600  # px; a node shows the picture at about a quarter of this
LEFT, RIGHT = 168, 1432  # px, of every plot over time
BLACK_COLOUR = "#55585e"  # of a black frame's cells in the pixels' Gram matrix


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
    with style():
        strip = None if drift.thumbnails is None else _film_strip(drift.thumbnails, RIGHT - LEFT)
        top = 158 if strip is None else 158 + len(strip) + 36
        page = Page(WIDTH, top + 1584)
        _draw_title(page, drift)
        if strip is not None:
            axes = page.axes(LEFT, 158, strip.shape[1], strip.shape[0])
            axes.set_axis_off()
            axes.imshow(strip, interpolation="nearest", aspect="auto")
        _draw_grams(page, drift, top)
        _draw_neighbours(page, drift, top + 764)
        _draw_angles(page, drift, top + 1180)
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


def _film_strip(thumbnails: Tensor, width: int) -> np.ndarray:
    """Evenly spaced frames side by side, from end to end unless they are too few for that.

    Args:
        thumbnails: (F, h, w, 3) uint8.
        width: px.

    Returns:
        (H, width, 3) float32 in 0..1.
    """
    from matplotlib.colors import to_rgb

    gap, least = 8, 7
    aspect = thumbnails.shape[2] / thumbnails.shape[1]
    w = max(24, round(min(132 * aspect, width / least - gap)))
    h = max(24, min(132, round(w / aspect)))
    pick = even_sample(len(thumbnails), max(2, (width + gap) // (w + gap)))
    pictures = torch.nn.functional.interpolate(
        thumbnails[pick].movedim(-1, 1).float() / 255, size=(h, w), mode="bicubic", antialias=True
    )
    strip = torch.tensor(to_rgb(GROUND)).expand(h, width, 3).clone()
    step = min((width - w) / (len(pick) - 1), w + 4 * gap)
    for i, picture in enumerate(pictures.clamp(0, 1).movedim(1, -1)):
        x = round(i * step)
        strip[:, x : x + w] = picture
    return strip.numpy()


def _draw_grams(page: Page, drift: Drift, top: float) -> None:
    """Both Gram matrices, pixels left and CLIP right, on one colour scale."""
    times, clip, pixels = sampled_grams(drift)
    low = min(float(m.nan_to_num(1).min()) for m in (clip, pixels) if m is not None)
    if low > 1 - 1e-6:
        low = 0.9  # a still: a scale over round-off would only confuse
    side, gap = 590, 40
    right = LEFT + side + gap
    if pixels is None:
        page.heading(LEFT, top + 34, "Pixels", color=PIXEL_COLOUR)
        _draw_no_pixels(page.axes(LEFT, top + 50, side, side))
    else:
        page.heading(LEFT, top + 34, "Pixels", (cosine_range(pixels), MUTED), color=PIXEL_COLOUR)
        _draw_gram(page.axes(LEFT, top + 50, side, side), times, pixels, low)
    page.heading(right, top + 34, "CLIP", (cosine_range(clip), MUTED), color=CLIP_COLOUR)
    axes = page.axes(right, top + 50, side, side)
    mesh = _draw_gram(axes, times, clip, low)
    axes.tick_params(labelleft=False)
    bar = page.colour_bar(mesh, right + side + 26, top + 50, side)
    bar.ax.locator_params(nbins=5)
    bar.ax.yaxis.set_major_formatter(cosine_tick(1 - low))
    page.text(WIDTH - MARGIN, top + 34, "cosine", ha="right", color=MUTED)
    notes = []
    if len(times) < len(drift):
        notes.append(f"matrices of {len(times)} of {len(drift):,} frames")
    if pixels is not None and pixels.isnan().any():
        notes.append("grey: black frames, whose pixels have no direction")
    page.text(LEFT, top + 742, "  ·  ".join(notes), color=MUTED)


def _draw_gram(axes, times: Tensor, gram: Tensor, low: float):
    """One Gram matrix over seconds; returns what a colour bar needs.

    Args:
        times: (n,) seconds.
        gram: (n, n); NaN cells stay grey.
        low: cosine at which the colour scale begins.
    """
    # Cells lie around their frames and end halfway to the next ones.
    middle = _midpoints(times)
    first, last = 2 * times[:1] - middle[:1], 2 * times[-1:] - middle[-1:]
    edges = torch.cat([first, middle, last]).numpy()
    mesh = axes.pcolormesh(edges, edges, np.ma.masked_invalid(gram.numpy()), vmin=low, vmax=1)
    axes.set_facecolor(BLACK_COLOUR)
    axes.invert_yaxis()
    axes.locator_params(nbins=5)
    # The outer cells reach beyond the first and last frame, where there are no seconds.
    ticks = [t for t in axes.get_xticks() if times[0] <= t <= times[-1]]
    axes.set_xticks(ticks)
    axes.set_yticks(ticks)
    axes.set_xlabel("seconds")
    return mesh


def _draw_no_pixels(axes) -> None:
    """Say why the pixel half is empty."""
    axes.set_xticks([])
    axes.set_yticks([])
    said = "No pixel space:\nthis drift was not\nmade from pictures"
    look = {"color": MUTED, "fontsize": NORMAL, "linespacing": 1.5}
    axes.text(0.5, 0.5, said, transform=axes.transAxes, ha="center", va="center", **look)


def _draw_neighbours(page: Page, drift: Drift, top: float) -> None:
    """Similarity of neighbouring frames in both spaces, and how well they follow each other.

    Each space has its own axis. They differ in range many times over, and what is asked is
    whether they rise and fall together; r does not depend on the two scales either.
    """
    clip, pixels = neighbour_similarity(drift)
    axes = _time_axes(page, drift, top + 50, 290)
    words = [("cosine", MUTED), ("CLIP" if pixels is None else "CLIP (left)", CLIP_COLOUR)]
    if pixels is not None:
        words.append(("pixels (right)", PIXEL_COLOUR))
        other = axes.twinx()
        # Wider, so that it shows on both sides of CLIP's line where the two coincide.
        _draw_cosines(other, reduce_curve(_midpoints(drift.times), pixels), PIXEL_COLOUR, 1.8)
        # twinx draws over its host; CLIP, the subject, belongs on top.
        axes.set_zorder(other.get_zorder() + 1)
        axes.patch.set_visible(False)
        other.patch.set_visible(True)
        r = pearson(clip, pixels)
        said = "Pearson r: n/a" if r is None else minus(f"Pearson r = {r:.2f}")
        page.text(RIGHT, top + 34, said, ha="right", fontsize=NORMAL + 3, fontweight="bold")
    page.heading(LEFT, top + 34, "Neighbouring frames", *words)
    _draw_cosines(axes, reduce_curve(_midpoints(drift.times), clip), CLIP_COLOUR)


def _draw_cosines(axes, curve: Curve, colour: str, weight: float = 1.0) -> None:
    """One similarity curve, on an axis in its colour that fits it."""
    draw_curve(axes, curve, colour, weight)
    low, high = float(np.fmin.reduce(curve.low)), float(np.fmax.reduce(curve.high))
    if np.isnan(low):  # all frames are black
        low, high = 0.0, 1.0
    # Nothing to see below 1e-9: without a least span, a constant curve has no axis at all.
    span = max(high - low, 0.1 * (1 - low), 1e-9)
    axes.set_ylim(low - 0.12 * span, high + 0.12 * span)
    axes.locator_params(axis="y", nbins=4)
    if high - low < 1e-12:
        axes.set_yticks([low])
    axes.yaxis.set_major_formatter(cosine_tick(span))
    axes.tick_params(axis="y", labelcolor=colour)


def _draw_angles(page: Page, drift: Drift, top: float) -> None:
    """Step angles over time, the largest one marked."""
    angles, middle = drift.step_angles(), _midpoints(drift.times)
    curve = reduce_curve(middle, angles)
    axes = _time_axes(page, drift, top + 50, 250)
    axes.set_xlabel("seconds")
    page.heading(LEFT, top + 34, "Step angle", ("rad a step", MUTED))
    draw_curve(axes, curve, CLIP_COLOUR)
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
        said = f"largest {number(peak)} at {seconds(moment)}"
    page.text(RIGHT, top + 34, said, ha="right")


def _midpoints(times: Tensor) -> Tensor:
    """(F-1,) seconds: the moments between neighbouring frames."""
    return (times[1:] + times[:-1]) / 2


def _time_axes(page: Page, drift: Drift, top: float, height: float):
    """Axes over the drift's seconds, at the same place in every panel."""
    axes = page.axes(LEFT, top, RIGHT - LEFT, height)
    axes.set_xlim(float(drift.times[0]), float(drift.times[-1]))
    axes.locator_params(axis="x", nbins=8)
    axes.grid(True)
    return axes
