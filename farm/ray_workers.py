"""Workers by Ray: on each GPU of a cluster, or on so many cores, an actor with its own ComfyUI.

Ray's own actors do the rest: it starts one anew where it dies and gives its tasks out again. A task
says all that there is to know, and a frame is the same wherever it is rendered, so doing one twice
changes nothing. (Ray Data's actor pool does as much, but wants pyarrow and pandas on every machine,
and packs results into blocks, of which each would wait for its last frame.)
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import os
import tempfile
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

from .errors import FarmError
from .local import Installation, LocalServer, find_installation
from .renderer import Job, Renderer, WorkerLostError
from .workers import IN_FLIGHT, Worker

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
try:
    import ray
    from ray.exceptions import RayActorError, RayTaskError
except ImportError as missing:
    raise FarmError("Ray is not installed: pip install 'clip-drift[farm]'.") from missing

RESTARTS = 100
"""So often Ray starts an actor anew, and gives out a task again."""
STARTS = 3
"""So often Ray is started: on a busy machine its processes miss their own deadlines."""
SHIPPED = (
    "client",
    "errors",
    "files",
    "graph",
    "local",
    "plan",
    "png",
    "ray_workers",
    "renderer",
    "workers",
)
"""What an actor runs: sent along, so that its machine needs ComfyUI, this pack's nodes and Ray."""


class ComfyActor:
    """A ComfyUI of its own on a free port, started when it is first needed.

    It dies with the actor's process, and is started anew in it where it ends by itself.
    """

    def __init__(self, installation: Installation | None, python: str | None, cpu: bool):
        self._installation = installation
        self._python = python
        self._cpu = cpu
        self._starting = Lock()
        self._renderer: Renderer | None = None

    def infos(self) -> dict[str, Any]:
        return self._started().infos()

    def input_digest(self, name: str) -> str | None:
        return self._started().input_digest(name)

    def prepare(self, job: Job) -> None:
        self._started().prepare(job)

    def count(self, job: Job) -> tuple[int, float | None]:
        return self._started().count(job)

    def render(self, job: Job, start: int, count: int) -> list[bytes]:
        return self._started().render(job, start, count)

    def pids(self) -> tuple[int, int]:
        """The actor's process and ComfyUI's."""
        self._started()
        return os.getpid(), self._server.pid

    def stop(self) -> None:
        """End ComfyUI."""
        if self._renderer is not None:
            self._renderer.stop()
            self._server.stop()
            self._folder.cleanup()

    def _started(self) -> Renderer:
        with self._starting:
            if self._renderer is None:
                self._folder = tempfile.TemporaryDirectory(prefix="clip-drift-")
                self._server = LocalServer(
                    Path(self._folder.name), self._found(), cpu=self._cpu, tied=True
                )
                self._server.start()
                self._renderer = Renderer(self._server, revive=self._revive)
            return self._renderer

    def _found(self) -> Installation:
        """This machine's own ComfyUI, or one at the same place as the driver's."""
        given = self._installation
        if "COMFYUI_PATH" not in os.environ and given and (given.source / "main.py").is_file():
            return given
        return find_installation(self._python)

    def _revive(self) -> None:
        if not self._server.is_running():
            self._server.start()


class RayWorker(Worker):
    """An actor, behind the interface that the driver knows."""

    def __init__(self, name: str, actor: Any, files: dict[str, Any]):
        self.name = name
        self._actor = actor
        self._files = files
        self._jobs: dict[int, Any] = {}

    def infos(self):
        return self._ask("infos")

    def input_digest(self, name):
        return self._ask("input_digest", name)

    def prepare(self, job):
        return self._ask("prepare", self._shared(job))

    def count(self, job):
        return self._ask("count", self._shared(job))

    def render(self, job, start, count):
        return self._ask("render", self._shared(job), start, count)

    def pids(self) -> tuple[int, int]:
        """The processes of the actor and of its ComfyUI."""
        return self._ask("pids").result()

    def close(self):
        with contextlib.suppress(Exception):  # it is gone, or busy: its ComfyUI ends with it
            ray.get(self._actor.stop.remote(), timeout=30)
        ray.kill(self._actor)

    def _shared(self, job: Job) -> Any:
        """The job in the object store, once; its files apart, so that only those read them who
        have to send them."""
        if id(job) not in self._jobs:
            files = tuple(self._shared_file(file) for file in job.files)
            self._jobs[id(job)] = ray.put(dataclasses.replace(job, files=files))
        return self._jobs[id(job)]

    def _shared_file(self, file):
        if file.content is None:
            return file
        if file.digest not in self._files:
            self._files[file.digest] = ray.put(file.content())
        return dataclasses.replace(file, content=partial(ray.get, self._files[file.digest]))

    def _ask(self, method: str, *arguments: Any) -> Future[Any]:
        asked = getattr(self._actor, method).remote(*arguments).future()
        answer: Future[Any] = Future()
        asked.add_done_callback(partial(_pass_on, answer, self.name))
        return answer


def _pass_on(answer: Future[Any], name: str, asked: Future[Any]) -> None:
    """Give an actor's answer on, with the errors that the driver knows."""
    error = asked.exception()
    if error is None:
        answer.set_result(asked.result())
    elif isinstance(error, RayTaskError):
        cause = error.cause
        known = {each.__name__: each for each in (FarmError, WorkerLostError)}
        kind = known.get(type(cause).__name__, WorkerLostError)
        answer.set_exception(kind(f"{name}: {cause}"))
    elif isinstance(error, RayActorError):
        answer.set_exception(WorkerLostError(f"{name} ended: {error}"))
    else:
        answer.set_exception(error)


def open_ray_workers(
    address: str, count: int | None, cores: int, python: str | None = None
) -> list[Worker]:
    """Start actors on a cluster.

    Args:
        address: of the cluster; where it is empty, the one that RAY_ADDRESS or this machine's
            `ray start` names, or one that is started here and ends with the command.
        count: how many actors; None for all that the cluster has room for now.
        cores: for each, where the cluster has no GPU.

    Raises:
        FarmError: the cluster cannot be reached or has no room.
    """
    _connect(address)
    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0))
    room = gpus or int(resources.get("CPU", 0)) // cores
    count = count or room
    if not room or count > room:
        what = "GPUs" if gpus else f"times {cores} cores"
        raise FarmError(
            f"Ray has room for {room} workers ({room} {what}), not for {count}: ask for as many by "
            "--workers."
        )
    try:
        installation = find_installation(python)
    except FarmError:
        installation = None  # the driver's machine needs none
    for name in SHIPPED:
        ray.cloudpickle.register_pickle_by_value(importlib.import_module(f".{name}", __package__))
    needs = {"num_gpus": 1} if gpus else {"num_cpus": cores}
    actor_class = ray.remote(ComfyActor).options(
        max_restarts=RESTARTS,
        max_task_retries=RESTARTS,
        max_concurrency=IN_FLIGHT,
        **needs,
    )
    files: dict[str, Any] = {}
    return [
        RayWorker(f"worker {i}", actor_class.remote(installation, python, not gpus), files)
        for i in range(count)
    ]


def _connect(address: str) -> None:
    """Join the cluster, or start one."""
    if ray.is_initialized():
        return
    for attempt in range(STARTS):
        try:
            ray.init(address=address or None, include_dashboard=False, log_to_driver=False)
            return
        except Exception as error:  # Ray raises Exception itself where its processes are slow
            ray.shutdown()
            if attempt == STARTS - 1:
                where = f"answer at {address}" if address else "start"
                raise FarmError(f"Ray does not {where}: {error}") from error
