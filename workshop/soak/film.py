"""A film of hours through Video → CLIP Drift, and what its server holds meanwhile."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import psutil

from ...farm.client import node
from ..rig.clips import repeat_clip, sample_clip
from ..rig.prompts import mini_frames
from ..rig.server import ComfyServer
from .memory import LOOK_SECONDS, Memory

CLIP_SECONDS = 10
DAY = 24 * 3600


def read_film(out: Path, hours: float, fps: float) -> None:
    """Make a film by repeating a clip's packets, read `fps` frames of each second of it, and save
    its drift."""
    out.mkdir(parents=True, exist_ok=True)
    memory = Memory(out / "memory.csv")
    with ComfyServer(out / "comfyui") as server:
        clip = sample_clip(out / "clip.mp4", seconds=CLIP_SECONDS, fps=24, size=(384, 256))
        times = round(hours * 3600 / CLIP_SECONDS)
        film = repeat_clip(clip, server.input_dir / "film.mp4", times)
        print(f"a film of {hours:g} hours, {film.stat().st_size / 2**20:.0f} MiB", flush=True)
        started = time.monotonic()
        with _Watch(server.pid, memory):
            server.run(_reading(film.name, fps), timeout=DAY)
        seconds = time.monotonic() - started
        (drift,) = server.output_dir.glob("film*.safetensors")
        print(f"read in {seconds:.0f} s; the drift file has {drift.stat().st_size / 2**20:.1f} MiB")
    print("\n".join(memory.report()))


def _reading(film: str, fps: float) -> dict:
    prompt = mini_frames(2, clip=film)
    graph = {name: prompt[name] for name in ("encoder", "video", "drift")}
    graph["drift"]["inputs"] |= {"sample_fps": fps, "max_frames": 0}
    graph["saved"] = node("ClipDriftSave", drift=["drift", 0], filename_prefix="film")
    return graph


class _Watch:
    """Notes a process's memory by a thread of its own; a context manager."""

    def __init__(self, pid: int, memory: Memory):
        self._process = psutil.Process(pid)
        self._memory = memory
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self):
        self._thread.start()

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()

    def _look(self):
        while not self._ended.wait(LOOK_SECONDS):
            self._memory.note("server", self._process)
