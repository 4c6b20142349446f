"""CLIP Drift: a video's motion, as rotations in CLIP space, moves any text-to-image model."""

from comfy_api.latest import ComfyExtension, io

WEB_DIRECTORY = "./web"


class ClipDriftExtension(ComfyExtension):
    async def on_load(self) -> None:
        from .nodes.folders import offer_example_clip, register_model_folders

        register_model_folders()
        offer_example_clip()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        from .nodes import NODES

        return NODES


async def comfy_entrypoint() -> ClipDriftExtension:
    return ClipDriftExtension()
