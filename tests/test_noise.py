"""Walks of noise: white in every frame, correlated as wanted, the same however it is cut."""

import math
from itertools import islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pack.clip_drift.errors import DriftError
from pack.clip_drift.noise import NOISE_WALKS, walk_noise
from pack.clip_drift.noise.white import mix, white_rows
from pack.clip_drift.sequence import RotationSequence
from pack.tests.paths import normalised, randn, trajectory

SOME = settings(max_examples=10, deadline=None)
seeds = st.integers(0, 2**31)
METHODS = ["correlate", "rotate", "near_identity"]
every_method = pytest.mark.parametrize("method", METHODS)
SMALL = (4, 8, 8)
# 2^16 numbers: a sample covariance of two unit normals is off by at most sqrt(2/65536) = 0.0055
# in standard deviation (Wishart: (C_ii·C_jj + C_ij²)/n), 0.028 at five of them.
LARGE, FIVE_SIGMA = (4, 128, 128), 0.028


def clip(seed=1, frames=6, dim=12, pairing="from_first", step=0.5, centered=False):
    points = trajectory(seed, frames, dim, step)
    return RotationSequence.from_trajectory(points, pairing, centered)


def arc(frames: int, step: float, pairing: str) -> RotationSequence:
    """Equal steps along one great circle."""
    turn = step * torch.arange(frames, dtype=torch.float64)
    points = torch.stack((torch.cos(turn), torch.sin(turn), torch.zeros_like(turn)), 1)
    return RotationSequence.from_trajectory(points, pairing, centered=False)


def swept_gram(points: torch.Tensor, g: list[float]) -> torch.Tensor:
    """C^(g): the Gram matrix of the clip at strength g, by spherical interpolation."""
    rows = []
    for e, t in zip(points, g, strict=True):
        theta = torch.acos((points[0] @ e).clamp(-1, 1))
        if theta < 1e-7:
            rows.append(points[0])
        else:
            mix_ = torch.sin((1 - t) * theta) * points[0] + torch.sin(t * theta) * e
            rows.append(mix_ / torch.sin(theta))
    rows = torch.stack(rows)
    return rows @ rows.T


def native(seed: int, shape, count: int = 1) -> torch.Tensor:
    """What ComfyUI's prepare_noise draws for batch_index 0 .. count-1."""
    generator = torch.manual_seed(seed)
    rows = [torch.randn([1, *shape], generator=generator) for _ in range(count)]
    return torch.cat(rows)


# --- white noise ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 7901, 2**63 + 11])
@pytest.mark.parametrize("shape", [SMALL, (4, 5, 7), (16, 1, 3)])
def test_white_rows_are_comfyuis_draws(seed, shape):
    rows = torch.stack(list(islice(white_rows(seed, shape), 3)))
    assert torch.equal(rows, native(seed, shape, 3))


def test_mix_is_a_matrix_product():
    shares, rows = randn(1, 5, 3), randn(2, 3, 2, 4).float()
    wanted = torch.einsum("fr,rij->fij", shares, rows.double())
    assert torch.allclose(mix(shares, rows).double(), wanted, atol=1e-6)


@every_method
@pytest.mark.parametrize("pairing", ["neighbours", "from_first"])
def test_the_first_frame_is_what_a_native_sampler_draws(method, pairing):
    got = walk_noise(7901, SMALL, clip(pairing=pairing), method, 0.7)
    assert got.shape == (6, *SMALL)
    assert got.dtype == torch.float32
    wanted = native(7901, SMALL)[0]
    if method == "rotate":  # comes back through a QR of float32
        assert torch.allclose(got[0], wanted, atol=1e-5)
    else:
        assert torch.equal(got[0], wanted)


@every_method
@pytest.mark.parametrize("strength", [0, 0.0, [0, 0, 0, 0, 0, 0], lambda p: [0 for _ in p]])
def test_no_strength_gives_all_frames_one_noise(method, strength):
    got = walk_noise(3, SMALL, clip(), method, strength)
    assert torch.equal(got, got[:1].expand_as(got))
    assert torch.allclose(got[0], native(3, SMALL)[0], atol=1e-5)


@every_method
def test_the_global_generator_is_left_alone(method):
    torch.manual_seed(4)
    state = torch.get_rng_state()
    walk_noise(3, SMALL, clip(), method)
    assert torch.equal(state, torch.get_rng_state())


@every_method
def test_another_seed_is_another_noise(method):
    one, other = (walk_noise(seed, LARGE, clip(), method)[5].flatten() for seed in (3, 4))
    # The correlation of independent noise: 1/sqrt(65536) = 0.004.
    assert abs(float(one @ other) / one.numel()) < 0.02


# --- distribution -----------------------------------------------------------------------------


@every_method
@pytest.mark.parametrize("pairing", ["neighbours", "from_first"])
@pytest.mark.parametrize("g", [0.3, 1.0])
def test_every_frame_is_standard_normal(method, pairing, g):
    got = walk_noise(11, LARGE, clip(pairing=pairing), method, g).double().flatten(1)
    n = got.shape[1]
    assert float(got.mean(1).abs().max()) < 5 / math.sqrt(n)
    assert float((got.var(1) - 1).abs().max()) < FIVE_SIGMA
    # The fourth moment of a normal is 3, of variance 96/n.
    assert float(((got**4).mean(1) - 3).abs().max()) < 5 * math.sqrt(96 / n)
    # White: neighbouring pixels know nothing of each other.
    beside = got.reshape(6, *LARGE)
    for lag in (beside[..., 1:] * beside[..., :-1], beside[:, :, 1:] * beside[:, :, :-1]):
        assert float(lag.mean((1, 2, 3)).abs().max()) < 5 / math.sqrt(lag[0].numel())


@pytest.mark.parametrize("pairing", ["neighbours", "from_first"])
@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("g", [[0.4] * 6, [1.0] * 6, [0.0, 1.0, 0.5, 2.0, 0.1, 1.3]])
def test_correlate_has_the_wanted_covariance(pairing, centered, g):
    sequence = clip(step=0.8, pairing=pairing, centered=centered)
    got = walk_noise(12, LARGE, sequence, "correlate", g).double().flatten(1)
    wanted = swept_gram(sequence.points, g)
    assert float((got @ got.T / got.shape[1] - wanted).abs().max()) < FIVE_SIGMA


@pytest.mark.parametrize("g", [0.4, 1.0])
def test_correlate_is_exactly_the_cholesky_factor_times_white_rows(g):
    # For a regular Gram matrix the triangular factor is unique, so LAPACK's is an oracle: what
    # statistics show to 3 %, this shows to float32 round-off.
    sequence = clip(step=0.8)
    factor = torch.linalg.cholesky(swept_gram(sequence.points, [g] * 6))
    wanted = torch.einsum("fr,rchw->fchw", factor, native(13, SMALL, 6).double())
    got = walk_noise(13, SMALL, sequence, "correlate", g).double()
    assert torch.allclose(got, wanted, atol=5e-6)


@pytest.mark.parametrize(
    "points",
    [
        trajectory(14, 4, 12, 0.8)[torch.tensor([0, 1, 1, 0, 2, 3, 3])],
        trajectory(15, 16, 3, 0.8),
    ],
    ids=["repeated frames", "more frames than dimensions"],
)
def test_a_singular_gram_matrix_is_met_as_well(points):
    sequence = RotationSequence.from_trajectory(points, centered=False)
    got = walk_noise(16, LARGE, sequence, "correlate").double().flatten(1)
    wanted = points @ points.T
    assert float((got @ got.T / got.shape[1] - wanted).abs().max()) < FIVE_SIGMA
    for i, j in (wanted > 1 - 1e-12).nonzero().tolist():
        assert torch.allclose(got[i], got[j], atol=1e-5)


@SOME
@given(seed=seeds, frames=st.integers(2, 8), g=st.floats(-0.5, 1.5), step=st.floats(1e-3, 1))
def test_rotate_keeps_the_norm_and_the_clips_gram_matrix(seed, frames, g, step):
    sequence = clip(seed, frames, step=step)
    got = walk_noise(seed, SMALL, sequence, "rotate", g).double().flatten(1)
    size = native(seed, SMALL).double().norm()
    wanted = swept_gram(sequence.points, [g] * frames)
    # float32's QR of some 256-vectors: 1e-6.
    assert torch.allclose(got @ got.T / size**2, wanted, atol=1e-5)


def test_rotate_serves_pairs_too():
    start, end = normalised(randn(17, 5, 9)), normalised(randn(18, 5, 9))
    sequence = RotationSequence.from_pairs(start, end, centered=False)
    got = walk_noise(19, SMALL, sequence, "rotate").double().flatten(1)
    size = native(19, SMALL).double().norm()
    assert torch.allclose(got @ got.T / size**2, end @ end.T, atol=1e-5)


# --- near_identity ----------------------------------------------------------------------------


@pytest.mark.parametrize("pairing", ["neighbours", "from_first"])
@pytest.mark.parametrize("g", [0.5, 1.0])
def test_near_identity_turns_the_noise_by_g_times_the_clips_angle(pairing, g):
    # For small t the turn is t·‖A z‖/‖z‖. A's scale makes that 1 in the mean; over n white
    # numbers its square has variance 2·mean((λ² − 1)²)/n, λ the turns of A's planes. A skew
    # random matrix has mean λ⁴ = 2, so 5 sigma of the turn are 2.5·sqrt(2/65536) = 1.4 %. From
    # the t⁴ term: at most t²·(2 − 1)/24, at t = 0.2 under 0.2 %.
    sequence = arc(5, 0.05, pairing)
    got = walk_noise(20, LARGE, sequence, "near_identity", g).double().flatten(1)
    for i in range(1, 5):
        a, b = normalised(got[0]), normalised(got[i])
        turned = 2 * math.atan2(float((a - b).norm()), float((a + b).norm()))
        assert turned == pytest.approx(g * 0.05 * i, rel=0.016)


def rows_of(noise: torch.Tensor) -> torch.Tensor:
    return noise.double().reshape(-1, noise.shape[-1])


@pytest.mark.parametrize("pairing", ["neighbours", "from_first"])
def test_near_identity_is_one_rotation_of_the_latents_width(pairing):
    # 256 rows of 16 numbers tell which 16×16 matrix took z_0 to z_i.
    got = walk_noise(21, (4, 64, 16), arc(5, 0.3, pairing), "near_identity", 1.0)
    matrices = [torch.linalg.lstsq(rows_of(got[0]), rows_of(z)).solution.T for z in got]
    eye = torch.eye(16, dtype=torch.float64)
    for i, (matrix, z) in enumerate(zip(matrices, got, strict=True)):
        assert torch.allclose(rows_of(got[0]) @ matrix.T, rows_of(z), atol=2e-5)
        assert torch.allclose(matrix @ matrix.T, eye, atol=2e-5)
        assert float(torch.linalg.det(matrix)) == pytest.approx(1, abs=2e-5)
        # exp(iαA) = exp(αA)^i: equal steps add up, in either pairing.
        assert torch.allclose(torch.linalg.matrix_power(matrices[1], i), matrix, atol=5e-5)
    assert torch.allclose(got.norm(dim=-1), got[:1].norm(dim=-1).expand(5, -1, -1), rtol=1e-5)


def test_near_identity_adds_up_the_strengths_of_the_steps():
    # Neighbours: entry i leads into frame i, so frame 3 stands where 0.5 + 1 + 0 lead.
    sequence = arc(4, 0.2, "neighbours")
    got = walk_noise(22, SMALL, sequence, "near_identity", [9.0, 0.5, 1.0, 0.0])
    even = walk_noise(22, SMALL, sequence, "near_identity", 0.5)
    assert torch.allclose(got[1], even[1], atol=1e-6)
    assert torch.allclose(got[2], even[3], atol=1e-6)
    assert torch.allclose(got[3], got[2], atol=1e-6)


def test_near_identity_needs_two_columns():
    with pytest.raises(DriftError, match="two columns"):
        walk_noise(1, (4, 8, 1), clip(), "near_identity")


# --- which frames -----------------------------------------------------------------------------


@every_method
@pytest.mark.parametrize("shape", [SMALL, (4, 32, 32), (16, 33, 17), (4, 20, 52), (3, 2, 2)])
@pytest.mark.parametrize("pairing", ["neighbours", "from_first"])
def test_a_frame_is_the_same_to_the_last_bit_however_many_are_asked_for(method, shape, pairing):
    sequence = clip(23, 9, dim=12, pairing=pairing)
    g = [0.1 * i for i in range(9)]
    whole = walk_noise(24, shape, sequence, method, g)
    asked = [[i] for i in range(9)] + [[0, 1, 2, 3], [4, 5, 6, 7, 8], [8, 3, 3, 0], [2, 7]]
    for frames in asked:
        assert torch.equal(walk_noise(24, shape, sequence, method, g, frames), whole[frames])


@every_method
@SOME
@given(data=st.data())
def test_any_frames_of_any_clip(method, data):
    count = data.draw(st.integers(2, 20), "frames")
    shape = data.draw(st.tuples(st.integers(2, 4), st.integers(3, 20), st.integers(4, 40)))
    frames = data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=8), "asked")
    sequence = clip(data.draw(seeds), count)
    whole = walk_noise(5, shape, sequence, method, 0.6)
    assert torch.equal(walk_noise(5, shape, sequence, method, 0.6, frames), whole[frames])


@every_method
def test_no_frames_at_all(method):
    assert walk_noise(5, SMALL, clip(), method, frames=[]).shape == (0, *SMALL)


@every_method
@pytest.mark.parametrize("frames", [[6], [0, 99], [-1], [2, -3]])
def test_a_frame_that_the_motion_lacks_is_refused(method, frames):
    with pytest.raises(DriftError, match="frames 0 to 5") as error:
        walk_noise(5, SMALL, clip(), method, frames=frames)
    culprit = next(i for i in frames if not 0 <= i < 6)
    assert f"frame {culprit} " in str(error.value)


def test_more_directions_than_numbers_are_refused():
    with pytest.raises(DriftError, match="6 independent directions, more than the latent's 4"):
        walk_noise(5, (1, 2, 2), clip(), "rotate")


@every_method
def test_a_strength_list_of_another_length_is_refused(method):
    with pytest.raises(DriftError, match=r"list of 5 numbers .* 6 frames"):
        walk_noise(5, SMALL, clip(), method, [1.0] * 5)


def test_the_registry_holds_the_methods():
    assert sorted(NOISE_WALKS) == sorted(METHODS)
    with pytest.raises(DriftError, match=r"'brown'.*correlate, rotate, near_identity"):
        walk_noise(5, SMALL, clip(), "brown")
