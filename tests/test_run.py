"""run.py: set-up steps that resume, errors that say what to do. Nothing is installed here."""

import io
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pack import run as script
from pack.workshop.rig.paths import RUN_DIR


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The script as a module that keeps its files in a temporary folder."""
    monkeypatch.setattr(script, "RUN_DIR", tmp_path)
    monkeypatch.setattr(script, "SETUP_LOG", tmp_path / "setup.log")
    return script


def test_step_runs_once_for_the_same_inputs(run):
    calls = []
    for inputs in (["a"], ["a"], ["b"], ["b"]):
        run.step("name", "something", inputs, lambda seen=inputs: calls.append(seen))
    assert calls == [["a"], ["b"]]


def test_interrupted_step_is_done_again(run):
    calls = []

    def interrupted():
        calls.append("interrupted")
        raise KeyboardInterrupt

    run.step("name", "something", ["a"], lambda: calls.append("a"))
    with pytest.raises(KeyboardInterrupt):
        run.step("name", "something", ["b"], interrupted)
    run.step("name", "something", ["a"], lambda: calls.append("a again"))
    assert calls == ["a", "interrupted", "a again"]


@pytest.mark.parametrize("version", [(2, 7), (3, 9)])
def test_old_python_is_refused(run, version):
    with pytest.raises(run.SetupError, match=r"Python 3\.10 or newer is needed, but this is"):
        run.require_python(version)


@pytest.mark.parametrize("version", [(3, 10), (3, 14)])
def test_new_python_is_accepted(run, version):
    run.require_python(version)


def test_comfyui_path_without_comfyui_is_refused(run, tmp_path):
    with pytest.raises(run.SetupError, match=r"no main\.py"):
        run.set_up(str(tmp_path), [])


def fake_pip(run, monkeypatch, tmp_path: Path, output: str):
    """Let the environment's Python be a program that fails with the given output."""
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\necho '{output}'\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(run, "venv_program", lambda name: str(program))


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("ERROR: No matching distribution found for torch", "cannot reach a package index"),
        ("ERROR: No space left on device", "pip install failed .*No space left on device"),
    ],
)
def test_pip_failures_are_told_apart(run, monkeypatch, tmp_path, output, message):
    fake_pip(run, monkeypatch, tmp_path, output)
    with pytest.raises(run.SetupError, match=message):
        run.pip("install", "torch")
    assert output in run.SETUP_LOG.read_text()


def test_link_follows_a_moved_repository(run, tmp_path):
    link, old, new = (tmp_path / name for name in ("link", "old", "new"))
    old.mkdir()
    new.mkdir()
    for target in (old, old, new):
        run.link_folder(link, target)
        assert link.samefile(target)


def test_unknown_command_shows_the_usage(run, capsys):
    assert run.main(["paint"]) == 2
    assert "python3 run.py demo" in capsys.readouterr().out


# --- Layers ---------------------------------------------------------------------------------------


@pytest.fixture
def installed(run, tmp_path, monkeypatch):
    """The files that each call of `set_up` installs, by name of their folder."""
    calls = []
    (tmp_path / "main.py").touch()
    (tmp_path / "requirements.txt").write_text("torch\n")
    for name in ("make_venv", "make_base", "make_importable"):
        monkeypatch.setattr(run, name, lambda: None)
    monkeypatch.setattr(run, "install", lambda files: calls.append([f.parent.name for f in files]))

    def set_up(command: str) -> list[list[str]]:
        calls.clear()
        run.set_up(str(tmp_path), run.LAYERS[command])
        return list(calls)

    return set_up


def test_the_demo_does_not_install_what_only_tests_need(run, installed, tmp_path):
    shared = [tmp_path.name, run.REPO.name]
    assert installed("demo") == [shared]
    assert installed("serve") == []
    assert installed("test") == [[*shared, "tests"]]
    assert installed("bench") == installed("demo") == []


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("demo", "about 3.4 GB to download and 6.5 GB on disk"),
        ("test", "about 3.7 GB to download and 7.3 GB on disk"),
    ],
)
def test_size_and_time_are_said_before_and_once(run, installed, capsys, command, says):
    installed(command)
    first = capsys.readouterr().out.splitlines()[0]
    assert says in first
    assert "minutes" in first
    installed(command)
    assert capsys.readouterr().out == ""


# --- Progress -------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


PIP_SAYS = [
    "Collecting einops (from -r requirements.txt)",
    "  Downloading einops-0.8.2-py3-none-any.whl (65 kB)",
    "Requirement already satisfied: numpy",
    "Installing collected packages: einops, torch",
]


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_progress_is_one_line_that_moves_or_few_lines(run, stream):
    with run.Progress(stream, seconds=0.05) as progress:
        for line in PIP_SAYS[:2]:
            progress.heard(line.strip())
        assert progress.text().endswith(
            "· 1 packages · Downloading einops-0.8.2-py3-none-any.whl (65 kB)"
        )
        for line in PIP_SAYS[2:]:
            progress.heard(line.strip())
        time.sleep(0.3)
    shown = stream.getvalue()
    assert "Installing all" in shown
    if stream.isatty():
        assert "\n" not in shown
        assert shown.count("\r") >= 3
        assert shown.endswith(f"{' ' * run.Progress.WIDTH}\r")  # nothing stays
    else:
        assert "\r" not in shown
    assert run.Progress(io.StringIO())._seconds == 30


# --- Ending ---------------------------------------------------------------------------------------

# Stands for ComfyUI: answers /object_info, and leaves a file while it lives.
COMFYUI = """
import http.server, json, os, signal, sys

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

open(os.environ["PID_FILE"], "w").write(str(os.getpid()))
port = int(sys.argv[sys.argv.index("--port") + 1])
http.server.HTTPServer(("127.0.0.1", port), Answer).serve_forever()
"""
SERVE = """
import sys
from pathlib import Path
from pack import run
run.program = lambda command: [sys.executable, "-m", "pack.workshop.rig.server"]
sys.exit(run.run_command("serve", ["--port", sys.argv[1]], Path(sys.argv[2])))
"""
NO_GPU = """
class cuda:
    is_available = staticmethod(lambda: False)
class backends:
    mps = cuda
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals to send")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_signal_to_serve_ends_comfyui(tmp_path, name):
    (tmp_path / "main.py").write_text(COMFYUI)
    (tmp_path / "torch.py").write_text(NO_GPU)  # what serve asks of it
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    paths = [str(tmp_path), str(RUN_DIR / "import")]
    environment = {
        **os.environ,
        "PID_FILE": str(tmp_path / "pid"),
        "PYTHONPATH": os.pathsep.join(paths),
    }
    command = [sys.executable, "-c", SERVE, str(port), str(tmp_path)]
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        # A shell starts what runs in its background with SIGINT ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as serve:
        while "CLIP Drift in ComfyUI" not in (line := serve.stdout.readline()):
            assert line, "serve ended by itself"
        child = int((tmp_path / "pid").read_text())
        os.kill(child, 0)  # it lives
        serve.send_signal(getattr(signal, name))
        serve.communicate(timeout=60)
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
