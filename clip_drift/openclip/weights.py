"""What tensors a weight file holds, read without running it, and what a wrong file is instead."""

import pickle
import warnings
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from ..errors import DriftError

EXTENSIONS = (".safetensors", ".pt", ".pth", ".bin")

Shapes = dict[str, tuple[int, ...]]

# What a tensor's name begins with in files that people mistake for OpenCLIP weights.
_OTHER_MODELS = {
    "model.diffusion_model.": "a Stable Diffusion checkpoint",
    "vision_model.": "CLIP vision weights in Hugging Face's layout (use Load CLIP Vision)",
    "text_model.": "a text encoder in Hugging Face's layout",
    "lora_": "a LoRA",
    "first_stage_model.": "a VAE",
    "decoder.": "a VAE",
}


def read_shapes(path: Path) -> Shapes:
    """Names and shapes of a weight file's tensors; of big files only the directory is read."""
    if not path.is_file():
        raise DriftError(f"there is no file {path}: check the name of the OpenCLIP weights.")
    if path.suffix not in EXTENSIONS:
        raise DriftError(
            f"{path.name} is not a weight file: choose one ending in {', '.join(EXTENSIONS)}."
        )
    shapes = _safetensors_shapes(path) if path.suffix == ".safetensors" else _pickle_shapes(path)
    shapes = {name.removeprefix("module."): shape for name, shape in shapes.items()}
    _check_clip(path, shapes)
    return shapes


def _safetensors_shapes(path: Path) -> Shapes:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise DriftError(
            f"{path.name} is not a complete safetensors file ({error}): download it again."
        ) from error


def _pickle_shapes(path: Path) -> Shapes:
    try:
        with warnings.catch_warnings():
            # Such a file is refused below, with a remedy.
            warnings.filterwarnings("ignore", ".*TorchScript archive", UserWarning)
            content = torch.load(
                path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
            )
    except pickle.UnpicklingError as error:
        raise DriftError(
            f"{path.name} holds Python code besides tensors, which is never run: "
            "use the same weights as .safetensors."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        what = "is a TorchScript program" if "TorchScript" in str(error) else "cannot be read"
        raise DriftError(
            f"{path.name} {what}: download it again, or use the same weights as .safetensors."
        ) from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]  # open_clip's training checkpoints
    if not isinstance(content, dict):
        raise DriftError(
            f"{path.name} holds a {type(content).__name__} instead of named tensors: "
            "choose a file of OpenCLIP weights."
        )
    return {str(name): tuple(t.shape) for name, t in content.items() if isinstance(t, Tensor)}


def _check_clip(path: Path, shapes: Shapes) -> None:
    """Raise unless both towers of an OpenCLIP model are there, and say what the file is instead."""
    if any(name.startswith("visual.") for name in shapes) and any(
        name.startswith(("text.", "token_embedding.")) for name in shapes
    ):
        return
    found = next(
        (
            what
            for prefix, what in _OTHER_MODELS.items()
            if any(name.startswith(prefix) for name in shapes)
        ),
        f"{len(shapes)} tensors such as {next(iter(shapes), 'none')!r}",
    )
    raise DriftError(
        f"{path.name} is not an OpenCLIP model, it holds {found}: choose weights with both an "
        "image tower (visual.*) and a text tower."
    )
