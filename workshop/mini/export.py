"""Write what was trained as the files that the pack's loaders read: fp16 weights and their .json.

    python -m pack.workshop.mini.export [FOLDER]

The folders inside are those of ComfyUI's models. Without FOLDER they are written into the pack,
and the classifier beside this file, for the bench and the tests.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ..rig.paths import MODELS
from ..world.scenes import draw_scenes, render
from .classifier import SHIPPED, trained_classifier
from .clip_model import CONFIG, MERGES_NAME, build_tokenizer, trained_clip
from .movq_model import encode_all, trained_movq
from .prior_model import HEAD_DIM as PRIOR_HEAD_DIM
from .prior_model import trained_prior
from .runs import RUNS, folder_of, state_file
from .unet_model import HEAD_DIM, trained_unet

NAME = "mini-kandinsky"
FILES = {
    "clip": f"open_clip/{NAME}-clip.safetensors",
    "movq": f"vae/{NAME}-movq.safetensors",
    "unet": f"diffusion_models/{NAME}-decoder.safetensors",
    "prior": f"diffusion_models/{NAME}-prior.safetensors",
}
# What weights cannot tell.
CONFIGS = {
    "clip": CONFIG,
    "movq": {"_class_name": "VQModel", "norm_num_groups": 32},
    "unet": {"_class_name": "UNet2DConditionModel", "attention_head_dim": HEAD_DIM},
    "prior": {"_class_name": "PriorTransformer", "attention_head_dim": PRIOR_HEAD_DIM},
}


def export(folder: Path, runs: Path = RUNS) -> list[str]:
    """Write the parts that have been trained so far; returns their names."""
    makers = {
        "clip": trained_clip,
        "movq": _movq_with_codes,
        "unet": trained_unet,
        "prior": trained_prior,
    }
    done = [part for part in makers if state_file(part, runs).is_file()]
    for part in done:
        path = folder / FILES[part]
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(as_fp16(makers[part](runs)), path, {"format": "pt"})
        text = json.dumps(CONFIGS[part], indent=2) + "\n"
        path.with_suffix(".json").write_text(text, encoding="utf-8")
    if "clip" in done:
        build_tokenizer(runs)  # which writes its file
        merges = folder_of("clip", runs) / MERGES_NAME
        shutil.copyfile(merges, (folder / FILES["clip"]).with_name(MERGES_NAME))
    return done


def as_fp16(module: nn.Module) -> dict[str, Tensor]:
    """A module's weights; counters stay whole numbers."""
    return {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in module.state_dict().items()
    }


def _movq_with_codes(runs: Path) -> nn.Module:
    """The MoVQ with a codebook that fits its latents. Nothing decodes with it."""
    movq = trained_movq(runs)
    latents = encode_all(movq, render(draw_scenes(256, 0)))
    vectors = latents.permute(0, 2, 3, 1).reshape(-1, latents.shape[1])
    rows = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(0))
    codes = movq.quantize.embedding.weight
    codes.copy_(vectors[rows[: len(codes)]])
    return movq


def main() -> None:

    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else MODELS
    done = export(folder)
    if folder == MODELS and state_file("classifier").is_file():
        save_file(as_fp16(trained_classifier()), SHIPPED, {"format": "pt"})
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"{', '.join(done)}: {size / 1e6:.1f} MB in {folder}")


if __name__ == "__main__":
    main()
