"""The HTTP client: against a server that records what it is asked, and against the real one."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pack.farm.client import Client, NodeError, ServerError, UnreachableError, node

FAULT = {"class_type": "KSampler", "errors": [{"message": "Too small", "details": "steps: -1"}]}
ANSWERS = {
    "/comfy/system_stats": (200, {"system": {}}),
    "/comfy/prompt": (400, {"error": {}, "node_errors": {"7": FAULT}}),
    "/comfy/free": (200, None),
    "/comfy/object_info": (403, "not for you"),
}


@pytest.fixture
def recorder():
    """A server's base address, and what is asked of it: path, headers, body."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked.append((self.path, dict(self.headers), body))
            if self.path == "/comfy/history":
                self.send_response(302)
                self.send_header("Location", "/elsewhere")
                self.end_headers()
                return
            code, content = ANSWERS.get(self.path, (200, {}))
            self.send_response(code)
            self.end_headers()
            self.wfile.write(b"" if content is None else json.dumps(content).encode())

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, format: str, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/comfy/", asked
        server.shutdown()


def test_a_path_and_headers_go_with_every_request(recorder):
    url, asked = recorder
    client = Client(url, {"Authorization": "Bearer secret"})
    assert client.system_stats() == {"system": {}}
    assert client.free() is None
    assert [path for path, *_ in asked] == ["/comfy/system_stats", "/comfy/free"]
    assert all(headers["Authorization"] == "Bearer secret" for _, headers, _ in asked)
    assert json.loads(asked[-1][2]) == {"unload_models": True, "free_memory": True}


def test_headers_are_not_handed_on_by_a_redirect(recorder):
    url, asked = recorder
    Client(url, {"Authorization": "Bearer secret"}).history()
    (first, before, _), (second, after, _) = asked
    assert (first, second) == ("/comfy/history", "/elsewhere")
    assert "Authorization" in before
    assert "Authorization" not in after


def test_refusals_say_what_is_wrong(recorder):
    url, _ = recorder
    with pytest.raises(NodeError, match=r"KSampler: Too small: steps: -1") as caught:
        Client(url).run({"7": node("KSampler", steps=-1)})
    assert caught.value.node_type == "KSampler"
    with pytest.raises(ServerError, match=r"object_info answered 403 Forbidden.*not for you"):
        Client(url).object_info()


def test_nobody_there():
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:9 does not answer"):
        Client("http://127.0.0.1:9/").object_info()


@pytest.mark.parametrize("url", ["127.0.0.1:8188", "file:///etc/hosts", "http://"])
def test_only_a_servers_address_is_taken(url):
    with pytest.raises(ValueError, match="no server's address"):
        Client(url)


def test_uploads_come_out_of_the_real_server_as_they_went_in(server, tmp_path):
    file = tmp_path / 'кадр "1" (ä).bin'
    file.write_bytes(b"\r\n--boundary--\r\n\x00\xff")
    name = server.upload(file, "a/b")
    assert name.startswith("a/b/")
    folder, _, name = name.rpartition("/")
    assert server.view(name, folder, "input") == file.read_bytes()
    assert server.upload(file, "a/b").endswith(name)  # the same once more
    file.write_bytes(b"other")
    assert not server.upload(file, "a/b").endswith(name)
    assert server.upload(file, "a/b", overwrite=True).endswith(name)
    assert server.view(name, folder, "input") == b"other"
    assert server.system_stats()["system"]["comfyui_version"]
