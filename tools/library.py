"""Makes the library importable as `clip_drift` from anywhere in this checkout."""

import importlib.util
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "clip_drift"


def import_library() -> None:
    """Import `clip_drift` by its place.

    With the repository's root on sys.path, the pack's folder `nodes` would be taken for ComfyUI's
    module of that name.
    """
    if FOLDER.name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(
        FOLDER.name, FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[FOLDER.name] = module
    spec.loader.exec_module(module)
