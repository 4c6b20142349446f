"""Reading: the right frames, at the right times, in the right colours, from files of every kind."""

import gc
import io
import subprocess
import sys
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import Colorspace
from pack.clip_drift.errors import DriftError
from pack.clip_drift.video import frames_from_images, open_frames, probe
from pack.clip_drift.video.decord_reader import suits as suits_decord
from pack.clip_drift.video.pyav_reader import SquareScaler, _Cursor
from pack.clip_drift.video.sampling import Sampler
from pack.tests.video_files import (
    audio_file,
    cut,
    number_in,
    numbered,
    numbered_video,
    remux,
    two_streams,
    write_video,
)
from pack.workshop.rig.clips import repeat_clip

SIZE = 96
ALL = list(range(50))


def read(source, **how):
    """(numbers shown, times) of the frames that are read."""
    numbers, times = [], []
    with open_frames(source, SIZE, crop="stretch", **how) as stream:
        for batch in stream:
            assert batch.frames.dtype == torch.uint8
            assert batch.frames.shape[1:] == (SIZE, SIZE, 3)
            numbers += [number_in(frame.numpy()) for frame in batch.frames]
            times += batch.times
    return numbers, times


def reader_threads():
    return [t for t in threading.enumerate() if t.name == "clip-drift-video"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(scope="module")
def plain(folder):
    return numbered_video(folder / "plain.mp4")


@pytest.fixture(params=["pyav", "decord"])
def backend(request):
    if request.param == "decord":
        pytest.importorskip("decord")
    return request.param


# --- which frames ---


def test_every_frame_with_its_time(plain, backend):
    numbers, times = read(plain, backend=backend)
    assert numbers == ALL
    assert times == pytest.approx([i / 25 for i in ALL], abs=1e-5)


def test_decord_reads_plain_files(plain):
    pytest.importorskip("decord")
    assert suits_decord(plain, probe(plain))


def test_batches_are_full_but_for_the_last(plain):
    with open_frames(plain, SIZE, batch_size=16) as stream:
        assert stream.total == 50
        assert [len(batch.frames) for batch in stream] == [16, 16, 16, 2]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"sample_fps": 5}, ALL[::5]),
        ({"sample_fps": 10, "max_frames": 9}, [0, 3, 5, 8, 10, 13, 15, 18, 20]),
        ({"sample_fps": 1}, [0, 25]),
        ({"sample_fps": 100}, ALL),
        ({"max_frames": 7}, ALL[:7]),
        ({"sample_fps": 5, "max_frames": 3}, [0, 5, 10]),
        ({"start": 0.4}, ALL[10:]),
        ({"start": 0.4, "duration": 0.2}, ALL[10:15]),
        ({"start": 0.39, "duration": 0.2}, ALL[10:15]),
        ({"start": 1.0, "sample_fps": 5}, ALL[25::5]),
        ({"start": 1.9, "duration": 5}, ALL[48:]),
    ],
)  # fmt: skip
def test_sampling_and_trim(plain, backend, how, expected):
    numbers, times = read(plain, backend=backend, **how)
    assert numbers == expected
    assert times == pytest.approx([i / 25 for i in expected], abs=1e-5)


def test_total_is_told_beforehand(plain):
    for how in ({}, {"sample_fps": 10}, {"max_frames": 7}, {"start": 0.4, "duration": 0.2}):
        with open_frames(plain, SIZE, **how) as stream:
            assert stream.total == sum(len(batch.times) for batch in stream)


def test_sampler_follows_timestamps_of_any_spacing():
    sampler = Sampler(sample_fps=10)
    times = [0, 0.01, 0.02, 0.11, 0.5, 0.51, 0.6, 0.7001, 0.705, 3.0, 3.01]
    assert [t for t in times if sampler.take(t)] == [0, 0.11, 0.5, 0.6, 0.7001, 3.0]


def test_sampling_at_a_rounded_frame_rate_skips_nothing():
    sampler = Sampler(sample_fps=29.97)
    times = [i * 1001 / 30000 for i in range(9000)]
    assert sum(sampler.take(t) for t in times) == 9000


@pytest.mark.parametrize("gop", [5, 25, 1000])
@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts", "avi"])
def test_jumping_finds_the_same_frames_as_decoding_through(folder, gop, ending):
    clip = folder / f"gop{gop}.{ending}"
    b_frames = 0 if ending == "avi" else 2
    numbered_video(clip, 250, size=(160, 96), keyframe_every=gop, b_frames=b_frames)
    assert read(clip, sample_fps=1)[0] == list(range(0, 250, 25))
    assert read(clip, sample_fps=0.5, start=3)[0] == [75, 125, 175, 225]
    assert read(clip, start=8.0, max_frames=3)[0] == [200, 201, 202]


def test_far_apart_samples_are_not_decoded_through(folder, monkeypatch):
    clip = repeat_clip(
        numbered_video(folder / "second.mp4", 250, keyframe_every=25), folder / "minutes.mp4", 12
    )
    decoded = 0
    whole = av.Packet.decode

    class Counting:
        def __init__(self, packet):
            self.packet = packet

        def decode(self):
            nonlocal decoded
            frames = whole(self.packet)
            decoded += len(frames)
            return frames

    packets = _Cursor._packets
    monkeypatch.setattr(_Cursor, "_packets", lambda self: map(Counting, packets(self)))
    numbers, times = read(clip, sample_fps=0.1)
    assert times == pytest.approx([10.0 * i for i in range(12)], abs=0.05)
    assert len(numbers) == 12
    assert decoded < 12 * 2 * 25  # of 3000


def test_variable_frame_rate(folder, backend):
    times = [0, 0.04, 0.08, 0.5, 0.52, 1.2, 1.21, 1.3, 2.0, 2.04]
    clip = numbered_video(folder / "vfr.mp4", len(times), times=times)
    numbers, read_times = read(clip, backend=backend)
    assert numbers == list(range(10))
    assert read_times == pytest.approx(times, abs=1e-4)
    numbers, read_times = read(clip, backend=backend, sample_fps=2)
    assert numbers == [0, 3, 5, 8]
    assert read_times == pytest.approx([0, 0.5, 1.2, 2.0], abs=1e-4)


# --- which files ---


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("tenbit.mp4", {"pix_fmt": "yuv420p10le"}),
        ("yuv444.mp4", {"pix_fmt": "yuv444p"}),
        ("full.mp4", {"pix_fmt": "yuvj420p", "full_range": True}),
        ("rgb.mkv", {"codec": "ffv1", "pix_fmt": "bgr0"}),
        ("gray.mkv", {"codec": "ffv1", "pix_fmt": "gray"}),
        ("hevc.mp4", {"codec": "libx265", "options": {"x265-params": "log-level=none"}}),
        ("vp9.webm", {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}}),
        ("av1.mkv", {"codec": "libsvtav1", "options": {"preset": "10", "crf": "15"}}),
        ("prores.mov", {"codec": "prores_ks", "pix_fmt": "yuv422p10le"}),
        ("mjpeg.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
        ("mpeg4.avi", {"codec": "mpeg4"}),
        ("stream.ts", {}),
        ("raw.h264", {}),
        ("fragments.mp4", {"options": {"movflags": "frag_keyframe+empty_moov"}}),
    ],
)
def test_kinds_of_files(folder, backend, name, how):
    clip = folder / name
    try:
        numbered_video(clip, 30, **how)
    except (ValueError, av.error.FFmpegError) as error:
        pytest.skip(f"this PyAV cannot write {name}: {error}")
    numbers, times = read(clip, backend=backend)
    assert numbers == ALL[:30]
    assert times == pytest.approx([i / 25 for i in range(30)], abs=0.002)


@pytest.mark.parametrize("size", [(322, 242), (200, 202), (96, 96), (64, 48), (640, 90), (90, 640)])
@pytest.mark.parametrize("crop", ["center", "pad", "stretch"])
def test_both_backends_show_the_same_picture(folder, size, crop):
    pytest.importorskip("decord")
    clip = numbered_video(folder / f"{size}.mp4", 4, size=size)
    pictures = {}
    for backend in ("pyav", "decord"):
        with open_frames(clip, SIZE, crop=crop, backend=backend) as stream:
            pictures[backend] = next(stream).frames.float()
    # decord's chroma has half the width: flat areas agree, edges between colours do not.
    assert (pictures["pyav"] - pictures["decord"]).abs().median() <= 3


def test_odd_sizes(folder, backend):
    how = {"codec": "ffv1", "pix_fmt": "yuv444p"}
    clip = numbered_video(folder / "odd.mkv", 10, size=(321, 241), **how)
    assert read(clip, backend=backend)[0] == ALL[:10]
    clip = numbered_video(folder / "odd.webm", 10, size=(321, 241), codec="libvpx")
    assert read(clip, backend=backend)[0] == ALL[:10]


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_rotation_metadata_is_applied(folder, backend, degrees):
    upright = [numbered(i, 240, 320) for i in range(5)]
    stored = [np.ascontiguousarray(np.rot90(p, -degrees // 90)) for p in upright]
    clip = write_video(folder / f"turned{degrees}.mp4", stored, rotation=degrees)
    assert read(clip, backend=backend)[0] == [0, 1, 2, 3, 4]
    with open_frames(clip, SIZE, crop="pad", backend=backend) as stream:
        frame = next(stream).frames[0]
    assert frame[:, :5].max() == 0  # a portrait has its margins at the sides
    assert frame[:3].max() > 20


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("colorspace", [Colorspace.ITU709, Colorspace.SMPTE170M, None])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_colours_follow_matrix_and_range(folder, backend, pix_fmt, colorspace, full_range):
    clip = write_video(
        folder / f"colours-{pix_fmt}-{colorspace}-{full_range}.mp4",
        [numbered(3, 384, 256)] * 3,
        pix_fmt=pix_fmt,
        colorspace=None if colorspace is None else int(colorspace),
        full_range=full_range,
    )
    with open_frames(clip, SIZE, crop="stretch", backend=backend) as stream:
        frame = next(stream).frames[0].numpy().astype(int)
    for i, colour in enumerate([(180, 60, 60), (60, 180, 60), (60, 60, 180)]):
        shown = frame[-12:-4, i * 32 + 8 : i * 32 + 24].reshape(-1, 3).mean(0)
        assert np.abs(shown - colour).max() < 5


@pytest.mark.parametrize("sizes", [[(160, 120), (480, 360)], [(480, 360), (160, 120)]])
def test_the_best_of_several_streams_is_read(folder, backend, sizes):
    clip = two_streams(folder / f"two{sizes}.mp4", sizes)
    with av.open(clip) as container:
        best = container.streams.best("video").index
    assert probe(clip).video_streams == 2
    assert read(clip, backend=backend)[0] == [100 * best + i for i in range(20)]


def test_file_in_memory(plain, backend):
    data = io.BytesIO(plain.read_bytes())
    data.seek(100)
    assert read(data, backend=backend)[0] == ALL
    assert read(data, backend=backend, sample_fps=5)[0] == ALL[::5]


def test_a_stream_that_starts_late_starts_at_zero(folder):
    clip = numbered_video(folder / "late.ts", 30, times=[5 + i / 25 for i in range(30)])
    numbers, times = read(clip)
    assert numbers == ALL[:30]
    assert times == pytest.approx([i / 25 for i in range(30)], abs=1e-3)
    assert read(clip, start=0.4)[0] == ALL[10:30]


def test_a_single_frame_is_read(folder, backend):
    clip = numbered_video(folder / "one.mp4", 1)
    assert read(clip, backend=backend) == ([0], [0.0])


def test_a_broken_spot_costs_only_itself(folder):
    clip = numbered_video(
        folder / "whole.avi", 50, codec="mjpeg", pix_fmt="yuvj420p", size=(320, 240)
    )
    data = bytearray(clip.read_bytes())
    middle = data.index(b"\xff\xd8", len(data) // 2)
    data[middle : middle + 20] = bytes(20)
    damaged = folder / "damaged.avi"
    damaged.write_bytes(data)
    numbers, _ = read(damaged)
    assert len(numbers) in (49, 50)
    assert numbers[0] == 0
    assert numbers[-1] == 49


def test_real_clips(shared_videos, backend):
    expected = {
        "nasa_13013.mp4": (390, (270, 480)),
        "h264_10bits.mp4": (30, (200, 200)),
        "h265_video.mp4": (10, (128, 128)),
        "av1_video.mkv": (125, (360, 640)),
        "bt709_full_range.mp4": (30, (720, 1280)),
    }
    for name, (count, size) in expected.items():
        info = probe(shared_videos / name)
        assert (info.height, info.width) == size
        assert (info.pixel_aspect, info.interlaced, info.hdr) == (1, False, "")
        with open_frames(shared_videos / name, SIZE, backend=backend) as stream:
            times = [t for batch in stream for t in batch.times]
        assert len(times) == count == stream.total
        assert stream.damage.places == 0
        assert all(np.diff(times) > 0)


# --- bad input ---


def test_bad_files(folder, plain):
    (folder / "empty.mp4").touch()
    (folder / "story.txt").write_text("once upon a time\n" * 50)
    (folder / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    fast = remux(plain, folder / "fast.mp4", movflags="faststart")
    cases = {
        folder / "missing.mp4": "no file",
        folder: "folder",
        folder / "empty.mp4": "empty",
        folder / "story.txt": "text file|not a video",
        folder / "noise.mp4": "not a video",
        audio_file(folder / "sound.m4a"): "no video stream",
        cut(plain, folder / "no_index.mp4", 0.6): "cut off",
        cut(plain, folder / "stub.mp4", 0.01): "cut off|no index",
        cut(fast, folder / "cut_fast.mp4", 0.6): "cut off",
        cut(remux(plain, folder / "p.mkv"), folder / "cut.mkv", 0.6): "cut off",
        cut(remux(plain, folder / "p.mov"), folder / "cut.mov", 0.6): "cut off",
        "http://localhost/a.mp4": "no file",
    }
    for path, message in cases.items():
        with pytest.raises(DriftError, match=message):
            open_frames(path, SIZE)
    with pytest.raises(DriftError, match="video in memory is not a video"):
        open_frames(io.BytesIO(b"nothing of the kind" * 9), SIZE)
    assert not reader_threads()


def test_cover_picture_is_not_a_video(folder):
    path = folder / "song.mp4"
    try:
        audio_file(path, numbered(0))
    except (ValueError, AttributeError, av.error.FFmpegError) as error:
        pytest.skip(f"this PyAV cannot write a cover picture: {error}")
    with pytest.raises(DriftError, match="cover picture"):
        open_frames(path, SIZE)


def test_no_frames(folder):
    with av.open(folder / "none.mkv", "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        container.start_encoding()
    with pytest.raises(DriftError, match=r"none\.mkv"):
        open_frames(folder / "none.mkv", SIZE)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"start": 99}, "lasts 2.00 seconds"),
        ({"start": -1}, "start is -1"),
        ({"duration": float("nan")}, "duration is nan"),
        ({"sample_fps": -1}, "sample_fps is -1"),
        ({"max_frames": -1}, "max_frames is -1"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"crop": "round"}, "crop is 'round'"),
        ({"backend": "magic"}, "backend is 'magic'"),
    ],
)
def test_bad_numbers(plain, how, message):
    with pytest.raises(DriftError, match=message):
        open_frames(plain, SIZE, **how)


# --- threads, files and memory ---


def test_closing_early_ends_the_thread_and_closes_the_file(plain, backend):
    data = Path("/proc/self/fd")
    stream = open_frames(plain, SIZE, batch_size=1, backend=backend)
    next(stream)
    assert reader_threads()
    begun = time.perf_counter()
    stream.close()
    assert time.perf_counter() - begun < 1
    assert not reader_threads()
    if backend == "pyav" and data.is_dir():
        links = [link.resolve() for link in data.iterdir() if link.exists()]
        assert plain.resolve() not in links
    assert list(stream) == []


def test_a_dropped_stream_ends_its_thread(plain):
    next(open_frames(plain, SIZE, batch_size=1))
    gc.collect()
    for _ in range(50):
        if not reader_threads():
            break
        time.sleep(0.02)
    assert not reader_threads()


def test_an_error_on_the_way_reaches_the_reader(plain, monkeypatch):
    calls = []

    def fail_later(self, frame):
        calls.append(frame)
        if len(calls) > 20:
            raise DriftError("frame 20 is on fire: put it out.")
        return torch.zeros(SIZE, SIZE, 3, dtype=torch.uint8)

    monkeypatch.setattr(SquareScaler, "__call__", fail_later)
    with pytest.raises(DriftError, match="on fire"), open_frames(plain, SIZE, batch_size=8) as s:
        list(s)
    assert not reader_threads()


def test_only_a_few_batches_are_decoded_ahead(plain, monkeypatch):
    scaled = []
    scale = SquareScaler.__call__

    def counting(self, frame):
        scaled.append(frame.pts)
        return scale(self, frame)

    monkeypatch.setattr(SquareScaler, "__call__", counting)
    with open_frames(plain, SIZE, batch_size=4) as stream:
        next(stream)
        time.sleep(0.5)
        assert len(scaled) <= 4 * 4


def test_pyav_reads_on_where_decord_fails(plain, monkeypatch):
    decord = pytest.importorskip("decord")
    whole = decord.VideoReader.get_batch

    def fail_later(self, indices):
        if indices[0] >= 20:
            raise decord.DECORDError("out of luck")
        return whole(self, indices)

    monkeypatch.setattr(decord.VideoReader, "get_batch", fail_later)
    numbers, times = read(plain, backend="decord", batch_size=10)
    assert numbers == ALL
    assert all(np.diff(times) > 0)


def test_memory_does_not_grow_with_the_video(folder):
    pytest.importorskip("resource", reason="Windows has no such count of memory")
    short = numbered_video(folder / "short.mp4", 300, size=(640, 360), keyframe_every=50)
    long = repeat_clip(short, folder / "long.mp4", 10)
    assert _peak_memory(long, 3000) <= 1.05 * _peak_memory(short, 300)


def _peak_memory(clip: Path, count: int) -> int:
    script = f"""
import resource
from pack.clip_drift.video import open_frames
with open_frames({str(clip)!r}, 224) as stream:
    assert sum(len(batch.times) for batch in stream) == {count}
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    command = [sys.executable, "-c", script]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


# --- pictures in memory ---


def test_images_are_read_like_a_video():
    images = torch.stack([torch.from_numpy(numbered(i)) for i in range(10)]).float() / 255
    batches = list(frames_from_images(images, SIZE, fps=25, crop="stretch", batch_size=4))
    assert [len(batch.frames) for batch in batches] == [4, 4, 2]
    assert [number_in(f.numpy()) for batch in batches for f in batch.frames] == list(range(10))
    times = [t for batch in batches for t in batch.times]
    assert times == pytest.approx([i / 25 for i in range(10)])


def test_images_are_sampled_by_their_rate():
    images = torch.rand(10, 20, 30, 4)
    (batch,) = frames_from_images(images, 16, fps=10, sample_fps=5, max_frames=3)
    assert batch.times == pytest.approx([0, 0.2, 0.4])
    assert [b.times for b in frames_from_images(images, 16, max_frames=2)] == [[0.0, 1.0]]
    assert frames_from_images(images, 16, fps=10, sample_fps=5).total == 5


def test_images_that_are_none():
    with pytest.raises(DriftError, match="batch of shape"):
        frames_from_images(torch.rand(20, 30, 3), 16)
    with pytest.raises(DriftError, match="batch of shape"):
        frames_from_images(torch.rand(0, 20, 30, 3), 16)
    with pytest.raises(DriftError, match="sample_fps"):
        frames_from_images(torch.rand(2, 20, 30, 3), 16, sample_fps=2)
