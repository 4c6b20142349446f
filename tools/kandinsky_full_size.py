"""One prediction of the full-size Kandinsky 2.2 decoder, as ComfyUI's model and in diffusers.

    python tools/kandinsky_full_size.py [FOLDER] [--latent 32]

Writes 5 GB of random weights into FOLDER (a temporary one by default) and deletes them at the end.
Each side runs in a process of its own, so that the peaks of memory can be compared; 12 GB are
enough.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from library import import_library

import_library()

WEIGHTS = "unet.safetensors"
TIMESTEP = 500


def write_weights(folder: Path) -> dict:
    """The decoder's weights in its own file, and a small MoVQ's."""
    from kandinsky_oracle import reference_unet
    from kandinsky_weights import randomise, small_movq
    from safetensors.torch import save_file

    from clip_drift.kandinsky22.unet import Unet, unet_config

    with torch.device("meta"):
        shapes = {name: tuple(p.shape) for name, p in reference_unet().named_parameters()}
    unet = randomise(Unet(**unet_config(shapes, {}), device="meta").to_empty(device="cpu"))
    save_file(unet.state_dict(), folder / WEIGHTS)
    small_movq(folder / "movq.safetensors")
    return {"parameters": sum(p.numel() for p in unet.parameters())}


def inputs(side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A noisy latent and an image embedding."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1, 4, side, side, generator=generator)
    return x, torch.randn(1, 1280, generator=generator)


def run_diffusers(folder: Path, side: int) -> tuple[torch.Tensor, dict]:
    from kandinsky_oracle import reference_noise, reference_unet
    from safetensors.torch import load_file

    start = time.perf_counter()
    with torch.device("meta"):
        unet = reference_unet()
    unet.load_state_dict(load_file(folder / WEIGHTS), assign=True)
    loaded = time.perf_counter()
    x, embedding = inputs(side)
    return _timed(lambda: reference_noise(unet, x, TIMESTEP, embedding), loaded - start)


def run_comfyui(folder: Path, side: int) -> tuple[torch.Tensor, dict]:
    import importlib

    from in_process import import_pack
    from kandinsky_oracle import ddim

    pack = import_pack()
    model_part = importlib.import_module(f"{pack.__name__}.kandinsky22.model")
    vae_part = importlib.import_module(f"{pack.__name__}.kandinsky22.vae")
    import comfy.model_management

    vae = vae_part.load_movq(folder / "movq.safetensors")
    start = time.perf_counter()
    model = model_part.load_decoder(folder / WEIGHTS, vae)
    comfy.model_management.load_models_gpu([model])
    loaded = time.perf_counter()

    kept = ddim(clip=False).alphas_cumprod[TIMESTEP]
    sigma = ((1 - kept) / kept).sqrt()
    x, embedding = inputs(side)
    x = x * (1 + sigma**2).sqrt()  # diffusers' x, in ComfyUI's scale

    def noise() -> torch.Tensor:
        with torch.no_grad():
            denoised = model.model.apply_model(x, sigma[None], c_crossattn=embedding[:, None])
        return (x - denoised) / sigma

    return _timed(noise, loaded - start)


def _timed(predict, load_seconds: float) -> tuple[torch.Tensor, dict]:
    predict()
    start, busy = time.perf_counter(), time.process_time()
    noise = predict()
    return noise, {
        "load_seconds": round(load_seconds, 1),
        "seconds": round(time.perf_counter() - start, 2),
        "cpu_seconds": round(time.process_time() - busy, 2),
        "peak_rss_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


SIDES = {"diffusers": run_diffusers, "comfyui": run_comfyui}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--latent", type=int, default=32, help="side of the latent; 32 is 256 px")
    parser.add_argument("--part", choices=["weights", *SIDES], help="run this part alone, here")
    options = parser.parse_args()
    if options.part == "weights":
        print(json.dumps(write_weights(options.folder)))
    elif options.part:
        noise, figures = SIDES[options.part](options.folder, options.latent)
        torch.save(noise, options.folder / f"{options.part}.pt")
        print(json.dumps(figures))
    else:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            compare(Path(folder), options.latent)


def compare(folder: Path, side: int) -> None:
    for part in ("weights", *SIDES):
        command = [sys.executable, __file__, str(folder), "--latent", str(side), "--part", part]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        print(part, done.stdout.strip().split("\n")[-1], flush=True)
    ours, theirs = (torch.load(folder / f"{name}.pt") for name in ("comfyui", "diffusers"))
    difference = float((ours - theirs).abs().max())
    largest = float(theirs.abs().max())
    print(f"max difference {difference:.2e} on values up to {largest:.2f}: "
          f"{difference / largest:.1e} relative")  # fmt: skip


if __name__ == "__main__":
    main()
