"""Shaping a drift on the sphere: resample, smooth, reverse, loop, scale, join.

Each function takes a `drift.Drift` and returns a new one.
"""

import torch
from torch import Tensor

from .drift import Drift
from .errors import DriftError
from .rotation import PlaneRotation
from .sphere import exp_map, geodesic, log_map
from .strength import Strength, per_frame


def _with(drift: Drift, embeddings: Tensor, times: Tensor, nearest: Tensor) -> Drift:
    """A new drift whose frame i looks like frame nearest[i] of the old one."""
    thumbnails = None if drift.thumbnails is None else drift.thumbnails[nearest]
    return Drift.from_embeddings(embeddings, times, thumbnails, drift.encoder, drift.source)


def _at(drift: Drift, times: Tensor) -> Drift:
    """The drift read at other times, by geodesic interpolation between its frames."""
    right = torch.searchsorted(drift.times, times).clamp(1, len(drift) - 1)
    left = right - 1
    span = drift.times[right] - drift.times[left]
    share = (times - drift.times[left]) / span
    points = drift.embeddings.double()
    between = geodesic(points[left], points[right], share.unsqueeze(-1))
    return _with(drift, between, times, torch.where(share < 0.5, left, right))


def resample(drift: Drift, frames: int) -> Drift:
    """The same motion in another number of frames, evenly spaced in time: for each moment
    `geodesic(e_i, e_{i+1}, s)` between the two frames around it.

    >>> turn = Drift.from_embeddings(torch.tensor([[1.0, 0], [0, 1.0]]))
    >>> resample(turn, 4).step_angles().rad2deg().round()
    tensor([30., 30., 30.])

    Raises:
        DriftError: fewer than two frames are asked for.
    """
    if frames < 2:
        raise DriftError(f"frames is {frames}: a drift needs 2 or more (0 keeps them as they are).")
    return _at(drift, torch.linspace(drift.times[0], drift.times[-1], frames, dtype=torch.float64))


def smooth(drift: Drift, sigma: float) -> Drift:
    """Average out jitter: a Gaussian over neighbouring frames, put back on the sphere,
    `s_i/‖s_i‖` with `s_i = Σ_k exp(−k²/2σ²)·e_{i+k}` for |k| up to 4σ.

    Args:
        sigma: width of the Gaussian in frames; 0 changes nothing.

    Raises:
        DriftError: sigma is negative.
    """
    if sigma < 0:
        raise DriftError(f"smooth is {sigma}: it is a width in frames, 0 or more.")
    if sigma == 0:
        return drift
    reach = min(len(drift) - 1, int(4 * sigma) + 1)
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum())[None, None]
    columns = drift.embeddings.double().T.unsqueeze(1)
    # The ends repeat, so that the path neither shortens towards zero nor wraps around.
    padded = torch.nn.functional.pad(columns, (reach, reach), mode="replicate")
    averaged = torch.nn.functional.conv1d(padded, kernel).squeeze(1).T
    return _with(drift, averaged, drift.times, torch.arange(len(drift)))


def reverse(drift: Drift) -> Drift:
    """The clip played backwards."""
    times = drift.times[0] + drift.times[-1] - drift.times.flip(0)
    return _with(drift, drift.embeddings.flip(0), times, torch.arange(len(drift)).flip(0))


def _open_loop(closed: Drift, frames: int) -> Drift:
    """So many frames of a closed path, without its last: that one is the first again."""
    times = torch.linspace(closed.times[0], closed.times[-1], frames + 1, dtype=torch.float64)
    return _at(closed, times[:-1])


def ping_pong(drift: Drift, frames: int = 0) -> Drift:
    """There and back again, made to be repeated: the turning points are not shown twice.

    Args:
        frames: how many frames; 0 gives 2F − 2, each frame of the clip as it is.
    """
    back = reverse(drift)
    order = torch.cat((torch.arange(len(drift)), torch.arange(len(drift) - 1).flip(0)))
    times = torch.cat((drift.times, drift.times[-1] + (back.times - back.times[0])[1:]))
    closed = _with(drift, drift.embeddings[order], times, order)
    if frames:
        return _open_loop(closed, frames)
    keep = torch.arange(len(order) - 1)
    return _with(closed, closed.embeddings[keep], closed.times[keep], keep)


def seamless_loop(drift: Drift, frames: int = 0) -> Drift:
    """Close the path so that the clip can be repeated without a jump.

    The rotation that takes the last frame to the first is spread evenly over the clip:
    frame i is turned by its share `i/(F−1)`; the last, now equal to the first, is left out.

    Args:
        frames: how many frames; 0 keeps their number.
    """
    points = drift.embeddings.double()
    closing = PlaneRotation.from_vectors(points[-1], points[0], "frame")
    share = torch.linspace(0, 1, len(drift), dtype=torch.float64)
    closed = _with(drift, closing.apply(points, share), drift.times, torch.arange(len(drift)))
    return _open_loop(closed, frames or len(drift))


def scale(drift: Drift, strength: Strength) -> Drift:
    """Walk g times as far from the first frame: `exp_{e_0}(g·log_{e_0} e_i)`.

    Args:
        strength: a number, one per frame, or a curve over the clip.

    Raises:
        DriftError: a strength that does not fit.
    """
    points = drift.embeddings.double()
    base = points[:1].expand_as(points)
    g = per_frame(strength, len(drift)).unsqueeze(-1)
    return _with(
        drift, exp_map(base, log_map(base, points) * g), drift.times, torch.arange(len(drift))
    )


def concatenate(first: Drift, second: Drift) -> Drift:
    """One clip after the other, the second a mean step of the first later.

    Raises:
        DriftError: the drifts come from spaces of different dimensions.
    """
    if first.dim != second.dim:
        raise DriftError(
            f"the drifts have {first.dim} and {second.dim} dimensions: make both with one encoder."
        )
    gap = first.duration / (len(first) - 1)
    times = torch.cat((first.times, first.times[-1] + gap + second.times - second.times[0]))
    pictures = [drift.thumbnails for drift in (first, second) if drift.thumbnails is not None]
    same_size = len(pictures) == 2 and pictures[0].shape[1:] == pictures[1].shape[1:]
    return Drift.from_embeddings(
        torch.cat((first.embeddings, second.embeddings)),
        times,
        torch.cat(pictures) if same_size else None,
        first.encoder,
        " + ".join(filter(None, (first.source, second.source))),
    )


def _forward(drift: Drift, frames: int = 0) -> Drift:
    return resample(drift, frames) if frames else drift


DIRECTIONS = {
    "forward": _forward,
    "reverse": lambda drift, frames=0: _forward(reverse(drift), frames),
    "ping-pong": ping_pong,
    "seamless loop": seamless_loop,
}


def shape(
    drift: Drift,
    frames: int = 0,
    smoothing: float = 0.0,
    direction: str = "forward",
    strength: Strength = 1.0,
) -> Drift:
    """Smooth, turn, resample and scale, in this order.

    Args:
        frames: of the result; 0 keeps what the direction gives.
        smoothing: sigma in frames of the source.
        direction: a key of `DIRECTIONS`.
        strength: see `scale`.

    Raises:
        DriftError: a value out of range.
    """
    if direction not in DIRECTIONS:
        raise DriftError(f"direction is {direction!r}: choose one of {', '.join(DIRECTIONS)}.")
    if frames < 0 or frames == 1:
        raise DriftError(f"frames is {frames}: a drift needs 2 or more (0 keeps them as they are).")
    turned = DIRECTIONS[direction](smooth(drift, smoothing), frames)
    return scale(turned, strength)
