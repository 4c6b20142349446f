"""Model files of random weights in real layouts, so that real loaders can be tested offline.

    python -m pack.workshop.rig.weights MODELS_DIR [NAME ...]      names: see FILES

Each file has the tensor names and shapes of a published model and seeded random numbers in them,
scaled so that signals neither die out nor explode on their way through. ComfyUI's native loaders
take them for the real thing; only the pictures are noise.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ...clip_drift.whole_file import whole_file
from .kandinsky_weights import small_movq, small_prior, small_unet
from .random_tensors import (
    SEED,
    Shapes,
    clip_text_shapes,
    random_tensors,
    sd3_shapes,
    sd15_shapes,
    sdxl_shapes,
    unclip_shapes,
    vit_l_shapes,
)

RECIPE = "2"
"""Stored in every file. Raise it when the numbers change, and old files are written anew."""


# --- A small OpenCLIP model -----------------------------------------------------------------------

OPEN_CLIP_CONFIG = {
    "model_cfg": {
        "embed_dim": 768,
        "vision_cfg": {
            "image_size": 224,
            "patch_size": 32,
            "width": 128,
            "head_width": 32,
            "layers": 4,
        },
        "text_cfg": {
            "context_length": 77,
            "vocab_size": 49408,
            "width": 64,
            "heads": 2,
            "layers": 2,
        },
    },
    "preprocess_cfg": {
        "mean": [0.48145466, 0.4578275, 0.40821073],
        "std": [0.26862954, 0.26130258, 0.27577711],
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    },
}


def _open_clip_config(joint: int, text: int) -> dict:
    """The small model with another joint space, and with its text tower as wide as another's."""
    model = OPEN_CLIP_CONFIG["model_cfg"]
    tower = model["text_cfg"] | {"width": text, "heads": text // 32, "layers": 1}
    return OPEN_CLIP_CONFIG | {"model_cfg": model | {"embed_dim": joint, "text_cfg": tower}}


AS_CLIP_L = _open_clip_config(joint=768, text=768)
"""Reads as ViT-L/14 does, and holds a projection for CLIP-L's text tower."""
AS_BIG_G = _open_clip_config(joint=1280, text=64)
"""Reads as ViT-bigG/14 does; an image tower of its size is 3.7 GB."""


def _open_clip_tensors(config: dict = OPEN_CLIP_CONFIG) -> dict[str, torch.Tensor]:
    """OpenCLIP's own initialisation of the model that a config describes."""
    from open_clip import CLIP  # takes seconds to import, and only this file needs it

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return CLIP(**config["model_cfg"]).state_dict()


# --- Files ----------------------------------------------------------------------------------------


class WeightFile(NamedTuple):
    """A file below the models folder, and how to make its content."""

    path: str
    tensors: Callable[[], dict[str, torch.Tensor]]
    config: dict | None = None
    """Written beside the file as `.json` where the weights alone do not tell the model."""


EMBEDDING = 768
"""Of the small Kandinsky models: what ViT-L gives, for a random bigG image tower is 3.7 GB."""


def _drawn(shapes: Callable[[], Shapes]) -> Callable[[], dict[str, torch.Tensor]]:
    return lambda: random_tensors(shapes())


SMALL_TEXT = {
    "text_width": OPEN_CLIP_CONFIG["model_cfg"]["text_cfg"]["width"],
    "pooled_width": OPEN_CLIP_CONFIG["model_cfg"]["embed_dim"],
}
K22 = "diffusion_models/random_k22"
FILES = {
    "sd15": WeightFile("checkpoints/random_sd15.safetensors", _drawn(sd15_shapes)),
    "sdxl": WeightFile("checkpoints/random_sdxl.safetensors", _drawn(sdxl_shapes)),
    "sd3": WeightFile("checkpoints/random_sd3.safetensors", _drawn(sd3_shapes)),
    "unclip": WeightFile("checkpoints/random_unclip_l.safetensors", _drawn(unclip_shapes)),
    "vit_l": WeightFile("clip_vision/random_vit_l.safetensors", _drawn(vit_l_shapes)),
    "big_g": WeightFile(
        "text_encoders/random_big_g.safetensors",
        _drawn(partial(clip_text_shapes, "clip_config_bigg")),
    ),
    "clip_l": WeightFile(
        "text_encoders/random_clip_l.safetensors",
        _drawn(partial(clip_text_shapes, "sd1_clip_config")),
    ),
    "open_clip": WeightFile(
        "open_clip/random_small.safetensors", _open_clip_tensors, OPEN_CLIP_CONFIG
    ),
    "as_clip_l": WeightFile(
        "open_clip/random_as_clip_l.safetensors",
        partial(_open_clip_tensors, AS_CLIP_L),
        AS_CLIP_L,
    ),
    "as_big_g": WeightFile(
        "open_clip/random_as_big_g.safetensors", partial(_open_clip_tensors, AS_BIG_G), AS_BIG_G
    ),
    "k22_decoder": WeightFile(
        f"{K22}_decoder.safetensors", partial(small_unet, embed_dim=EMBEDDING)
    ),
    "k22_inpaint": WeightFile(
        f"{K22}_inpaint.safetensors", partial(small_unet, in_channels=9, embed_dim=EMBEDDING)
    ),
    "k22_movq": WeightFile("vae/random_k22_movq.safetensors", small_movq),
    "k22_prior": WeightFile(f"{K22}_prior.safetensors", partial(small_prior, embedding=EMBEDDING)),
    "k22_prior_open_clip": WeightFile(
        f"{K22}_prior_open_clip.safetensors",
        partial(small_prior, embedding=EMBEDDING, **SMALL_TEXT),
    ),
}


def ensure(models_dir: Path, *names: str) -> list[Path]:
    """Write the named files (all of them by default) where they are missing; return their paths."""
    return [_ensure_file(Path(models_dir), FILES[name]) for name in names or FILES]


def _ensure_file(models_dir: Path, file: WeightFile) -> Path:
    path = models_dir / file.path
    if _recipe_of(path) == RECIPE:
        return path
    print(f"writing random weights: {path}", flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    if file.config is not None:
        config = json.dumps(file.config, indent=2) + "\n"
        with whole_file(path.with_suffix(".json")) as part:
            part.write(config.encode())
    tensors = file.tensors()
    with whole_file(path) as part:
        save_file(tensors, part.name, {"format": "pt", "recipe": RECIPE})
    return path


def _recipe_of(path: Path) -> str | None:
    """The recipe that a file was made by, or None where there is no file."""
    if not path.exists():
        return None
    with safe_open(path, framework="pt") as file:
        return (file.metadata() or {}).get("recipe")


if __name__ == "__main__":
    if len(sys.argv) < 2 or not set(sys.argv[2:]) <= set(FILES):
        sys.exit(f"usage: weights.py MODELS_DIR [{'] ['.join(FILES)}]")
    for written in ensure(*sys.argv[1:]):
        print(written)
