"""Two workers, a driver and their ComfyUIs, killed at random and resumed: the same frames?"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import psutil

from ...farm.folder import MANIFEST
from ..rig.prompts import mini_frames
from .memory import LOOK_SECONDS, Memory

MARK = "CLIP_DRIFT_SOAK"
"""A variable that only processes of this soak have."""
KINDS = ("worker", "server", "driver")
STARTS = 20
KILLED_WITHIN = 0.7
"""The share of the frames in which killing takes place; in the rest, memory has time to be flat."""


class Soak:
    """A long render on one machine and by two workers, in `out`; what is done there is kept."""

    def __init__(self, out: Path, frames: int, steps: int, chunk: int):
        out.mkdir(parents=True, exist_ok=True)
        self._frames, self._chunk = frames, chunk
        self._workflow = out / "workflow.json"
        self._one, self._many = out / "one", out / "many"
        self._kills = out / "kills.txt"
        self._memory = Memory(out / "memory.csv")
        self._environment = {**os.environ, MARK: str(os.getpid()), "RAY_worker_niceness": "0"}
        self._workflow.write_text(json.dumps(mini_frames(frames, steps=steps)), encoding="utf-8")

    def run(self, kills: int, seed: int) -> int:
        """Render both ways; the number of frames that differ."""
        started = time.monotonic()
        assert self._watch([*self._render(self._one), "--chunk", "50"], "alone: ") == 0
        print(f"one machine: {time.monotonic() - started:.0f} s", flush=True)
        with self._cluster():
            self._render_and_kill(self._places(kills, seed), Random(seed))
        print("\n".join(self._memory.report()))
        names = sorted(path.name for path in self._one.glob("frame_*.png"))
        assert len(names) == self._frames
        differ = [name for name in names if not _equal(self._one / name, self._many / name)]
        print(f"killed: {dict(Counter(self._killed()))}; {len(names)} frames, {len(differ)} differ")
        return len(differ)

    def _places(self, kills: int, seed: int) -> list[float]:
        """After how many frames to kill: each at a random place of its own share of them."""
        random, share = Random(seed), KILLED_WITHIN * self._frames / max(kills, 1)
        return [(i + random.uniform(0.2, 0.8)) * share for i in range(kills)]

    def _render_and_kill(self, places: list[float], random: Random) -> None:
        """Call the command until all is done."""
        command = [*self._render(self._many), "--chunk", str(self._chunk), "--ray", "auto"]
        calls, code = 0, None
        while code != 0:
            calls += 1
            code = self._watch([*command, "--workers", "2"], "", places, random)
            assert code in (0, -signal.SIGKILL), f"the driver ended: {code}"
        print(f"{calls} calls")

    def _watch(self, command: list[str], prefix: str, places=(), random: Random | None = None):
        """Run the command, note its processes' memory, kill where it is due; its exit code."""
        with subprocess.Popen(command, env=self._environment) as driver:
            while driver.poll() is None:
                time.sleep(LOOK_SECONDS)
                processes = list(self._processes(driver.pid))
                for name, process in processes:
                    self._memory.note(prefix + name, process)
                done, killed = self._done(), len(self._killed())
                if killed < len(places) and done >= places[killed]:
                    self._kill(processes, random, done)
        return driver.returncode

    def _kill(self, processes: list, random: Random, done: int) -> None:
        kind = random.choice(KINDS)
        victims = [process for name, process in processes if name == kind]
        if not victims:
            return
        random.choice(victims).send_signal(signal.SIGKILL)
        with self._kills.open("a", encoding="utf-8") as file:
            file.write(f"{kind}\n")
        print(f"killed a {kind} at frame {done}", flush=True)

    def _killed(self) -> list[str]:
        return self._kills.read_text(encoding="utf-8").split() if self._kills.exists() else []

    def _done(self) -> int:
        there = (self._many / MANIFEST).exists()
        return sum(1 for _ in self._many.glob("frame_*.png")) if there else 0

    def _render(self, out: Path) -> list[str]:
        program = [sys.executable, "-m", f"{__package__.rpartition('.workshop')[0]}.farm", "render"]
        return [*program, str(self._workflow), "--out", str(out), "--no-video"]

    @contextmanager
    def _cluster(self) -> Iterator[None]:
        """Ray on this machine."""
        ray = str(Path(sys.executable).with_name("ray"))
        start = [ray, "start", "--head", "--num-cpus", "2", "--include-dashboard", "false"]
        start += ["--port", "0", "--disable-usage-stats"]
        try:
            for _ in range(STARTS):  # on a busy machine its processes miss their own deadlines
                started = subprocess.run(start, env=self._environment, stdout=subprocess.DEVNULL)
                if started.returncode == 0:
                    break
                self._end_cluster()
            started.check_returncode()
            yield
        finally:
            self._end_cluster()

    def _end_cluster(self) -> None:
        for process in self._marked():
            process.kill()

    def _processes(self, driver: int) -> Iterator[tuple[str, psutil.Process]]:
        """The driver, the workers that serve it and their ComfyUIs."""
        for process in self._marked():
            try:
                words = process.cmdline()
            except psutil.Error:
                continue
            if process.pid == driver:
                yield "driver", process
            elif words and words[0].startswith("ray::ComfyActor"):
                yield "worker", process
            elif any(word.endswith("main.py") for word in words):
                yield "server", process

    def _marked(self) -> Iterator[psutil.Process]:
        """The processes of this soak, and nobody else's."""
        for process in psutil.process_iter():
            try:
                ours = process.environ().get(MARK) == self._environment[MARK]
            except (psutil.Error, OSError):
                continue
            if ours and process.pid != os.getpid():
                yield process


def _equal(one: Path, other: Path) -> bool:
    return other.exists() and one.read_bytes() == other.read_bytes()
