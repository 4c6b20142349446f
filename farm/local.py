"""ComfyUI as a process on this machine: the only place where one is started."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from .client import POLL_SECONDS, Client, ServerError, UnreachableError
from .errors import FarmError

PACK = "clip-drift"
START_TIMEOUT = 600

# Runs what follows it under the same process id, and has the system end that when the process that
# started it ends, however that ends (Linux only). 1 is PR_SET_PDEATHSIG, 9 is SIGKILL.
TIED = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)


class Installation(NamedTuple):
    """A ComfyUI to start: its source, the folder of its models and packs, and which packs to load
    (None for all of them)."""

    source: Path
    base_dir: Path
    packs: tuple[str, ...] | None
    python: str = sys.executable


def find_installation(python: str | None = None) -> Installation:
    """The user's own ComfyUI, or the one that run.py set up in a checkout.

    Raises:
        FarmError: there is neither.
    """
    python = python or sys.executable
    own = os.environ.get("COMFYUI_PATH")
    run_dir = Path(__file__).resolve().parent.parent / ".run"
    source = Path(own).resolve() if own else run_dir / "ComfyUI"
    if not (source / "main.py").is_file():
        raise FarmError(
            "there is no ComfyUI to start: name one that runs by --server URL, or the folder of "
            "its main.py in the variable COMFYUI_PATH."
        )
    if (run_dir / "base" / "custom_nodes" / PACK).exists():
        return Installation(source, run_dir / "base", (PACK,), python)
    return Installation(source, source, None, python)


class LocalServer(Client):
    """A ComfyUI process, started on entry and ended on exit, and its client.

    Everything that a run reads and writes, log included, lies in `work_dir`, in the folders
    `input`, `output`, `temp` and `user`.

    Args:
        port: one that is free, where it is not given.
        options: further ones of ComfyUI's command line.
        environment: variables that only the process has.
        tied: end the process also where this one is killed (Linux only; elsewhere it stays).
    """

    def __init__(
        self,
        work_dir: Path,
        installation: Installation,
        *,
        port: int | None = None,
        cpu: bool = True,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        tied: bool = False,
    ):
        self.work_dir = Path(work_dir)
        self.input_dir = self.work_dir / "input"
        self.output_dir = self.work_dir / "output"
        self.log_file = self.work_dir / "server.log"
        self.port = port or free_port()
        super().__init__(f"http://127.0.0.1:{self.port}")
        self._installation = installation
        self._cpu = cpu
        self._options = tuple(options)
        self._own_environment = dict(environment or {})
        self._tied = tied and sys.platform == "linux"
        self._started: subprocess.Popen | None = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the process and wait until it answers.

        Raises:
            ServerError: the port is taken, or ComfyUI ended or did not answer in time.
        """
        _require_free(self.port)
        for folder in ("input", "output", "user"):
            (self.work_dir / folder).mkdir(parents=True, exist_ok=True)
        with self.log_file.open("wb") as log:
            self._started = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._own_environment},
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the process that this object started."""
        if self._started is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def join(self) -> None:
        """Wait until the process ends by itself."""
        self._process.wait()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def is_running(self) -> bool:
        """Whether the process has been started and has not ended."""
        return self._started is not None and self._started.poll() is None

    def log(self) -> str:
        """All that the server has printed so far, without the colours."""
        return re.sub(r"\x1b\[[0-9;]*m", "", self.log_file.read_text(errors="replace"))

    def log_tail(self, lines: int = 30) -> str:
        """The last lines of the log."""
        return "\n".join(self.log().splitlines()[-lines:])

    @property
    def _process(self) -> subprocess.Popen:
        if self._started is None:
            raise ServerError("ComfyUI has not been started")
        return self._started

    # --- inside -----------------------------------------------------------------------------------

    def _command(self) -> list[str]:
        source, base_dir, packs, python = self._installation
        main = [python, *(["-c", TIED] if self._tied else []), str(source / "main.py")]
        address = ["--listen", "127.0.0.1", "--port", str(self.port)]
        folders = ["--base-directory", str(base_dir)]
        for folder in ("input", "output", "user"):
            folders += [f"--{folder}-directory", str(self.work_dir / folder)]
        folders += ["--temp-directory", str(self.work_dir)]  # ComfyUI itself appends "temp"
        chosen = ["--disable-api-nodes"]
        if packs is not None:
            chosen += ["--disable-all-custom-nodes", "--whitelist-custom-nodes", *packs]
        database = ["--database-url", "sqlite:///:memory:"]
        device = ["--cpu"] if self._cpu else []
        return [*main, *address, *folders, *chosen, *database, *device, *self._options]

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            if time.monotonic() > deadline:
                raise ServerError(f"ComfyUI did not answer in time:\n{self.log_tail()}")
            time.sleep(POLL_SECONDS)

    def _details(self) -> str:
        return f":\n{self.log_tail()}"

    def _answers(self) -> bool:
        try:
            self.system_stats()
        except UnreachableError:
            return False
        return True

    def _read(self, path: str, *request, **options) -> bytes:
        """As any client does; notice when the process has died."""
        if not self.is_running():
            code = self._started.returncode if self._started else None
            raise ServerError(f"ComfyUI ended with code {code}:\n{self.log_tail()}")
        return super()._read(path, *request, **options)


def free_port() -> int:
    """A port on this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _require_free(port: int) -> None:
    """Refuse a port in use, where a stranger's answers would be taken for our server's."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise ServerError(f"port {port} is in use; choose another one")


def has_gpu() -> bool:
    """Whether torch can use a GPU; without one, ComfyUI must be told to stay on the CPU."""
    import torch  # takes seconds, and most never ask

    return torch.cuda.is_available() or torch.backends.mps.is_available()
