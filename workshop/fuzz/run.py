"""Runs cases in a process of its own, which may crash or hang; the next one goes on.

A case is known by its kind, the seed and its number, and can be run again by them. It is a fault if
its reader raises something else than its own refusals, takes longer than the limit, ends the
process, takes too much memory, or opens for writing, removes or starts anything outside its folder.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import NamedTuple

MEMORY = 12 * 2**30
"""Bytes of address space that a case's process may have."""
START_SECONDS = 300.0
"""For a new process to import what it reads with."""
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
WATCHED = {"os.remove": 1, "os.rename": 2, "os.mkdir": 2, "os.rmdir": 1, "os.truncate": None}
"""What changes folders, and which of its arguments is the open folder that its path begins in."""
TORCH_CACHE = os.path.join(tempfile.gettempdir(), "torchinductor_")
"""Begins the folder that torch makes for itself, once on a machine."""
FORBIDDEN = ("subprocess.Popen", "os.system", "os.exec", "socket.connect")


class Fault(NamedTuple):
    """A case that went wrong."""

    kind: str
    seed: int
    number: int
    what: str


def run_case(kind: str, seed: int, number: int, corpus: Path) -> str:
    """Run a case in this process; the fault in words, or nothing."""
    from .targets import REFUSALS, TARGETS

    folder = Path(tempfile.mkdtemp(prefix="clip-drift-fuzz-"))
    _watch.allowed, tempfile.tempdir = (str(folder), "/dev/", TORCH_CACHE), str(folder)
    try:
        TARGETS[kind](Random(f"{seed}:{kind}:{number}"), corpus, folder)
    except REFUSALS:
        pass
    except Exception:
        return traceback.format_exc(limit=-6)
    finally:
        _watch.allowed = tempfile.tempdir = None
        shutil.rmtree(folder)
    found, _watch.found = _watch.found, ""
    return found


class _Watch:
    """Notices writes outside the folder of a case."""

    def __init__(self):
        self.allowed: tuple[str, ...] | None = None
        self.found = ""

    def __call__(self, event: str, arguments: tuple) -> None:
        if self.allowed is None:
            return
        if event in FORBIDDEN:
            self.found = f"{event} {arguments[0]}"
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING
        if writes or event in WATCHED:
            path, place = arguments[0], WATCHED.get(event)
            if isinstance(path, (str, bytes, Path)) and not self._is_inside(
                os.fsdecode(path), arguments[place] if place else -1
            ):
                self.found = f"{event} outside its folder: {os.fsdecode(path)}"

    def _is_inside(self, path: str, opened: int) -> bool:
        real = os.path.realpath(
            os.path.join(f"/proc/self/fd/{opened}" if opened >= 0 else "", path)
        )
        return real.startswith(self.allowed) or "__pycache__" in real or "/pycache/" in real


_watch = _Watch()


def _serve(connection: Connection, corpus: Path, quiet: bool) -> None:
    """The process's side: take a case, say what came of it."""
    if quiet:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for as long as the process lives
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    sys.addaudithook(_watch)
    from . import targets  # noqa: F401 - seconds, before the first case's time begins

    connection.send("ready")
    while True:
        kind, seed, number = connection.recv()
        connection.send(run_case(kind, seed, number, corpus))


def run_cases(
    kind: str, seed: int, numbers: range, corpus: Path, limit: float, quiet: bool = True
) -> Iterator[Fault | None]:
    """Run cases one by one; a fault or None for each."""
    process, connection = _start(corpus, quiet)
    try:
        for number in numbers:
            connection.send((kind, seed, number))
            what = _answer(process, connection, limit)
            if what is None:
                what = f"hung for {limit:g} s" if process.is_alive() else _death(process)
                process.kill()
                process.join()
                process, connection = _start(corpus, quiet)
            yield Fault(kind, seed, number, what) if what else None
    finally:
        process.kill()
        process.join()


def _answer(process, connection: Connection, limit: float) -> str | None:
    try:
        return connection.recv() if connection.poll(limit) else None
    except (EOFError, ConnectionError):
        process.join(10)
        return None


def _death(process) -> str:
    return f"the process ended with {process.exitcode}"


def _start(corpus: Path, quiet: bool):
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, corpus, quiet), daemon=True)
    process.start()
    theirs.close()
    if not ours.poll(START_SECONDS) or ours.recv() != "ready":
        raise RuntimeError("the process that reads cases did not start")
    return process, ours
