"""ComfyUI's own modules and this pack's nodes in this very process, without a server.

For what a server cannot show: a model's single prediction, sampling from given noise, patched
weights.
"""

import asyncio
import sys
from types import ModuleType

from .paths import BASE_DIR, comfyui_path
from .server import has_gpu

_LOADED: list[bool] = []


def import_comfyui() -> None:
    """Make `comfy`, `folder_paths`, `comfy_api` and ComfyUI's `nodes` importable, on the CPU if
    there is no GPU."""
    if str(comfyui_path()) not in sys.path:
        sys.path.insert(0, str(comfyui_path()))
    from comfy.cli_args import args

    args.cpu = not has_gpu()
    args.base_directory = str(BASE_DIR)


def import_pack() -> ModuleType:
    """The pack as ComfyUI loads it, with `.nodes` and `.kandinsky22.nodes`."""
    import_comfyui()
    from ...extension import ClipDriftExtension

    if not _LOADED:
        asyncio.run(ClipDriftExtension().on_load())
        _LOADED.append(True)
    return sys.modules[ClipDriftExtension.__module__.rpartition(".")[0]]
