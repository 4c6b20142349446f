"""Video as cameras and programs make it: other pixels, fields, light and holes than the plain."""

from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from pack.clip_drift.errors import DriftError
from pack.clip_drift.video import frames_from_images, hdr, open_frames, probe
from pack.clip_drift.video.decord_reader import suits as suits_decord
from pack.tests.video_files import (
    animation,
    combed,
    number_in,
    numbered,
    numbered_video,
    remux,
    teeth,
    write_video,
)

SIZE = 96


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("kinds")


@pytest.fixture(params=["pyav", "decord"])
def backend(request):
    if request.param == "decord":
        pytest.importorskip("decord")
    return request.param


def read(source, crop="stretch", size=SIZE, **how):
    """(frames as an array, times, stream) of a whole video."""
    with open_frames(source, size, crop=crop, **how) as stream:
        batches = list(stream)
    frames = torch.cat([batch.frames for batch in batches]).numpy()
    return frames, [t for batch in batches for t in batch.times], stream


def numbers(frames) -> list[int]:
    return [number_in(frame) for frame in frames]


# --- pixels that are not square ---


@pytest.mark.parametrize(
    ("size", "aspect", "rotation", "margins"),
    [
        # 480 pixels of 9/16 are 270 wide: padded to 96, 360 rows leave (96 − 72) / 2 at the sides
        ((480, 360), Fraction(9, 16), 0, (0, 12)),
        ((480, 360), Fraction(9, 16), 90, (12, 0)),
        # PAL DV, 4:3: 720 pixels of 16/15 are 768 wide, so (96 − 72) / 2 above and below
        ((720, 576), Fraction(16, 15), 0, (12, 0)),
        # HDV: 1440 pixels of 4/3 are 1920 wide, so (96 − 54) / 2
        ((1440, 1080), Fraction(4, 3), 0, (21, 0)),
        ((1440, 1080), Fraction(4, 3), -90, (0, 21)),
        # nobody's pixels are a thousand times as wide as high
        ((480, 360), Fraction(1000, 1), 0, (12, 0)),
    ],
)
def test_pixels_are_shown_as_wide_as_they_are(folder, backend, size, aspect, rotation, margins):
    white = [np.full((size[1], size[0], 3), 220, np.uint8)] * 2
    name = f"{size[0]}-{aspect.numerator}-{rotation}.mp4"
    clip = write_video(folder / name, white, pixel_aspect=aspect, rotation=rotation)
    assert not suits_decord(clip, probe(clip)) or aspect == 1000
    frames, _, _ = read(clip, "pad", backend=backend)
    lit = frames[0].mean(-1) > 110
    rows, columns = lit.any(1), lit.any(0)
    assert (rows.argmax(), rows[::-1].argmax()) == (margins[0], margins[0])
    assert (columns.argmax(), columns[::-1].argmax()) == (margins[1], margins[1])


def test_the_middle_is_cut_from_the_picture_as_shown(folder):
    """Of 480 pixels of 9/16 by 360 rows the square in the middle has all columns."""
    clip = numbered_video(folder / "middle.mp4", 4, size=(480, 360), pixel_aspect=Fraction(9, 16))
    frames, _, _ = read(clip, "center")
    assert numbers(frames) == [0, 1, 2, 3]


# --- fields ---

INTERLACED = {
    "h264.mp4": {"options": {"x264-params": "tff=1"}},
    "h264.ts": {"options": {"x264-params": "tff=1"}},
    "mpeg2.mpg": {"codec": "mpeg2video", "options": {"flags": "+ildct+ilme"}},
}


@pytest.mark.parametrize("name", INTERLACED)
def test_a_comb_is_gone(folder, backend, name):
    pictures = [combed(i, 240, 240) for i in range(15)]
    clip = write_video(folder / f"comb-{name}", pictures, **INTERLACED[name])
    assert probe(clip).interlaced
    assert not suits_decord(clip, probe(clip))
    with av.open(clip) as container:
        stored = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    frames, times, _ = read(clip, size=240, backend=backend)
    assert len(frames) == len(stored) == 15
    assert times == pytest.approx([i / 25 for i in range(15)], abs=1e-3)
    before, after = (np.mean([teeth(frame) for frame in each]) for each in (stored, frames))
    print(f"{name}: rows differ by {before:.1f} before, {after:.1f} after")
    assert after < before / 5


def test_fields_are_found_by_jumping_too(folder):
    clip = numbered_video(
        folder / "jump.mp4", 250, keyframe_every=25, options={"x264-params": "tff=1"}
    )
    frames, times, _ = read(clip, sample_fps=1, start=2)
    assert numbers(frames) == [50, 75, 100, 125, 150, 175, 200, 225]
    assert times == pytest.approx(range(2, 10), abs=1e-3)


def test_whole_frames_are_left_alone(folder):
    """Rows that differ are the picture's own where the file does not say that it is interlaced."""
    pictures = [combed(i, 240, 240) for i in range(5)]
    clip = write_video(folder / "whole.mp4", pictures)
    assert not probe(clip).interlaced
    frames, _, _ = read(clip, size=240)
    assert np.mean([teeth(f) for f in frames]) > 0.8 * np.mean([teeth(p) for p in pictures])


# --- alpha ---


def with_alpha(index: int, alpha: int) -> np.ndarray:
    return np.concatenate([numbered(index), np.full((240, 320, 1), alpha, np.uint8)], axis=2)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        (
            "prores.mov",
            {"codec": "prores_ks", "pix_fmt": "yuva444p10le", "options": {"profile": "4444"}},
        ),
        ("animation.mov", {"codec": "qtrle", "pix_fmt": "argb"}),
        ("ffv1.mkv", {"codec": "ffv1", "pix_fmt": "yuva420p"}),
    ],
)
def test_alpha_is_over_black(folder, backend, name, how):
    clip = write_video(folder / name, (with_alpha(i, 128) for i in range(5)), **how)
    frames, _, _ = read(clip, backend=backend)
    # 128 / 255 of the band's first colour, (180, 60, 60)
    assert np.abs(frames[0][-5, 10].astype(int) - (90, 30, 30)).max() < 4


def test_images_with_alpha_are_over_black():
    half = torch.tensor([0.8, 0.4, 0.2, 0.5]).expand(2, 10, 10, 4)
    (batch,) = frames_from_images(half, 8)
    assert batch.frames[0, 4, 4].tolist() == [102, 51, 26]  # round(204 · 128/255), ...


# --- high dynamic range ---

# BT.709 to BT.2020, the inverse of what is read with. Reference: ITU-R BT.2087-0.
TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
LUMA = np.array([0.2627, 0.6780, 0.0593])


def as_pq(light: np.ndarray) -> np.ndarray:
    """Reference: ITU-R BT.2100-2, table 4."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    power = (light / 10_000) ** m1
    return ((c1 + c2 * power) / (1 + c3 * power)) ** m2


def as_hlg(light: np.ndarray) -> np.ndarray:
    """Reference: ITU-R BT.2100-2, table 5, for a display of 1000 cd/m²."""
    luma = (light @ LUMA)[..., None].clip(1e-6)
    scene = light / 1000 * (luma / 1000) ** (1 / 1.2 - 1)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    root = np.sqrt(3 * scene)
    return np.where(scene <= 1 / 12, root, a * np.log((12 * scene - b).clip(1e-9)) + c)


CODES = {"pq": as_pq, "hlg": as_hlg}


def high_range(light: np.ndarray, kind: str) -> np.ndarray:
    """Light (..., 3) in cd/m², of BT.709's primaries, as a picture of 16 bits."""
    return (CODES[kind](light @ TO_BT2020.T) * 65535).round().astype(np.uint16)


@pytest.mark.parametrize("kind", CODES)
def test_high_dynamic_range_comes_in_the_colours_of_the_standard_one(folder, backend, kind):
    """Up to the bend (88 cd/m², level 180) a colour is what a display of 203 cd/m² would show."""
    wanted = numbered(5, 384, 256).clip(max=170)
    light = 203 * (wanted / 255) ** 2.4
    clip = write_video(
        folder / f"{kind}.mp4", [high_range(light, kind)] * 3, pix_fmt="yuv420p10le", hdr=kind
    )
    assert probe(clip).hdr == kind
    frames, _, _ = read(clip, backend=backend)
    with av.open(clip) as container:
        raw = next(container.decode(video=0)).reformat(SIZE, SIZE, "rgb24").to_ndarray()
    for i, colour in enumerate([(170, 60, 60), (60, 170, 60), (60, 60, 170)]):
        band = np.s_[-12:-4, i * 32 + 8 : i * 32 + 24]
        shown, untouched = (each[band].reshape(-1, 3).mean(0) for each in (frames[0], raw))
        print(kind, colour, shown.round(1), "as stored", untouched.round(1))
        assert np.abs(shown - colour).max() < 5
        assert np.abs(untouched - colour).max() > 9


def test_light_is_what_the_standard_says():
    # ITU-R BT.2408-7, table 1: reference white is 203 cd/m², 58 % of PQ and 75 % of HLG.
    assert hdr.pq_light(torch.tensor(0.58)) == pytest.approx(203, rel=0.02)
    assert hdr.hlg_light(torch.full((3,), 0.75))[1] == pytest.approx(203, rel=0.01)
    assert hdr.pq_light(torch.tensor(1.0)) == pytest.approx(10_000, rel=1e-3)
    assert hdr.hlg_light(torch.ones(3))[1] == pytest.approx(1000, rel=1e-3)
    light = torch.tensor([0.1, 1.0, 50.0, 900.0], dtype=torch.float64)
    assert torch.allclose(hdr.pq_light(hdr.pq_signal(light)), light, rtol=1e-6)


def test_highlights_are_bent_and_keep_their_order():
    light = torch.linspace(0, 1000, 5001, dtype=torch.float64)
    shown = hdr.bent(light)
    dark = light <= 87
    assert torch.allclose(shown[dark], light[dark], rtol=1e-6, atol=1e-4)
    assert bool((shown.diff() > 0).all())
    assert shown[-1] == pytest.approx(203, rel=1e-6)
    # Reference white by hand: level 0.5807/0.7518 = 0.7724 lies a third of the way from the knee
    # (0.6586) to 1, where the spline is 0.7386, a PQ signal of 0.5553.
    assert float(hdr.bent(torch.tensor(203.0))) == pytest.approx(as_light(0.5553), rel=0.01)


def as_light(signal: float) -> float:
    """PQ's light by bisection of the test's own formula."""
    low, high = 0.0, 10_000.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if as_pq(np.float64(middle)) < signal else (low, middle)
    return low


@pytest.mark.parametrize("kind", CODES)
def test_lights_beyond_the_display_are_white(kind):
    assert hdr.to_sdr(torch.ones(1, 3), kind).tolist() == [[255, 255, 255]]
    assert hdr.to_sdr(torch.zeros(1, 3), kind).tolist() == [[0, 0, 0]]


# --- animated pictures ---

SHOWN = [100, 100, 300, 100, 100]  # milliseconds
TIMES = [0.0, 0.1, 0.2, 0.5, 0.6]


@pytest.mark.parametrize("ending", ["webp", "gif", "png"])
def test_animated_pictures_are_videos(folder, backend, ending):
    clip = animation(folder / f"a.{ending}", map(numbered, range(5)), SHOWN)
    frames, times, _ = read(clip, backend=backend)
    assert numbers(frames) == [0, 1, 2, 3, 4]
    assert times == pytest.approx(TIMES, abs=1e-6)
    frames, times, _ = read(clip, start=0.1, duration=0.45, sample_fps=5, max_frames=2)
    assert numbers(frames) == [1, 3]


@pytest.mark.parametrize("ending", ["webp", "png"])
def test_animated_pictures_are_over_black(folder, ending):
    pictures = (with_alpha(i, 128) for i in range(3))
    frames, _, _ = read(animation(folder / f"half.{ending}", pictures, [100] * 3))
    assert np.abs(frames[1][-5, 10].astype(int) - (90, 30, 30)).max() < 4


def test_a_cut_or_broken_animation_is_refused(folder):
    data = animation(folder / "all.webp", map(numbered, range(5)), SHOWN).read_bytes()
    (folder / "cut.webp").write_bytes(data[: len(data) // 2])
    with pytest.raises(DriftError, match=r"cut\.webp is cut off"):
        open_frames(folder / "cut.webp", SIZE)
    (folder / "broken.webp").write_bytes(data[:40] + bytes(len(data) - 40))
    with pytest.raises(DriftError, match=r"broken\.webp"):
        read(folder / "broken.webp")


def test_a_webp_that_stands_still_is_one_frame(folder):
    animation(folder / "still.webp", [numbered(3)], [0])
    frames, times, _ = read(folder / "still.webp")
    assert (numbers(frames), times) == ([3], [0.0])


# --- holes ---


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
def test_damage_is_counted(folder, ending):
    whole = numbered_video(folder / "holes.mp4", 100)
    if ending != "mp4":
        whole = remux(whole, folder / f"holes.{ending}")
    assert read(whole)[2].damage.places == 0
    data = bytearray(whole.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(400)
    (folder / f"hole.{ending}").write_bytes(data)
    frames, _, stream = read(folder / f"hole.{ending}")
    assert 70 < len(frames) < 101
    assert 1 <= stream.damage.places <= 5


def test_transport_packets_that_never_came_are_counted(folder):
    clip = remux(numbered_video(folder / "sent.mp4", 100), folder / "sent.ts")
    data = clip.read_bytes()
    at = len(data) // 188 // 2 * 188  # packets of a transport stream are of 188 bytes
    (folder / "lost.ts").write_bytes(data[:at] + data[at + 3 * 188 :])
    assert read(folder / "lost.ts")[2].damage.places >= 1
