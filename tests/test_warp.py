"""The motion prior: shifts, noise levels, and a clip's path in the picture."""

import math

import pytest
import torch
from pack.clip_drift.errors import DriftError
from pack.clip_drift.path import path_in_picture
from pack.clip_drift.preprocess import thumbnails
from pack.clip_drift.warp import noised, shifted
from pack.workshop.world.motions import draw_clip
from pack.workshop.world.scenes import HELD_OUT, render
from torch.nn.functional import grid_sample


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("x", [0.0, 1.0, -2.3, 4.4, -11.0])
@pytest.mark.parametrize("y", [0.0, -1.4, 7.0])
def test_shifts_are_backward_sampling(x, y):
    """torch's own: nearest, reflected at the edges."""
    picture = randn(2, 3, 8, 6)
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(6.0), indexing="ij")
    grid = torch.stack([(columns - x + 0.5) / 3 - 1, (rows - y + 0.5) / 4 - 1], -1)
    expected = grid_sample(
        picture, grid.expand(2, -1, -1, -1), "nearest", "reflection", align_corners=False
    )
    assert torch.equal(shifted(picture, x, y), expected)


def test_what_moves_right_comes_to_the_right():
    picture = torch.zeros(1, 4, 4)
    picture[0, 1, 1] = 1
    assert shifted(picture, 2, 1)[0, 2, 3] == 1


@pytest.mark.parametrize("flow", [False, True])
def test_noise_levels(flow):
    """A latent of no variance at σ0 has the variance of σ1 afterwards, and its own share."""
    low, high = (0.6, 0.8) if flow else (7.56, 10.43)
    latent, count = 3.0, 200_000
    share = (lambda s: 1 - s) if flow else (lambda s: 1.0)
    x = share(low) * latent + low * randn(count)
    raised = noised(x, randn(count, seed=1), low, high, flow)
    # The mean's own spread is high / sqrt(count), the deviation's high / sqrt(2 count).
    assert abs(float(raised.mean()) - share(high) * latent) < 5 * high / math.sqrt(count)
    assert abs(float(raised.std()) - high) < 5 * high / math.sqrt(2 * count)


def test_noise_only_rises():
    with pytest.raises(DriftError, match="begin at 5 and end at 7"):
        noised(randn(4), randn(4), 7.0, 5.0)


MOTIONS = {"across": 0.015, "down": 0.015, "diagonal": 0.015, "round": 0.01, "swing": 0.01}
# Median distance from the true centre that is allowed, in shares of the picture: a summed path
# drifts by a fraction of a pixel of 48 a step. Measured on 8 clips each: 0.2 to 0.9 %, r 1.000.


@pytest.mark.parametrize("motion", MOTIONS)
def test_the_path_of_a_clip_is_its_shapes(motion):
    for seed in range(4):
        clip = draw_clip(motion, HELD_OUT + 500 + seed)
        frames = (render(clip, 224).permute(0, 2, 3, 1) * 255).round().to(torch.uint8)
        path = path_in_picture(thumbnails(frames))
        true = torch.stack([clip.x - clip.x[0], clip.y - clip.y[0]], 1)
        error = float((path - true).norm(dim=1).median())
        r = float(torch.corrcoef(torch.stack([path.flatten(), true.flatten()]))[0, 1])
        print(f"{motion} {seed}: error {error:.2%} of the picture, r {r:.4f}")
        assert error < MOTIONS[motion]
        assert r > 0.995


def texture(size: int) -> torch.Tensor:
    """(size, size, 3): noise whose spectrum falls as in photographs, 0 to 255."""
    across, down = torch.fft.rfftfreq(size), torch.fft.fftfreq(size)[:, None]
    spectrum = torch.fft.rfft2(randn(3, size, size)) / (0.02 + torch.hypot(across, down))
    picture = torch.fft.irfft2(spectrum, s=(size, size))
    return ((picture - picture.min()) / (picture.max() - picture.min()) * 255).permute(1, 2, 0)


def test_a_camera_that_pans():
    ground, places = texture(128), [(3 * i, 2 * i) for i in range(16)]
    frames = torch.stack([ground[y : y + 48, x : x + 48] for x, y in places])
    expected = -torch.tensor(places) / 48  # the picture moves against the camera
    assert (path_in_picture(frames) - expected).norm(dim=1).median() < 0.02


def test_a_thing_that_crosses_a_still_ground():
    """The ground, larger and sharper, would say that nothing moves."""
    ground = texture(48)
    rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    frames, expected = [], []
    for i in range(16):
        x, y = 1.8 * i, 1.1 * i
        disc = torch.hypot(columns - 10 - x, rows - 14 - y)[..., None] < 6
        frames.append(torch.where(disc, torch.tensor([230.0, 60.0, 60.0]), ground))
        expected.append((x / 48, y / 48))
    error = (path_in_picture(torch.stack(frames)) - torch.tensor(expected)).norm(dim=1).median()
    print(f"error {float(error):.2%}")
    assert error < 0.02


def test_a_clip_that_stands_still_has_no_path():
    assert path_in_picture(texture(48).expand(4, -1, -1, -1)).eq(0).all()
