"""Files in ComfyUI's folders: what the pack brings there, and whether one has changed."""

import logging
import os
import shutil
from pathlib import Path

import folder_paths

from ...clip_drift.whole_file import whole_file

PACK = Path(__file__).resolve().parent.parent.parent
MODELS = PACK / "models"
EXAMPLE_CLIP = PACK / "example_workflows" / "clip-drift-round.mp4"
OPEN_CLIP = "open_clip"


def register_model_folders() -> None:
    """Let loaders list models/open_clip, which ComfyUI does not know, and the pack's own models.

    The pack's folders come last: what is saved or downloaded goes into the first, the user's.
    """
    _add_open_clip(os.path.join(folder_paths.models_dir, OPEN_CLIP))
    for folder in sorted(filter(Path.is_dir, MODELS.glob("*"))):
        folder_paths.add_model_folder_path(folder.name, str(folder))


def _add_open_clip(folder: str) -> None:
    """Add the folder beside whatever a user's yaml already gave that name."""
    folder_paths.add_model_folder_path(OPEN_CLIP, folder)
    folder_paths.folder_names_and_paths[OPEN_CLIP][1].update(folder_paths.supported_pt_extensions)


def fingerprint(path: str | os.PathLike) -> str:
    """What changes whenever a file does."""
    state = os.stat(path)
    return f"{state.st_mtime_ns}:{state.st_size}"


def offer_example_clip() -> None:
    """Put the first workflow's clip among the user's input files.

    Load Video lists no other folder. ComfyUI itself brings input/example.png in the same way. A
    file of that name is the user's own and stays as it is.
    """
    target = Path(folder_paths.get_input_directory(), EXAMPLE_CLIP.name)
    if target.exists():
        return
    try:
        with EXAMPLE_CLIP.open("rb") as clip, whole_file(target) as copy:
            shutil.copyfileobj(clip, copy)
    except OSError as error:
        logging.warning(f"CLIP Drift could not put its example clip into the input folder: {error}")
