"""Renders chunks on one ComfyUI, through whatever happens to it."""

from __future__ import annotations

import hashlib
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from .client import POLL_SECONDS, Client, NodeError, ServerError, require_success
from .errors import FarmError
from .files import SUBFOLDER, InputFile, with_values
from .graph import Prompt
from .plan import RATE, SHOWN, Infos, Plan, as_rate, lacking
from .png import BrokenPictureError, without_text

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds that a server may be away."""
ATTEMPTS = 5
"""So often a chunk is begun anew, where the server forgot it: it was started again."""
AWAY_SECONDS = 1.0
"""Between two attempts to reach a server that does not answer."""
LOOK_SECONDS = 2.0
"""How often the server is asked whether it still knows of a prompt."""


class WorkerLostError(RuntimeError):
    """A worker is gone; others can go on."""


@dataclass(frozen=True)
class Job:
    """All that a worker needs in order to render any frame."""

    plan: Plan
    files: tuple[InputFile, ...]


class Renderer:
    """Renders frames on the ComfyUI that a client talks to; its methods may run in two threads.

    Args:
        patience: seconds that the server may be away before it counts as lost.
        revive: starts the server again where it is ours and has ended; otherwise does nothing.
    """

    def __init__(
        self,
        client: Client,
        patience: float = PATIENCE,
        revive: Callable[[], None] = lambda: None,
    ):
        self._client = client
        self._patience = patience
        self._revive = revive
        self._one_at_a_time = threading.Lock()
        self._one_revives = threading.Lock()
        self._stopped = threading.Event()
        self._sent: dict[str, str] = {}
        self._infos: Infos | None = None
        self._running: set[str] = set()

    def infos(self) -> Infos:
        """What the server says of its nodes.

        Raises:
            FarmError: it does not answer, or not as ComfyUI does.
        """
        if self._infos is None:
            try:
                infos = self._client.object_info()
            except ServerError as error:
                raise FarmError(f"{error}; is ComfyUI running there?") from error
            if not isinstance(infos, dict):
                raise FarmError(f"{self._client.url} does not answer as ComfyUI does.")
            self._infos = infos
        return self._infos

    def input_digest(self, name: str) -> str | None:
        """SHA-256 of a file in the server's input folder; None where it has no such file."""
        parts = name.removesuffix(" [input]").rsplit("/", 1)
        subfolder = parts[0] if len(parts) == 2 else ""
        try:
            content = self._client.view(parts[-1], subfolder, "input")
        except ServerError:
            return None
        return hashlib.sha256(content).hexdigest()

    def prepare(self, job: Job) -> None:
        """Send the job's files.

        Raises:
            FarmError: the server lacks nodes or models that the job needs.
        """
        missing = lacking(job.plan.chunk(0, 1), self.infos())
        if missing:
            raise FarmError(f"{self._client.url} lacks {'; '.join(missing)}: install that there.")
        with self._one_at_a_time:
            for file in job.files:
                if file.content is not None and file.name not in self._sent:
                    self._sent[file.name] = self._patiently(partial(self._send, file))

    def count(self, job: Job) -> tuple[int, float | None]:
        """How many frames there are, and the rate of their video where the workflow says it."""
        outputs = self._run(job, job.plan.counting())
        total = len(outputs[SHOWN]["text"])
        if RATE in outputs:
            try:
                return total, as_rate(float(outputs[RATE]["text"][0]))
            except ValueError:
                return total, None
        return total, job.plan.rate if isinstance(job.plan.rate, float) else None

    def render(self, job: Job, start: int, count: int) -> list[bytes]:
        """Frames `start` to `start + count` as PNG files.

        Raises:
            FarmError: a node failed, or did not give one picture per frame.
            WorkerLostError: the server is gone.
        """
        for _ in range(ATTEMPTS):
            pictures = self._run(job, job.plan.chunk(start, count))[SHOWN]["images"]
            if len(pictures) != count:
                node = job.plan.pictures[0]
                raise FarmError(
                    f"node {node} gives {len(pictures)} pictures for {count} frames: choose the "
                    "node that gives one per frame by --images."
                )
            try:
                return [without_text(self._client.view(**picture)) for picture in pictures]
            except (ServerError, BrokenPictureError):
                self._revive_server()  # it was started again, and its temporary files are gone
        raise WorkerLostError(f"{self._client.url} loses the pictures that it renders")

    def stop(self) -> None:
        """End what is waiting, and take our prompts from the server."""
        self._stopped.set()
        for prompt_id in tuple(self._running):
            try:
                self._client.cancel(prompt_id)
            except ServerError:
                return

    # --- inside -----------------------------------------------------------------------------------

    def _send(self, file: InputFile) -> str:
        assert file.content is not None
        if self._client.has_input(file.sent_name, SUBFOLDER):
            return f"{SUBFOLDER}/{file.sent_name}"
        return self._client.send(file.sent_name, file.content(), SUBFOLDER, overwrite=True)

    def _run(self, job: Job, prompt: Prompt) -> dict[str, Any]:
        """A prompt's outputs; it is queued again where the server was started again."""
        self.prepare(job)
        prompt = with_values(prompt, self.infos(), self._sent)
        for _ in range(ATTEMPTS):
            try:
                entry = self._run_once(prompt)
                if entry is not None:
                    return require_success(entry)["outputs"]
            except NodeError as error:
                raise FarmError(f"{error.node_type} failed: {error.message}") from error
        raise FarmError(
            f"{self._client.url} ended {ATTEMPTS} times while it rendered the same frames: look at "
            "its log; fewer frames at once (--chunk) take less memory."
        )

    def _run_once(self, prompt: Prompt) -> dict[str, Any] | None:
        prompt_id = str(
            uuid.uuid4()
        )  # ours, so that a request whose answer is lost can be repeated
        self._running.add(prompt_id)
        try:
            self._patiently(lambda: self._client.queue(prompt, prompt_id=prompt_id))
            return self._wait(prompt_id)
        finally:
            self._running.discard(prompt_id)

    def _wait(self, prompt_id: str) -> dict[str, Any] | None:
        """A prompt's history entry, once it has ended; None where the server does not know it."""
        looked = time.monotonic()
        while True:
            entry = self._entry(prompt_id)
            if entry is not None:
                return entry
            if time.monotonic() - looked > LOOK_SECONDS:
                looked = time.monotonic()
                if not self._patiently(lambda: self._client.is_waiting(prompt_id)):
                    return self._entry(prompt_id)  # it may have ended between the two questions
            self._pause(POLL_SECONDS)

    def _entry(self, prompt_id: str) -> dict[str, Any] | None:
        return self._patiently(lambda: self._client.history(prompt_id)).get(prompt_id)

    def _patiently(self, request: Callable[[], T]) -> T:
        """Make a request until it is answered, for as long as the server may be away."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return request()
            except ServerError as error:
                if time.monotonic() > deadline:
                    raise WorkerLostError(str(error)) from error
                self._pause(AWAY_SECONDS)
                self._revive_server()

    def _revive_server(self) -> None:
        try:
            with self._one_revives:
                self._revive()
        except ServerError as error:
            raise WorkerLostError(str(error)) from error

    def _pause(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise WorkerLostError("stopped")
