"""The drift: frames become points of the sphere, with times and pictures."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pack.clip_drift.drift import Drift
from pack.clip_drift.errors import DriftError
from pack.tests.paths import between, is_sound, normalised, randn, trajectory

SOME = settings(max_examples=20, deadline=None)
seeds = st.integers(0, 2**31)
lengths = st.integers(2, 12)


@SOME
@given(seed=seeds, frames=lengths, dim=st.integers(2, 40), exponent=st.floats(-20, 20))
def test_embeddings_of_any_length_become_points_of_the_sphere(seed, frames, dim, exponent):
    points = trajectory(seed, frames, dim)
    drift = Drift.from_embeddings((points * 10**exponent).float())
    assert is_sound(drift)
    assert (len(drift), drift.dim) == (frames, dim)
    assert torch.allclose(drift.embeddings.double(), points, atol=5e-7)
    assert drift.times.tolist() == list(range(frames))
    assert drift.duration == frames - 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_float_dtype_comes_in_and_float32_comes_out(dtype):
    points = trajectory(1, 4, 16).to(dtype)
    drift = Drift.from_embeddings(points)
    assert is_sound(drift)
    assert torch.allclose(drift.embeddings.double(), normalised(points), atol=1e-6)


@SOME
@given(seed=seeds, frames=lengths, exponent=st.floats(-4, -0.5))
def test_angles_and_gram_matrix_against_float64(seed, frames, exponent):
    drift = Drift.from_embeddings(trajectory(seed, frames, 32, 10**exponent))
    e = drift.embeddings.double()
    steps = between(e[:-1], e[1:])
    # Round-off of two float32 unit vectors: 4 eps.
    assert torch.allclose(drift.step_angles().double(), steps, atol=5e-7, rtol=0)
    assert drift.path_length() == pytest.approx(float(steps.sum()), abs=5e-7 * frames)
    assert torch.allclose(drift.gram().double(), e @ e.mT, atol=1e-6, rtol=0)


def test_pixel_space_is_the_thumbnails_as_flat_vectors():
    pictures = (randn(2, 4, 5, 6, 3).abs() * 80).clamp(0, 255).to(torch.uint8)
    pictures[2] = 0  # a black frame has no direction in pixel space, and that is no error
    drift = Drift.from_embeddings(trajectory(3, 4, 8), thumbnails=pictures)
    flat = pictures.double().reshape(4, -1)
    lengths = flat.pow(2).sum(-1).sqrt().clamp_min(1)
    wanted = (flat @ flat.T) / lengths[:, None] / lengths[None]
    assert torch.allclose(drift.pixel_gram().double(), wanted, atol=1e-6)
    assert bool((drift.flat_pixels()[2] == 0).all())


def test_without_pictures_there_is_no_pixel_space():
    drift = Drift.from_embeddings(trajectory(3, 4, 8))
    with pytest.raises(DriftError, match="not made from pictures"):
        drift.pixel_gram()


@pytest.mark.parametrize("frames", [0, 1])
def test_fewer_than_two_frames_are_refused(frames):
    with pytest.raises(DriftError, match=f"two frames or more, but got {frames}"):
        Drift.from_embeddings(torch.ones(frames, 8))


@pytest.mark.parametrize("shape_", [(8,), (2, 3, 8), (3, 1)])
def test_embeddings_must_be_a_matrix(shape_):
    with pytest.raises(DriftError, match="matrix"):
        Drift.from_embeddings(torch.ones(shape_))


@pytest.mark.parametrize(
    ("value", "word"), [(0.0, "zero"), (math.nan, "not finite"), (math.inf, "not finite")]
)
def test_the_bad_frame_is_named(value, word):
    points = trajectory(4, 5, 8)
    points[3] = value
    with pytest.raises(DriftError, match=f"^frame 3 is {word}"):
        Drift.from_embeddings(points)


@pytest.mark.parametrize(
    "times",
    [
        [0.0, 1.0],
        [0.0, 1.0, 1.0],
        [2.0, 1.0, 0.0],
        [0.0, math.nan, 2.0],
        [0.0, 1.0, math.inf],
        [-math.inf, 0.0, 1.0],
        [[0.0], [1.0], [2.0]],
    ],
)
def test_times_must_be_finite_and_increase(times):
    with pytest.raises(DriftError, match="3 increasing numbers"):
        Drift.from_embeddings(trajectory(5, 3, 8), torch.tensor(times))


@pytest.mark.parametrize(
    "pictures",
    [
        torch.zeros(3, 2, 2, 3),
        torch.zeros(2, 2, 2, 3, dtype=torch.uint8),
        torch.zeros(3, 2, 2, 4, dtype=torch.uint8),
        torch.zeros(3, 2, 3, dtype=torch.uint8),
    ],
)
def test_thumbnails_must_fit_the_frames(pictures):
    with pytest.raises(DriftError, match=r"uint8 tensor of shape \(3, h, w, 3\)"):
        Drift.from_embeddings(trajectory(6, 3, 8), thumbnails=pictures)
