"""Rotation sequences: what is read off a clip, and which clips are refused."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pack.clip_drift.drift import Drift
from pack.clip_drift.errors import DriftError
from pack.clip_drift.lift import coordinates, isometry, orthonormal_rows
from pack.clip_drift.sequence import RotationSequence
from pack.tests.paths import normalised, randn, trajectory

SOME = settings(max_examples=20, deadline=None)
seeds = st.integers(0, 2**31)


def dense(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    a, b = normalised(a), normalised(b)
    rest = b - (a @ b) * a
    v = rest / rest.norm()
    alpha = torch.atan2(rest.norm(), a @ b)
    return torch.linalg.matrix_exp(alpha * (torch.outer(v, a) - torch.outer(a, v)))


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("pairing", ["neighbours", "from_first"])
def test_a_clip_of_five_frames_has_four_rotations(pairing, centered):
    sequence = RotationSequence.from_trajectory(trajectory(1, 5, 12), pairing, centered)
    assert len(sequence) == 5
    assert sequence.dim == 12
    assert len(sequence.planes) == 4
    assert len(sequence.frame_planes) == 5
    # Frame 0 starts where it is.
    assert float(sequence.frame_planes.angles[0]) < 1e-15


def test_a_sequence_knows_the_clips_rate():
    """Seven frames in two seconds are three steps per second."""
    points, times = trajectory(1, 7, 12), torch.linspace(4, 6, 7, dtype=torch.float64)
    drift = Drift.from_embeddings(points, times)
    assert RotationSequence.from_trajectory(drift).fps == pytest.approx(3)
    assert RotationSequence.from_trajectory(points).fps == 0
    assert RotationSequence.from_pairs(points[:1], points[1:]).fps == 0


def test_pairs_have_a_rotation_each():
    start, end = randn(2, 5, 12), randn(3, 5, 12)
    sequence = RotationSequence.from_pairs(start, end, centered=False)
    assert (len(sequence), len(sequence.planes), len(sequence.frame_planes)) == (5, 5, 5)
    moved = sequence.planes.apply(normalised(start))
    assert torch.allclose(moved, normalised(end), atol=1e-13)


@pytest.mark.parametrize("one", ["start", "end"])
def test_one_vector_pairs_up_with_many(one):
    start, end = randn(4, 1 if one == "start" else 5, 8), randn(5, 1 if one == "end" else 5, 8)
    sequence = RotationSequence.from_pairs(start, end, centered=False)
    assert len(sequence) == 5
    moved = sequence.planes.apply(normalised(start).expand(5, 8))
    assert torch.allclose(moved, normalised(end).expand(5, 8), atol=1e-13)


@SOME
@given(seed=seeds, frames=st.integers(2, 8), dim=st.integers(2, 12))
def test_neighbour_rotations_one_after_another_lead_through_the_clip(seed, frames, dim):
    points = trajectory(seed, frames, dim)
    planes = RotationSequence.from_trajectory(points, "neighbours", centered=False).planes
    x = normalised(randn(seed + 2, 3, dim))
    e, walked, product = points[0], x, torch.eye(dim, dtype=torch.float64)
    for i in range(frames - 1):
        e, walked = planes[i].apply(e), planes[i].apply(walked)
        product = dense(points[i], points[i + 1]) @ product
        assert torch.allclose(e, points[i + 1], atol=1e-9)
    # Steps are seldom under 1e-3 rad; the reference's planes are then known to 1e-12.
    assert torch.allclose(walked, x @ product.mT, atol=1e-9)


@pytest.mark.parametrize("pairing", ["neighbours", "from_first"])
def test_centring_takes_the_mean_out_before_the_planes_are_built(pairing):
    points = trajectory(6, 6, 10)
    sequence = RotationSequence.from_trajectory(points, pairing, centered=True)
    mean = points.sum(0) / 6
    assert torch.allclose(sequence.center, mean, atol=1e-15)
    seen = normalised(points - mean)
    starts = seen[:-1] if pairing == "neighbours" else seen[:1].expand(5, -1)
    for i in range(5):
        wanted = dense(starts[i], seen[i + 1])
        assert torch.allclose(sequence.planes[i].as_matrix(), wanted, atol=1e-9)
    # The trajectory itself is kept as it was.
    assert torch.allclose(sequence.points, points, atol=1e-15)


def test_pairs_are_centred_about_the_mean_of_both():
    start, end = normalised(randn(7, 4, 9)), normalised(randn(8, 4, 9))
    sequence = RotationSequence.from_pairs(start, end, centered=True)
    mean = torch.cat((start, end)).mean(0)
    assert torch.allclose(sequence.center, mean, atol=1e-15)
    wanted = dense(start[2] - mean, end[2] - mean)
    assert torch.allclose(sequence.planes[2].as_matrix(), wanted, atol=1e-9)


@pytest.mark.parametrize("repeats", [1, 3])
def test_two_vectors_are_never_centred(repeats):
    # About their mean they lie opposite to each other: any plane would do.
    two = randn(9, 2, 8)
    clip = two.repeat(repeats, 1)
    sequence = RotationSequence.from_trajectory(clip, centered=True)
    assert sequence.center is None
    assert RotationSequence.from_pairs(two[:1], two[1:], centered=True).center is None
    assert torch.allclose(sequence.planes[0].as_matrix(), dense(two[0], two[1]), atol=1e-9)


def test_a_frame_at_the_mean_has_no_centred_direction():
    # Unit vectors have their mean on the sphere only when all are equal, so it is put there.
    points = torch.eye(4, dtype=torch.float64)
    sequence = RotationSequence(points[:1], points, "from_first", points[2])
    with pytest.raises(DriftError, match="centered off"):
        _ = sequence.planes


@pytest.mark.parametrize("noise", [0.0, 1e-7])
def test_a_still_clip_is_refused(noise):
    still = normalised(randn(10, 1, 64)).expand(8, 64) + noise * randn(11, 8, 64) / 8
    with pytest.raises(DriftError, match="nothing moves: all 8 frames"):
        RotationSequence.from_trajectory(still.float())


def test_a_slow_clip_is_not_a_still():
    # 1e-3 rad over the whole clip is slow, and 100 times what float32 encoders jitter by.
    a, v = torch.linalg.qr(randn(12, 64, 2)).Q.T
    clip = torch.stack([a + t * 1e-3 * v for t in (0, 0.5, 1)])
    sequence = RotationSequence.from_trajectory(clip, centered=False)
    assert float(sequence.planes.angles[-1]) == pytest.approx(math.atan(1e-3), rel=1e-9)


@pytest.mark.parametrize(("value", "word"), [(0.0, "zero"), (math.nan, "not finite")])
def test_bad_frames_are_named(value, word):
    clip = trajectory(13, 6, 8)
    clip[4] = value
    with pytest.raises(DriftError, match=f"^frame 4 is {word}"):
        RotationSequence.from_trajectory(clip)
    good = trajectory(14, 6, 8)
    with pytest.raises(DriftError, match=f"^start vector 4 is {word}"):
        RotationSequence.from_pairs(clip, good)
    with pytest.raises(DriftError, match=f"^end vector 4 is {word}"):
        RotationSequence.from_pairs(good, clip)


def test_unequal_counts_and_dimensions_are_refused():
    with pytest.raises(DriftError, match=r"3 vectors.* 5"):
        RotationSequence.from_pairs(randn(15, 3, 8), randn(16, 5, 8))
    with pytest.raises(DriftError, match=r"768 dimensions.*1280"):
        RotationSequence.from_pairs(randn(15, 3, 768), randn(16, 3, 1280))


@pytest.mark.parametrize("clip", [torch.ones(1, 8), torch.ones(8), torch.ones(2, 3, 8)])
def test_one_vector_is_no_motion(clip):
    with pytest.raises(DriftError, match=r"needs vectors \(F, N\), two or more"):
        RotationSequence.from_trajectory(clip)


def test_an_unknown_pairing_lists_the_known_ones():
    with pytest.raises(DriftError, match=r"'all'.*neighbours, from_first"):
        RotationSequence.from_trajectory(trajectory(17, 4, 8), "all")


def test_a_drift_brings_its_encoder_and_its_frames():
    drift = Drift.from_embeddings(trajectory(18, 5, 8), encoder="ViT-L-14 openai")
    sequence = RotationSequence.from_trajectory(drift)
    assert sequence.encoder == "ViT-L-14 openai"
    assert torch.allclose(sequence.points, drift.embeddings.double(), atol=1e-7)


@pytest.mark.parametrize("centered", [False, True])
def test_a_single_pair_serves_any_number_of_frames(centered):
    start, end = randn(19, 1, 8), randn(20, 1, 8)
    sequence = RotationSequence.from_pairs(start, end, centered).for_frames(7)
    assert (len(sequence), sequence.pairing, len(sequence.planes)) == (7, "pairs", 7)
    wanted = dense(start[0], end[0])
    for matrix in sequence.planes.as_matrix():
        assert torch.allclose(matrix, wanted, atol=1e-9)


@pytest.mark.parametrize("frames", [1, 4, 6])
def test_a_clip_serves_its_own_frames_only(frames):
    sequence = RotationSequence.from_trajectory(trajectory(21, 5, 8))
    assert sequence.for_frames(5) is sequence
    with pytest.raises(DriftError, match=f"5 frames where {frames} are asked for"):
        sequence.for_frames(frames)


@SOME
@given(seed=seeds, frames=st.integers(2, 8), g=st.floats(-1, 2))
def test_swept_is_the_clip_scaled_about_its_first_frame(seed, frames, g):
    points = trajectory(seed, frames, 9)
    sequence = RotationSequence.from_trajectory(points, "neighbours")
    got = sequence.swept(torch.full((frames,), g, dtype=torch.float64))
    assert torch.allclose(got[0], points[0], atol=1e-15)
    for i in range(1, frames):
        theta = torch.acos(points[0] @ points[i])
        slerp = torch.sin((1 - g) * theta) * points[0] + torch.sin(g * theta) * points[i]
        assert torch.allclose(got[i], slerp / torch.sin(theta), atol=1e-9)


# Singular Gram matrices: repeated frames, fewer dimensions than frames, a black clip's one frame.
CLIPS = {
    "free": trajectory(22, 6, 20),
    "more frames than dimensions": trajectory(23, 9, 4),
    "repeated frames": trajectory(24, 4, 12)[torch.tensor([0, 1, 1, 0, 2, 3, 3])],
    "one great circle": torch.stack(
        [torch.tensor([math.cos(t), math.sin(t), 0.0], dtype=torch.float64) for t in range(6)]
    ),
    "all the same": trajectory(25, 2, 5)[torch.tensor([0, 0, 0])],
}
RANKS = {
    "free": 6,
    "more frames than dimensions": 4,
    "repeated frames": 4,
    "one great circle": 2,
    "all the same": 1,
}


@pytest.mark.parametrize("name", CLIPS)
def test_coordinates_are_a_triangular_factor_of_the_gram_matrix(name):
    points = CLIPS[name]
    factor = coordinates(points)
    assert factor.shape == (len(points), RANKS[name])
    # Not merely to 1e-6: what is dropped is shorter than 1e-6, so its square is 1e-12.
    assert torch.allclose(factor @ factor.mT, points @ points.mT, atol=2e-12, rtol=0)
    assert torch.equal(factor, factor.tril())


def test_coordinates_of_nearly_alike_frames():
    # Steps of 1e-5 rad: the Gram matrix's smallest eigenvalues are 1e-10, Cholesky's nightmare
    # in float32.
    points = trajectory(26, 12, 32, step=1e-5)
    factor = coordinates(points)
    assert torch.allclose(factor @ factor.mT, points @ points.mT, atol=1e-11, rtol=0)


@SOME
@given(seed=seeds, count=st.integers(1, 12), spare=st.integers(0, 10))
def test_lifted_directions_stand_at_right_angles_and_come_in_one_order(seed, count, spare):
    rows = orthonormal_rows(count, count + spare, seed)
    eye = torch.eye(count, dtype=torch.float64)
    assert torch.allclose(rows @ rows.mT, eye, atol=1e-13)
    # A longer clip has the same first directions.
    fewer = orthonormal_rows(max(1, count - 3), count + spare, seed)
    assert torch.allclose(rows[: len(fewer)], fewer, atol=1e-10)


@pytest.mark.parametrize("dim", [7, 12, 40])
@pytest.mark.parametrize("centered", [False, True])
def test_a_lifted_clip_has_the_same_geometry(dim, centered):
    sequence = RotationSequence.from_trajectory(trajectory(27, 6, 20), centered=centered)
    lifted = isometry(sequence, dim, seed=3)
    assert (lifted.dim, len(lifted), lifted.pairing) == (dim, 6, sequence.pairing)
    assert torch.allclose(
        lifted.points @ lifted.points.mT, sequence.points @ sequence.points.mT, atol=2e-12
    )
    assert torch.allclose(lifted.base, lifted.points[:1], atol=1e-12)
    if centered:
        assert torch.allclose(lifted.center, lifted.points.mean(0), atol=1e-12)
    else:
        assert lifted.center is None


def test_a_motion_of_more_directions_than_the_target_is_refused():
    sequence = RotationSequence.from_trajectory(trajectory(28, 6, 20), centered=False)
    with pytest.raises(DriftError, match=r"6 independent directions, more than the 5 dimensions"):
        isometry(sequence, 5)
