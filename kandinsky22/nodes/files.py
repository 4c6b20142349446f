"""Which weight files the combos offer, and where a choice lies: core's folders and the hub's."""

from pathlib import Path

import folder_paths

from ...clip_drift.errors import DriftError
from ...clip_drift.weight_files import ENDING, HUB_NAMES

DIFFUSERS = "diffusers"
FOLDERS = {"unet": "diffusion_models", "movq": "vae", "prior": "diffusion_models"}
"""A model's part, named as the hub names its folder, and ComfyUI's folder for such files."""


def choices(part: str) -> list[str]:
    """What a combo offers for a part: single files, then hub folders as `diffusers/<folder>`.

    Args:
        part: `unet`, `movq` or `prior`.
    """
    names = folder_paths.get_filename_list(FOLDERS[part])
    return [*(name for name in names if name.lower().endswith(ENDING)), *_hub_folders(part)]


def resolve(choice: str, part: str, input_name: str) -> Path:
    """The weight file that a choice stands for.

    Raises:
        DriftError: there is none (any more).
    """
    folders = _hub_folders(part)
    if choice in folders:
        return folders[choice]
    path = folder_paths.get_full_path(FOLDERS[part], choice)
    if path is None:
        raise DriftError(
            f"{input_name} {choice} is in neither models/{FOLDERS[part]} nor models/{DIFFUSERS}: "
            "choose another."
        )
    return Path(path)


def _hub_folders(part: str) -> dict[str, Path]:
    """Choices and weight files of the hub's folders, which may lie in a folder of their maker."""
    found = {}
    for root in map(Path, folder_paths.get_folder_paths(DIFFUSERS)):
        for depth in ("*", "*/*"):
            for folder in sorted(root.glob(f"{depth}/{part}")):
                choice = f"{DIFFUSERS}/{folder.parent.relative_to(root).as_posix()}"
                weights = (folder / name for name in HUB_NAMES)
                path = next(filter(Path.is_file, weights), None)
                if path is not None:
                    found.setdefault(choice, path)
    return found
