"""Weight files: which tensors one holds, read without running it."""

import math
import os
import pickle
import warnings
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .errors import DriftError

ENDING = ".safetensors"
PICKLES = (".pt", ".pth", ".bin")
HUB_NAMES = (f"diffusion_pytorch_model{ENDING}", f"diffusion_pytorch_model.fp16{ENDING}")
"""The weights' names in the folders of Hugging Face's hub, the preferred one first."""

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Header:
    """What a weight file says about its tensors. Immutable.

    Attributes:
        path: the file.
        shapes: each tensor's shape.
        dtypes: each tensor's type in safetensors' words, such as `F32` or `F8_E4M3`; of a pickle
            there are none.
    """

    path: Path
    shapes: Shapes
    dtypes: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The file as a user knows it; the hub calls all alike, so there the folders count too."""
        return "/".join(self.path.parts[-3:]) if self.path.name in HUB_NAMES else self.path.name

    @property
    def parameters(self) -> int:
        """How many numbers the file holds."""
        return sum(map(math.prod, self.shapes.values()))


def read_header(path: str | os.PathLike, pickles: bool = False) -> Header:
    """What tensors a weight file holds; of big files only the directory is read.

    Args:
        path: ends in `.safetensors`.
        pickles: take `.pt`, `.pth` and `.bin` too, read as bare tensors and never run.

    Raises:
        DriftError: no such file, something else, or a file that is cut short.
    """
    path = Path(path)
    if not path.is_file():
        raise DriftError(f"there is no file {path.name}: choose another.")
    ending = path.suffix.lower()
    if pickles and ending in PICKLES:
        return Header(path, _pickled_shapes(path))
    if ending == ENDING and not _is_pickle(path):
        return Header(path, *_safetensors(path))
    if pickles:
        endings = ", ".join((ENDING, *PICKLES))
        raise DriftError(f"{path.name} is not a weight file: choose one ending in {endings}.")
    what = "is a pickle" if _is_pickle(path) else f"does not end in {ENDING}"
    raise DriftError(
        f"{path.name} {what}, and only {ENDING} files are read, since those can run no code: "
        f"use the same weights as a {ENDING} file."
    )


def _is_pickle(path: Path) -> bool:
    """Whether a file begins as torch.save's archive or a bare pickle does."""
    with path.open("rb") as file:
        start = file.read(9)
    # The length of a safetensors header may look the same, but a brace follows it.
    pickled = (b"PK\x03\x04", *(bytes((0x80, protocol)) for protocol in range(2, 6)))
    return start.startswith(pickled) and start[8:] != b"{"


_INCOMPLETE = ("incomplete metadata", "invalid header length")
"""What safetensors says of a file that is shorter, or longer, than its header tells."""


def _safetensors(path: Path) -> tuple[Shapes, dict[str, str]]:
    try:
        with safe_open(path, "pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            shapes = {name: tuple(each.get_shape()) for name, each in slices.items()}
            return shapes, {name: each.get_dtype() for name, each in slices.items()}
    except (SafetensorError, OSError) as error:
        if any(reason in str(error) for reason in _INCOMPLETE):
            raise DriftError(
                f"{path.name} is cut short or damaged, its {path.stat().st_size:,} bytes are not "
                "those that its header tells of: download it again."
            ) from error
        raise DriftError(
            f"{path.name} is not a safetensors file, it is damaged or something else: download "
            "the weights again."
        ) from error


def _pickled_shapes(path: Path) -> Shapes:
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
    except Exception as error:  # a damaged pickle may be told to do anything that is allowed
        what = "is a TorchScript program" if "TorchScript" in str(error) else "cannot be read"
        raise DriftError(
            f"{path.name} {what}: download it again, or use the same weights as .safetensors."
        ) from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]  # open_clip's training checkpoints
    if not isinstance(content, dict):
        raise DriftError(
            f"{path.name} holds a {type(content).__name__} instead of named tensors: "
            "choose a file of weights."
        )
    return {str(name): tuple(t.shape) for name, t in content.items() if isinstance(t, Tensor)}
