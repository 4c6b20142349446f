"""run.py: set-up steps that resume, errors that say what to do. Nothing is installed here."""

import importlib.util
from pathlib import Path

import pytest
from pack.workshop.rig.paths import REPO


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The script as a module that keeps its files in a temporary folder."""
    spec = importlib.util.spec_from_file_location("run", REPO / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "RUN_DIR", tmp_path)
    monkeypatch.setattr(module, "SETUP_LOG", tmp_path / "setup.log")
    return module


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
        run.set_up(str(tmp_path))


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
