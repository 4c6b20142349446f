"""The report and the matrix heat map: pictures of every kind of drift, without a warning."""

import gc
import math
import sys
import time
import tracemalloc

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

pytest.importorskip("matplotlib")

import matplotlib

from clip_drift import report
from clip_drift.drift import Drift
from clip_drift.errors import DriftError

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


def make(frames: int, with_pictures: bool = True, **names) -> Drift:
    seconds = torch.arange(frames) / 8
    thumbnails = pictures(frames) if with_pictures else None
    return Drift.from_embeddings(walk(frames), seconds, thumbnails, **names)


def faded_in() -> Drift:
    thumbnails = pictures(20)
    thumbnails[:5] = 0
    return Drift.from_embeddings(walk(20), None, thumbnails)


def still(thumbnails: torch.Tensor) -> Drift:
    return Drift.from_embeddings(walk(1).expand(len(thumbnails), -1), None, thumbnails)


def uneven() -> Drift:
    seconds = 3600 + torch.rand(12, generator=torch.Generator().manual_seed(2)).cumsum(0) ** 2
    return Drift.from_embeddings(walk(12), seconds, pictures(12))


DRIFTS = {
    "smooth": lambda: make(60, encoder="ViT-L-14", source="clip.mp4"),
    "two frames": lambda: make(2),
    "three frames": lambda: make(3),
    "257 frames": lambda: make(257),
    "no thumbnails": lambda: make(30, with_pictures=False),
    "two frames, no thumbnails": lambda: make(2, with_pictures=False),
    "still": lambda: still(pictures(1).expand(12, -1, -1, -1)),
    "black still": lambda: still(torch.zeros(12, 9, 16, 3, dtype=torch.uint8)),
    "black start": faded_in,
    "barely moving": lambda: Drift.from_embeddings(walk(30, step=3e-4), None, pictures(30)),
    "opposite frames": lambda: Drift.from_embeddings(
        torch.tensor([[1.0, 0.0], [-1.0, 0.0]]).repeat(4, 1)
    ),
    "uneven times": uneven,
    "portrait": lambda: Drift.from_embeddings(walk(40), None, pictures(40, 32, 3)),
    "panorama": lambda: Drift.from_embeddings(walk(40), None, pictures(40, 2, 90)),
    "odd names": lambda: make(8, source="$a$ \\frac 猫 🎬\n\x00\udc80" * 40, encoder="x" * 500),
}


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
    check_picture(report.drift_report(DRIFTS[name]()), report.WIDTH)


def test_same_drift_same_picture_and_other_drift_other_picture():
    first, again = report.drift_report(make(20)), report.drift_report(make(20))
    assert torch.equal(first, again)
    other = Drift.from_embeddings(walk(20, seed=9), torch.arange(20) / 8, pictures(20))
    assert not torch.equal(first, report.drift_report(other))
    other = Drift.from_embeddings(walk(20), torch.arange(20) / 8, pictures(20, seed=9))
    assert not torch.equal(first, report.drift_report(other))


def test_report_leaves_a_users_matplotlib_alone_and_does_not_depend_on_it(monkeypatch):
    expected = report.drift_report(make(5))
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it now fails
    users = {"axes.grid": True, "font.size": 3, "text.color": "red", "figure.dpi": 31}
    with matplotlib.rc_context(users):
        before = matplotlib.rcParams.copy()
        assert torch.equal(report.drift_report(make(5)), expected)
        assert matplotlib.rcParams.copy() == before


class LargestTensor(TorchDispatchMode):
    """Notes the largest tensor that torch makes."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            self.numel = max(self.numel, out.numel())
        return out


def test_long_drift_makes_no_tensor_of_frames_by_frames():
    frames = 5000
    drift = make(frames)
    started = time.monotonic()
    with LargestTensor() as largest:
        picture = report.drift_report(drift)
    assert time.monotonic() - started < 60
    check_picture(picture, report.WIDTH)
    # The report itself, 9 million numbers, is the largest.
    assert largest.numel < frames * frames / 2


def test_long_drift_takes_hardly_more_numpy_memory_than_a_short_one():
    peaks = []
    report.drift_report(make(3))  # fonts and imports are not what is measured
    for drift in (make(300), make(5000)):
        gc.collect()
        tracemalloc.start()
        try:
            report.drift_report(drift)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] - peaks[0] < 12e6  # bytes; 5000 × 5000 would be 25e6 even of booleans


def test_neighbour_similarity_is_the_grams_first_diagonal_whatever_the_pieces(monkeypatch):
    drift = make(50)
    whole = report.neighbour_similarity(drift)
    monkeypatch.setattr(report, "CHUNK", 3 * 9 * 16 * 3)
    for got, other, gram in zip(
        report.neighbour_similarity(drift), whole, (drift.gram(), drift.pixel_gram()), strict=True
    ):
        assert got.shape == (49,)
        assert got.dtype == torch.float64
        torch.testing.assert_close(got, other, rtol=0, atol=1e-14)
        torch.testing.assert_close(got.float(), gram.diagonal(1), rtol=0, atol=1e-6)


def test_neighbour_similarity_without_thumbnails_and_at_black_frames():
    assert report.neighbour_similarity(make(5, with_pictures=False))[1] is None
    pixels = report.neighbour_similarity(faded_in())[1]
    assert pixels.isnan().tolist() == [True] * 5 + [False] * 14


def test_pearson():
    g = torch.Generator().manual_seed(0)
    a = torch.rand(50, generator=g, dtype=torch.float64)
    b = a + torch.rand(50, generator=g, dtype=torch.float64)
    expected = float(torch.corrcoef(torch.stack([a, b]))[0, 1])
    assert report.pearson(a, b) == pytest.approx(expected, abs=1e-12)
    assert report.pearson(a, 1 - a) == pytest.approx(-1)
    # Cosines of frames 1e-4 rad apart differ from 1 by 1e-9, and still have a correlation.
    assert report.pearson(1 - 1e-9 * a, 1 - 1e-9 * b) == pytest.approx(expected, abs=1e-3)
    holed = torch.where(torch.arange(50) < 4, math.nan, b)
    assert report.pearson(a, holed) == pytest.approx(report.pearson(a[4:], b[4:]), abs=1e-12)


def test_pearson_is_none_where_it_means_nothing():
    curve = torch.tensor([0.1, 0.4, 0.2], dtype=torch.float64)
    flat = torch.full((3,), 0.98, dtype=torch.float64)
    assert report.pearson(curve, flat) is None
    assert report.pearson(flat + 1e-9 * curve, curve) is None
    assert report.pearson(curve[:2], curve[:2]) is None
    assert report.pearson(curve, curve * math.nan) is None


def test_long_curve_keeps_its_extremes_and_its_gaps():
    value = torch.zeros(5000)
    value[1234], value[4321] = 1.0, -1.0
    value[2000:2100] = math.nan
    curve = report._curve(torch.arange(5000), value)
    assert len(curve.time) == report.CURVE_POINTS
    finite = curve.mean == curve.mean
    assert curve.high[finite].max() == 1
    assert curve.low[finite].min() == -1
    assert 8 <= (~finite).sum() <= 12
    assert (curve.low[finite] <= curve.mean[finite]).all()


def plane_rotation(dim: int, angle: float = 0.4) -> torch.Tensor:
    """(dim, dim) float64: Rodrigues' formula in a random plane."""
    g = torch.Generator().manual_seed(dim)
    u, v = torch.linalg.qr(torch.randn(dim, 2, generator=g, dtype=torch.float64))[0].T
    turn = torch.outer(v, u) - torch.outer(u, v)
    flat = torch.outer(u, u) + torch.outer(v, v)
    return torch.eye(dim).double() + math.sin(angle) * turn + (math.cos(angle) - 1) * flat


@pytest.mark.parametrize("dim", [2, 8, 63, 401, 768, 1280])
def test_matrix_heatmap_draws_every_size(dim):
    check_picture(report.matrix_heatmap(plane_rotation(dim).float(), title=f"R, N = {dim}"))


def test_matrix_heatmap_of_identity_half_precision_and_other_angles():
    check_picture(report.matrix_heatmap(torch.eye(64)))
    check_picture(report.matrix_heatmap(torch.eye(1)))
    check_picture(report.matrix_heatmap(plane_rotation(64).half()))
    spike = torch.eye(500)
    spike[3, 4] = 1e-7
    check_picture(report.matrix_heatmap(spike))
    there = report.matrix_heatmap(plane_rotation(64))
    assert not torch.equal(there, report.matrix_heatmap(plane_rotation(64).T))


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
        report.matrix_heatmap(bad)


@pytest.mark.parametrize(("size", "block"), [(6, 2), (7, 2), (7, 3), (5, 5)])
def test_pooling_keeps_the_largest_entry_of_each_block_with_its_sign(size, block):
    matrix = torch.randn(size, size, generator=torch.Generator().manual_seed(size))
    pooled = report._pool_max_abs(matrix, block)
    for i in range(len(pooled)):
        for j in range(len(pooled)):
            cell = matrix[i * block : (i + 1) * block, j * block : (j + 1) * block].flatten()
            assert pooled[i, j] == cell[cell.abs().argmax()]
