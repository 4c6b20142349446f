"""What a node adds to the library's errors: the input they are about, and where to put it right."""

from collections.abc import Iterator
from contextlib import contextmanager

from ...clip_drift.errors import DriftError, FramesError, NotHereError, WrongFileError

LOADERS = {
    "kandinsky decoder": "Load Kandinsky 2.2 Decoder",
    "kandinsky prior": "Load Kandinsky 2.2 Prior",
    "kandinsky movq": "Load Kandinsky 2.2 Decoder",
    "lora": "Load LoRA",
    "controlnet": "Load ControlNet Model",
    "sdxl checkpoint": "Load Checkpoint",
    "sd checkpoint": "Load Checkpoint",
    "sdxl unet": "Load Diffusion Model",
    "sd unet": "Load Diffusion Model",
    "sd vae": "Load VAE",
    "vae": "Load VAE",
    "openclip": "Load OpenCLIP",
    "clip vision": "Load CLIP Vision",
    "text encoder": "Load CLIP",
}
"""The node that takes each kind of weights (see `clip_drift.weight_kinds`)."""


@contextmanager
def advice(
    input_name: str, *, wrong: str = "choose another file", missing: str = "choose another"
) -> Iterator[None]:
    """Name the node's input in what the library says is wrong within the block, and the remedy.

    Args:
        input_name: where the file or model was chosen.
        wrong: what to do about a file of another kind.
        missing: what to do about a model that is not on this computer.
    """
    try:
        yield
    except WrongFileError as error:
        loader = LOADERS.get(error.holds)
        remedy = f"{wrong}, this one is for {loader}" if loader else wrong
        raise DriftError(f"{input_name}: {error.advised(remedy)}") from error
    except NotHereError as error:
        raise DriftError(f"{input_name}: {error.advised(missing)}") from error
    except DriftError as error:
        raise DriftError(f"{input_name}: {error}") from error


@contextmanager
def frames_advice() -> Iterator[None]:
    """Say where a motion's number of frames can be changed, if that is what is wrong within the
    block."""
    try:
        yield
    except FramesError as error:
        frames = "fewer frames" if error.wanted is None else f"frames = {error.wanted}"
        remedy = f"use Shape Drift with {frames} before Rotation Matrix from Vectors"
        raise error.advised(remedy) from error
