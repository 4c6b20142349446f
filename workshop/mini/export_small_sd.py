"""Write Mini SD's UNet as an fp16 file with ComfyUI's names, and its sizes beside it.

    python -m pack.workshop.mini.export_small_sd [FILE]

What it shares with Mini Kandinsky, CLIP and MoVQ, is in that one's files.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from .export import as_fp16
from .runs import RUNS, load_trained
from .small_sd import FILE, SIZES, WIDTH, build_unet
from .train_small_sd import as_they_are, learn_as_of_white


def trained_small_sd(runs: Path = RUNS) -> nn.Module:
    """The UNet, its weights those of the token states as they are."""
    unet = learn_as_of_white(build_unet(), torch.eye(WIDTH))
    return as_they_are(load_trained("small_sd", unet, runs))


def export(path: Path = FILE, runs: Path = RUNS) -> Path:
    save_file(as_fp16(trained_small_sd(runs)), path, {"format": "pt"})
    path.with_suffix(".json").write_text(json.dumps(SIZES, indent=2) + "\n", encoding="utf-8")
    return path


def main() -> None:
    path = export(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE)
    print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
