"""CLIP Drift: a video's motion, as rotations in CLIP space, moves any text-to-image model."""

from comfy_api.latest import ComfyExtension, io

WEB_DIRECTORY = "./web"


class ClipDriftExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        from .nodes import NODES

        return NODES


async def comfy_entrypoint() -> ClipDriftExtension:
    return ClipDriftExtension()
