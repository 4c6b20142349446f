"""A client of any ComfyUI server, by HTTP alone: queue prompts, wait, fetch what came out.

    client = Client("http://127.0.0.1:8188")
    name = client.upload(Path("clip.mp4"))
    entry = client.run({"1": node("LoadVideo", file=name), ...})

Standard library only, and nothing of the workshop.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

RUN_TIMEOUT = 900
REQUEST_TIMEOUT = 60
POLL_SECONDS = 0.2
JSON = "application/json"
THIS_MACHINE = ("127.0.0.1", "localhost", "::1")

Prompt = dict[str, dict[str, Any]]
"""A workflow in ComfyUI's API format: node id -> {"class_type": ..., "inputs": {...}}."""


def node(class_type: str, **inputs) -> dict[str, Any]:
    """A node of a prompt."""
    return {"class_type": class_type, "inputs": inputs}


class ServerError(RuntimeError):
    """The server did not start, died, refused a request, or took too long."""


class UnreachableError(ServerError):
    """Nobody answers at the server's address."""


class NodeError(RuntimeError):
    """A node refused its input, or failed while it ran."""

    def __init__(self, node_type: str, message: str):
        super().__init__(f"{node_type}: {message}")
        self.node_type = node_type
        self.message = message


class Client:
    """Talks to the ComfyUI server at a URL.

    Args:
        url: the base address, with a path where the server lies below one:
            "https://host/comfy/". Proxies that the environment names are used, except for
            this machine.
        headers: sent with every request, for instance {"Authorization": "Bearer ..."}; never
            passed on to another address that the server redirects to.

    Raises:
        ServerError: from every method, where the server does not answer or refuses the request.
    """

    def __init__(self, url: str, headers: Mapping[str, str] | None = None):
        address = urllib.parse.urlsplit(url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError(f"{url!r} is no server's address: it has to begin with http(s)://")
        self.url = url.rstrip("/")
        self.headers = dict(headers or {})
        direct = [urllib.request.ProxyHandler({})] if address.hostname in THIS_MACHINE else []
        self._opener = urllib.request.build_opener(*direct)

    # --- prompts ----------------------------------------------------------------------------------

    def object_info(self) -> dict[str, Any]:
        """Every node that the server knows, by id."""
        return self.get("/object_info")

    def queue(self, prompt: Prompt, **options) -> str:
        """Queue a prompt and return its id.

        `options` go beside the prompt, such as `client_id` and `extra_data`.

        Raises:
            NodeError: the server finds the prompt invalid; names the first node at fault.
        """
        return self.post("/prompt", {"prompt": prompt, **options})["prompt_id"]

    def wait(
        self,
        prompt_id: str,
        timeout: float = RUN_TIMEOUT,
        on_poll: Callable[[], object] = lambda: None,
    ) -> dict[str, Any]:
        """Wait until a queued prompt has ended, well or not, and return its history entry."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            history = self.history(prompt_id)
            if prompt_id in history:
                return history[prompt_id]
            on_poll()
            time.sleep(POLL_SECONDS)
        raise ServerError(f"the prompt did not end within {timeout:.0f} s{self._details()}")

    def run(
        self,
        prompt: Prompt,
        timeout: float = RUN_TIMEOUT,
        on_poll: Callable[[], object] = lambda: None,
    ) -> dict[str, Any]:
        """Queue a prompt, wait for it, and return its history entry.

        Raises:
            NodeError: a node refused its input, failed, or was interrupted.
        """
        return require_success(self.wait(self.queue(prompt), timeout, on_poll))

    def interrupt(self, prompt_id: str | None = None) -> None:
        """Cancel the prompt that is running, or only that one."""
        self.post("/interrupt", {"prompt_id": prompt_id} if prompt_id else {})

    def history(self, prompt_id: str | None = None) -> dict[str, Any]:
        """What has ended, by prompt id: that prompt, or all."""
        return self.get(f"/history/{urllib.parse.quote(prompt_id)}" if prompt_id else "/history")

    # --- files ------------------------------------------------------------------------------------

    def upload(self, file: Path, subfolder: str = "", overwrite: bool = False) -> str:
        """Send a file to the server's input folder; return the name that loader nodes know it by.

        Where another file has its name, the server chooses a new one, or overwrites it if told to.
        """
        return self.send(file.name, file.read_bytes(), subfolder, overwrite)

    def send(self, name: str, content: bytes, subfolder: str = "", overwrite: bool = False) -> str:
        """As `upload`, for what is no file yet."""
        fields = {"type": "input", "subfolder": subfolder, "overwrite": str(overwrite).lower()}
        boundary = uuid.uuid4().hex
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'
            for key, value in fields.items()
        ]
        named = name.replace('"', "%22")
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{named}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        body = "".join([*parts, head]).encode() + content
        body += f"\r\n--{boundary}--\r\n".encode()
        saved = self._json("/upload/image", body, f"multipart/form-data; boundary={boundary}")
        return "/".join(filter(None, (saved["subfolder"], saved["name"])))

    def view(self, filename: str, subfolder: str = "", type: str = "output") -> bytes:
        """Fetch a file as the user interface would; takes an entry of a node's outputs as it is."""
        query = urllib.parse.urlencode({"filename": filename, "subfolder": subfolder, "type": type})
        return self._read(f"/view?{query}")

    # --- the machine ------------------------------------------------------------------------------

    def is_waiting(self, prompt_id: str) -> bool:
        """Whether a prompt is running or queued."""
        queues = self.get("/queue")
        return any(each[1] == prompt_id for queue in queues.values() for each in queue)

    def cancel(self, prompt_id: str) -> None:
        """Take a prompt out of the queue, or interrupt it where it runs already."""
        self.post("/queue", {"delete": [prompt_id]})
        self.interrupt(prompt_id)

    def has_input(self, name: str, subfolder: str = "") -> bool:
        """Whether a file is in the server's input folder."""
        query = urllib.parse.urlencode({"filename": name, "subfolder": subfolder, "type": "input"})
        try:
            self._read(f"/view?{query}", method="HEAD")
        except ServerError as error:
            if isinstance(error, UnreachableError):
                raise
            return False
        return True

    def system_stats(self) -> dict[str, Any]:
        """The server's versions, devices and memory."""
        return self.get("/system_stats")

    def free(self, unload_models: bool = True, free_memory: bool = True) -> None:
        """Let the server unload its models and forget cached results, before its next prompt."""
        self.post("/free", {"unload_models": unload_models, "free_memory": free_memory})

    # --- requests ---------------------------------------------------------------------------------

    def get(self, path: str) -> Any:
        """The server's answer at a path such as "/queue", from JSON."""
        return self._json(path)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Send JSON to a path; returns the answer, or None where it is empty."""
        return self._json(path, json.dumps(body).encode(), JSON)

    def _details(self) -> str:
        """What else there is to say of a prompt that takes too long."""
        return ""

    def _json(self, path: str, body: bytes | None = None, kind: str = JSON) -> Any:
        text = self._read(path, body, kind)
        try:
            return json.loads(text) if text else None
        except ValueError as error:
            raise ServerError(f"{self.url}{path} does not answer as ComfyUI does") from error

    def _read(
        self, path: str, body: bytes | None = None, kind: str = JSON, method: str | None = None
    ) -> bytes:
        """Send a request, a POST where there is a body; return the answer's bytes."""
        request = urllib.request.Request(self.url + path, body, method=method)
        for name, value in {"Content-Type": kind, **self.headers}.items():
            request.add_unredirected_header(name, value)
        try:
            with self._opener.open(request, timeout=REQUEST_TIMEOUT) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise _refusal(error) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise UnreachableError(f"{self.url} does not answer: {reason}") from error


def require_success(entry: dict[str, Any]) -> dict[str, Any]:
    """A history entry, where its prompt ended well.

    Raises:
        NodeError: a node failed or was interrupted.
    """
    for event, details in entry["status"]["messages"]:
        if event == "execution_error":
            raise NodeError(details["node_type"], details["exception_message"].strip())
        if event == "execution_interrupted":
            raise NodeError(details["node_type"], "interrupted")
    return entry


def _refusal(error: urllib.error.HTTPError) -> NodeError | ServerError:
    """What a refused request is raised as: a prompt's first node at fault, or the status."""
    text = error.read()
    try:
        answer = json.loads(text)
        faults, problem = answer["node_errors"], answer["error"]
    except (ValueError, KeyError, TypeError):
        what = f"{error.url} answered {error.code} {error.reason}"
        return ServerError(f"{what}: {text[:200].decode(errors='replace')}".rstrip(": "))
    for fault in faults.values():
        first = fault["errors"][0]
        return NodeError(fault["class_type"], f"{first['message']}: {first['details']}")
    return NodeError("prompt", f"{problem['message']} {problem['details']}".strip())
