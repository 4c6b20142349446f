"""How near video → drift comes to decoding alone and encoding alone, and how flat its memory is.

Everything is measured side by side in one run, in turns, so that a busy machine slows all alike.
"""

import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib import util
from pathlib import Path

import av
import numpy as np
import torch

from ...clip_drift.encode import drift_from_video
from ...clip_drift.openclip import OpenClipEncoder
from ...clip_drift.openclip.library import quiet
from ...clip_drift.video import open_frames
from ..rig.clips import repeat_clip, write_clip

_ROUNDS = 2
_FRAMES = 300
_BATCH = 16
_ENCODED = 2 * _BATCH  # on a CPU the encoder is the slow part


def measure(rounds: int = _ROUNDS) -> dict[str, float]:
    """Measure and return.

    Returns:
        `decode_s`, `encode_s`, `drift_s`: medians over 32 frames of a clip of 1280×720,
        H.264, encoded by a ViT-L-14 (what the example workflows use) of random weights.
        `drift_over_slower`: drift_s / max(decode_s, encode_s); the target is at most 1.15.
        `overlap_over_slower`: the same ratio with an encoder that waits as long as decoding takes
            (as a GPU would make it); the target is the same.
        `memory_long_over_short`: peak memory of reading and embedding a clip ten times as long,
        as a ratio; the target is at most 1.05.
        `decoder_fps`: PyAV decoding without resizing, the floor.
        `pyav_fps`, `decord_fps`: frames per second, resized to 224 (decord only if installed).
    """
    with tempfile.TemporaryDirectory() as folder:
        clip = _make_clip(Path(folder) / "clip.mp4")
        long = repeat_clip(clip, Path(folder) / "long.mp4", 10)
        result = _speed(clip, rounds) | _overlap(long, rounds) | _backends(clip, rounds)
        result["memory_long_over_short"] = _peak_memory(long) / _peak_memory(clip)
    return result


def _speed(clip: Path, rounds: int) -> dict[str, float]:
    import open_clip  # heavy: not in the children, whose memory is measured

    torch.manual_seed(0)
    with quiet():
        model = open_clip.create_model("ViT-L-14")
    encoder = OpenClipEncoder("random", model, torch.float32)
    batch = torch.randint(0, 256, (_BATCH, encoder.size, encoder.size, 3), dtype=torch.uint8)
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


class _Elsewhere:
    """Stands for an encoder on a GPU: for a while, it waits and needs none of this processor."""

    name, size = "elsewhere", 224

    def __init__(self, seconds_a_batch: float):
        self._seconds = seconds_a_batch

    def encode(self, pixels):
        time.sleep(self._seconds)
        return pixels[:, ::28, ::28].flatten(1) + 1.0


def _overlap(clip: Path, rounds: int) -> dict[str, float]:
    """On the long clip, decoding and encoding equally long: the hardest case for doing both."""

    def decode():
        with open_frames(clip, _Elsewhere.size, batch_size=_BATCH) as frames:
            for _ in frames:
                pass

    batches = math.ceil(10 * _FRAMES / _BATCH)
    ratios = []
    for _ in range(rounds):
        decoding = _seconds(decode)
        encoder = _Elsewhere(decoding / batches)
        drift = partial(drift_from_video, clip, encoder, batch_size=_BATCH)
        ratios.append(_seconds(drift) / decoding)
    return {"overlap_over_slower": statistics.median(ratios)}


def _backends(clip: Path, rounds: int) -> dict[str, float]:
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


def _medians(jobs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each job, all jobs run in turns."""
    seconds = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            seconds[name].append(_seconds(job))
    return {name: statistics.median(values) for name, values in seconds.items()}


def _seconds(job: Callable[[], object]) -> float:
    begun = time.perf_counter()
    job()
    return time.perf_counter() - begun


def _make_clip(path: Path) -> Path:
    """A textured picture that pans, as hard to decode as a handheld shot."""
    height, width = 720, 1280
    coarse = np.random.default_rng(0).integers(0, 256, (160, 240, 3), dtype=np.uint8)
    wide = coarse.repeat(8, axis=0).repeat(8, axis=1)
    views = (wide[i : i + height, 2 * i : 2 * i + width].copy() for i in range(_FRAMES))
    return write_clip(path, views, 30, options={"preset": "veryfast", "g": "60"})


def _peak_memory(clip: Path) -> int:
    """Peak resident memory of a process of its own that makes a drift of `clip`."""
    command = [sys.executable, "-m", __name__, str(clip)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _print_peak_memory(clip: str) -> None:
    """In the child: an encoder that costs no time, so that reading is at its fastest."""
    import resource  # which Windows lacks

    drift_from_video(clip, _Elsewhere(0.0))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":  # only as the child of _peak_memory
    _print_peak_memory(sys.argv[1])
