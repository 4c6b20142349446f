"""Render for long by two workers that are killed again and again, or read a film of hours.

python -m pack.workshop.soak frames --out FOLDER [--frames 2000] [--kills 10] [--seed 1]
python -m pack.workshop.soak film --out FOLDER [--hours 2]

`frames` renders with Mini Kandinsky: first on one ComfyUI, then by two workers of Ray. One of them,
its ComfyUI or the driver is killed, at random, as often as told; a killed driver is called again.
Every frame has to be equal. `film` makes a film by repeating a clip's packets, and reads it by
Video → CLIP Drift. Both write memory.csv (seconds, what, MiB) and say how flat it is.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from random import Random

import psutil

from ..farm.client import node
from ..farm.folder import MANIFEST
from .rig.clips import repeat_clip, sample_clip
from .rig.prompts import mini_frames
from .rig.server import ComfyServer

MARK = "CLIP_DRIFT_SOAK"
"""A variable that only processes of this soak have."""
LOOK_SECONDS = 2.0


class Memory:
    """Writes what processes hold, by the name of what they are."""

    def __init__(self, path: Path):
        self._file = path.open("w", newline="", encoding="utf-8")
        self._rows = csv.writer(self._file)
        self._started = time.monotonic()
        self.held: dict[str, list[float]] = {}

    def note(self, name: str, process: psutil.Process) -> None:
        """Write the process's resident memory, if it is still there."""
        try:
            mib = process.memory_info().rss / 2**20
        except psutil.NoSuchProcess:
            return
        self.held.setdefault(name, []).append(mib)
        self._rows.writerow([f"{time.monotonic() - self._started:.0f}", name, f"{mib:.0f}"])
        self._file.flush()

    def report(self) -> None:
        """Say how each kind of process grew: the median of the last third over that of the second
        (the first third is starting)."""
        for name, values in sorted(self.held.items()):
            third = max(len(values) // 3, 1)
            middle = statistics.median(values[third : 2 * third] or values)
            last = statistics.median(values[-third:])
            print(
                f"{name}: largest {max(values):.0f} MiB, last third / middle third "
                f"{last / middle:.3f} ({len(values)} looks)"
            )


# --- Frames ---------------------------------------------------------------------------------------


def soak_frames(options: argparse.Namespace) -> int:
    """Render, kill, resume, compare; the number of frames that differ."""
    options.out.mkdir(parents=True, exist_ok=True)
    workflow = options.out / "workflow.json"
    prompt = mini_frames(options.frames, steps=options.steps)
    workflow.write_text(json.dumps(prompt), encoding="utf-8")
    one, many = options.out / "one", options.out / "many"
    started = time.monotonic()
    subprocess.run([*_render(workflow, one), "--chunk", "50"], check=True)
    print(f"one machine: {time.monotonic() - started:.0f} s", flush=True)
    killed = _killed_render(options, workflow, many)
    names = sorted(path.name for path in one.glob("frame_*.png"))
    differ = [name for name in names if (one / name).read_bytes() != _read(many / name)]
    print(f"killed: {dict(killed)}; {len(names)} frames, {len(differ)} differ")
    assert len(names) == options.frames
    return len(differ)


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _render(workflow: Path, out: Path) -> list[str]:
    program = [sys.executable, "-m", f"{__package__.rpartition('.')[0]}.farm", "render"]
    return [*program, str(workflow), "--out", str(out), "--no-video"]


def _killed_render(options: argparse.Namespace, workflow: Path, out: Path) -> Counter[str]:
    """Render by two workers until all is done, killing on the way; how often what was killed."""
    random, killed = Random(options.seed), Counter()
    memory = Memory(options.out / "memory.csv")
    environment = {**os.environ, MARK: str(os.getpid()), "RAY_worker_niceness": "0"}
    ray = str(Path(sys.executable).with_name("ray"))
    start = [ray, "start", "--head", "--num-cpus", "2", "--include-dashboard", "false"]
    start += ["--port", "0", "--disable-usage-stats"]
    command = [*_render(workflow, out), "--chunk", str(options.chunk), "--ray", "auto"]
    subprocess.run(start, env=environment, check=True, stdout=subprocess.DEVNULL)
    try:
        calls = 0
        due = _Due(random, options)
        while True:
            calls += 1
            with subprocess.Popen([*command, "--workers", "2"], env=environment) as driver:
                while driver.poll() is None:
                    time.sleep(LOOK_SECONDS)
                    processes = _ours(driver.pid)
                    for name, process in processes:
                        memory.note(name, process)
                    if due.is_due(_done(out), sum(killed.values())):
                        name = random.choice(("worker", "server", "driver"))
                        victims = [process for kind, process in processes if kind == name]
                        if victims:
                            random.choice(victims).send_signal(signal.SIGKILL)
                            killed[name] += 1
                            print(f"killed a {name} at frame {_done(out)}", flush=True)
            if driver.returncode == 0:
                break
            assert driver.returncode == -signal.SIGKILL, f"the driver ended: {driver.returncode}"
        print(f"{calls} calls")
    finally:
        _end_ours(environment)
    memory.report()
    return killed


class _Due:
    """Spreads the kills over the frames: each at a random place of its own share of them."""

    def __init__(self, random: Random, options: argparse.Namespace):
        share = options.frames / max(options.kills, 1)
        self._at = [(i + random.uniform(0.2, 0.8)) * share for i in range(options.kills)]

    def is_due(self, done: int, killed: int) -> bool:
        return killed < len(self._at) and done >= self._at[killed]


def _done(out: Path) -> int:
    return sum(1 for _ in out.glob("frame_*.png")) if (out / MANIFEST).exists() else 0


def _ours(driver: int) -> list[tuple[str, psutil.Process]]:
    """The driver, the workers that serve it and their ComfyUIs."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) != str(os.getpid()):
                continue
            words = process.cmdline()
        except (psutil.Error, OSError):
            continue
        if process.pid == driver:
            found.append(("driver", process))
        elif words and words[0].startswith("ray::ComfyActor"):
            found.append(("worker", process))
        elif any(word.endswith("main.py") for word in words):
            found.append(("server", process))
    return found


def _end_ours(environment: dict[str, str]) -> None:
    """End the cluster that this soak started, and nobody else's."""
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == environment[MARK]:
                process.kill()
        except (psutil.Error, OSError):
            continue


# --- A film ---------------------------------------------------------------------------------------


def soak_film(options: argparse.Namespace) -> int:
    """Read a film of hours by Video → CLIP Drift, and save its drift."""
    options.out.mkdir(parents=True, exist_ok=True)
    memory = Memory(options.out / "memory.csv")
    with ComfyServer(options.out / "comfyui") as server:
        clip = sample_clip(options.out / "clip.mp4", seconds=10, fps=24, size=(384, 256))
        film = repeat_clip(clip, server.input_dir / "film.mp4", round(options.hours * 360))
        print(
            f"a film of {options.hours:g} hours, {film.stat().st_size / 2**20:.0f} MiB", flush=True
        )
        prompt = mini_frames(2, clip=film.name)
        graph = {name: prompt[name] for name in ("encoder", "video", "drift")}
        graph["drift"]["inputs"] |= {"sample_fps": options.fps, "max_frames": 0}
        graph["saved"] = node("ClipDriftSave", drift=["drift", 0], filename_prefix="film")
        stopped = threading.Event()
        watch = threading.Thread(target=_watch, args=(server.pid, memory, stopped))
        watch.start()
        started = time.monotonic()
        try:
            server.run(graph, timeout=24 * 3600)
        finally:
            stopped.set()
            watch.join()
        seconds = time.monotonic() - started
        (drift,) = server.output_dir.glob("film*.safetensors")
        print(f"read in {seconds:.0f} s; the drift file has {drift.stat().st_size / 2**20:.1f} MiB")
    memory.report()
    return 0


def _watch(pid: int, memory: Memory, stopped: threading.Event) -> None:
    process = psutil.Process(pid)
    while not stopped.wait(LOOK_SECONDS):
        memory.note("server", process)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    frames = commands.add_parser("frames")
    frames.add_argument("--frames", type=int, default=2000)
    frames.add_argument("--kills", type=int, default=10)
    frames.add_argument("--chunk", type=int, default=8)
    frames.add_argument("--steps", type=int, default=4)
    frames.add_argument("--seed", type=int, default=1)
    film = commands.add_parser("film")
    film.add_argument("--hours", type=float, default=2.0)
    film.add_argument("--fps", type=float, default=1.0, help="frames that are read per second")
    for each in (frames, film):
        each.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    return {"frames": soak_frames, "film": soak_film}[options.command](options)


if __name__ == "__main__":
    sys.exit(main())
