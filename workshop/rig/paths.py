"""Where things lie: the repository, what run.py has set up, and ComfyUI."""

import os
from pathlib import Path

PACK = "clip-drift"
REPO = Path(__file__).resolve().parents[2]
MODELS = REPO / "models"
"""What the pack carries."""
EXAMPLES = REPO / "example_workflows"

RUN_DIR = REPO / ".run"
BASE_DIR = RUN_DIR / "base"
"""ComfyUI's base directory, made by run.py: holds the models, and this pack as a custom node."""


def comfyui_path() -> Path:
    """The ComfyUI source tree in use: the user's own, otherwise the one that run.py fetched."""
    return Path(os.environ.get("COMFYUI_PATH") or RUN_DIR / "ComfyUI").resolve()
