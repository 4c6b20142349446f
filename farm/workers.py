"""Workers behind one interface: a server at an address, a process here, an actor of Ray."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from .client import Client, ServerError
from .errors import FarmError
from .renderer import PATIENCE, Job, Renderer

IN_FLIGHT = 2
"""Chunks that a worker is given at once: it begins the next while the last is fetched."""


class Worker(ABC):
    """Something that renders chunks; every question is answered by a future."""

    name: str

    @abstractmethod
    def infos(self) -> Future[dict[str, Any]]:
        """What its ComfyUI says of its nodes."""

    @abstractmethod
    def input_digest(self, name: str) -> Future[str | None]:
        """SHA-256 of a file in its input folder."""

    @abstractmethod
    def prepare(self, job: Job) -> Future[None]:
        """Check that it has what the job needs, and send it what it has to be sent."""

    @abstractmethod
    def count(self, job: Job) -> Future[tuple[int, float | None]]:
        """How many frames the job has, and the rate of their video."""

    @abstractmethod
    def render(self, job: Job, start: int, count: int) -> Future[list[bytes]]:
        """Frames as PNG files."""

    @abstractmethod
    def close(self) -> None:
        """End all that it is doing."""


class ServerWorker(Worker):
    """A ComfyUI at an address."""

    def __init__(self, client: Client, patience: float = PATIENCE, revive=lambda: None):
        self.name = client.url
        self._renderer = Renderer(client, patience, revive)
        self._threads = ThreadPoolExecutor(IN_FLIGHT, "clip-drift")

    def infos(self):
        return self._threads.submit(self._renderer.infos)

    def input_digest(self, name):
        return self._threads.submit(self._renderer.input_digest, name)

    def prepare(self, job):
        return self._threads.submit(self._renderer.prepare, job)

    def count(self, job):
        return self._threads.submit(self._renderer.count, job)

    def render(self, job, start, count):
        return self._threads.submit(self._renderer.render, job, start, count)

    def close(self):
        self._renderer.stop()
        self._threads.shutdown(wait=True, cancel_futures=True)


class LocalWorker(ServerWorker):
    """A ComfyUI that is started here, and started again where it ends by itself."""

    def __init__(self, python: str | None = None):
        # Only a checkout and the pip package hold the module that starts processes.
        from .local import LocalServer, find_installation, has_gpu

        installation = find_installation(python)
        self._folder = tempfile.TemporaryDirectory(prefix="clip-drift-")
        self.server = LocalServer(
            Path(self._folder.name), installation, cpu=not has_gpu(), tied=True
        )
        try:
            self.server.start()
        except ServerError as error:
            self._folder.cleanup()
            raise FarmError(f"ComfyUI could not be started: {error}") from error
        super().__init__(self.server, revive=self._revive)

    def _revive(self) -> None:
        if not self.server.is_running():
            self.server.start()

    def close(self):
        super().close()
        self.server.stop()
        self._folder.cleanup()
