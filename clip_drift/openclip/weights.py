"""The tensors of an OpenCLIP weight file, or what the file is instead."""

from pathlib import Path

from ..errors import WrongFileError
from ..weight_files import Shapes, read_header
from ..weight_kinds import describe, recognise


def openclip_shapes(path: Path) -> Shapes:
    """Names and shapes of an OpenCLIP file's tensors.

    Raises:
        DriftError: it cannot be read.
        WrongFileError: it holds something else.
    """
    tensors = read_header(path, pickles=True).shapes
    shapes = {name.removeprefix("module."): shape for name, shape in tensors.items()}
    found = recognise(shapes)
    if found != "openclip":
        raise WrongFileError(
            f"{path.name} is not an OpenCLIP model, which has an image tower (visual.*) and a text "
            f"tower, but {describe(shapes)}.",
            found,
        )
    return shapes
