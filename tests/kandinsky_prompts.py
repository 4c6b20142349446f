"""Kandinsky 2.2 in API format, from small weights that the tests write where a server looks."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from pack.farm.client import node
from pack.workshop.rig import prompts
from pack.workshop.rig.kandinsky_weights import small_movq, small_prior, small_unet
from safetensors.torch import save_file
from torch import Tensor

WIDTH = 768
"""Of the image embeddings: that of the small OpenCLIP model."""
TEXT_WIDTH = 64
FOLDERS = ("diffusion_models", "vae", "loras")
DECODER, INPAINTER, PRIOR, MOVQ = "decoder", "inpainter", "prior", "movq"


class Files:
    """A folder of our own in each of a server's model folders; the server lists its files.

    Attributes:
        weights: of the decoder.
    """

    def __init__(self, models_dir: Path):
        self.folders = {
            kind: Path(tempfile.mkdtemp(prefix="k22_", dir=_made(models_dir / kind)))
            for kind in FOLDERS
        }
        self.weights = small_unet(self.path(DECODER), embed_dim=WIDTH)
        small_unet(self.path(INPAINTER), in_channels=9, embed_dim=WIDTH)
        sizes = {"embedding": WIDTH, "text_width": TEXT_WIDTH, "pooled_width": WIDTH}
        small_prior(self.path(PRIOR), **sizes)
        small_movq(self.path(MOVQ, "vae"))

    def path(self, name: str, kind: str = "diffusion_models") -> Path:
        """Where a file of that name is to be written."""
        return self.folders[kind] / (name if "." in name else f"{name}.safetensors")

    def choice(self, name: str, kind: str = "diffusion_models") -> str:
        """What a loader's combo calls it."""
        path = self.path(name, kind)
        return str(path.relative_to(path.parent.parent))

    def save(self, name: str, tensors: dict[str, Tensor], kind: str = "diffusion_models") -> str:
        """Write tensors; return the choice."""
        save_file({key: x.contiguous() for key, x in tensors.items()}, self.path(name, kind))
        return self.choice(name, kind)

    def remove(self) -> None:
        for folder in self.folders.values():
            shutil.rmtree(folder)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def decoder(files: Files, name: str = DECODER, **settings) -> dict:
    """A loader's inputs are settings; its MODEL and VAE are ["decoder", 0] and ["decoder", 1]."""
    given = {"movq_name": files.choice(MOVQ, "vae"), "weight_dtype": "default", "clip_x0": True}
    given = {"unet_name": files.choice(name), **given, **settings}
    return {"decoder": node("Kandinsky22LoadDecoder", **given)}


def embeddings(files: Files, steps: int = 3) -> dict:
    """The prior on a text: ["prior", 0] and ["prior", 1]."""
    encoder = {"model": prompts.SMALL_ENCODER, "precision": "auto", "allow_download": False}
    return {
        "encoder": node("ClipDriftLoadOpenCLIP", **encoder),
        "prior_file": node("Kandinsky22LoadPrior", prior_name=files.choice(PRIOR)),
        "prior": node(
            "Kandinsky22Encode",
            prior=["prior_file", 0],
            clip=["encoder", 0],
            text=prompts.TEXT,
            negative="low quality",
            seed=5,
            steps=steps,
            cfg=4.0,
        ),
    }


def canvas(frames: int = 1) -> dict:
    """["canvas", 0]: (frames, 4, 8, 12) zeros."""
    return {"canvas": node("EmptyLatentImage", width=96, height=64, batch_size=frames)}


def sampler(**settings) -> dict:
    """A KSampler on what the functions above name."""
    given = {
        "model": ["decoder", 0],
        "positive": ["prior", 0],
        "negative": ["prior", 1],
        "latent_image": ["canvas", 0],
        "seed": 3,
        "steps": 3,
        "cfg": 4.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "denoise": 1.0,
    }
    return node("KSampler", **{**given, **settings})


def text_to_image(files: Files, **settings) -> dict:
    """All up to the latent ["sample", 0]."""
    graph = decoder(files) | embeddings(files) | canvas()
    return graph | {"sample": sampler(**settings)}
