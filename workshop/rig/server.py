"""A real ComfyUI server of our own, with this pack as its only custom node.

    python -m pack.workshop.rig.server [--port 8188]      serve the user interface until Ctrl-C

(Not called `comfy`: ComfyUI has a top-level module of that name.)
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ...farm.client import ServerError
from ...farm.local import Installation, LocalServer, has_gpu
from .paths import BASE_DIR, PACK, RUN_DIR, comfyui_path

# What asks a program to end, besides Ctrl-C: kill, a closed terminal (which Windows has not).
ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class ComfyServer(LocalServer):
    """A ComfyUI process with this pack, started on entry and ended on exit, and its client.

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
        self._model_paths = model_paths or {}
        # Compiled modules go to a folder of our own: the ComfyUI tree may be the user's.
        cache = {"PYTHONPYCACHEPREFIX": str(RUN_DIR / "pycache")}
        installation = Installation(comfyui_path(), self.base_dir, tuple(packs), str(python))
        super().__init__(
            work_dir, installation, port=port, cpu=cpu, environment={**cache, **(environment or {})}
        )

    def peak_memory(self) -> int:
        """The most memory that the process has held so far, in bytes (Linux only)."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) * 1024

    def forget_peak_memory(self):
        """Let `peak_memory` start anew from what the process holds now (Linux only)."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def _command(self) -> list[str]:
        return super()._command() + self._model_path_options()

    def _model_path_options(self) -> list[str]:
        if not self._model_paths:
            return []
        config = self.work_dir / "model_paths.yaml"
        paths = {kind: str(Path(folder).resolve()) for kind, folder in self._model_paths.items()}
        config.write_text(json.dumps({PACK: paths}))  # JSON is YAML too
        return ["--extra-model-paths-config", str(config)]

    def _wait_until_ready(self):
        super()._wait_until_ready()
        if "(IMPORT FAILED)" in self.log():
            raise ServerError(f"ComfyUI could not import a pack:\n{self.log_tail()}")


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let the signals that ask this program to end leave the block, as Ctrl-C does, so that the
    server is ended as well. Only SIGKILL leaves no time for that."""

    def leave(number: int, _frame):
        for each in (*ENDING, signal.SIGINT):  # a second one must not interrupt the clearing up
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    before = {each: signal.signal(each, leave) for each in ENDING}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def serve(port: int):
    """Keep a server running for work by hand, until it ends or Ctrl-C."""
    print("starting ComfyUI ...", flush=True)
    with ended_by_signals(), ComfyServer(port=port, cpu=not has_gpu()) as server:
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
