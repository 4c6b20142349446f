"""Angles and geodesics: against 50 digits, down to the angles between neighbouring frames."""

import math

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pack.clip_drift.errors import DriftError
from pack.clip_drift.sphere import (
    angle,
    any_orthogonal,
    exp_map,
    geodesic,
    log_map,
    orthogonal_part,
    unit,
)
from pack.tests.paths import randn

SOME = settings(max_examples=20, deadline=None)
seeds = st.integers(0, 2**31)
dims = st.integers(2, 24)
# log10 of the angle: 1e-6 rad, a tenth of what float32 frames of a still differ by, to 3 rad.
exponents = st.floats(-6, math.log10(3))
FLOATS = [torch.float32, torch.float64]


def pair(seed: int, dim: int, theta: float, dtype=torch.float64):
    """Two unit vectors theta apart, as far as dtype can hold them."""
    a, v = torch.linalg.qr(randn(seed, dim, 2)).Q.T
    return a.to(dtype), (math.cos(theta) * a + math.sin(theta) * v).to(dtype)


def exact_angle(a: torch.Tensor, b: torch.Tensor) -> float:
    """acos(a·b / ‖a‖‖b‖) in 50 digits: another formula, on the very numbers that were given."""
    with mpmath.workdps(50):
        a, b = ([mpmath.mpf(v) for v in x.double().tolist()] for x in (a, b))
        cos = mpmath.fdot(a, b) / mpmath.sqrt(mpmath.fdot(a, a) * mpmath.fdot(b, b))
        return float(mpmath.acos(min(cos, mpmath.mpf(1))))


# With u = eps/2: scaling by the peak and by the length rounds each entry twice, so each unit
# vector is off by at most 2u in direction and a few u in length. 4 eps = 8u covers both vectors;
# it is 4.8e-7 in float32, so half of 1e-6 rad at the very worst and 5e-4 of 1e-3 rad.
@pytest.mark.parametrize("dtype", FLOATS)
@SOME
@given(seed=seeds, dim=dims, exponent=exponents)
def test_angle_is_exact_to_round_off(dtype, seed, dim, exponent):
    a, b = pair(seed, dim, 10**exponent, dtype)
    wanted = exact_angle(a, b)
    eps = torch.finfo(dtype).eps
    assert abs(float(angle(a, b)) - wanted) <= 4 * eps + 4 * eps * wanted


@pytest.mark.parametrize("theta", [1e-6, 1e-5, 1e-4, 1e-3])
def test_angle_beats_acos_where_video_frames_live(theta):
    pairs = [pair(seed, 768, theta, torch.float32) for seed in range(20)]
    a, b = (torch.stack(x) for x in zip(*pairs, strict=True))
    wanted = torch.tensor([exact_angle(*ab) for ab in zip(a, b, strict=True)], dtype=torch.float64)
    acos = torch.acos((unit(a) * unit(b)).sum(-1).clamp(-1, 1)).double()
    ours = (angle(a, b).double() - wanted).abs().mean()
    # acos near 1 turns an error of eps into sqrt(2·eps) = 5e-4 rad at 0, and eps/theta further
    # off; the atan2 form stays at eps (1.2e-7) everywhere.
    assert ours < 1.2e-7
    assert ours < 0.05 * (acos - wanted).abs().mean()


@pytest.mark.parametrize("dtype", FLOATS)
def test_angle_of_equal_and_opposite_vectors_is_exact(dtype):
    a = randn(1, 50, 7).to(dtype)
    assert bool((angle(a, a) == 0).all())
    assert bool((angle(a, -a) == torch.tensor(math.pi, dtype=dtype)).all())


@SOME
@given(seed=seeds, dim=dims, scale=st.floats(-37, 37))
def test_angle_is_symmetric_and_knows_no_length(seed, dim, scale):
    a, b = randn(seed, 2, dim).float()
    assert float(angle(a, b)) == pytest.approx(float(angle(b, a)), abs=2e-7)
    # 1e±37 squared is far outside float32; entries are a few units at most, so 10^37·a still fits.
    scaled = (a.double() * 10**scale).clamp(-3e38, 3e38).float()
    assert float(angle(scaled, b)) == pytest.approx(float(angle(a, b)), abs=1e-5)


def test_angle_broadcasts_batches():
    a, b = randn(3, 4, 1, 6), randn(4, 5, 6)
    got = angle(a, b)
    assert got.shape == (4, 5)
    assert float(got[2, 3]) == pytest.approx(exact_angle(a[2, 0], b[3]), abs=1e-14)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    # 240² + 240² overflows float16; 2e-7² underflows it.
    a = torch.tensor([[240.0, 240.0], [2e-7, 0.0]], dtype=dtype)
    rows = unit(a)
    assert rows.dtype == torch.float32
    assert torch.allclose(rows, torch.tensor([[0.5**0.5, 0.5**0.5], [1.0, 0.0]]), atol=1e-7)
    assert angle(a[0], a[1]).dtype == torch.float32
    assert float(angle(a[0], a[1])) == pytest.approx(math.pi / 4, abs=2e-7)


@SOME
@given(seed=seeds, dim=dims)
def test_unit_rows_have_length_one_and_the_same_direction(seed, dim):
    x = randn(seed, 5, dim)
    rows = unit(x)
    assert torch.allclose((rows**2).sum(-1), torch.ones(5, dtype=torch.float64), atol=1e-14)
    assert torch.allclose(rows * (x**2).sum(-1, keepdim=True).sqrt(), x, atol=1e-13)


@pytest.mark.parametrize(
    ("value", "word"), [(0.0, "zero"), (math.nan, "not finite"), (math.inf, "not finite")]
)
def test_unit_names_the_first_bad_row(value, word):
    x = torch.ones(5, 3)
    x[2], x[4] = value, 0.0
    with pytest.raises(DriftError, match=f"^frame 2 is {word}"):
        unit(x, "frame")
    with pytest.raises(DriftError, match="vector 2"):
        angle(torch.ones(5, 3), x)


def test_one_bad_entry_makes_a_row_bad():
    x = torch.ones(3, 4)
    x[1, 3] = math.nan
    with pytest.raises(DriftError, match="frame 1"):
        unit(x, "frame")


@SOME
@given(seed=seeds, dim=dims)
def test_any_orthogonal_is_a_right_angle_and_always_the_same_one(seed, dim):
    a = unit(randn(seed, 4, dim))
    v = any_orthogonal(a)
    assert torch.allclose((v * v).sum(-1), torch.ones(4, dtype=torch.float64), atol=1e-14)
    assert float((v * a).sum(-1).abs().max()) < 1e-14
    assert torch.equal(v, any_orthogonal(a.clone()))


@pytest.mark.parametrize("dtype", FLOATS)
@SOME
@given(seed=seeds, dim=dims, exponent=exponents, mirrored=st.booleans())
def test_orthogonal_part_is_orthonormal_and_leads_to_b(dtype, seed, dim, exponent, mirrored):
    a, b = pair(seed, dim, 10**exponent, dtype)
    if mirrored:  # just short of opposite
        b = -b
    v = orthogonal_part(a, b)
    eps = torch.finfo(dtype).eps
    assert abs(float((v.double() * v.double()).sum()) - 1) < 4 * eps
    assert abs(float((v.double() * a.double()).sum())) < 4 * eps
    # b lies in span(a, v), on v's side: b·v = sin(angle), whatever the round-off of a and b.
    theta = exact_angle(a, b)
    assert float((v.double() * b.double()).sum()) == pytest.approx(math.sin(theta), abs=4 * eps)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("dtype", FLOATS)
def test_orthogonal_part_of_parallel_vectors_is_still_a_direction(dtype, sign):
    a = unit(randn(5, 9, 6).to(dtype))
    v = orthogonal_part(a, sign * a)
    eps = torch.finfo(dtype).eps
    assert float(((v * v).sum(-1) - 1).abs().max()) < 8 * eps
    assert float((v * a).sum(-1).abs().max()) < 8 * eps


@SOME
@given(seed=seeds, dim=dims, exponent=exponents)
def test_log_and_exp_undo_each_other(seed, dim, exponent):
    a, b = pair(seed, dim, 10**exponent)
    tangent = log_map(a, b)
    assert abs(float((tangent * a).sum())) < 1e-14
    assert float((tangent**2).sum().sqrt()) == pytest.approx(exact_angle(a, b), abs=1e-14)
    assert torch.allclose(exp_map(a, tangent), b, atol=1e-14, rtol=0)


def test_exp_of_nothing_is_the_base_itself():
    a = unit(randn(8, 3, 5))
    assert torch.equal(exp_map(a, torch.zeros_like(a)), a)


@SOME
@given(seed=seeds, dim=dims, exponent=exponents, t=st.floats(-1, 2))
def test_geodesic_is_spherical_interpolation(seed, dim, exponent, t):
    theta = 10**exponent
    a, b = pair(seed, dim, theta)
    # Shoemake's slerp on the true angle: sin((1−t)θ)/sin θ · a + sin(tθ)/sin θ · b. Its own
    # round-off is eps/θ, hence the bound.
    true = exact_angle(a, b)
    slerp = (math.sin((1 - t) * true) * a + math.sin(t * true) * b) / math.sin(true)
    assert torch.allclose(geodesic(a, b, t), slerp, atol=1e-14 + 2e-15 / theta, rtol=0)
