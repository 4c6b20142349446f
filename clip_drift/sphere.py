"""Geometry of the unit sphere in R^N: where CLIP embeddings live and drifts move.

Vectors are rows of tensors of shape `(..., N)`; angles are radians.
"""

import torch
from torch import Tensor

from .errors import DriftError


def at_least_float32(x: Tensor) -> Tensor:
    """x itself in float32 or float64, anything narrower as float32."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def unit(x: Tensor, name: str = "vector") -> Tensor:
    """Scale rows to length one, `x/‖x‖`.

    Args:
        x: (..., N) tensor, any float dtype.
        name: what a row is called in an error ("frame", "start vector").

    Returns:
        (..., N) tensor, float32 or better.

    Raises:
        DriftError: a row is zero or not finite; the message names the first such row.
    """
    x = at_least_float32(x)
    # Scaled by the largest entry first: half-precision-sized vectors must not under- or overflow.
    peak = x.abs().amax(-1, keepdim=True)
    bad = ~torch.isfinite(peak) | (peak == 0)
    if bad.any():
        i = int(bad.flatten().nonzero()[0])
        what = "zero" if peak.flatten()[i] == 0 else "not finite (NaN or infinity)"
        raise DriftError(
            f"{name} {i} is {what}, so it has no direction: "
            "check that frame or embedding, or leave it out."
        )
    x = x / peak
    return x / x.norm(dim=-1, keepdim=True)


def angle(a: Tensor, b: Tensor) -> Tensor:
    """Angle between vectors, exact to round-off for nearly equal ones.

    `2·atan2(‖â − b̂‖, ‖â + b̂‖)`. `acos(â·b̂)` loses every digit at the angles between
    neighbouring video frames.

    Reference: Kahan, "How Futile are Mindless Assessments of Roundoff in Floating-Point
    Computation?", 2006, section 12.

    Args:
        a, b: (..., N) tensors that broadcast.

    Returns:
        (...) tensor of radians in [0, π].

    Raises:
        DriftError: a vector is zero or not finite.
    """
    a, b = unit(a), unit(b)
    return 2 * torch.atan2((a - b).norm(dim=-1), (a + b).norm(dim=-1))


def any_orthogonal(a: Tensor) -> Tensor:
    """A unit vector orthogonal to each unit row of a, picked deterministically.

    Args:
        a: (..., N) unit rows, N ≥ 2.
    """
    axis = torch.zeros_like(a)
    axis.scatter_(-1, a.abs().argmin(-1, keepdim=True), 1.0)
    v = axis - (axis * a).sum(-1, keepdim=True) * a
    return v / v.norm(dim=-1, keepdim=True)


def orthogonal_part(a: Tensor, b: Tensor) -> Tensor:
    """The unit direction in which b leaves a: the part of b orthogonal to a, normalised,
    `(b − (a·b)a)/‖b − (a·b)a‖`.

    For b parallel or opposite to a it is picked deterministically.

    Args:
        a, b: (..., N) unit rows that broadcast.
    """
    a, b = torch.broadcast_tensors(a, b)
    near = torch.where((a * b).sum(-1, keepdim=True) < 0, b + a, b - a)
    v = near - (near * a).sum(-1, keepdim=True) * a
    # Once more: what round-off left along a is as large as v itself for tiny angles.
    v = v - (v * a).sum(-1, keepdim=True) * a
    length = v.norm(dim=-1, keepdim=True)
    lost = length <= 4 * torch.finfo(v.dtype).eps
    return torch.where(lost, any_orthogonal(a), v / length.clamp_min(torch.finfo(v.dtype).tiny))


def log_map(base: Tensor, point: Tensor) -> Tensor:
    """`log_base(point)`: the tangent vector at base whose geodesic reaches point.

    Reference: Absil, Mahony, Sepulchre, "Optimization Algorithms on Matrix Manifolds", 2008, the
    sphere; as is `exp_map`.

    Args:
        base, point: (..., N) unit rows that broadcast.

    Returns:
        (..., N) tangent vectors, of length `angle(base, point)`.
    """
    return angle(base, point).unsqueeze(-1) * orthogonal_part(base, point)


def exp_map(base: Tensor, tangent: Tensor) -> Tensor:
    """`exp_base(tangent)`: the unit vector reached by walking the geodesic from base,
    `cos θ·base + sin θ·tangent/θ` with `θ = ‖tangent‖`.

    Args:
        base: (..., N) unit rows.
        tangent: (..., N) vectors orthogonal to base; their length is the angle walked.
    """
    theta = tangent.norm(dim=-1, keepdim=True)
    # sinc(x/π) = sin(x)/x, finite at 0.
    return torch.cos(theta) * base + torch.sinc(theta / torch.pi) * tangent


def geodesic(a: Tensor, b: Tensor, t: Tensor | float) -> Tensor:
    """The point a share t of the way along the great circle from a to b.

    Reference: Shoemake, "Animating Rotation with Quaternion Curves", 1985 (slerp).

    Args:
        a, b: (..., N) unit rows that broadcast.
        t: number, or a tensor that broadcasts against `(..., 1)`. t outside [0, 1] goes on.
    """
    return exp_map(*torch.broadcast_tensors(a, log_map(a, b) * t))
