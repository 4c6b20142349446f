"""The pack as ComfyUI's extension: what it registers on loading, and its nodes."""

from comfy_api.latest import ComfyExtension, io

from . import nodes
from .kandinsky22 import nodes as kandinsky22
from .kandinsky22.nodes.lora import teach_core
from .nodes.core.folders import offer_example_clip, register_model_folders


class ClipDriftExtension(ComfyExtension):
    """Everything that changes ComfyUI's own state is done in `on_load`."""

    async def on_load(self) -> None:
        register_model_folders()
        offer_example_clip()
        teach_core()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [*nodes.NODES, *kandinsky22.NODES]
