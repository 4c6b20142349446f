"""Kandinsky 2.2 in ComfyUI beside diffusers' own models, on the same random weights, in float32.

    python -m pack.workshop.bench.kandinsky FOLDER SIDE JOB [--full-size]

measures one side's memory for one job, on the weights that a benchmark has written to FOLDER.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..rig.kandinsky_weights import small_movq

JOBS = ("unet", "encode", "decode", "prior")
SIDES = ("ours", "diffusers")
FRAMES = 16
TIMESTEP = 500
SAME = 1e-4  # of the largest number; the tests are stricter

# The real architectures; the middle size has half the widths, and half the prior's layers.
UNET = {False: {"channels": (192, 384, 576, 768), "token_dim": 384}, True: {}}
PRIOR = {False: {"num_attention_heads": 16, "num_layers": 10}, True: {}}
CELLS = {False: 16, True: 32}
"""Side of the latent that the MoVQ takes and gives, as it is timed: pictures of 128 and 256 pixels.
Memory is always measured at the larger one, beside which what else a process takes is small."""
UNET_CELLS = 32
TINY = 8
ATTEND = (False, False, False, True)

Job = Callable[[dict[str, Tensor]], Tensor]


def measure(full_size: bool = False, rounds: int = 5) -> dict[str, float]:
    """Seconds and ratios of ours, as ComfyUI runs it, over diffusers'; on a GPU if there is one.

    Args:
        full_size: the published sizes (14 GB of memory) instead of the middle ones.

    Returns:
        For every job ``<job>_s``, ``<job>_diffusers_s``: medians of the seconds, taken in turns;
        ``<job>_time``: median of the turns' ratios; ``<job>_memory``: the peak above the loaded
        weights, over diffusers', each in a process of its own (with a GPU: on the GPU).
        The jobs: ``unet``, one step with guidance; ``encode`` and ``decode``, one picture with the
        MoVQ; ``prior``, one of its steps with guidance.
        ``frames_s``, ``frames_single_s``: 16 frames through our UNet as one batch and one by one;
        ``frames_time``: the batch's over theirs; ``frames_mb``, ``frames_single_mb``: memory above
        the weights, beyond what a first frame of that size has taken.
    """
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder), full_size)
        figures = {}
        for job in JOBS:
            figures |= _times(Path(folder), job, full_size, rounds)
            ours, theirs = (_memory(folder, side, job, full_size) for side in SIDES)
            figures[f"{job}_memory"] = ours / theirs
        figures |= _frames(Path(folder), full_size)
        for name, job in (("frames_mb", "frames_batch"), ("frames_single_mb", "frames_single")):
            figures[name] = _memory(folder, "ours", job, full_size) / 2**20
        return figures


# --- Both models ----------------------------------------------------------------------------------


def _reference(part: str, full_size: bool) -> torch.nn.Module:
    """diffusers' model."""
    if part == "unet":
        from ..rig.kandinsky_oracle import reference_unet

        return reference_unet(**UNET[full_size])
    if part == "prior":
        from diffusers import PriorTransformer

        return PriorTransformer(embedding_dim=1280, **PRIOR[full_size]).train(False)
    from diffusers import VQModel

    return VQModel(
        block_out_channels=(128, 256, 256, 512),
        down_block_types=tuple(f"{'Attn' * on}DownEncoderBlock2D" for on in ATTEND),
        up_block_types=tuple(f"{'Attn' * on}UpDecoderBlock2D" for on in reversed(ATTEND)),
        layers_per_block=2,
        latent_channels=4,
        vq_embed_dim=4,
        num_vq_embeddings=16384,
        norm_type="spatial",
    ).train(False)


def _write(folder: Path, full_size: bool) -> None:
    torch.manual_seed(0)
    for part in ("unet", "movq", "prior"):
        weights = _reference(part, full_size).state_dict()
        save_file({name: x.contiguous() for name, x in weights.items()}, _file(folder, part))


def _file(folder: Path, part: str) -> Path:
    return folder / f"{part}.safetensors"


def _part(job: str) -> str:
    return {"encode": "movq", "decode": "movq", "prior": "prior"}.get(job, "unet")


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _diffusers(folder: Path, job: str, full_size: bool) -> Job:
    part = _part(job)
    # diffusers' prior holds a mask that no file has, so it is made whole.
    with torch.device("cpu" if part == "prior" else "meta"):
        model = _reference(part, full_size)
    model.load_state_dict(load_file(_file(folder, part)), assign=True)
    model.to(_device())
    if job == "unet":

        def unet(x: Tensor, embedding: Tensor) -> Tensor:
            given = {"image_embeds": embedding}
            return model(x, TIMESTEP, None, added_cond_kwargs=given).sample[:, :4]

        return lambda given: unet(**given)
    if job == "prior":

        def prior(x: Tensor, states: Tensor, pooled: Tensor, mask: Tensor) -> Tensor:
            return model(x, TIMESTEP, pooled, states, mask).predicted_image_embedding

        return lambda given: prior(**given)
    if job == "encode":
        return lambda given: model.encode(given["pixels"].movedim(-1, 1) * 2 - 1).latents
    return lambda given: _pixels(model.decode(given["latent"], force_not_quantize=True).sample)


def _pixels(x: Tensor) -> Tensor:
    """(B, h, w, 3) in 0..1 from (B, 3, h, w) in -1..1."""
    return (x / 2 + 0.5).clamp(0, 1).movedim(1, -1)


def _ours(folder: Path, job: str, full_size: bool) -> Job:
    from ..rig.in_process import import_pack

    nodes = import_pack().kandinsky22.nodes
    import comfy.model_management as management

    def module(name: str):
        return getattr(nodes, name)

    if job == "prior":
        held = module("prior_model").load_prior(_file(folder, "prior"))
        management.load_models_gpu([held.patcher])

        def prior(x: Tensor, states: Tensor, pooled: Tensor, mask: Tensor) -> Tensor:
            steps = torch.full((len(x),), TIMESTEP, device=x.device)
            return held.patcher.model(x, steps, states, pooled, mask)

        return lambda given: prior(**given)
    if job in ("encode", "decode"):
        vae = module("vae").load_movq(_file(folder, "movq"))
        if job == "encode":
            return lambda given: vae.encode(given["pixels"])
        return lambda given: vae.decode(given["latent"])

    small_movq(_file(folder, f"small_{os.getpid()}"))
    vae = module("vae").load_movq(_file(folder, f"small_{os.getpid()}"))
    options = {"dtype": torch.float32}
    patcher = module("model").load_decoder(_file(folder, "unet"), vae, options)
    management.load_models_gpu([patcher])
    model = patcher.model
    sigma = model.model_sampling.sigmas[TIMESTEP].to(_device())

    def unet(x: Tensor, embedding: Tensor) -> Tensor:
        # diffusers' x in ComfyUI's scale, and back from the picture to the noise.
        x = x * (1 + sigma**2).sqrt()
        denoised = model.apply_model(x, sigma.expand(len(x)), c_crossattn=embedding[:, None])
        return (x - denoised) / sigma

    if job == "frames_single":
        return lambda given: torch.cat(
            [unet(x[None], e[None]) for x, e in zip(*given.values(), strict=True)]
        )
    return lambda given: unet(**given)


LOADERS = {"ours": _ours, "diffusers": _diffusers}


def _inputs(job: str, cells: int = CELLS[True], tiny: bool = False) -> dict[str, Tensor]:
    """A job's inputs; tiny ones have everything loaded that stays. `cells` are the MoVQ's."""
    generator = torch.Generator().manual_seed(1)

    def randn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(_device())

    cells = TINY if tiny else cells
    if job == "encode":
        return {"pixels": randn(1, 8 * cells, 8 * cells, 3).sigmoid()}
    if job == "decode":
        return {"latent": randn(1, 4, cells, cells)}
    if job == "prior":
        mask = torch.arange(77, device=_device())[None] < torch.tensor([[9], [3]], device=_device())
        texts = {"states": randn(2, 77, 1280), "pooled": randn(2, 1280), "mask": mask}
        return {"x": randn(2, 1280)} | texts
    if job == "unet":
        return {"x": randn(2, 4, *[TINY if tiny else UNET_CELLS] * 2), "embedding": randn(2, 1280)}
    frames = 1 if tiny else FRAMES
    return {"x": randn(frames, 4, TINY, TINY), "embedding": randn(frames, 1280)}


# --- Seconds --------------------------------------------------------------------------------------


def _times(folder: Path, job: str, full_size: bool, rounds: int) -> dict[str, float]:
    given = _inputs(job, CELLS[full_size])
    runs = [LOADERS[side](folder, job, full_size) for side in SIDES]
    ours, theirs = (_result(run, given) for run in runs)
    _require_same(job, ours, theirs)
    turns = _in_turns([lambda run=run: _result(run, given) for run in runs], rounds)
    return {
        f"{job}_s": statistics.median(times[0] for times in turns),
        f"{job}_diffusers_s": statistics.median(times[1] for times in turns),
        f"{job}_time": statistics.median(ours / theirs for ours, theirs in turns),
    }


def _frames(folder: Path, full_size: bool, rounds: int = 3) -> dict[str, float]:
    jobs = ("frames_batch", "frames_single")
    given = _inputs(jobs[0])
    run = _ours(folder, jobs[0], full_size)

    def batch() -> Tensor:
        return _result(run, given)

    def single() -> Tensor:
        parts = [{name: x[i : i + 1] for name, x in given.items()} for i in range(FRAMES)]
        return torch.cat([_result(run, part) for part in parts])

    _require_same("frames", batch(), single())
    turns = _in_turns([batch, single], rounds)
    return {
        "frames_s": statistics.median(times[0] for times in turns),
        "frames_single_s": statistics.median(times[1] for times in turns),
        "frames_time": statistics.median(together / alone for together, alone in turns),
    }


@torch.inference_mode()
def _result(run: Job, given: dict[str, Tensor]) -> Tensor:
    return run(given).cpu()  # waits for the GPU, too


def _require_same(job: str, ours: Tensor, theirs: Tensor) -> None:
    """Times and memory of something else would say nothing."""
    difference = float((ours - theirs).abs().max() / theirs.abs().max())
    if not difference < SAME:
        raise RuntimeError(f"{job}: the results differ by {difference:.1e} of the largest number")


def _in_turns(runs: list[Callable[[], object]], rounds: int) -> list[list[float]]:
    """Seconds of every run, of every round; each round starts with another one."""
    turns = []
    for turn in range(rounds):
        seconds = {}
        for index in range(len(runs)) if turn % 2 else reversed(range(len(runs))):
            begun = time.perf_counter()
            runs[index]()
            seconds[index] = time.perf_counter() - begun
        turns.append([seconds[index] for index in range(len(runs))])
    return turns


# --- Memory ---------------------------------------------------------------------------------------


def _memory(folder: str | Path, side: str, job: str, full_size: bool) -> int:
    """Bytes that a job takes above the loaded weights, measured in a fresh process."""
    command = [sys.executable, "-m", __spec__.name, str(folder), side, job]
    # Large blocks go back to the system at once, so that the peak is the one of living tensors.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
    done = subprocess.run(
        command + ["--full-size"] * full_size,
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])["bytes"]


def _measured(folder: Path, side: str, job: str, full_size: bool) -> int:
    run = LOADERS[side](folder, job, full_size)
    _result(run, _inputs(job, tiny=True))
    given = _inputs(job)
    before = _peak(anew=True)
    _result(run, given)
    return _peak() - before


def _peak(anew: bool = False) -> int:
    """The most bytes held so far, on the GPU if there is one; `anew`: from now on."""
    if torch.cuda.is_available():
        if anew:
            torch.cuda.reset_peak_memory_stats()
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    if not status.exists():  # not Linux: the whole process's, with what loading took
        import resource  # which Windows lacks

        return 0 if anew else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("job", choices=(*JOBS, "frames_batch", "frames_single"))
    parser.add_argument("--full-size", action="store_true")
    options = parser.parse_args()
    print(json.dumps({"bytes": _measured(**vars(options))}))


if __name__ == "__main__":
    main()
