"""Steadiness: its measures, on clips of the toy world that are drawn from the truth, and the bench
of Attend to First Frame on a few of Mini SD's."""

import math

import pytest
import torch
from pack.workshop.bench import consistency
from pack.workshop.bench.steadiness import steadiness, temporal_flickering
from pack.workshop.bench.trials import Trial, make_trials
from pack.workshop.mini.exported import load_mini
from pack.workshop.mini.small_sd import MiniSD, load_mini_sd
from pack.workshop.rig.paths import MODELS
from pack.workshop.world.motions import FRAMES, MOTIONS, draw_clip
from pack.workshop.world.scenes import HELD_OUT, SHAPES, Scenes, render

SEED = HELD_OUT + 700


def clip(motion: str, shape: str = "star") -> Scenes:
    scenes = draw_clip(motion, SEED)
    return scenes.but(shape=torch.full((FRAMES,), SHAPES.index(shape)))


@pytest.mark.parametrize("motion", MOTIONS)
def test_a_clip_that_changes_only_what_it_should_is_steady(motion):
    scenes = clip(motion)
    found = steadiness(render(scenes), motion, scenes, scenes.shape)
    print(motion, found)
    # Pixels of 1/64: a shape's edge falls differently on them in every frame.
    assert found.ground == 0
    assert found.colour is None if motion == "recolour" else found.colour < 1
    assert found.size is None if "radius" in MOTIONS[motion] else found.size < 0.01
    assert found.tilt is None if motion == "tilt" else found.tilt < 0.5
    assert found.shape_kept == 1


def test_a_spread_is_measured_as_large_as_it_is():
    """Each frame's number is known, so its standard deviation is."""
    scenes = clip("across")
    steps = torch.linspace(-1, 1, FRAMES)
    spread = float(steps.std(correction=0))
    wide = scenes.but(radius=0.15 * (1 + 0.1 * steps), turn=math.radians(8) * steps)
    found = steadiness(render(wide, 128), "across", wide, wide.shape)
    assert found.size == pytest.approx(0.1 * spread, rel=0.05)
    assert found.tilt == pytest.approx(8 * spread, rel=0.08)
    dimmed = scenes.but(rgb=0.7 + 0.1 * steps[:, None].expand(-1, 3))
    found = steadiness(render(dimmed, 128), "across", dimmed, dimmed.shape)
    assert found.colour == pytest.approx(0.1 * spread * 255, rel=0.05)
    lit = render(scenes) + 0.02 * (1 + steps[:, None, None, None])
    found = steadiness(lit, "across", scenes, scenes.shape)
    assert found.ground == pytest.approx(0.02 * spread * 255, rel=0.01)


def test_turns_count_within_a_shapes_symmetry():
    """A square after a quarter turn is the same square; one turned by 40° from 40° is 10° off."""
    scenes = clip("across", "square")
    turned = scenes.but(turn=torch.tensor([0.0, math.pi / 2] * (FRAMES // 2)))
    assert steadiness(render(turned, 128), "across", turned, turned.shape).tilt < 1.5
    across = scenes.but(turn=torch.deg2rad(torch.tensor([40.0, -40.0] * (FRAMES // 2))))
    found = steadiness(render(across, 128), "across", across, across.shape).tilt
    assert found == pytest.approx(5, abs=0.7)


def test_a_circle_has_no_tilt_and_a_lost_shape_is_told():
    scenes = clip("across", "circle")
    seen = scenes.shape.clone()
    seen[: FRAMES // 4] = SHAPES.index("star")
    found = steadiness(render(scenes), "across", scenes, seen)
    assert found.tilt is None
    assert found.shape_kept == 0.75


def test_temporal_flickering():
    still = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)).expand(5, -1, -1, -1)
    assert temporal_flickering(still) == 1
    blinking = torch.stack([torch.full((3, 8, 8), 0.2 + 0.5 * (i % 2)) for i in range(5)])
    assert temporal_flickering(blinking) == pytest.approx(0.5)


def test_background_consistency():
    """Two directions in turn, cos 0.6: half the pairs with the first are itself."""
    scenes = clip("across")
    embeddings = torch.tensor([[1.0, 0.0], [0.6, 0.8]]).repeat(FRAMES // 2, 1)
    found = steadiness(render(scenes), "across", scenes, scenes.shape, embeddings).background
    to_first = (8 * 0.6 + 7 * 1.0) / 15
    assert found == pytest.approx((0.6 + to_first) / 2)


# --- Attention to other frames, in Mini SD --------------------------------------------------------

SHOWN = 3


@pytest.fixture(scope="module")
def sd() -> MiniSD:
    return load_mini_sd()


@pytest.fixture(scope="module")
def pairs() -> list[Trial]:
    return make_trials(load_mini(MODELS), ["across"], 2, SEED)


def drawn(sd: MiniSD, pairs: list[Trial], attending: tuple | None) -> torch.Tensor:
    contexts = [sd.read(trial.captions[:SHOWN]) for trial in pairs]
    noises = [consistency.own_noise(trial)[:SHOWN] for trial in pairs]
    return consistency.draw(sd, contexts, noises, attending)


@pytest.mark.parametrize("mode", ["first", "first and own", "first and previous"])
def test_attention_changes_all_frames_but_the_first(sd, pairs, mode):
    """Frame 0 attends to itself alone. Pictures are in 0..1; one step of 8 bits is 0.004."""
    alone, half, whole = (
        drawn(sd, pairs[:1], attending) for attending in (None, (mode, 0.5), (mode, 1.0))
    )
    assert (whole[0] - alone[0]).abs().max() < 1e-3
    assert (whole[1:] - alone[1:]).abs().amax((1, 2, 3)).min() > 0.004
    assert (half - alone).abs().mean() < (whole - alone).abs().mean()


def test_pairs_drawn_together_do_not_see_each_other(sd, pairs):
    attending = ("first and own", 1.0)
    together = drawn(sd, pairs, attending)
    apart = torch.cat([drawn(sd, [trial], attending) for trial in pairs])
    assert (together - apart).abs().max() < 1e-3


def test_the_first_frames_own_noise_is_the_one_noise(pairs):
    own, one = (consistency.NOISES[name](pairs[0]) for name in ("own", "one"))
    assert torch.equal(own[0], one[0])
    assert all(torch.equal(frame, one[0]) for frame in one)
    assert not torch.equal(own[1], own[0])
