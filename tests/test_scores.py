"""Scores of clips whose answer is known, and of clips that must not score well."""

import math

import pytest
import torch
from pack.clip_drift.drift import Drift
from pack.clip_drift.errors import DriftError
from pack.clip_drift.openclip import load_openclip_file
from pack.clip_drift.scores import SCORES, SHUFFLES, Scores, compare
from pack.clip_drift.scores.compare import MOST_FRAMES, _orders
from pack.clip_drift.scores.correlation import pearson, spearman
from pack.clip_drift.scores.measures import NOISE_SPREAD
from pack.clip_drift.shaping import resample, reverse
from pack.tests.paths import normalised, randn, trajectory
from pack.workshop.bench.scores import MINI_CLIP
from pack.workshop.bench.trials import follow, unlike
from pack.workshop.world.motions import draw_clip
from pack.workshop.world.scenes import HELD_OUT, render

DIM = 64


def drift_of(points: torch.Tensor, **names) -> Drift:
    return Drift.from_embeddings(points, **names)


def clip(frames: int = 24, seed: int = 3) -> Drift:
    """A walk whose pace varies, as a real clip's does."""
    steps = randn(seed, frames, DIM) * randn(seed + 1, frames, 1).exp() * 0.05 / math.sqrt(DIM)
    steps[0] = normalised(randn(seed + 2, DIM))
    return drift_of(normalised(steps.cumsum(0)))


def arc(steps: torch.Tensor) -> Drift:
    """A great circle walked in these steps, in radians."""
    angles = torch.cat((torch.zeros(1), steps)).double().cumsum(0)
    points = torch.zeros(len(angles), DIM, dtype=torch.float64)
    points[:, 0], points[:, 1] = torch.cos(angles), torch.sin(angles)
    return drift_of(points)


def close(value: float):
    """Drifts are float32."""
    return pytest.approx(value, abs=2e-6)


def test_every_score_is_named_and_explained_once_in_its_order():
    assert tuple(SCORES) == Scores._fields


# --- Known answers --------------------------------------------------------------------------------


def test_a_drift_moves_like_itself():
    found = compare(clip(), clip())
    assert found.scores == found.of_reference
    assert found.scores[:3] == pytest.approx((1, 1, 1), abs=1e-12)
    assert found.verdict == "Moves like the reference; it moves 100 % as far."
    assert found.notes == ()


def test_an_arc_has_the_scores_of_an_arc():
    """Steps of δ along a great circle: cos δ to the neighbour, cos tδ to the first frame."""
    step, count = 0.1, 12
    steps = torch.full((count - 1,), step)
    scores = compare(clip(count), arc(steps)).scores
    assert scores.path_length == close(step * (count - 1))
    assert scores.straightness == close(1)
    assert scores.clip_f == close(math.cos(step))
    to_first = sum(math.cos(t * step) for t in range(1, count)) / (count - 1)
    assert scores.background_consistency == close((math.cos(step) + to_first) / 2)
    assert scores.angle_spearman == 0  # an even pace: no step is larger than another


def test_negative_cosines_count_as_nothing_in_background_consistency():
    """Frames at 0°, 90°, 180°, 270°: neighbours are at 90°, and no frame is near the first."""
    found = compare(clip(4), arc(torch.full((3,), math.pi / 2)))
    assert found.scores.background_consistency == close(0)
    assert found.scores.straightness == close(1 / 3)  # 270° is 90° away from 0°


def test_an_accelerating_clip_reversed_has_the_opposite_pace():
    steps = torch.linspace(0.01, 0.1, 15)
    found = compare(arc(steps), reverse(arc(steps)))
    assert found.scores.angle_spearman == pytest.approx(-1)
    assert found.scores.path_length == close(float(steps.sum()))
    assert "Moves like" not in found.verdict


def test_motion_ratio_is_the_ratio_of_the_paths():
    steps = torch.linspace(0.01, 0.1, 15)
    assert compare(arc(steps), arc(steps / 2)).scores.motion_ratio == close(0.5)


def test_clip_t_is_the_mean_cosine_with_the_prompt():
    """The arc's plane holds the prompt, its first frame: cosines are cos of the way walked."""
    steps = torch.linspace(0.02, 0.1, 9)
    drift = arc(steps)
    found = compare(drift, drift, 7 * drift.embeddings[:1])  # of any length
    walked = torch.cat((torch.zeros(1), steps.cumsum(0)))
    assert found.scores.clip_t == close(float(torch.cos(walked).mean()))
    assert found.frozen.clip_t == close(1)
    assert found.shuffled.clip_t == close(found.scores.clip_t)  # order does not matter to it
    assert compare(drift, drift).scores.clip_t is None
    assert compare(drift, drift).scores.floats()[4] == 0


def test_scores_are_of_the_motion_and_not_of_where_it_is():
    """A rotation of the whole space changes no angle and no cosine."""
    turn = torch.linalg.qr(randn(8, DIM, DIM))[0]
    reference, result = clip(), clip(seed=30)
    prompt = randn(9, DIM)
    before = compare(reference, result, prompt)
    turned = drift_of(result.embeddings.double() @ turn.mT)
    after = compare(reference, turned, turn @ prompt)
    assert after.scores.floats() == pytest.approx(before.scores.floats(), abs=1e-5)
    assert after.shuffled.floats() == pytest.approx(before.shuffled.floats(), abs=1e-5)


@pytest.mark.parametrize("ties", [False, True])
def test_spearman_is_scipys(ties):
    stats = pytest.importorskip("scipy.stats")
    a, b = randn(1, 40), randn(1, 40) + randn(2, 40)
    if ties:
        a, b = a.round(), b.round()
    assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)


def test_correlations_are_none_where_they_mean_nothing():
    a = randn(1, 5)
    assert spearman(a, torch.ones(5)) is None
    assert spearman(a[:2], a[:2]) is None
    assert pearson(1 - a * 1e-9, torch.ones(5)) is None


# --- What must not score well ---------------------------------------------------------------------


def still(frames: int = 24) -> Drift:
    return drift_of(normalised(randn(4, DIM)).expand(frames, -1))


def flickering_still(frames: int = 24) -> Drift:
    """A still as a codec leaves it: a hundredth of the clip's motion, at random."""
    return drift_of(normalised(randn(4, DIM)) + 5e-4 * randn(5, frames, DIM) / math.sqrt(DIM))


def noise(frames: int = 24) -> Drift:
    """Every frame a point of its own."""
    return drift_of(randn(6, frames, DIM))


def shuffled(frames: int = 24) -> Drift:
    order = torch.randperm(frames, generator=torch.Generator().manual_seed(1))
    return drift_of(clip(frames).embeddings[order])


def test_a_still_does_not_score_well():
    """CLIP-F and background consistency call it perfect; nothing else may."""
    found = compare(clip(), still())
    assert found.scores.floats() == pytest.approx(found.frozen.floats(), abs=1e-12)
    assert found.scores.clip_f == close(1)
    assert found.scores.angle_spearman == 0
    assert found.scores.gram_correlation == 0
    assert found.scores.motion_ratio == 0
    assert found.scores.straightness == 0
    assert found.verdict.startswith("Nearly a still")


@pytest.mark.parametrize("result", [flickering_still, noise, shuffled])
def test_flicker_noise_and_shuffled_frames_do_not_score_well(result):
    """23 independent steps correlate by 0.21 (1/sqrt(22)) at random; 0.6 is three times that."""
    found = compare(clip(), result())
    assert abs(found.scores.angle_spearman) < 0.6
    assert abs(found.scores.gram_correlation) < 0.6
    assert found.verdict.startswith(("Nearly a still", "Unrelated"))
    follows = compare(clip(), drift_of(clip().embeddings + 1e-3 * randn(7, 24, DIM)))
    assert follows.scores.angle_spearman > found.scores.angle_spearman + 0.3
    assert follows.scores.gram_correlation > found.scores.gram_correlation + 0.3
    assert follows.verdict.startswith("Moves like the reference")


def test_no_long_noise_moves_like_the_reference():
    """Of 40 tries; chance beats 99 shuffles once in a hundred, in both scores hardly ever."""
    verdicts = [
        compare(clip(12), drift_of(randn(seed, 12, DIM))).verdict for seed in range(100, 140)
    ]
    assert not any(verdict.startswith("Moves like") for verdict in verdicts)
    assert sum(verdict.startswith("Unrelated") for verdict in verdicts) >= 35


def test_a_reference_that_is_a_still_is_called_one():
    found = compare(still(), clip())
    assert found.verdict.startswith("The reference is a still")
    assert found.scores.motion_ratio == 0
    assert found.scores.gram_correlation == 0


def test_the_controls_are_what_they_are_called():
    result = clip(seed=40)
    found = compare(clip(), result)
    frozen = compare(clip(), drift_of(result.embeddings[:1].expand(24, -1))).scores
    assert found.frozen.floats() == pytest.approx(frozen.floats(), abs=1e-12)
    assert found.shuffled.path_length > found.scores.path_length
    assert abs(found.shuffled.gram_correlation) < 0.1  # a mean of 99
    assert compare(clip(), result).shuffled == found.shuffled


def test_no_shuffle_leaves_the_frames_as_they_are():
    orders = _orders(4)
    assert len(orders) == SHUFFLES
    assert all(sorted(order.tolist()) == [0, 1, 2, 3] for order in orders)
    assert [0, 1, 2, 3] not in [order.tolist() for order in orders]


# --- Motions whose answer the eye knows -----------------------------------------------------------


@pytest.fixture(scope="module")
def encoder():
    return load_openclip_file(MINI_CLIP)


@pytest.mark.parametrize("motion", ["across", "round", "grow", "tilt", "recolour"])
def test_the_same_motion_of_another_thing_moves_like_the_reference(encoder, motion):
    """The toy world's oracle: another shape and colour. Frozen, shuffled, noise do not pass."""

    def seen(pictures: torch.Tensor) -> Drift:
        return drift_of(encoder.encode(pictures.permute(0, 2, 3, 1)).clone())

    scenes = draw_clip(motion, HELD_OUT + 900)
    drawn = render(follow(motion, scenes, unlike(motion, scenes, HELD_OUT + 950)))
    reference = seen(render(scenes))
    g = torch.Generator().manual_seed(0)
    order = torch.randperm(len(drawn), generator=g)
    assert compare(reference, seen(drawn)).verdict.startswith("Moves like the reference")
    for wrong in (drawn[:1].expand_as(drawn), drawn[order], torch.rand(drawn.shape, generator=g)):
        found = compare(reference, seen(wrong))
        assert found.verdict.startswith(("Nearly a still", "Unrelated")), found.verdict


def test_an_even_pace_does_not_tell_but_a_pace_that_runs_against_it_does():
    """Steps of 0.01 to 0.1 spread by 0.51, noise by up to 0.756; backward they rank by −1."""
    even, rising = arc(torch.full((15,), 0.05)), arc(torch.linspace(0.01, 0.1, 15))
    found = compare(even, rising)
    assert found.silent == {"angle_spearman": "the clip hardly changes its pace"}
    assert found.verdict.startswith("Moves like the reference; it moves 110 % as far; step angles")
    assert compare(rising, rising).silent == {}
    assert not compare(rising, reverse(rising)).verdict.startswith("Moves like")


def test_a_jerky_result_of_an_even_reference_is_not_at_its_pace():
    """One step in five moves: these spread by about 1.9, noise by up to 0.756."""
    jerks = arc(torch.tensor([0.24, 0.003, 0.003, 0.003, 0.001] * 3))
    found = compare(arc(torch.full((15,), 0.05)), jerks)
    assert found.silent == {}
    assert found.verdict.startswith("In the reference's order, but not at its pace")


def test_no_line_of_noise_spreads_more_than_the_bound():
    steps = randn(1, 200_000).abs()  # half-normal, the widest; 0.002 is three standard errors
    assert float(steps.std() / steps.mean()) == pytest.approx(NOISE_SPREAD, abs=0.005)
    plane = randn(2, 200_000, 2).norm(dim=-1)
    assert float(plane.std() / plane.mean()) < NOISE_SPREAD


def test_a_reference_that_only_flickers_as_a_codec_does_is_a_still():
    flicker = drift_of(normalised(randn(4, DIM)) + 3e-4 * randn(5, 24, DIM) / math.sqrt(DIM))
    found = compare(flicker, clip())
    assert set(found.silent) == {"angle_spearman", "gram_correlation"}
    assert found.verdict.startswith("The reference is a still")


# --- Frame counts and errors ----------------------------------------------------------------------


def test_clips_of_different_lengths_are_compared_at_the_smaller_count():
    reference = drift_of(trajectory(2, 40, DIM))
    shown = resample(reference, 15)
    for pair, name in (((reference, shown), "Reference"), ((shown, reference), "Result")):
        found = compare(*pair)
        assert len(found.reference) == len(found.result) == 15
        assert found.scores[:3] == pytest.approx((1, 1, 1), abs=1e-4)
        assert found.notes == (f"{name} resampled from 40 to 15 frames",)


def test_long_clips_are_compared_at_a_bounded_count():
    found = compare(clip(3000), clip(2000))
    assert len(found.reference) == len(found.result) == MOST_FRAMES
    assert len(found.notes) == 2


def test_few_frames_and_different_encoders_are_noted():
    theirs = drift_of(clip(5).embeddings, encoder="ViT-L")
    ours = drift_of(clip(5).embeddings, encoder="ViT-H")
    notes = " ".join(compare(theirs, ours).notes)
    assert "ViT-L and ViT-H" in notes
    assert "5 frames are few" in notes


def test_what_cannot_be_compared_is_said():
    with pytest.raises(DriftError, match="reference has 64 dimensions and result 32"):
        compare(clip(), drift_of(randn(1, 24, 32)))
    for pair, name in (((clip(3), clip()), "reference"), ((clip(), clip(3)), "result")):
        with pytest.raises(DriftError, match=f"{name} has 3 frames: comparing needs 4"):
            compare(*pair)
    with pytest.raises(DriftError, match="prompt has 32 dimensions and result 64"):
        compare(clip(), clip(), randn(1, 32))
    with pytest.raises(DriftError, match="prompt holds 2 vectors"):
        compare(clip(), clip(), randn(1, 2, DIM))
    with pytest.raises(DriftError, match="zero"):
        compare(clip(), clip(), torch.zeros(DIM))
    with pytest.raises(DriftError, match="a drift needs two frames"):
        drift_of(randn(1, 1, DIM))
