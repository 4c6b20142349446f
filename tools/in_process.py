"""ComfyUI's own modules and this pack's nodes in this very process, without a server.

For what a server cannot show: a model's single prediction, sampling from given noise, patched
weights.
"""

import asyncio
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from comfy_server import BASE_DIR, comfyui_path, has_gpu

PACK = "clip_drift_pack"
REPO = Path(__file__).resolve().parent.parent


def import_comfyui() -> None:
    """Make `comfy`, `folder_paths`, `comfy_api` and ComfyUI's `nodes` importable, on the CPU if
    there is no GPU."""
    if str(comfyui_path()) not in sys.path:
        sys.path.insert(0, str(comfyui_path()))
    from comfy.cli_args import args

    args.cpu = not has_gpu()
    args.base_directory = str(BASE_DIR)


def import_pack() -> ModuleType:
    """The pack as ComfyUI imports it: a package, whose nodes are in `.nodes`.

    Its library is a second copy beside `clip_drift`, so an error to expect is the pack's own
    `.clip_drift.errors.DriftError`.
    """
    import_comfyui()
    if PACK not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            PACK, REPO / "__init__.py", submodule_search_locations=[str(REPO)]
        )
        sys.modules[PACK] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[PACK])
        asyncio.run(sys.modules[PACK].ClipDriftExtension().on_load())
    return importlib.import_module(f"{PACK}.nodes")
