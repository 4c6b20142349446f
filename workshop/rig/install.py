"""Install the pack as users do, into an environment that has ComfyUI alone, and use it there.

    python3 run.py test tests/test_install.py         first: fetches what this needs
    .run/venv/bin/python -m pack.workshop.rig.install [--python PYTHON]

Too slow and too large for every run of the tests: some minutes, and 7 GB in `.run/install-check/`
for each Python. Nothing else is written. In turn: a clone whose requirements are not installed,
ComfyUI Manager installing from a git address, and the same from the registry. The repository is
taken as it is committed. Git host and registry are folders served on this machine: what is proved
is the Manager's own code, not the registry's.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from ...farm.client import NodeError, node
from ...run import TORCH
from . import prompts
from .clips import sample_clip
from .paths import BASE_DIR, PACK, REPO, RUN_DIR, comfyui_path
from .server import ComfyServer

CHECK_DIR = RUN_DIR / "install-check"

# What a fresh ComfyUI does not have; ComfyUI itself requires the rest.
OWN_PACKAGES = ["open_clip_torch", "matplotlib", "decord"]

# In a user's ComfyUI these are large, and the Manager needs none of them.
NOT_COPIED = shutil.ignore_patterns(
    ".git", "*venv*", "models", "input", "output", "temp", "user", "custom_nodes", "blueprints"
)

# cm-cli, asking the registry at the address of the first argument.
CM_CLI = """
import sys
from comfyui_manager.common import cnr_utils
cnr_utils.base_url = sys.argv.pop(1)
import cm_cli
cm_cli.main()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--python", default=sys.executable, help="the Python to install with")
    interpreter = parser.parse_args().python
    version = _output(interpreter, "-c", "import sys; print('.'.join(map(str, sys.version_info)))")
    folder = CHECK_DIR / ".".join(version.split(".")[:3])
    python = folder / "venv/bin/python"
    say(f"an environment with ComfyUI alone, Python {folder.name}")
    make_environment(interpreter, folder / "venv")

    remove_own_packages(python)
    say("a plain clone, without its requirements")
    base = fresh_comfyui(folder / "plain")
    name = "ComfyUI-CLIP-Drift-main"
    run("git", "clone", "--quiet", REPO, base / "custom_nodes" / name)
    use(base, python, name, complete=False)

    say("ComfyUI Manager, from a git address")
    base = fresh_comfyui(folder / "git")
    with served(bare_clone(folder / "host")) as address:
        manager_install(python, base, f"{address}/{PACK}.git")
    use(base, python, PACK, complete=True)

    remove_own_packages(python)
    say("ComfyUI Manager, from the registry")
    base = fresh_comfyui(folder / "registry")
    with registry(folder / "registry-host") as (address, release):
        manager_install(python, base, f"{PACK}@{release}", address)
    use(base, python, PACK, complete=True)
    say("all passed")


def say(line: str):
    print(f"== {line}", flush=True)


def run(*command: str | Path, **options):
    """Run a program; raise CalledProcessError if it fails."""
    subprocess.run([str(part) for part in command], check=True, **options)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _printed(command: list[str], **options) -> tuple[int, str]:
    """A program's exit code, and all that it printed."""
    options |= {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run(command, **options)
    return done.returncode, done.stdout


# --- A fresh ComfyUI ------------------------------------------------------------------------------


def make_environment(interpreter: str, venv: Path):
    """A virtual environment with what ComfyUI and its Manager require, and nothing else."""
    if not venv.exists():
        run(interpreter, "-m", "venv", venv)
    files = [comfyui_path() / name for name in ("requirements.txt", "manager_requirements.txt")]
    options = [option for file in files for option in ("--requirement", file)]
    run(venv / "bin/python", "-m", "pip", "install", "--quiet", *TORCH, *options)


def remove_own_packages(python: Path):
    """Take out again what an earlier installation of the pack has brought."""
    run(python, "-m", "pip", "uninstall", "--quiet", "--yes", *OWN_PACKAGES)


def fresh_comfyui(target: Path) -> Path:
    """A copy of ComfyUI's source without models, outputs and custom nodes."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(comfyui_path(), target, ignore=NOT_COPIED)
    for name in ("custom_nodes", "models", "input", "output", "user"):
        (target / name).mkdir(exist_ok=True)
    return target


# --- What the Manager installs from ---------------------------------------------------------------


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder's files by HTTP on this machine; gives the address."""
    handler = functools.partial(_QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args):
        pass


def bare_clone(folder: Path) -> Path:
    """A folder that holds the repository as a host serves it: FOLDER/clip-drift.git."""
    shutil.rmtree(folder, ignore_errors=True)
    repository = folder / f"{PACK}.git"
    run("git", "clone", "--quiet", "--bare", REPO, repository)
    run("git", "-C", repository, "update-server-info")  # plain files are then enough to clone
    return folder


@contextlib.contextmanager
def registry(folder: Path) -> Iterator[tuple[str, str]]:
    """The registry's answer for one release, the zip that it would serve; gives address, version.

    A stand-in: the real registry cannot be asked for a release before it is published.
    """
    shutil.rmtree(folder, ignore_errors=True)
    answer = folder / "nodes" / PACK / "install"
    answer.parent.mkdir(parents=True)
    release = pack_zip(folder / "pack.zip")
    with served(folder) as address:
        details = {"id": PACK, "version": release, "downloadUrl": f"{address}/pack.zip"}
        answer.write_text(json.dumps(details), encoding="utf-8")
        yield address, release


def pack_zip(target: Path) -> str:
    """Write the zip that publishing would upload, made by comfy-cli itself; returns its version."""
    clone = target.parent / "clone"
    run("git", "clone", "--quiet", REPO, clone)
    comfy(clone, "node", "pack")
    shutil.move(clone / "node.zip", target)
    lines = (clone / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if line.startswith("version")).split('"')[1]


def comfy(folder: Path, *arguments: str) -> str:
    """Run comfy-cli in a folder, its settings kept out of the user's home; returns its output."""
    environment = {**os.environ, "DO_NOT_TRACK": "1", "HOME": str(folder.parent / "home")}
    command = [str(Path(sys.executable).parent / "comfy"), "--skip-prompt", *arguments]
    code, printed = _printed(command, cwd=folder, env=environment)
    if code != 0:
        raise RuntimeError(f"comfy {' '.join(arguments)} failed:\n{printed}")
    return printed


def manager_install(
    python: str | Path, comfyui: Path, what: str, registry_address: str = "http://127.0.0.1:9"
) -> str:
    """Let the Manager's own command line install a pack, requirements included.

    Args:
        python: the environment that the requirements go to; has comfyui_manager.
        comfyui: a ComfyUI source tree; the pack goes to its custom_nodes.
        what: a git address, or NAME@VERSION in the registry.
        registry_address: who is asked for that (the discard port by default: nobody).

    Returns:
        What the Manager printed.
    """
    command = [str(python), "-c", CM_CLI, registry_address, "install", what, "--exit-on-fail"]
    environment = {
        **os.environ,
        "COMFYUI_PATH": str(comfyui),
        "PYTHONPATH": str(comfyui),
        "no_proxy": "127.0.0.1",
    }
    environment["COLUMNS"] = "500"  # or it breaks the lines it prints
    code, printed = _printed(command, env=environment)
    if code != 0 or "[INSTALLED]" not in printed:
        raise RuntimeError(f"the Manager did not install {what}:\n{printed}")
    return printed


# --- Using what is installed ----------------------------------------------------------------------


def use(base: Path, python: Path, pack: str, complete: bool):
    """Start a server on an installation and read a drift there.

    `complete`: whether the pack's requirements are installed; without them Load OpenCLIP must say
    what to install.
    """
    work = base.parent / "work"
    shutil.rmtree(work, ignore_errors=True)
    models = {"open_clip": BASE_DIR / "models" / "open_clip"}
    server = ComfyServer(work, base_dir=base, python=python, packs=[pack], model_paths=models)
    with server:
        installed = nodes_of(server, pack)
        assert installed == node_ids(base / "custom_nodes" / pack), installed
        clip = server.upload(sample_clip(work / "clip.mp4"))
        graph = prompts.drift(clip, max_frames=6)
        graph |= {"report": node("ClipDriftReport", drift=["drift", 0])}
        graph |= {"shown": node("PreviewImage", images=["report", 0])}
        if complete:
            server.run(graph)
            print("   Load OpenCLIP loads, a drift is read, its report is drawn")
        else:
            refused = refusal(server, graph)
            assert refused.node_type == "ClipDriftLoadOpenCLIP", refused
            assert "pip install open_clip_torch" in refused.message, refused
            print(f"   {refused}")
        print(f"   {len(installed)} nodes")


def refusal(server: ComfyServer, graph: dict) -> NodeError:
    """The error by which a node refuses its input."""
    try:
        server.run(graph)
    except NodeError as error:
        return error
    raise AssertionError("the server ran what it should have refused")


def nodes_of(server: ComfyServer, pack: str) -> set[str]:
    """The ids of the nodes that the server has from a folder in custom_nodes."""
    module = f"custom_nodes.{pack}"
    return {name for name, info in server.object_info().items() if info["python_module"] == module}


def node_ids(pack: Path) -> set[str]:
    """The ids of the nodes that a pack's files define."""
    files = (file for name in ("nodes", "kandinsky22") for file in (pack / name).rglob("*.py"))
    sources = (file.read_text(encoding="utf-8") for file in files)
    parts = (part for text in sources for part in text.split('node_id="')[1:])
    return {part.split('"')[0] for part in parts}


if __name__ == "__main__":
    main()
