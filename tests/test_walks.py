"""Walks of embeddings: every formula of the method against dense matrices in float64."""

import math
import pickle
from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pack.clip_drift import walks
from pack.clip_drift.errors import DriftError
from pack.clip_drift.sequence import RotationSequence
from pack.clip_drift.strength import per_frame
from pack.clip_drift.walks import WALKS, PromptWalk, walk
from pack.clip_drift.walks.follow import principal_directions
from pack.tests.paths import normalised, randn, trajectory

SOME = settings(max_examples=12, deadline=None)
seeds = st.integers(0, 2**31)
PAIRINGS = ["neighbours", "from_first"]
METHODS = ["carry", "rotate", "perturb", "translate", "tangent", "follow"]
SAME_SPACE = [m for m in METHODS if m != "carry"]
every_method = pytest.mark.parametrize("method", METHODS)
both_pairings = pytest.mark.parametrize("pairing", PAIRINGS)
centred_or_not = pytest.mark.parametrize("centered", [False, True])


def clip(seed=1, frames=6, dim=12, pairing="from_first", centered=False) -> RotationSequence:
    return RotationSequence.from_trajectory(trajectory(seed, frames, dim), pairing, centered)


def gram(rows: torch.Tensor) -> torch.Tensor:
    """Of unit rows."""
    rows = normalised(rows)
    return rows @ rows.mT


# --- the reference: plain loops, dense matrices, one token ------------------------------------


def theta_of(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    a, b = normalised(a), normalised(b)
    return torch.atan2((b - (a @ b) * a).norm(), a @ b)


def dense(a: torch.Tensor, b: torch.Tensor, t: float = 1.0) -> torch.Tensor:
    """(R of a → b)^t, the exponential of the generator; for columns."""
    a, b = normalised(a), normalised(b)
    alpha, rest = theta_of(a, b), b - (a @ b) * a
    if alpha < 1e-12:
        return torch.eye(len(a), dtype=torch.float64)
    v = rest / rest.norm()
    return torch.linalg.matrix_exp(t * alpha * (torch.outer(v, a) - torch.outer(a, v)))


def slerp(a: torch.Tensor, b: torch.Tensor, t: float) -> torch.Tensor:
    theta = theta_of(a, b)
    if theta < 1e-12:
        return a
    return (torch.sin((1 - t) * theta) * a + torch.sin(t * theta) * b) / torch.sin(theta)


def reference(x, base, points, pairing, method, g, centered, preserve_norm):
    """x (N,) along points (F, N) from base (F, N), strengths g (F,): (F, N)."""
    x, e = x.double(), points
    seen_base, seen = base, points
    if centered:
        mean = points.mean(0) if pairing != "pairs" else torch.cat((base, points)).mean(0)
        seen_base, seen = normalised(base - mean), normalised(points - mean)
    result = []
    for i in range(len(e)):
        gi, length, hat = g[i], x.norm(), normalised(x)
        if method in ("perturb", "rotate"):
            y = x
            if pairing == "neighbours":
                for k in range(i):
                    if method == "rotate":
                        y = dense(seen[k], seen[k + 1], g[k + 1]) @ y
                    else:
                        y = y + g[k + 1] * dense(seen[k], seen[k + 1]) @ y
            elif method == "rotate":
                y = dense(seen_base[i], seen[i], gi) @ y
            else:
                y = y + gi * dense(seen_base[i], seen[i]) @ y
        elif method == "carry":
            kept = torch.zeros_like(x)
            if centered:
                axis = normalised(mean)
                kept = (axis @ x) * axis
            rest = x - kept
            q = dense(seen_base[i], rest)
            y = kept + rest.norm() * q @ slerp(seen_base[i], seen[i], gi)
        elif method == "translate":
            y = length * (hat + gi * (e[i] - base[i]))
        elif method == "tangent":
            t = e[i] - base[i]
            t = t - (t @ hat) * hat
            turn = gi * theta_of(base[i], e[i])
            t = normalised(t) if theta_of(base[i], e[i]) > 1e-12 else torch.zeros_like(x)
            y = length * (torch.cos(turn) * hat + torch.sin(turn) * t)
        elif method == "follow":
            spread = e - e.mean(0)
            values, vectors = torch.linalg.eigh(spread.mT @ spread)
            share = values.flip(0).cumsum(0) / values.sum()
            k = int((share < 0.85).sum()) + 1  # as few as explain 85 %
            motion = vectors.flip(1)[:, :k]
            y = length * normalised(hat + gi * motion @ motion.mT @ (e[i] - hat))
        if preserve_norm:
            y = length * normalised(y)
        result.append(y)
    return torch.stack(result)


@every_method
@both_pairings
@centred_or_not
@pytest.mark.parametrize("preserve_norm", [True, False])
@settings(max_examples=4, deadline=None)
@given(seed=seeds, frames=st.integers(3, 6), dim=st.integers(4, 10), g=st.floats(-0.5, 1.5))
def test_the_formulas(method, pairing, centered, preserve_norm, seed, frames, dim, g):
    points = trajectory(seed, frames, dim)
    x = 5 * randn(seed + 3, 1, 2, dim)
    sequence = RotationSequence.from_trajectory(points, pairing, centered)
    got = walk(x, sequence, method, g, preserve_norm=preserve_norm)
    assert got.shape == (frames, 2, dim)
    assert got.dtype == torch.float64
    base = points[:1].expand(frames, -1)
    for token in range(2):
        wanted = reference(
            x[0, token], base, points, pairing, method, [g] * frames, centered, preserve_norm
        )
        assert torch.allclose(got[:, token], wanted, atol=1e-7, rtol=1e-7)


@every_method
def test_the_formulas_from_the_mean(method):
    points, x = trajectory(8, 5, 9), randn(3, 1, 1, 9)
    sequence = RotationSequence.from_trajectory(points, "from_mean")
    base = normalised(points.mean(0)).expand(5, -1)
    wanted = reference(x[0, 0], base, points, "pairs", method, [0.6] * 5, False, True)
    assert torch.allclose(walk(x, sequence, method, 0.6)[:, 0], wanted, atol=1e-9)
    with pytest.raises(DriftError, match=r"from_mean.*switch centered off"):
        RotationSequence.from_trajectory(points, "from_mean", centered=True)


@pytest.mark.parametrize("directions", [1, 2, 3, 50])
def test_a_prompt_that_follows_is_where_the_clip_is(directions):
    points, x = trajectory(9, 6, 12), 3 * randn(4, 1, 2, 12)
    moved = walk(x, clip(9), "follow", directions=directions, preserve_norm=False)
    motion = principal_directions(points, directions)
    assert len(motion) == min(directions, 5)  # 6 frames about their mean span 5
    assert torch.allclose(motion @ motion.mT, torch.eye(len(motion)).double(), atol=1e-12)
    still = normalised(x[0]) - normalised(x[0]) @ motion.mT @ motion
    # Along the motion the clip's own coordinates, the prompt's across it, then back to the sphere.
    wanted = 3 * normalised(still + (points @ motion.mT @ motion).unsqueeze(1))
    assert torch.allclose(moved / x.norm(dim=-1, keepdim=True) * 3, wanted, atol=1e-9)


@every_method
@pytest.mark.parametrize("pairing", [*PAIRINGS, "from_mean"])
def test_each_token_may_have_a_motion_of_its_own(method, pairing):
    motions = [clip(seed, pairing=pairing) for seed in (1, 2, 3)]
    own = replace(
        motions[0],
        base=torch.stack([m.base for m in motions], 1),
        points=torch.stack([m.points for m in motions], 1),
    )
    for batch in (1, 6):
        x = randn(5, batch, 3, 12)
        apart = [walk(x[:, [t]], m, method, 0.7, directions=2) for t, m in enumerate(motions)]
        together = walk(x, own, method, 0.7, directions=2)
        assert torch.allclose(together, torch.cat(apart, 1), atol=1e-9)
    with pytest.raises(DriftError, match="moves 3 tokens but the conditioning has 2"):
        walk(x[:, :2], own, method)


def test_a_walk_with_its_settings_can_be_sent_to_another_process():
    x = randn(6, 1, 4, 12)
    given = PromptWalk(clip(), "tangent", lambda places: [2 * p for p in places]).for_batch()
    sent = pickle.loads(pickle.dumps(given))
    assert len(sent) == 6
    assert torch.allclose(sent(x), walk(x, clip(), "tangent", [0.4 * i for i in range(6)]))


@pytest.mark.parametrize(
    ("strength", "batch", "frames"), [(1.0, 1, 1), ([0.1, 0.2], 1, 2), (1, 5, 5)]
)
def test_one_pair_serves_as_many_frames_as_are_asked_for(strength, batch, frames):
    pair = RotationSequence.from_pairs(randn(1, 1, 12), randn(2, 1, 12))
    assert len(PromptWalk(pair, strength=strength).for_batch(batch)) == frames


@every_method
@centred_or_not
def test_the_formulas_for_pairs(method, centered):
    start, end = normalised(randn(1, 5, 9)), normalised(randn(2, 5, 9))
    x = randn(3, 1, 1, 9)
    sequence = RotationSequence.from_pairs(start, end, centered)
    wanted = reference(x[0, 0], start, end, "pairs", method, [0.6] * 5, centered, True)
    assert torch.allclose(walk(x, sequence, method, 0.6)[:, 0], wanted, atol=1e-9)


@every_method
@both_pairings
def test_float32_stays_close_to_the_float64_formula(method, pairing):
    x = randn(4, 1, 7, 64).float()
    got = walk(x, clip(dim=64, frames=9, pairing=pairing), method, 0.8)
    assert got.dtype == torch.float32
    wanted = walk(x.double(), clip(dim=64, frames=9, pairing=pairing), method, 0.8)
    # Tokens are 8 long; 8 steps of 1.5e-6 each.
    assert float((got - wanted).norm(dim=-1).max()) < 8 * 8 * 1.5e-6


# --- strength ---------------------------------------------------------------------------------


@every_method
@both_pairings
@centred_or_not
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_no_strength_leaves_x_untouched_to_the_last_bit(method, pairing, centered, dtype):
    x = (3 * randn(5, 1, 4, 12)).to(dtype)
    pivot = randn(6, 1, 4, 12).to(dtype)
    for about in (None, pivot):
        got = walk(x, clip(pairing=pairing, centered=centered), method, 0, pivot=about)
        assert torch.equal(got, x.expand(6, -1, -1))


@every_method
@both_pairings
def test_a_list_gives_each_frame_its_own_strength(method, pairing):
    g = [0.0, 0.3, -0.2, 1.0, 0.0, 0.7]
    points, x = trajectory(7, 6, 10), randn(8, 1, 1, 10)
    sequence = RotationSequence.from_trajectory(points, pairing, centered=False)
    base = points[:1].expand(6, -1)
    wanted = reference(x[0, 0], base, points, pairing, method, g, False, True)
    assert torch.allclose(walk(x, sequence, method, g)[:, 0], wanted, atol=1e-9)
    if pairing == "from_first":
        assert torch.equal(walk(x, sequence, method, g)[4], x[0])


@every_method
def test_a_curve_is_asked_at_the_frames_places_in_the_clip(method):
    asked = []

    def curve(places):
        asked.extend(places)
        return [p**2 for p in places]

    x = randn(9, 1, 2, 12)
    got = walk(x, clip(frames=5), method, curve)
    assert asked == [0, 0.25, 0.5, 0.75, 1]
    assert torch.equal(got, walk(x, clip(frames=5), method, [0, 0.0625, 0.25, 0.5625, 1]))


def test_strengths_that_do_not_fit_are_refused():
    for strength in ([1.0] * 5, [1.0] * 7, [], lambda places: places[:-1]):
        with pytest.raises(DriftError, match=r"list of \d numbers .* 6 frames"):
            walk(torch.ones(1, 2, 12), clip(), "carry", strength)
    for strength in (math.nan, math.inf, [0, 0, 0, math.nan, 0, 0]):
        with pytest.raises(DriftError, match="not a finite number"):
            walk(torch.ones(1, 2, 12), clip(), "carry", strength)


def test_strength_is_spread_in_float64():
    assert per_frame(0.1, 3).tolist() == [0.1, 0.1, 0.1]
    assert per_frame([1, 2], 2).dtype == torch.float64
    assert per_frame(torch.tensor([0.25]), 2).tolist() == [0.25, 0.25]


# --- laws -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [8, 12, 20, 64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@both_pairings
@SOME
@given(seed=seeds, frames=st.integers(2, 8), step=st.floats(1e-3, 1.0))
def test_carry_brings_the_clips_gram_matrix_whatever_the_prompt(
    dim, dtype, pairing, seed, frames, step
):
    # N = 12: smaller, equal (the video's own directions) and larger D; F ≤ D throughout.
    points = trajectory(seed, frames, 12, step)
    sequence = RotationSequence.from_trajectory(points, pairing, centered=False)
    x = (10 * randn(seed + 3, 1, 3, dim)).to(dtype)
    got = walk(x, sequence, "carry", 1.0)
    for token in range(3):
        assert float((gram(got[:, token]) - gram(points)).abs().max()) <= 1e-5
    assert torch.allclose(got[0], x[0], atol=1e-4)


@pytest.mark.parametrize("dim", [768, 1024, 2048])
def test_carry_brings_the_gram_matrix_at_clip_size(dim):
    points = trajectory(10, 16, 1024, 0.2).float()
    sequence = RotationSequence.from_trajectory(points, "from_first", centered=False)
    x = 28 * normalised(randn(11, 1, 20, dim)).float()
    got = normalised(walk(x, sequence, "carry", 1.0).transpose(0, 1))
    assert float((got @ got.mT - gram(points)).abs().max()) <= 1e-5


@pytest.mark.parametrize("direction", [1, -1])
def test_carry_of_the_first_frame_itself_and_of_its_opposite(direction):
    points = trajectory(12, 5, 12)
    sequence = RotationSequence.from_trajectory(points, centered=False)
    got = walk(direction * points[:1, None].float(), sequence, "carry")[:, 0]
    assert float((gram(got) - gram(points)).abs().max()) <= 1e-5
    if direction == 1:  # Q is the identity: the clip itself
        assert torch.allclose(got.double(), points, atol=1e-6)


@pytest.mark.parametrize("dim", [12, 9, 30])
@both_pairings
def test_centred_carry_brings_the_centred_clips_gram_matrix_to_the_rest(dim, pairing):
    points = trajectory(13, 6, 12)
    sequence = RotationSequence.from_trajectory(points, pairing, centered=True)
    x = 4 * randn(14, 1, 3, dim)
    got = walk(x, sequence, "carry", 1.0, preserve_norm=False)
    seen = points - points.mean(0)
    for token in range(3):
        if dim == 12:
            axis = normalised(points.mean(0))
            kept = (x[0, token] @ axis) * axis
            rest = got[:, token] - kept
            assert float((gram(rest) - gram(seen)).abs().max()) <= 1e-10
        # Distances within the walk do not see the part that stays, lifted or not.
        moved = torch.cdist(got[:, token], got[:, token])
        wanted = torch.cdist(normalised(seen), normalised(seen))
        assert torch.allclose(moved / moved[0, 1], wanted / wanted[0, 1], atol=1e-6)
    assert torch.allclose(got[0], x[0], atol=1e-10)


@every_method
@both_pairings
@centred_or_not
@SOME
@given(seed=seeds, g=st.floats(-2, 2))
def test_norms_are_preserved(method, pairing, centered, seed, g):
    # At g = -1 the first frame of perturb is x - x = 0, which has no direction to be scaled in.
    assume(method != "perturb" or g > -0.9)
    x = (10 ** (randn(seed, 1, 3, 1)) * randn(seed + 1, 1, 3, 12)).float()
    got = walk(x, clip(seed, pairing=pairing, centered=centered), method, g)
    assert torch.allclose(got.norm(dim=-1), x.norm(dim=-1).expand(6, -1), rtol=3e-6)


def test_perturb_grows_by_1_plus_g_when_it_may():
    # Neighbours a hundredth of a radian apart turn x by almost nothing: x + g·x, 5 times.
    x = randn(15, 1, 2, 12)
    slow = RotationSequence.from_trajectory(trajectory(16, 6, 12, 0.01), "neighbours", False)
    got = walk(x, slow, "perturb", 0.1, preserve_norm=False)
    assert torch.allclose(got[5], 1.1**5 * x[0], rtol=0.02, atol=0.05)


def test_growth_past_float32_is_an_error_with_a_remedy():
    x = torch.full((1, 1, 12), 1e38)
    with pytest.raises(DriftError, match="preserve_norm"):
        walk(x, clip(pairing="neighbours"), "perturb", 5.0, preserve_norm=False)


def test_growth_past_half_precision_is_an_error_with_a_remedy():
    # 6e4·(1 + 1) at frame 0 is past float16's 65504, though not past float32.
    x = torch.full((1, 1, 12), 6e4, dtype=torch.float16)
    with pytest.raises(DriftError, match="preserve_norm"):
        walk(x, clip(), "perturb", 1.0, preserve_norm=False)


# --- masks, pivot, zero tokens ----------------------------------------------------------------


@every_method
@both_pairings
def test_a_mask_shares_the_strength_out_among_tokens(method, pairing):
    x = randn(17, 1, 4, 12).float()
    sequence = clip(pairing=pairing)
    mask = torch.tensor([0.0, 1.0, 0.5, 0.25])
    got = walk(x, sequence, method, 0.8, mask=mask)
    assert torch.equal(got[:, 0], x[:, 0].expand(6, -1))
    for token, share in [(1, 1.0), (2, 0.5), (3, 0.25)]:
        alone = walk(x[:, token : token + 1], sequence, method, 0.8 * share)[:, 0]
        assert torch.allclose(got[:, token], alone, atol=1e-5)
    assert not torch.allclose(got[5, 1], x[0, 1], atol=1e-3)


@pytest.mark.parametrize("mask", [torch.ones(3), torch.ones(5), torch.ones(1, 4)])
def test_a_mask_for_another_text_is_refused(mask):
    with pytest.raises(DriftError, match=f"{mask.numel()} tokens but the conditioning has 4"):
        walk(torch.ones(1, 4, 12), clip(), mask=mask)


@every_method
@both_pairings
def test_a_pivot_is_taken_out_and_put_back(method, pairing):
    x, pivot = randn(18, 1, 3, 12), randn(19, 1, 3, 12)
    sequence = clip(pairing=pairing)
    got = walk(x, sequence, method, 0.7, pivot=pivot)
    assert torch.allclose(got, walk(x - pivot, sequence, method, 0.7) + pivot, atol=1e-12)
    assert not torch.allclose(got, walk(x, sequence, method, 0.7), atol=1e-3)


@every_method
def test_what_lies_at_the_pivot_stays(method):
    x = randn(20, 1, 3, 12)
    assert torch.allclose(walk(x, clip(), method, 1.0, pivot=x), x.expand(6, -1, -1), atol=1e-14)


@pytest.mark.parametrize("tokens", [1, 3, 5])
def test_a_pivot_of_another_length_is_refused(tokens):
    with pytest.raises(DriftError):
        walk(randn(20, 1, 4, 12), clip(), pivot=randn(21, 1, tokens, 12))


@every_method
@both_pairings
@centred_or_not
@pytest.mark.parametrize("preserve_norm", [True, False])
def test_zero_tokens_stay_zero(method, pairing, centered, preserve_norm):
    x = randn(22, 1, 3, 12).float()
    x[0, 1] = 0
    sequence = clip(pairing=pairing, centered=centered)
    got = walk(x, sequence, method, 0.9, preserve_norm=preserve_norm)
    assert bool((got[:, 1] == 0).all())
    # And their neighbours walk as ever.
    alone = walk(x[:, 2:], sequence, method, 0.9, preserve_norm=preserve_norm)
    assert torch.allclose(got[:, 2:], alone, atol=1e-5)


def test_an_empty_prompt_of_zeros_may_be_lifted():
    assert bool((walk(torch.zeros(1, 2, 30), clip(), "carry") == 0).all())


# --- batches and chunks -----------------------------------------------------------------------


@every_method
@both_pairings
@centred_or_not
def test_a_batch_of_frames_walks_frame_by_frame(method, pairing, centered):
    # What walked before walks on: frame i of the batch takes the way of frame i.
    sequence = clip(pairing=pairing, centered=centered)
    x = randn(23, 6, 3, 12)
    got = walk(x, sequence, method, 0.6)
    for i in range(6):
        assert torch.allclose(got[i], walk(x[i : i + 1], sequence, method, 0.6)[i], atol=1e-12)


def test_two_walks_one_after_another():
    # Half the rotation twice is the whole rotation once, in the clip's own planes.
    x = randn(24, 1, 3, 12)
    half = walk(x, clip(), "rotate", 0.5)
    assert torch.allclose(walk(half, clip(), "rotate", 0.5), walk(x, clip(), "rotate", 1.0))


@pytest.mark.parametrize("batch", [2, 5, 7])
def test_a_batch_of_another_length_is_refused(batch):
    with pytest.raises(DriftError, match=f"batch of {batch} but the motion 6 frames"):
        walk(torch.ones(batch, 3, 12), clip())


@every_method
@both_pairings
@pytest.mark.parametrize("chunk", [1, 200])
@pytest.mark.parametrize("batch", [1, 6])
def test_tokens_in_chunks_walk_as_all_at_once(monkeypatch, method, pairing, chunk, batch):
    x, pivot = randn(25, batch, 7, 12).float(), randn(26, 1, 7, 12).float()
    mask = torch.linspace(0, 1, 7)
    sequence = clip(pairing=pairing)
    whole = walk(x, sequence, method, 0.8, mask=mask, pivot=pivot)
    # 6 frames of 12 numbers: one token, and two tokens, at a time.
    monkeypatch.setattr(walks.engine, "CHUNK", chunk)
    parts = walk(x, sequence, method, 0.8, mask=mask, pivot=pivot)
    assert torch.allclose(parts, whole, atol=1e-5)


def test_chunks_bound_what_a_walk_holds(monkeypatch):
    seen = []
    move = WALKS["carry"].move

    def watched(x, sequence, g):
        seen.append(x.shape[1])
        return move(x, sequence, g)

    monkeypatch.setitem(WALKS, "carry", walks.Walk(watched, lifts=True))
    monkeypatch.setattr(walks.engine, "CHUNK", 6 * 12 * 3)
    walk(randn(27, 1, 7, 12), clip(), "carry")
    assert seen == [3, 3, 1]


@every_method
def test_the_input_is_not_written_to(method):
    for x in (randn(28, 1, 3, 12), randn(28, 6, 3, 12)):
        before = x.clone()
        walk(x, clip(), method, 1.0)
        assert torch.equal(x, before)


# --- dtypes -----------------------------------------------------------------------------------


@every_method
@both_pairings
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32_and_given_back(method, pairing, dtype):
    x = (3 * randn(29, 1, 4, 12)).to(dtype)
    pivot = randn(30, 1, 4, 12).to(dtype)
    got = walk(x, clip(pairing=pairing), method, 0.9, pivot=pivot)
    full = walk(x.float(), clip(pairing=pairing), method, 0.9, pivot=pivot.float())
    assert got.dtype == dtype
    assert torch.equal(got, full.to(dtype))


@pytest.mark.parametrize("value", [math.nan, math.inf])
@every_method
def test_nan_is_refused(method, value):
    x = torch.ones(1, 3, 12)
    x[0, 2, 5] = value
    with pytest.raises(DriftError, match="NaN or infinity"):
        walk(x, clip(), method)


# --- dimensions -------------------------------------------------------------------------------


@pytest.mark.parametrize(("dim", "block"), [(768, slice(0, 768)), (1280, slice(768, 2048))])
@every_method
def test_on_sdxl_a_drift_moves_its_own_encoders_block(method, dim, block):
    sequence = clip(frames=4, dim=dim, seed=31)
    x = randn(32, 1, 3, 2048).float()
    got = walk(x, sequence, method, 0.8, pivot=None)
    assert torch.allclose(got[..., block], walk(x[..., block], sequence, method, 0.8), atol=1e-5)
    other = torch.ones(2048, dtype=torch.bool)
    other[block] = False
    assert torch.equal(got[..., other], x[..., other].expand(4, -1, -1))
    assert not torch.allclose(got[3][..., block], x[0][..., block], atol=1e-3)


def test_on_sdxl_the_pivots_block_goes_with_the_block():
    x, pivot = randn(33, 1, 2, 2048), randn(34, 1, 2, 2048)
    sequence = clip(frames=3, dim=1280, seed=35)
    got = walk(x, sequence, "rotate", 0.8, pivot=pivot)
    wanted = walk(x[..., 768:], sequence, "rotate", 0.8, pivot=pivot[..., 768:])
    assert torch.allclose(got[..., 768:], wanted, atol=1e-9)
    assert torch.equal(got[..., :768], x[..., :768].expand(3, -1, -1))


@pytest.mark.parametrize("method", SAME_SPACE)
@pytest.mark.parametrize(("n", "d"), [(768, 1280), (1024, 2048), (1280, 768)])
def test_unequal_dimensions_name_both_and_propose_carry(method, n, d):
    with pytest.raises(DriftError) as error:
        walk(torch.ones(1, 2, d), clip(frames=3, dim=n), method)
    for word in (str(n), str(d), "carry", method):
        assert word in str(error.value)


@pytest.mark.parametrize("dim", [6, 7, 30])
def test_lifted_directions_depend_on_the_seed_alone(dim):
    x = randn(36, 1, 3, dim)
    torch.manual_seed(1)
    first = walk(x, clip(), seed=5)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    again = walk(x, clip(), seed=5)
    assert torch.equal(first, again)
    assert torch.equal(state, torch.get_rng_state())
    assert not torch.allclose(first, walk(x, clip(), seed=6), atol=1e-2)
    # Nor on what else is walked beside a token, nor on how it is chunked.
    assert torch.allclose(first[:, 1:2], walk(x[:, 1:2], clip(), seed=5), atol=1e-12)


def test_in_the_same_space_the_seed_does_not_matter():
    x = randn(37, 1, 3, 12)
    assert torch.equal(walk(x, clip(), seed=5), walk(x, clip(), seed=6))


@pytest.mark.parametrize("dim", [16, 30, 64])
def test_a_lifted_clip_begins_like_a_longer_one(dim):
    points = trajectory(38, 9, 12)
    x = randn(39, 1, 2, dim)
    long, short = (
        walk(x, RotationSequence.from_trajectory(p, centered=False), seed=4)
        for p in (points, points[:5])
    )
    assert torch.allclose(long[:5], short, atol=1e-9)


def test_more_directions_than_dimensions_are_refused():
    with pytest.raises(DriftError, match="6 independent directions, more than the 5"):
        walk(torch.ones(1, 2, 5), clip())


# --- the registry -----------------------------------------------------------------------------


def test_the_registry_holds_the_methods():
    assert sorted(WALKS) == sorted(METHODS)
    with pytest.raises(DriftError, match=r"'waltz'.*carry, rotate"):
        walk(torch.ones(1, 2, 12), clip(), "waltz")


@pytest.mark.parametrize("shape", [(12,), (4, 12), (1, 2, 3, 12)])
def test_shapes_that_are_no_tokens_are_refused(shape):
    with pytest.raises(DriftError):
        walk(torch.ones(shape), clip(frames=4))
