"""How near video → drift comes to decoding alone and encoding alone, and how flat its memory is.

Everything is measured side by side in one run, in turns, so that a busy machine slows all alike.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import util
from pathlib import Path

_LIBRARY = Path(__file__).resolve().parent.parent / "clip_drift"
_ROUNDS = 3
_FRAMES = 300
_BATCH = 16
_ENCODED = 6 * _BATCH  # on a CPU the encoder is the slow part


def measure(rounds: int = _ROUNDS) -> dict[str, float]:
    """Measure, print and return.

    Returns:
        ``decode_s``, ``encode_s``, ``drift_s``: medians over 96 frames of a clip of 1280×720,
        H.264, encoded by a ViT-B-32 of random weights in batches of 16.
        ``drift_over_slower``: drift_s / max(decode_s, encode_s); the target is at most 1.15.
        ``memory_long_over_short``: peak memory of reading and embedding a clip ten times as long,
        as a ratio; the target is at most 1.05.
        ``decoder_fps``: PyAV decoding without resizing, the floor.
        ``pyav_fps``, ``decord_fps``: frames a second, resized to 224 (decord only if installed).
    """
    _import_library()
    with tempfile.TemporaryDirectory() as folder:
        clip = _make_clip(Path(folder) / "clip.mp4")
        result = _speed(clip, rounds) | _backends(clip, rounds)
        long = _repeat(clip, Path(folder) / "long.mp4", 10)
        result["memory_long_over_short"] = _peak_memory(long) / _peak_memory(clip)
    for name, value in result.items():
        print(f"{name:24} {value:8.3f}")
    return result


def _speed(clip: Path, rounds: int) -> dict[str, float]:
    import open_clip
    import torch

    from clip_drift.encode import drift_from_video
    from clip_drift.openclip import OpenClipEncoder
    from clip_drift.video import open_frames

    torch.manual_seed(0)
    encoder = OpenClipEncoder("random", open_clip.create_model("ViT-B-32"), torch.float32)
    batch = torch.rand(_BATCH, encoder.size, encoder.size, 3)
    how = {"max_frames": _ENCODED, "batch_size": _BATCH}

    def decode():
        with open_frames(clip, encoder.size, **how) as frames:
            for _ in frames:
                pass

    def encode():
        for _ in range(_ENCODED // _BATCH):
            encoder.encode(batch)

    def drift():
        drift_from_video(clip, encoder, **how)

    encoder.encode(batch)  # the first call prepares kernels
    seconds = _medians({"decode_s": decode, "encode_s": encode, "drift_s": drift}, rounds)
    slower = max(seconds["decode_s"], seconds["encode_s"])
    return seconds | {"drift_over_slower": seconds["drift_s"] / slower}


def _backends(clip: Path, rounds: int) -> dict[str, float]:
    import av

    from clip_drift.video import open_frames

    def decoder_alone():
        with av.open(clip) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for _ in container.decode(stream):
                pass

    def read_with(backend: str):
        with open_frames(clip, 224, backend=backend) as frames:
            for _ in frames:
                pass

    jobs = {"decoder_fps": decoder_alone, "pyav_fps": lambda: read_with("pyav")}
    if util.find_spec("decord"):
        jobs["decord_fps"] = lambda: read_with("decord")
    return {name: _FRAMES / seconds for name, seconds in _medians(jobs, rounds).items()}


def _medians(jobs: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Median seconds of each job, all jobs run in turns."""
    seconds = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            begun = time.perf_counter()
            job()
            seconds[name].append(time.perf_counter() - begun)
    return {name: statistics.median(values) for name, values in seconds.items()}


def _make_clip(path: Path) -> Path:
    """A textured picture that pans, as hard to decode as a handheld shot."""
    import av
    import numpy as np

    height, width = 720, 1280
    coarse = np.random.default_rng(0).integers(0, 256, (160, 240, 3), dtype=np.uint8)
    wide = coarse.repeat(8, axis=0).repeat(8, axis=1)
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = 60
        for i in range(_FRAMES):
            view = np.ascontiguousarray(wide[i : i + height, 2 * i : 2 * i + width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(view, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def _repeat(source: Path, target: Path, times: int) -> Path:
    """The same packets over and over."""
    import av

    with av.open(source) as reader, av.open(target, "w") as writer:
        stream = reader.streams.video[0]
        length = stream.duration
        packets = [packet for packet in reader.demux(stream) if packet.dts is not None]
        copy = writer.add_stream_from_template(stream)
        for _ in range(times):
            for packet in packets:
                packet.stream = copy
                writer.mux(packet)
                packet.stream = stream
                packet.pts += length
                packet.dts += length
    return target


def _peak_memory(clip: Path) -> int:
    """Peak resident memory of a process of its own that makes a drift of ``clip``."""
    command = [sys.executable, __file__, "--peak-memory", str(clip)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _print_peak_memory(clip: str) -> None:
    """In the child: an encoder that costs no time, so that reading is at its fastest."""
    import resource

    _import_library()
    from clip_drift.encode import drift_from_video

    class Small:
        name, size = "small", 224

        def encode(self, pixels):
            return pixels[:, ::28, ::28].flatten(1) + 1e-3

    drift_from_video(clip, Small())
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _import_library() -> None:
    """Import clip_drift by its place: the repository's ``nodes`` must not hide ComfyUI's."""
    if "clip_drift" in sys.modules:
        return
    spec = util.spec_from_file_location(
        "clip_drift", _LIBRARY / "__init__.py", submodule_search_locations=[str(_LIBRARY)]
    )
    module = util.module_from_spec(spec)
    sys.modules["clip_drift"] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak-memory"]:
        _print_peak_memory(sys.argv[2])
    else:
        measure()
