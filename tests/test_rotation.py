"""Plane rotations: rank 2 against the exponential of the dense generator, in float64."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pack.clip_drift.errors import DriftError
from pack.clip_drift.rotation import PlaneRotation
from pack.tests.paths import normalised, randn
from torch.utils._python_dispatch import TorchDispatchMode

SOME = settings(max_examples=20, deadline=None)
seeds = st.integers(0, 2**31)
dims = st.integers(2, 24)
powers = st.floats(-3, 3)
FLOATS = [torch.float32, torch.float64]
HALVES = [torch.float16, torch.bfloat16]
# Parallel, tiny, ordinary, almost opposite.
ANGLES = [0.0, 1e-6, 1e-3, 0.2, 1.7, math.pi - 1e-6]


def pair(seed: int, dim: int, theta: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Two vectors theta apart, of different lengths."""
    a, v = torch.linalg.qr(randn(seed, dim, 2)).Q.T
    return 3.0 * a, 0.7 * (math.cos(theta) * a + math.sin(theta) * v)


def dense(a: torch.Tensor, b: torch.Tensor, t: float = 1.0) -> torch.Tensor:
    """exp(tα·(v uᵀ − u vᵀ)) by Padé: nothing of Rodrigues' formula in it. For columns."""
    a, b = normalised(a), normalised(b)
    rest = b - (a @ b) * a
    alpha = torch.atan2(rest.norm(), a @ b)
    v = rest / rest.norm()
    return torch.linalg.matrix_exp(t * alpha * (torch.outer(v, a) - torch.outer(a, v)))


# Each entry of R x passes two dot products and two sums: float32 adds up to about ten roundings
# of 6e-8 on vectors of length one, float64 ten of 1.1e-16. The bounds are twice to ten times that.
TOLERANCE = {torch.float32: 1.5e-6, torch.float64: 1e-14}


@pytest.mark.parametrize("theta", ANGLES)
@pytest.mark.parametrize("dtype", FLOATS)
@SOME
@given(seed=seeds, dim=dims)
def test_start_goes_to_end(dtype, theta, seed, dim):
    start, end = (x.to(dtype) for x in pair(seed, dim, theta))
    moved = PlaneRotation.from_vectors(start, end).apply(normalised(start).to(dtype))
    assert moved.dtype == dtype
    assert float((moved.double() - normalised(end)).norm()) < TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", FLOATS)
def test_tiny_angles_are_not_lost(dtype):
    # 1e-6 rad is within float32's round-off of a vector; 1e6 of them in a row are one radian.
    start, end = (x.to(dtype) for x in pair(4, 16, 1e-6))
    a, b = normalised(start), normalised(end)  # what dtype made of the two
    true = 2 * torch.atan2((a - b).norm(), (a + b).norm())
    rotation = PlaneRotation.from_vectors(start, end)
    assert float(rotation.angles) == pytest.approx(float(true), rel=1e-8)
    got = rotation.apply(a.to(dtype), power=1e6)
    towards = normalised(b - a - ((b - a) @ a) * a)
    wanted = torch.cos(1e6 * true) * a + torch.sin(1e6 * true) * towards
    # The angle and the direction are known to 1e-10 (eps/1e-6) in float64, whatever dtype is.
    assert float((got.double() - wanted).norm()) < max(TOLERANCE[dtype], 1e-8)


@pytest.mark.parametrize("dtype", FLOATS + HALVES)
def test_equal_vectors_give_exactly_the_identity(dtype):
    a = randn(1, 3, 10).to(dtype)
    rotation = PlaneRotation.from_vectors(a, a)
    x = randn(2, 3, 4, 10).to(dtype)
    assert bool((rotation.angles == 0).all())
    assert torch.equal(rotation.apply(x), x)
    assert torch.equal(rotation.as_matrix()[1], torch.eye(10, dtype=rotation.u.dtype))


@pytest.mark.parametrize("dtype", FLOATS)
@SOME
@given(seed=seeds, dim=dims)
def test_opposite_vectors_turn_by_pi_in_one_plane(dtype, seed, dim):
    a = normalised(randn(seed, dim)).to(dtype)
    rotation = PlaneRotation.from_vectors(a, -a)
    assert float(rotation.angles) == math.pi
    assert float((rotation.apply(a) + a).norm()) < TOLERANCE[dtype]
    # Halfway it stands at a right angle, in a plane that is always the same.
    half = rotation.apply(a, power=0.5)
    assert abs(float(half.double() @ a.double())) < TOLERANCE[dtype]
    assert torch.equal(half, PlaneRotation.from_vectors(a.clone(), -a).apply(a, power=0.5))


@SOME
@given(seed=seeds, dim=dims, t=powers, theta=st.floats(1e-3, 3.1))
def test_rank_2_agrees_with_the_exponential_of_the_generator(seed, dim, t, theta):
    start, end = pair(seed, dim, theta)
    x = randn(seed + 1, 5, dim)
    rotation = PlaneRotation.from_vectors(start, end)
    # torch.linalg.matrix_exp itself is off by 2e-11 near norms of 0.03 (measured): not to 1e-12.
    wanted = dense(start, end, t)
    assert torch.allclose((rotation**t).as_matrix(), wanted, atol=1e-9, rtol=0)
    assert torch.allclose(rotation.apply(x, power=t), x @ wanted.mT, atol=1e-9)
    assert torch.allclose((rotation**t).apply(x), x @ wanted.mT, atol=1e-9)
    assert torch.allclose(rotation.apply(x, -t), x @ wanted, atol=1e-9)


def test_rank_2_agrees_with_dense_at_clip_size_in_float32():
    start, end = (x.float() for x in pair(9, 768, 0.3))
    x = randn(10, 77, 768).float()
    wanted = x.double() @ dense(start, end).mT
    got = PlaneRotation.from_vectors(start, end).apply(x).double()
    # Tokens are sqrt(768) = 28 long, so an entry carries at most 28 · 1.5e-6.
    assert float((got - wanted).abs().max()) < 4e-5


@pytest.mark.parametrize("dtype", FLOATS)
@SOME
@given(seed=seeds, dim=dims, t=powers)
def test_every_power_is_orthogonal(dtype, seed, dim, t):
    rotation = PlaneRotation.from_vectors(*(randn(seed, 2, dim).to(dtype))) ** t
    matrix = rotation.as_matrix().double()
    eye = torch.eye(dim, dtype=torch.float64)
    assert torch.allclose(matrix @ matrix.mT, eye, atol=TOLERANCE[dtype], rtol=0)
    assert float(torch.linalg.det(matrix)) == pytest.approx(1, abs=10 * TOLERANCE[dtype])
    x = randn(seed + 1, 6, dim).to(dtype)
    longest = float(x.double().norm(dim=-1).max())
    grown = rotation.apply(x).double().norm(dim=-1) - x.double().norm(dim=-1)
    assert float(grown.abs().max()) < longest * TOLERANCE[dtype]


@SOME
@given(seed=seeds, dim=dims, s=powers, t=powers)
def test_powers_add_up(seed, dim, s, t):
    rotation = PlaneRotation.from_vectors(*randn(seed, 2, dim))
    x = normalised(randn(seed + 1, 5, dim))
    one_after_another = rotation.apply(rotation.apply(x, t), s)
    assert torch.allclose(one_after_another, rotation.apply(x, s + t), atol=1e-13, rtol=0)
    assert torch.allclose((rotation**s).apply(x, t), rotation.apply(x, s * t), atol=1e-13, rtol=0)


@SOME
@given(seed=seeds, dim=dims)
def test_inverse_undoes_and_is_the_transpose(seed, dim):
    start, end = randn(seed, 2, dim)
    rotation = PlaneRotation.from_vectors(start, end)
    x = normalised(randn(seed + 1, 5, dim))
    assert torch.allclose((rotation**-1).apply(rotation.apply(x)), x, atol=1e-13, rtol=0)
    matrix, back = rotation.as_matrix(), (rotation**-1).as_matrix()
    assert torch.allclose(back, matrix.mT, atol=1e-14, rtol=0)
    # And it is the rotation the other way round.
    assert torch.allclose(
        back, PlaneRotation.from_vectors(end, start).as_matrix(), atol=1e-9, rtol=0
    )


def test_it_is_r_x_and_not_its_inverse():
    # A quarter turn takes the first axis to the second, and the second to minus the first.
    x, y = torch.eye(3, dtype=torch.float64)[:2]
    rotation = PlaneRotation.from_vectors(x, y)
    assert torch.allclose(rotation.apply(x), y, atol=1e-15)
    assert torch.allclose(rotation.apply(y), -x, atol=1e-15)
    wanted = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)
    assert torch.allclose(rotation.as_matrix(), wanted, atol=1e-15)


def test_what_lies_outside_the_plane_stays():
    start, end = pair(11, 20, 0.9)
    x = randn(12, 20)
    span = torch.linalg.qr(torch.stack((start, end), 1)).Q
    x = x - span @ (span.T @ x)
    assert torch.allclose(PlaneRotation.from_vectors(start, end).apply(x), x, atol=1e-14)


@pytest.mark.parametrize("dtype", HALVES)
def test_half_precision_keeps_its_dtype_and_is_computed_in_float32(dtype):
    start, end = randn(13, 2, 64).to(dtype)
    x = randn(14, 7, 64).to(dtype)
    rotation = PlaneRotation.from_vectors(start, end)
    assert rotation.u.dtype == rotation.v.dtype == torch.float32
    full = PlaneRotation.from_vectors(start.float(), end.float())
    assert torch.equal(rotation.angles, full.angles)
    got = rotation.apply(x)
    assert got.dtype == dtype
    assert torch.equal(got, full.apply(x.float()).to(dtype))
    # Nearest to the float64 answer: half a unit in the last place, and float32's 1e-6 · |x|.
    wanted = x.double() @ dense(start, end).mT
    slack = torch.finfo(dtype).eps / 2 * wanted.abs() + 2e-5
    assert bool(((got.double() - wanted).abs() <= slack).all())


def test_float64_tokens_under_a_float32_rotation_stay_float64():
    rotation = PlaneRotation.from_vectors(*randn(15, 2, 8).float())
    x = randn(16, 8)
    assert rotation.apply(x).dtype == torch.float64
    assert PlaneRotation.from_vectors(randn(15, 8).float(), x).u.dtype == torch.float64


def test_batch_and_token_dimensions_are_free():
    start, end = randn(17, 2, 3, 6), randn(18, 2, 3, 6)
    rotation = PlaneRotation.from_vectors(start, end)
    assert rotation.batch == (2, 3)
    assert rotation.dim == 6
    assert len(rotation) == 2
    assert rotation.as_matrix().shape == (2, 3, 6, 6)
    for tokens in [(), (4,), (4, 5), (0,)]:
        x = randn(19, 2, 3, *tokens, 6)
        got = rotation.apply(x)
        assert got.shape == x.shape
        for i, j in [(0, 0), (1, 2)]:
            wanted = x[i, j] @ dense(start[i, j], end[i, j]).mT
            assert torch.allclose(got[i, j], wanted, atol=1e-9)
    # A part of the batch is a batch.
    assert torch.equal(rotation[1].apply(x[1]), rotation.apply(x)[1])
    assert rotation[1, 2].batch == ()


def test_one_start_goes_with_many_ends():
    start, ends = randn(20, 6), randn(21, 5, 6)
    rotation = PlaneRotation.from_vectors(start, ends)
    assert rotation.batch == (5,)
    moved = rotation.apply(normalised(start).expand(5, 6))
    assert torch.allclose(moved, normalised(ends), atol=1e-14)


def test_a_power_for_each_rotation_and_each_token():
    start, end, x = randn(22, 3, 6), randn(23, 3, 6), randn(24, 3, 2, 6)
    rotation = PlaneRotation.from_vectors(start, end)
    t = torch.tensor([[0.0, 1.0], [0.5, -2.0], [3.0, 0.1]], dtype=torch.float64)
    got = rotation.apply(x, t)
    by_batch = (rotation ** t[:, 0]).apply(x)
    for i in range(3):
        for k in range(2):
            wanted = x[i, k] @ dense(start[i], end[i], float(t[i, k])).mT
            assert torch.allclose(got[i, k], wanted, atol=1e-9)
        assert torch.allclose(by_batch[i], x[i] @ dense(start[i], end[i], float(t[i, 0])).mT)


def test_magnitude_is_the_angle_turned_whichever_way():
    rotation = PlaneRotation.from_vectors(*pair(25, 9, 0.4))
    assert float(rotation.magnitude()) == pytest.approx(0.4, abs=1e-14)
    assert float((rotation**-2.5).magnitude()) == pytest.approx(1.0, abs=1e-14)


@pytest.mark.parametrize("shape", [(3, 5), (2, 6), (6,), (3,), (2, 3, 6)])
def test_shapes_that_do_not_fit_are_refused_by_name(shape):
    rotation = PlaneRotation.from_vectors(randn(26, 3, 6), randn(27, 3, 6))
    with pytest.raises(DriftError) as error:
        rotation.apply(torch.zeros(shape))
    assert str(tuple(shape)) in str(error.value)
    assert "6 dimensions" in str(error.value)


def test_vectors_of_two_widths_are_refused():
    with pytest.raises(DriftError, match=r"768.*1280"):
        PlaneRotation.from_vectors(torch.ones(768), torch.ones(1280))


@pytest.mark.parametrize(("value", "word"), [(0.0, "zero"), (math.nan, "not finite")])
@pytest.mark.parametrize("side", ["start", "end"])
def test_a_vector_without_direction_is_named(side, value, word):
    vectors = {"start": torch.ones(4, 6), "end": torch.eye(6)[:4].clone()}
    vectors[side][2] = value
    with pytest.raises(DriftError, match=f"^{side} frame 2 is {word}"):
        PlaneRotation.from_vectors(vectors["start"], vectors["end"], "frame")


class LargestTensor(TorchDispatchMode):
    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for out in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(out, torch.Tensor):
                self.numbers = max(self.numbers, out.numel())
        return result


def test_a_latent_is_turned_without_its_dense_matrix():
    dim, count = 4 * 64 * 64, 4
    with LargestTensor() as largest:
        PlaneRotation.from_vectors(randn(28, count, dim), randn(29, count, dim)).apply(
            randn(30, count, 3, dim)
        )
    # The latents themselves; the dense matrix has 2.7e8 numbers.
    assert largest.numbers <= count * 3 * dim
