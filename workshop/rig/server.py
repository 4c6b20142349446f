"""A real ComfyUI server of our own, with this pack as its only custom node.

    python -m pack.workshop.rig.server [--port 8188]      serve the user interface until Ctrl-C

(Not called `comfy`: ComfyUI has a top-level module of that name.)
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from .client import POLL_SECONDS, Client, ServerError, UnreachableError
from .paths import BASE_DIR, PACK, RUN_DIR, comfyui_path

START_TIMEOUT = 300


class ComfyServer(Client):
    """A ComfyUI process on this machine, started on entry and ended on exit, and its client.

    Models and the pack come from `base_dir`. Everything that a run reads and writes, log
    included, lies in `work_dir`, in the folders `input`, `output`, `temp` and `user`.
    `model_paths` names further folders to look for models in, by kind ("checkpoints"), `packs` the
    folders in custom_nodes to load, `environment` variables that only the process has, and
    `python` the interpreter, where it is not this one.
    """

    def __init__(
        self,
        work_dir: Path = BASE_DIR,
        *,
        base_dir: Path = BASE_DIR,
        port: int | None = None,
        cpu: bool = True,
        model_paths: dict[str, Path] | None = None,
        packs: Sequence[str] = (PACK,),
        environment: dict[str, str] | None = None,
        python: str | Path = sys.executable,
    ):
        self.base_dir = Path(base_dir)
        self.work_dir = Path(work_dir)
        self.input_dir = self.work_dir / "input"
        self.output_dir = self.work_dir / "output"
        self.log_file = self.work_dir / "server.log"
        self.port = port or _free_port()
        super().__init__(f"http://127.0.0.1:{self.port}")
        self._cpu = cpu
        self._model_paths = model_paths or {}
        self._packs = packs
        self._own_environment = environment or {}
        self._python = str(python)
        self._process: subprocess.Popen | None = None

    def __enter__(self):
        _require_free(self.port)
        for folder in ("input", "output", "user"):
            (self.work_dir / folder).mkdir(parents=True, exist_ok=True)
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                self._command(), stdout=log, stderr=subprocess.STDOUT, env=self._environment()
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ):
        self.stop()

    def stop(self):
        """End the process that this object started."""
        self._process.terminate()
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def join(self):
        """Wait until the process ends by itself."""
        self._process.wait()

    def peak_memory(self) -> int:
        """The most memory that the process has held so far, in bytes (Linux only)."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) * 1024

    def forget_peak_memory(self):
        """Let `peak_memory` start anew from what the process holds now (Linux only)."""
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")

    def log(self) -> str:
        """All that the server has printed so far, without the colours."""
        return re.sub(r"\x1b\[[0-9;]*m", "", self.log_file.read_text(errors="replace"))

    def log_tail(self, lines: int = 30) -> str:
        """The last lines of the log."""
        return "\n".join(self.log().splitlines()[-lines:])

    # --- inside -----------------------------------------------------------------------------------

    def _command(self) -> list[str]:
        main = [self._python, str(comfyui_path() / "main.py")]
        address = ["--listen", "127.0.0.1", "--port", str(self.port)]
        folders = ["--base-directory", str(self.base_dir)]
        for folder in ("input", "output", "user"):
            folders += [f"--{folder}-directory", str(self.work_dir / folder)]
        folders += ["--temp-directory", str(self.work_dir)]  # ComfyUI itself appends "temp"
        packs = ["--disable-api-nodes", "--disable-all-custom-nodes"]
        packs += ["--whitelist-custom-nodes", *self._packs]
        database = ["--database-url", "sqlite:///:memory:"]
        device = ["--cpu"] if self._cpu else []
        return main + address + folders + packs + database + device + self._model_path_options()

    def _model_path_options(self) -> list[str]:
        if not self._model_paths:
            return []
        config = self.work_dir / "model_paths.yaml"
        paths = {kind: str(Path(folder).resolve()) for kind, folder in self._model_paths.items()}
        config.write_text(json.dumps({PACK: paths}))  # JSON is YAML too
        return ["--extra-model-paths-config", str(config)]

    def _environment(self) -> dict[str, str]:
        # Compiled modules go to a folder of our own: the ComfyUI tree may be the user's.
        cache = {"PYTHONPYCACHEPREFIX": str(RUN_DIR / "pycache")}
        return {**os.environ, **cache, **self._own_environment}

    def _wait_until_ready(self):
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            if time.monotonic() > deadline:
                raise ServerError(f"ComfyUI did not answer in time:\n{self.log_tail()}")
            time.sleep(POLL_SECONDS)
        if "(IMPORT FAILED)" in self.log():
            raise ServerError(f"ComfyUI could not import a pack:\n{self.log_tail()}")

    def _details(self) -> str:
        return f":\n{self.log_tail()}"

    def _answers(self) -> bool:
        try:
            self.object_info()
        except UnreachableError:
            return False
        return True

    def _read(self, path: str, *request) -> bytes:
        """As any client does; notice when the process has died."""
        if self._process.poll() is not None:
            code = self._process.returncode
            raise ServerError(f"ComfyUI ended with code {code}:\n{self.log_tail()}")
        return super()._read(path, *request)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _require_free(port: int):
    """Refuse a port in use, where a stranger's answers would be taken for our server's."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise ServerError(f"port {port} is in use; choose another one")


def has_gpu() -> bool:
    """Whether torch can use a GPU; without one, ComfyUI must be told to stay on the CPU."""
    import torch  # takes seconds, and the tests never ask

    return torch.cuda.is_available() or torch.backends.mps.is_available()


def serve(port: int):
    """Keep a server running for work by hand, until it ends or Ctrl-C."""
    print("starting ComfyUI ...", flush=True)
    with ComfyServer(port=port, cpu=not has_gpu()) as server:
        print(f"CLIP Drift in ComfyUI: {server.url}   (Ctrl-C ends it)", flush=True)
        print(f"log: {server.log_file}", flush=True)
        server.join()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve ComfyUI with this pack.")
    parser.add_argument("--port", type=int, default=8188)
    try:
        serve(parser.parse_args().port)
    except KeyboardInterrupt:
        print("\nended")
    except ServerError as failure:
        sys.exit(f"error: {failure}")
