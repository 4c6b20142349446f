"""The report and the matrix heat map: pictures of every kind of drift, without a warning."""

import functools
import gc
import math
import sys
import tracemalloc

import pytest
import torch
from torch.overrides import TorchFunctionMode

pytest.importorskip("matplotlib")

import matplotlib
from pack.clip_drift.drift import Drift
from pack.clip_drift.errors import DriftError
from pack.clip_drift.report import (
    curve,
    drift_report,
    matrix,
    matrix_heatmap,
    moved_prompt_report,
    statistics,
    strip,
    timeline,
)
from pack.clip_drift.report.statistics import neighbour_similarity
from pack.clip_drift.scores.correlation import pearson
from pack.clip_drift.through.report import Reading

pytestmark = pytest.mark.filterwarnings("error")


def walk(frames: int, dim: int = 64, step: float = 0.1, seed: int = 0) -> torch.Tensor:
    """(frames, dim): a random walk whose steps wax and wane."""
    g = torch.Generator().manual_seed(seed)
    size = step * (1 + 0.8 * torch.sin(torch.arange(frames) / 3))
    steps = torch.randn(frames, dim, generator=g) / math.sqrt(dim) * size[:, None]
    steps[0] = torch.nn.functional.normalize(torch.randn(dim, generator=g), dim=0)
    return steps.cumsum(0)


def pictures(frames: int, h: int = 9, w: int = 16, seed: int = 1) -> torch.Tensor:
    """(frames, h, w, 3) uint8: random pictures that change a little every frame."""
    g = torch.Generator().manual_seed(seed)
    moving = torch.randn(frames, h, w, 3, generator=g).cumsum(0) * 6 + 128
    return moving.clamp(1, 255).to(torch.uint8)


def make(frames: int, thumbnails: bool | torch.Tensor = True, step: float = 0.1, **names) -> Drift:
    if isinstance(thumbnails, bool):
        thumbnails = pictures(frames) if thumbnails else None
    return Drift.from_embeddings(
        walk(frames, step=step), torch.arange(frames) / 8, thumbnails, **names
    )


def faded_in() -> Drift:
    thumbnails = pictures(20)
    thumbnails[:5] = 0
    return make(20, thumbnails)


def still(thumbnails: torch.Tensor) -> Drift:
    return Drift.from_embeddings(walk(1).expand(len(thumbnails), -1), None, thumbnails)


def uneven() -> Drift:
    seconds = 3600 + torch.rand(12, generator=torch.Generator().manual_seed(2)).cumsum(0) ** 2
    return Drift.from_embeddings(walk(12), seconds, pictures(12, 2, 90))


DRIFTS = {
    "smooth": lambda: make(20),
    "two frames": lambda: make(2),
    "three frames": lambda: make(3),
    "257 frames in portrait": lambda: make(257, pictures(257, 32, 3)),
    "still": lambda: still(pictures(1).expand(12, -1, -1, -1)),
    "black still": lambda: still(torch.zeros(12, 9, 16, 3, dtype=torch.uint8)),
    "black start": faded_in,
    "barely moving": lambda: make(20, step=3e-4),
    "two opposite frames, no thumbnails": lambda: Drift.from_embeddings(
        torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    ),
    "panorama at uneven times": uneven,
    "odd names, no thumbnails": lambda: make(
        30, False, source="$a$ \\frac 猫 🎬\n\x00\udc80" * 40, encoder="x" * 500
    ),
}


@functools.cache
def rendered(name: str) -> torch.Tensor:
    return drift_report(DRIFTS[name]())


def check_picture(picture: torch.Tensor, width: int | None = None) -> None:
    assert picture.ndim == 3
    assert picture.shape[-1] == 3
    assert width is None or picture.shape[1] == width
    assert picture.dtype == torch.float32
    assert bool(torch.isfinite(picture).all())
    assert float(picture.min()) >= 0
    assert float(picture.max()) <= 1
    assert float(picture.std()) > 0.02  # something is drawn


@pytest.mark.parametrize("name", DRIFTS)
def test_report_draws_every_kind_of_drift(name):
    check_picture(rendered(name), 1600)


@pytest.mark.parametrize("name", ["barely moving", "black start"])
def test_panels_show_the_embeddings_and_the_pixels(name):
    panels = slice(440, None)  # px: below the title and the strips
    assert not torch.equal(rendered("smooth")[panels], rendered(name)[panels])


def test_same_drift_same_picture_whatever_a_users_matplotlib_which_stays_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it now fails
    users = {"axes.grid": True, "font.size": 3, "text.color": "red", "figure.dpi": 31}
    with matplotlib.rc_context(users):
        before = matplotlib.rcParams.copy()
        assert torch.equal(drift_report(DRIFTS["smooth"]()), rendered("smooth"))
        assert matplotlib.rcParams.copy() == before


class LargestTensor(TorchFunctionMode):
    """Notes the largest tensor that a call of torch returns."""

    numel = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            self.numel = max(self.numel, out.numel())
        return out


def test_long_drift_makes_nothing_of_frames_by_frames():
    frames = 8000
    rendered("smooth")  # fonts and imports are not what is measured
    drift = make(frames)
    gc.collect()
    tracemalloc.start()
    try:
        with LargestTensor() as largest:
            picture = drift_report(drift)
        peak = tracemalloc.get_traced_memory()[1]  # bytes, of numpy and Python
    finally:
        tracemalloc.stop()
    check_picture(picture, 1600)
    # The picture, 13 million numbers, is torch's largest; numpy holds it as bytes.
    assert largest.numel < frames * frames / 2
    assert peak < 4 * frames * frames / 2


def test_neighbour_similarity_is_the_grams_first_diagonal_whatever_the_pieces(monkeypatch):
    drift = make(50)
    whole = neighbour_similarity(drift)
    monkeypatch.setattr(statistics, "CHUNK", 3 * 9 * 16 * 3)
    for got, other, gram in zip(
        neighbour_similarity(drift), whole, (drift.gram(), drift.pixel_gram()), strict=True
    ):
        assert got.shape == (49,)
        assert got.dtype == torch.float64
        torch.testing.assert_close(got, other, rtol=0, atol=1e-14)
        torch.testing.assert_close(got.float(), gram.diagonal(1), rtol=0, atol=1e-6)


def test_neighbour_similarity_without_thumbnails_and_at_black_frames():
    assert neighbour_similarity(make(5, False))[1] is None
    pixels = neighbour_similarity(faded_in())[1]
    assert pixels.isnan().tolist() == [True] * 5 + [False] * 14


def test_pearson():
    g = torch.Generator().manual_seed(0)
    a = torch.rand(50, generator=g, dtype=torch.float64)
    b = a + torch.rand(50, generator=g, dtype=torch.float64)
    expected = float(torch.corrcoef(torch.stack([a, b]))[0, 1])
    assert pearson(a, b) == pytest.approx(expected, abs=1e-12)
    assert pearson(a, 1 - a) == pytest.approx(-1)
    # Cosines of frames 1e-4 rad apart differ from 1 by 1e-9, and still have a correlation.
    assert pearson(1 - 1e-9 * a, 1 - 1e-9 * b) == pytest.approx(expected, abs=1e-3)
    holed = torch.where(torch.arange(50) < 4, math.nan, b)
    assert pearson(a, holed) == pytest.approx(pearson(a[4:], b[4:]), abs=1e-12)


def test_pearson_is_none_where_it_means_nothing():
    curve = torch.tensor([0.1, 0.4, 0.2], dtype=torch.float64)
    flat = torch.full((3,), 0.98, dtype=torch.float64)
    assert pearson(curve, flat) is None
    assert pearson(flat + 1e-9 * curve, curve) is None
    assert pearson(curve[:2], curve[:2]) is None
    assert pearson(curve, curve * math.nan) is None


def test_no_bold_pearson_of_a_curve_without_variation():
    """Around a cosine of 0.79, 3e-4 are 3e-4 / sin(acos 0.79) = 5e-4 rad: less than coding does."""
    wave = torch.linspace(0, 6, 15).double().sin()
    said, look = timeline._correlation(0.9 + 0.02 * wave, 0.79 + 3e-4 * wave)
    assert said == "r does not tell: pixels change evenly"
    assert "fontweight" not in look
    said, look = timeline._correlation(0.9 + 0.02 * wave, 0.79 + 0.02 * wave)
    assert said == "Pearson r = 1.00, rank 1.00"
    assert look == {"fontweight": "bold"}


def test_long_curve_keeps_its_extremes_and_its_gaps():
    value = torch.zeros(5000)
    value[1234], value[4321] = 1.0, -1.0
    value[2000:2100] = math.nan
    few = curve.reduce_curve(torch.arange(5000), value)
    assert len(few.time) == curve.POINTS
    finite = few.mean == few.mean
    assert few.high[finite].max() == 1
    assert few.low[finite].min() == -1
    assert 8 <= (~finite).sum() <= 12
    assert (few.low[finite] <= few.mean[finite]).all()


def arc(steps: torch.Tensor, dim: int = 24) -> Drift:
    """A great circle, walked in these steps (radians), in a plane askew to all axes."""
    g = torch.Generator().manual_seed(5)
    u, v = torch.linalg.qr(torch.randn(dim, 2, generator=g, dtype=torch.float64))[0].T
    angles = torch.cat((torch.zeros(1), steps)).double().cumsum(0)[:, None]
    return Drift.from_embeddings(torch.cos(angles) * u + torch.sin(angles) * v)


def test_a_flat_path_keeps_its_shape_and_goes_from_left_to_right():
    """A great circle lies in a plane, so two directions hold all of it and every distance."""
    drift = arc(torch.linspace(0.02, 0.2, 14))
    path = statistics.principal_path(drift)
    assert float(path.share.sum()) == pytest.approx(1, abs=1e-6)
    # Of float32 embeddings.
    expected = torch.cdist(drift.embeddings.double(), drift.embeddings.double())
    torch.testing.assert_close(torch.cdist(path.points, path.points), expected, rtol=0, atol=1e-6)
    assert path.points[-1, 0] > path.points[0, 0]
    assert path.points[:, 1].max() >= -path.points[:, 1].min()


def test_shares_of_variance_are_those_of_the_singular_values():
    drift = make(40)
    centred = drift.embeddings.double() - drift.embeddings.double().mean(0)
    power = torch.linalg.svdvals(centred).square()
    share = statistics.principal_path(drift).share
    torch.testing.assert_close(share, power[:2] / power.sum(), rtol=1e-9, atol=0)


def test_a_still_has_no_path():
    assert statistics.principal_path(DRIFTS["still"]()) is None


def test_a_long_path_is_sampled_from_end_to_end():
    path = statistics.principal_path(make(5000, False))
    assert path.points.shape == (statistics.PATH_FRAMES, 2)
    assert path.frames[[0, -1]].tolist() == [0, 4999]


def test_largest_steps_are_apart_and_in_the_order_of_time():
    angles = torch.full((64,), 0.1)
    angles[[5, 6, 30, 60]] = torch.tensor([0.8, 0.9, 0.5, 0.95])  # 5 and 6 are one event
    assert statistics.largest_steps(angles, 3) == [6, 30, 60]
    assert statistics.largest_steps(angles, 1) == [60]
    assert statistics.largest_steps(torch.zeros(10), 3) == []
    assert statistics.largest_steps(torch.tensor([0.3]), 3) == [0]


def test_subtracting_all_changes_leads_from_the_last_frame_back_to_the_first():
    shown = pictures(6).float() / 255
    grey = shown @ torch.tensor(strip.BRIGHTNESS)
    change = strip.changes(shown)
    torch.testing.assert_close(grey[-1] - change.sum(0), grey[0], rtol=0, atol=1e-6)
    brighter = strip.changes(torch.stack((torch.zeros(2, 2, 3), torch.ones(2, 2, 3))))
    torch.testing.assert_close(brighter, torch.ones(1, 2, 2))  # the weights sum to 1


def test_a_strip_shows_the_first_and_the_last_frame():
    for frames in (2, 5, 500):
        cells = strip.strip_cells(pictures(frames), 1264)
        assert cells.frames[[0, -1]].tolist() == [0, frames - 1]
        assert cells.x[-1] + cells.width <= 1264
        assert all(b - a >= cells.width for a, b in zip(cells.x, cells.x[1:], strict=False))


def plane_rotation(dim: int, angle: float = 0.4) -> torch.Tensor:
    """(dim, dim) float64: Rodrigues' formula in a random plane."""
    g = torch.Generator().manual_seed(dim)
    u, v = torch.linalg.qr(torch.randn(dim, 2, generator=g, dtype=torch.float64))[0].T
    turn = torch.outer(v, u) - torch.outer(u, v)
    flat = torch.outer(u, u) + torch.outer(v, v)
    return torch.eye(dim).double() + math.sin(angle) * turn + (math.cos(angle) - 1) * flat


def spike() -> torch.Tensor:
    entries = torch.eye(500)
    entries[3, 4] = 1e-7
    return entries


MATRICES = {
    "1": lambda: torch.eye(1),
    "2": lambda: plane_rotation(2),
    "63": lambda: plane_rotation(63).float(),
    "63 backward in half precision": lambda: plane_rotation(63).T.half(),
    "401": lambda: plane_rotation(401),
    "500, identity but for one entry": spike,
    "768": lambda: plane_rotation(768).float(),
    "1280": lambda: plane_rotation(1280).float(),
}


@functools.cache
def heatmap(name: str) -> torch.Tensor:
    return matrix_heatmap(MATRICES[name](), title=f"R, N = {name}")


@pytest.mark.parametrize("name", MATRICES)
def test_matrix_heatmap_draws_every_matrix(name):
    check_picture(heatmap(name))


def test_matrix_heatmap_shows_the_matrix():
    plot = (slice(190, 1200), slice(150, 1150))  # px
    assert not torch.equal(heatmap("63")[plot], heatmap("63 backward in half precision")[plot])


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (torch.zeros(3, 4), r"\(3, 4\)"),
        (torch.zeros(2, 3, 3), "square"),
        (torch.zeros(0, 0), "square"),
        (torch.full((3, 3), math.nan), "NaN"),
    ],
)
def test_matrix_heatmap_refuses_what_is_no_rotation(bad, says):
    with pytest.raises(DriftError, match=says):
        matrix_heatmap(bad)


@pytest.mark.parametrize("frames", [2, 40])
def test_a_moved_prompts_captions_stay_on_the_page(frames):
    """Long ones of many frames, and of a motion along one line, whose other axis is round-off."""
    far = torch.linspace(0.2, 0.9, frames)
    said = tuple(f"{i}, far to the left at the very bottom of the picture" for i in range(frames))
    found = Reading(far, far, far, torch.ones(3), said, far)
    targets = torch.nn.functional.normalize(walk(frames), dim=-1)
    picture = moved_prompt_report(found, targets, ["one", "two", "three"])
    check_picture(picture)
    for side in (picture[:, :20], picture[:, -20:]):
        assert (side == picture[0, 0]).all()


@pytest.mark.parametrize(("size", "block"), [(6, 2), (7, 2), (7, 3), (5, 5)])
def test_pooling_keeps_the_largest_entry_of_each_block_with_its_sign(size, block):
    entries = torch.randn(size, size, generator=torch.Generator().manual_seed(size))
    pooled = matrix._pool_max_abs(entries, block)
    for i in range(len(pooled)):
        for j in range(len(pooled)):
            cell = entries[i * block : (i + 1) * block, j * block : (j + 1) * block].flatten()
            assert pooled[i, j] == cell[cell.abs().argmax()]
