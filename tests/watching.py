"""Run a prompt and listen to all that the server says meanwhile, as the front end does."""

import asyncio
import io
import struct
from collections.abc import Callable
from functools import partial

import aiohttp
from PIL import Image

JPEG_PREVIEW = (1, 1)  # ComfyUI's numbers of the event and of the image's format


class Watched:
    """What a server sent while a prompt ran.

    Attributes:
        prompt_id: of the prompt.
        messages: (type, data) of all that was text.
        pictures: the previews.
    """

    def __init__(self):
        self.prompt_id = ""
        self.messages: list[tuple[str, dict]] = []
        self.pictures: list[Image.Image] = []

    def steps(self, name: str) -> list[tuple[int, int]]:
        """(done, of how many) as a node told it."""
        return [
            (data["value"], data["max"])
            for kind, data in self.messages
            if kind == "progress" and data["node"] == name
        ]

    def ended(self) -> tuple[str, dict] | None:
        ends = ("execution_success", "execution_error", "execution_interrupted")
        return next((item for item in self.messages if item[0] in ends), None)


def watch(server, graph: dict, on_message: Callable[[str, dict], object] | None = None, **options):
    """Run a prompt as the front end does, listening. `options` go beside the prompt."""

    async def listen() -> Watched:
        found = Watched()
        async with (
            aiohttp.ClientSession(trust_env=False) as session,
            session.ws_connect(f"{server.url}/ws?clientId=watcher") as socket,
        ):
            queue = partial(server.queue, graph, client_id="watcher", **options)
            found.prompt_id = await asyncio.to_thread(queue)
            while not found.ended():
                message = await asyncio.wait_for(socket.receive(), timeout=300)
                if message.type == aiohttp.WSMsgType.BINARY:
                    assert struct.unpack(">II", message.data[:8]) == JPEG_PREVIEW
                    found.pictures.append(Image.open(io.BytesIO(message.data[8:])))
                    continue
                content = message.json()
                found.messages.append((content["type"], content["data"]))
                if on_message:
                    await asyncio.to_thread(on_message, *found.messages[-1])
        return found

    return asyncio.run(listen())
