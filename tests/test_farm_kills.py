"""Workers, their ComfyUIs and the command killed in the middle, with a stand-in for ComfyUI that
starts at once; tests/test_render.py does the same with the real one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pack.farm.cli import main
from pack.farm.folder import RenderFolder
from pack.farm.local import Installation, LocalServer
from pack.farm.workers import LocalWorker
from pack.tests import fake_comfyui
from pack.tests.fake_comfyui import FRAMES, picture, workflow
from pack.tests.ray_cluster import two_cores

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kills by Linux's signals")


@pytest.fixture(autouse=True)
def comfyui(tmp_path, monkeypatch) -> Path:
    source = tmp_path / "ComfyUI"
    source.mkdir()
    shutil.copy(fake_comfyui.__file__, source / "main.py")
    monkeypatch.setenv("COMFYUI_PATH", str(source))
    monkeypatch.setattr("pack.farm.local.has_gpu", lambda: False)
    return source


@pytest.fixture
def arguments(tmp_path) -> list[str]:
    path = tmp_path / "workflow.json"
    path.write_text(json.dumps(workflow()))
    return ["render", str(path), "--out", str(tmp_path / "out"), "--no-video"]


def drawn(tmp_path: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((tmp_path / "out").glob("frame_*.png"))]


WHOLE = [picture(i) for i in range(FRAMES)]


def after_frames(monkeypatch, kills: dict[int, object]):
    """Call something once so many frames are kept."""
    kept = RenderFolder.keep

    def keep(self, frames):
        kept(self, frames)
        for count in [count for count in kills if len(self.require_manifest().frames) >= count]:
            kills.pop(count)()

    monkeypatch.setattr(RenderFolder, "keep", keep)


def test_comfyui_killed_is_started_again(arguments, tmp_path, monkeypatch):
    servers = []

    class Remembered(LocalWorker):
        def __init__(self, *given):
            super().__init__(*given)
            servers.append(self.server)

    monkeypatch.setattr("pack.farm.cli.LocalWorker", Remembered)
    kill = lambda: os.kill(servers[0].pid, signal.SIGKILL)  # noqa: E731
    after_frames(monkeypatch, {4: kill, 12: kill})
    assert main([*arguments, "--chunk", "2"]) == 0
    assert drawn(tmp_path) == WHOLE
    assert not servers[0].is_running()


def test_comfyui_ends_with_the_process_that_started_it(comfyui, tmp_path):
    script = (
        "import sys, time; from pathlib import Path; from pack.farm import local\n"
        "server = local.LocalServer(Path(sys.argv[1]), local.find_installation(), tied=True)\n"
        "server.start(); print(server.pid, flush=True); time.sleep(600)"
    )
    program = [sys.executable, "-c", script, str(tmp_path / "work")]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        pid = int(process.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        process.kill()
    await_true(lambda: not is_alive(pid))


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def await_true(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_comfyui_that_ends_at_once_is_reported_with_its_log(comfyui, tmp_path):
    (comfyui / "main.py").write_text("raise SystemExit('no torch here')")
    server = LocalServer(tmp_path / "work", Installation(comfyui, comfyui, None))
    with pytest.raises(Exception, match="no torch here"):
        server.start()


def test_the_command_killed_goes_on(arguments, tmp_path):
    program = [sys.executable, "-m", "pack.farm", *arguments, "--chunk", "1"]
    for least in (3, 8):
        with subprocess.Popen(program, stderr=subprocess.DEVNULL) as process:
            await_true(lambda least=least: len(drawn(tmp_path)) >= least)
            process.kill()
        assert len(drawn(tmp_path)) < FRAMES
    assert main(arguments) == 0
    assert drawn(tmp_path) == WHOLE


@pytest.fixture
def two_workers(monkeypatch):
    """Two actors of a cluster on this machine, as the command opens them."""
    from pack.farm import ray_workers

    opened = []
    make = ray_workers.open_ray_workers
    monkeypatch.setattr(
        ray_workers, "open_ray_workers", lambda *given: opened.extend(make(*given)) or opened
    )
    with two_cores(monkeypatch):
        yield opened


def test_workers_and_their_comfyuis_killed(arguments, tmp_path, monkeypatch, two_workers):
    def kill(worker: int, which: int):
        return lambda: os.kill(two_workers[worker].pids()[which], signal.SIGKILL)

    after_frames(monkeypatch, {2: kill(0, 0), 6: kill(1, 1), 12: kill(1, 0), 16: kill(0, 1)})
    assert main([*arguments, "--ray", "--workers", "2", "--chunk", "1"]) == 0
    assert drawn(tmp_path) == WHOLE
    assert main([*arguments, "--ray", "--workers", "3", "--again"]) == 1
