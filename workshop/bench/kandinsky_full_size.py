"""Kandinsky 2.2 at its full size against diffusers, on the same random weights.

    python -m pack.workshop.bench.kandinsky_full_size [unet] [movq] [prior]
        [--folder FOLDER] [--latent 32]

Prints how far apart the results are, seconds, and peaks of memory. Each side runs in a process of
its own. Needs 12 GB of memory, and 5 GB in FOLDER (a temporary one by default) while it runs.
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

from ...kandinsky22.movq import Movq, movq_config
from ...kandinsky22.prior import Prior, prior_config
from ...kandinsky22.unet import Unet, unet_config
from ..rig.kandinsky_weights import randomise, small_movq

RUN_LATENT = 8
"""Side of the latent in whole sampling runs: 64 px, so that 35 guided steps take minutes."""

Results = dict[str, torch.Tensor]


def randn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(6)


def pack_part(name: str):
    from ..rig.in_process import import_pack

    return getattr(import_pack().kandinsky22.nodes, name)


def shapes_of(module: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def write(module: type, config: dict, path: Path) -> int:
    """Random weights of a model of ours into a file; how many there are."""
    from safetensors.torch import save_file

    model = randomise(module(**config, device="meta").to_empty(device="cpu"))
    save_file(model.state_dict(), path)
    return sum(parameter.numel() for parameter in model.parameters())


# --- the decoder ----------------------------------------------------------------------------------


def write_unet(folder: Path) -> int:
    from ..rig.kandinsky_oracle import reference_unet

    with torch.device("meta"):
        shapes = shapes_of(reference_unet())
    small_movq(folder / "small_movq.safetensors")
    return write(Unet, unet_config(shapes, {}), folder / "unet.safetensors")


def unet_inputs(side: int):
    from ..rig.kandinsky_oracle import Given

    return randn(1, 1, 4, side, side), Given(randn(2, 1, 1280), randn(3, 1, 1280))


def unet_ours(folder: Path, side: int) -> tuple[Results, dict]:
    from ..rig import kandinsky_sampling
    from ..rig.kandinsky_oracle import ddim

    decoder = pack_part("model")
    import comfy.model_management

    vae = pack_part("vae").load_movq(folder / "small_movq.safetensors")
    model = decoder.load_decoder(folder / "unet.safetensors", vae)
    comfy.model_management.load_models_gpu([model])
    kept = ddim(clip=False).alphas_cumprod[500]
    sigma = ((1 - kept) / kept).sqrt()
    x, given = unet_inputs(side)
    scaled = x * (1 + sigma**2).sqrt()  # diffusers' x, in ComfyUI's scale

    def predict() -> torch.Tensor:
        with torch.no_grad():
            context = given.positive[:, None]
            denoised = model.model.apply_model(scaled, sigma[None], c_crossattn=context)
        return (scaled - denoised) / sigma

    noise, figures = timed(predict)
    start, _ = unet_inputs(RUN_LATENT)
    decoder.clip_predictions(model)
    runs = {
        "ddim, 10 steps": kandinsky_sampling.run_ddim(model, start, given, 10),
        "ddpm, 25 steps": kandinsky_sampling.run_ddpm(model, start, given, 25, seeded()),
    }
    return {"prediction": noise, **runs}, figures


def unet_theirs(folder: Path, side: int) -> tuple[Results, dict]:
    from safetensors.torch import load_file

    from ..rig.kandinsky_oracle import reference_noise, reference_unet, run_ddim, run_ddpm

    with torch.device("meta"):
        unet = reference_unet()
    unet.load_state_dict(load_file(folder / "unet.safetensors"), assign=True)
    x, given = unet_inputs(side)
    noise, figures = timed(lambda: reference_noise(unet, x, 500, given.positive))
    start, _ = unet_inputs(RUN_LATENT)
    runs = {
        "ddim, 10 steps": run_ddim(unet, start, given, 10, clip=True),
        "ddpm, 25 steps": run_ddpm(unet, start, given, 25, seeded()),
    }
    return {"prediction": noise, **runs}, figures


# --- the MoVQ -------------------------------------------------------------------------------------


def reference_movq() -> torch.nn.Module:
    from diffusers import VQModel

    return VQModel(
        block_out_channels=(128, 256, 256, 512),
        down_block_types=(*["DownEncoderBlock2D"] * 3, "AttnDownEncoderBlock2D"),
        up_block_types=("AttnUpDecoderBlock2D", *["UpDecoderBlock2D"] * 3),
        latent_channels=4,
        layers_per_block=2,
        norm_num_groups=32,
        norm_type="spatial",
        num_vq_embeddings=16384,
        vq_embed_dim=4,
    ).train(False)


def write_movq(folder: Path) -> int:
    with torch.device("meta"):
        shapes = shapes_of(reference_movq())
    return write(Movq, movq_config(shapes, {}), folder / "movq.safetensors")


def movq_inputs(side: int) -> tuple[torch.Tensor, torch.Tensor]:
    picture = randn(1, 1, 8 * side, 8 * side, 3).sigmoid()
    return picture, randn(2, 1, 4, side, side)


def movq_ours(folder: Path, side: int) -> tuple[Results, dict]:
    vae = pack_part("vae").load_movq(folder / "movq.safetensors")
    vae.process_output = lambda picture: picture  # else what lies beyond 0..1 would not be compared
    picture, latent = movq_inputs(side)
    encoded, figures = timed(lambda: vae.encode(picture))
    decoded, more = timed(lambda: vae.decode(latent).movedim(-1, 1))
    return {"encode": encoded, "decode": decoded}, both(figures, more)


@torch.no_grad()
def movq_theirs(folder: Path, side: int) -> tuple[Results, dict]:
    from safetensors.torch import load_file

    with torch.device("meta"):
        movq = reference_movq()
    movq.load_state_dict(load_file(folder / "movq.safetensors"), assign=True)
    picture, latent = movq_inputs(side)
    pixels = picture.movedim(-1, 1) * 2 - 1
    encoded, figures = timed(lambda: movq.encode(pixels).latents)
    decoded, more = timed(lambda: movq.decode(latent, force_not_quantize=True).sample)
    return {"encode": encoded, "decode": decoded}, both(figures, more)


# --- the prior ------------------------------------------------------------------------------------


def reference_prior() -> torch.nn.Module:
    from diffusers import PriorTransformer

    return PriorTransformer(
        num_attention_heads=32,
        attention_head_dim=64,
        num_layers=20,
        embedding_dim=1280,
        num_embeddings=77,
        additional_embeddings=4,
    ).train(False)


def write_prior(folder: Path) -> int:
    with torch.device("meta"):
        shapes = shapes_of(reference_prior())
    return write(Prior, prior_config(shapes, {}), folder / "prior.safetensors")


def prior_inputs() -> tuple[torch.Tensor, ...]:
    mask = torch.arange(77)[None] < 12
    return randn(1, 1, 1280), randn(2, 1, 77, 1280), randn(3, 1, 1280), mask


@torch.no_grad()
def prior_ours(folder: Path, side: int) -> tuple[Results, dict]:
    prior = pack_part("prior_model").load_prior(folder / "prior.safetensors").patcher.model
    x, states, pooled, mask = prior_inputs()
    out, figures = timed(lambda: prior(x, torch.tensor([500]), states, pooled, mask))
    return {"prediction": out}, figures


@torch.no_grad()
def prior_theirs(folder: Path, side: int) -> tuple[Results, dict]:
    from safetensors.torch import load_file

    with torch.device("meta"):
        prior = reference_prior()
    weights = load_file(folder / "prior.safetensors")
    prior.load_state_dict(weights, assign=True, strict=False)
    # Not in the file: a mask that diffusers makes itself.
    prior.causal_attention_mask = torch.full((1, 81, 81), -10000.0).triu_(1)
    x, states, pooled, mask = prior_inputs()
    out, figures = timed(lambda: prior(x, 500, pooled, states, mask).predicted_image_embedding)
    return {"prediction": out}, figures


# --- side by side ---------------------------------------------------------------------------------

JOBS = {
    "unet": (write_unet, unet_ours, unet_theirs),
    "movq": (write_movq, movq_ours, movq_theirs),
    "prior": (write_prior, prior_ours, prior_theirs),
}


def timed(run) -> tuple[torch.Tensor, dict]:
    """A result, and the seconds of a second run."""
    run()
    start, busy = time.perf_counter(), time.process_time()
    out = run()
    return out, {
        "seconds": round(time.perf_counter() - start, 2),
        "cpu_seconds": round(time.process_time() - busy, 2),
        "peak_rss_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


def both(first: dict, second: dict) -> dict:
    """Figures of two runs: seconds of each, the peak of both."""
    pairs = {key: [first[key], second[key]] for key in first if key != "peak_rss_gb"}
    return {**pairs, "peak_rss_gb": second["peak_rss_gb"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("jobs", nargs="*", default=list(JOBS), metavar="|".join(JOBS))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--latent", type=int, default=32, help="side of the latent; 32 is 256 px")
    parser.add_argument("--part", choices=["write", "ours", "diffusers"], help="this alone, here")
    options = parser.parse_args()
    for job in options.jobs:
        if options.part:
            run_part(job, options.part, options.folder, options.latent)
            continue
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            compare(job, Path(folder), options.latent)


def run_part(job: str, part: str, folder: Path, side: int) -> None:
    write_weights, ours, theirs = JOBS[job]
    if part == "write":
        print(f"{write_weights(folder):,} parameters")
        return
    results, figures = (ours if part == "ours" else theirs)(folder, side)
    torch.save(results, folder / f"{part}.pt")
    print(json.dumps(figures))


def compare(job: str, folder: Path, side: int) -> None:
    for part in ("write", "ours", "diffusers"):
        command = [
            sys.executable,
            "-m",
            "pack.workshop.bench.kandinsky_full_size",
            job,
            "--folder",
            str(folder),
            "--latent",
            str(side),
        ]
        done = subprocess.run(
            [*command, "--part", part], check=True, stdout=subprocess.PIPE, text=True
        )
        print(f"{job}, {part}: {done.stdout.strip().splitlines()[-1]}", flush=True)
    ours, theirs = (torch.load(folder / f"{name}.pt") for name in ("ours", "diffusers"))
    for name, expected in theirs.items():
        difference, largest = (
            float((ours[name] - expected).abs().max()),
            float(expected.abs().max()),
        )
        print(
            f"{job}, {name}: {difference:.2e} on values up to {largest:.2f}, "
            f"{difference / largest:.1e} relative",
            flush=True,
        )


if __name__ == "__main__":
    main()
