"""Shaping a drift: everything stays on the sphere, and times go on increasing."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pack.clip_drift.drift import Drift
from pack.clip_drift.errors import DriftError
from pack.clip_drift.shaping import (
    DIRECTIONS,
    concatenate,
    ping_pong,
    resample,
    reverse,
    scale,
    seamless_loop,
    shape,
    smooth,
)
from pack.tests.paths import between, is_sound, normalised, randn, trajectory

SOME = settings(max_examples=20, deadline=None)
seeds = st.integers(0, 2**31)
lengths = st.integers(2, 12)


def make(seed: int, frames: int, dim: int = 10, uneven: bool = True, step: float = 0.3) -> Drift:
    """A drift whose frame i has a thumbnail full of i."""
    gaps = 0.1 + randn(seed + 2, frames).abs() if uneven else torch.ones(frames)
    pictures = torch.arange(frames, dtype=torch.uint8)[:, None, None, None].expand(frames, 2, 3, 3)
    return Drift.from_embeddings(
        trajectory(seed, frames, dim, step), gaps.cumsum(0), pictures, "ViT-L-14", "clip.mp4"
    )


def arc(frames: int, theta: float = 0.6, dim: int = 8, seed: int = 0) -> Drift:
    """An even walk along one great circle, theta radians in all."""
    a, v = torch.linalg.qr(randn(seed, dim, 2)).Q.T
    t = torch.linspace(0, theta, frames, dtype=torch.float64)[:, None]
    return Drift.from_embeddings(torch.cos(t) * a + torch.sin(t) * v)


def slerp(a: torch.Tensor, b: torch.Tensor, t: float) -> torch.Tensor:
    """Shoemake's formula in float64, on the angle from atan2 of the parts of b."""
    a, b = normalised(a), normalised(b)
    theta = torch.atan2((b - (a @ b) * a).norm(), a @ b)
    if theta < 1e-12:
        return a
    return (torch.sin((1 - t) * theta) * a + torch.sin(t * theta) * b) / torch.sin(theta)


@SOME
@given(seed=seeds, frames=lengths, count=st.integers(2, 30))
def test_resampling_keeps_the_ends_and_spaces_frames_evenly(seed, frames, count):
    drift = make(seed, frames)
    result = resample(drift, count)
    assert is_sound(result)
    assert len(result) == count
    assert torch.allclose(result.embeddings[[0, -1]], drift.embeddings[[0, -1]], atol=5e-7)
    assert result.thumbnails[0].max() == 0
    assert result.thumbnails[-1].min() == frames - 1
    steps = result.times.diff()
    assert torch.allclose(steps, steps.mean().expand_as(steps))
    assert result.duration == pytest.approx(drift.duration)
    assert (result.encoder, result.source) == ("ViT-L-14", "clip.mp4")


@SOME
@given(seed=seeds, frames=lengths, count=st.integers(2, 12))
def test_resampling_walks_the_geodesics_between_frames(seed, frames, count):
    drift = make(seed, frames)
    result = resample(drift, count)
    times = drift.times.tolist()
    for k, now in enumerate(torch.linspace(times[0], times[-1], count, dtype=torch.float64)):
        i = max(i for i in range(frames - 1) if times[i] <= now + 1e-12)
        share = (float(now) - times[i]) / (times[i + 1] - times[i])
        wanted = slerp(drift.embeddings[i], drift.embeddings[i + 1], share)
        assert torch.allclose(result.embeddings[k].double(), wanted, atol=1e-6)


def test_the_middle_of_two_frames_is_their_geodesic_midpoint():
    drift = Drift.from_embeddings(trajectory(7, 2, 12, step=1.0))
    result = resample(drift, 3)
    e = drift.embeddings.double()
    assert torch.allclose(result.embeddings[1].double(), normalised(e.sum(0)), atol=3e-7)
    first, second = result.step_angles().tolist()
    assert first == pytest.approx(second, abs=5e-7)


@SOME
@given(seed=seeds, frames=lengths)
def test_resampling_to_the_same_count_changes_nothing(seed, frames):
    drift = make(seed, frames, uneven=False)
    assert torch.allclose(resample(drift, frames).embeddings, drift.embeddings, atol=5e-7)


@pytest.mark.parametrize("count", [1, 0, -3])
def test_resampling_to_no_motion_is_refused(count):
    with pytest.raises(DriftError, match=f"frames is {count}"):
        resample(make(8, 4), count)


def test_smoothing_by_nothing_changes_nothing():
    drift = make(9, 6)
    assert smooth(drift, 0) is drift


def test_smoothing_takes_jitter_out_and_leaves_the_way():
    way = arc(40, theta=1.0, dim=64).embeddings.double()
    jitter = normalised(way + 0.02 * randn(10, 40, 64))
    drift = Drift.from_embeddings(jitter)
    result = smooth(drift, 2.0)
    # The way takes 1 rad; 39 steps of jitter add 0.02·sqrt(2·64) = 0.23 rad each, 9 rad.
    # Averaging noise with sigma 2 keeps 1/(2·sqrt(pi)·2) = 0.14 of its variance, and its steps
    # shrink further (neighbours share most of their average): a factor of about 8 in all.
    assert drift.path_length() > 8
    assert result.path_length() < 2
    assert is_sound(result)
    # 0.02·8·sqrt(0.14) = 0.06 rad from the way, 0.16 before; at the ends the repeated frame
    # pulls more.
    assert float(between(result.embeddings, way)[5:-5].mean()) < 0.08
    assert torch.equal(result.times, drift.times)


def test_smoothing_is_a_gaussian_with_repeated_ends():
    drift = make(11, 5, dim=4)
    sigma = 0.7
    e = drift.embeddings.double()
    # 4·0.7 + 1 = 3 frames to each side are within reach.
    weights = {k: math.exp(-0.5 * (k / sigma) ** 2) for k in range(-3, 4)}
    for i in range(5):
        total = sum(w * e[min(max(i + k, 0), 4)] for k, w in weights.items())
        got = smooth(drift, sigma).embeddings[i].double()
        assert torch.allclose(got, normalised(total), atol=5e-7)


def test_a_wide_gaussian_on_a_short_clip():
    assert is_sound(smooth(make(12, 2), 50.0))


def test_smoothing_by_less_than_nothing_is_refused():
    with pytest.raises(DriftError, match="smooth is -1"):
        smooth(make(13, 4), -1)


@SOME
@given(seed=seeds, frames=lengths)
def test_reversing_twice_is_the_clip_itself(seed, frames):
    drift = make(seed, frames)
    once, twice = reverse(drift), reverse(reverse(drift))
    assert torch.allclose(once.embeddings, drift.embeddings.flip(0), atol=2e-7)
    assert torch.allclose(once.step_angles(), drift.step_angles().flip(0), atol=5e-7)
    assert torch.allclose(once.times.diff(), drift.times.diff().flip(0))
    assert torch.equal(once.thumbnails, drift.thumbnails.flip(0))
    assert is_sound(once)
    assert torch.allclose(twice.embeddings, drift.embeddings, atol=2e-7)
    assert torch.allclose(twice.times, drift.times)
    assert torch.equal(twice.thumbnails, drift.thumbnails)


@SOME
@given(seed=seeds, frames=lengths)
def test_ping_pong_shows_each_turning_point_once(seed, frames):
    drift = make(seed, frames)
    result = ping_pong(drift)
    there_and_back = [*range(frames), *range(frames - 2, 0, -1)]
    assert len(result) == 2 * frames - 2
    assert is_sound(result)
    assert torch.allclose(result.embeddings, drift.embeddings[there_and_back], atol=2e-7)
    assert result.thumbnails[:, 0, 0, 0].tolist() == there_and_back


@SOME
@given(seed=seeds, frames=lengths, count=st.integers(2, 30))
def test_ping_pong_in_any_number_of_frames_ends_a_step_before_its_start(seed, frames, count):
    drift = make(seed, frames)
    result = ping_pong(drift, count)
    assert len(result) == count
    assert is_sound(result)
    assert torch.allclose(result.embeddings[0], drift.embeddings[0], atol=2e-7)
    # Frame k and frame count − k are one place, there and back.
    mirrored = result.embeddings[1:].flip(0)
    assert torch.allclose(result.embeddings[1:], mirrored, atol=2e-6)


def dense_power(a: torch.Tensor, b: torch.Tensor, t: float) -> torch.Tensor:
    """(R of a → b)^t as exp of the generator."""
    rest = b - (a @ b) * a
    v = rest / rest.norm()
    alpha = torch.atan2(rest.norm(), a @ b)
    return torch.linalg.matrix_exp(t * alpha * (torch.outer(v, a) - torch.outer(a, v)))


@SOME
@given(seed=seeds, frames=st.integers(3, 12), count=st.integers(0, 20).filter(lambda k: k != 1))
def test_a_loop_closes_with_an_ordinary_step(seed, frames, count):
    drift = make(seed, frames, uneven=False)
    result = seamless_loop(drift, count)
    count = count or frames
    assert len(result) == count
    assert is_sound(result)
    e = normalised(drift.embeddings)
    # By definition: frame i turned by i/(F−1) of the rotation that takes the last to the first.
    closed = [dense_power(e[-1], e[0], i / (frames - 1)) @ e[i] for i in range(frames)]
    assert torch.allclose(closed[-1], e[0], atol=1e-9)
    for k in range(count):
        place = k * (frames - 1) / count
        i = min(int(place + 1e-9), frames - 2)
        wanted = slerp(closed[i], closed[i + 1], place - i)
        assert torch.allclose(result.embeddings[k].double(), wanted, atol=2e-6)
    # No step, the one from the last frame to the first among them, can be longer than the
    # longest old step and its share of the closing turn, times the frames left out.
    longest = float(between(e[:-1], e[1:]).max()) + float(between(e[-1], e[0])) / (frames - 1)
    around = between(result.embeddings, result.embeddings.roll(-1, 0))
    assert float(around.max()) <= longest * (frames - 1) / count + 2e-6


def test_the_first_frame_of_a_loop_is_not_shown_twice():
    around = seamless_loop(make(14, 8, dim=32, uneven=False))
    steps = between(around.embeddings, around.embeddings.roll(-1, 0))
    # A random walk in 32 dimensions has steps of about 0.3 rad; none of them shrinks to nothing.
    assert float(steps.min()) > 0.1


def test_a_loop_of_a_loop_changes_nothing_but_its_last_step():
    # A full circle seen at 8 even places and again at the first one: closed as it is.
    turn = torch.linspace(0, 2 * math.pi, 9, dtype=torch.float64)
    circle = torch.stack((torch.cos(turn), torch.sin(turn), torch.full_like(turn, 2.0)), 1)
    drift = Drift.from_embeddings(circle)
    result = seamless_loop(drift, 8)
    assert torch.allclose(result.embeddings, drift.embeddings[:8], atol=1e-6)


@SOME
@given(seed=seeds, frames=lengths, g=st.floats(0, 2))
def test_scaling_walks_g_times_as_far_from_the_first_frame(seed, frames, g):
    drift = make(seed, frames, step=0.2)
    result = scale(drift, g)
    assert is_sound(result)
    e = drift.embeddings
    for i in range(frames):
        assert torch.allclose(result.embeddings[i].double(), slerp(e[0], e[i], g), atol=1e-6)
    assert torch.equal(result.times, drift.times)
    assert torch.equal(result.thumbnails, drift.thumbnails)


def test_scaling_by_a_list_and_by_a_curve():
    drift = make(15, 5)
    e = drift.embeddings
    result = scale(drift, [0, 0.25, 0.5, 0.75, 1])
    for i in range(5):
        assert torch.allclose(result.embeddings[i].double(), slerp(e[0], e[i], i / 4), atol=1e-6)
    curve = scale(drift, lambda places: places)
    assert torch.equal(curve.embeddings, result.embeddings)
    with pytest.raises(DriftError, match=r"list of 4 numbers .* 5 frames"):
        scale(drift, [1, 1, 1, 1])


def test_scaling_to_nothing_stands_at_the_first_frame():
    drift = make(16, 5)
    assert torch.allclose(scale(drift, 0).embeddings, drift.embeddings[:1].expand(5, -1))


@SOME
@given(seed=seeds, frames=lengths, more=lengths)
def test_concatenation_holds_both_clips_one_mean_step_apart(seed, frames, more):
    first, second = make(seed, frames), make(seed + 9, more)
    result = concatenate(first, second)
    assert is_sound(result)
    assert len(result) == frames + more
    assert torch.allclose(result.embeddings[:frames], first.embeddings, atol=2e-7)
    assert torch.allclose(result.embeddings[frames:], second.embeddings, atol=2e-7)
    assert torch.allclose(result.times[:frames], first.times)
    gap = float(result.times[frames] - result.times[frames - 1])
    assert gap == pytest.approx(first.duration / (frames - 1))
    assert torch.allclose(result.times[frames:].diff(), second.times.diff())
    assert torch.equal(result.thumbnails, torch.cat((first.thumbnails, second.thumbnails)))
    assert result.source == "clip.mp4 + clip.mp4"


def test_pictures_of_two_sizes_are_left_out_of_a_concatenation():
    first = make(17, 3)
    second = Drift.from_embeddings(
        trajectory(18, 3, 10), thumbnails=torch.zeros(3, 4, 4, 3, dtype=torch.uint8)
    )
    assert concatenate(first, second).thumbnails is None
    assert concatenate(first, Drift.from_embeddings(trajectory(18, 3, 10))).thumbnails is None


def test_drifts_of_two_spaces_cannot_be_joined():
    with pytest.raises(DriftError, match="10 and 12 dimensions"):
        concatenate(make(19, 3), make(20, 3, dim=12))


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("frames", [0, 2, 7])
def test_shape_gives_the_frames_asked_for(direction, frames):
    own = {"ping-pong": 8}.get(direction, 5)
    result = shape(make(21, 5), frames, 0.5, direction, 0.7)
    assert len(result) == (frames or own)
    assert is_sound(result)


def test_shape_as_it_comes_changes_nothing():
    drift = make(22, 5)
    result = shape(drift)
    assert torch.allclose(result.embeddings, drift.embeddings, atol=5e-7)
    assert torch.equal(result.times, drift.times)


def test_shape_smooths_turns_resamples_and_scales_in_this_order():
    drift = make(23, 6)
    wanted = scale(resample(reverse(smooth(drift, 1.5)), 9), 0.4)
    assert torch.allclose(
        shape(drift, 9, 1.5, "reverse", 0.4).embeddings, wanted.embeddings, atol=1e-7
    )


@pytest.mark.parametrize("frames", [1, -1])
def test_shape_refuses_a_count_that_is_no_motion(frames):
    with pytest.raises(DriftError, match=f"frames is {frames}"):
        shape(make(24, 4), frames)


def test_an_unknown_direction_lists_the_known_ones():
    with pytest.raises(DriftError, match=r"'sideways'.*forward, reverse, ping-pong, seamless loop"):
        shape(make(25, 4), direction="sideways")
