"""Kandinsky 2.2 in ComfyUI beside diffusers' own models, on the same random weights, in float32.

    python -m pack.workshop.bench.kandinsky [JOB ...] [--full-size] [--cells N] [--folder FOLDER]

Each side runs in a process of its own, on a GPU if there is one. At full size it needs 14 GB of
memory, and 9 GB in FOLDER (a temporary one by default) while it runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from diffusers import PriorTransformer
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ...kandinsky22.movq import Movq, movq_config
from ...kandinsky22.prior import Prior, prior_config
from ...kandinsky22.unet import Unet, unet_config
from ..rig import kandinsky_oracle, kandinsky_sampling
from ..rig.in_process import import_pack
from ..rig.kandinsky_weights import randomise, small_movq
from .memory import GIVING_BACK, fresh_process, process_peak

OURS, DIFFUSERS = "ours", "diffusers"
PART_OF = {
    "unet": "unet",
    "encode": "movq",
    "decode": "movq",
    "prior": "prior",
    "ddim": "unet",
    "ddpm": "unet",
    "frames": "unet",
    "frames_single": "unet",
}
JOBS = tuple(PART_OF)[:-1]
RUNS = {"ddim": 10, "ddpm": 25}
"""Whole sampling runs and their steps, with guidance and the official clip."""
FRAMES = 16
TIMESTEP = 500
SAME = 1e-4  # of the largest number; the tests are stricter

# The real architectures; the middle size has half the widths, and half the prior's layers.
UNET = {False: {"channels": (192, 384, 576, 768), "token_dim": 384}, True: {}}
PRIOR = {False: {"num_attention_heads": 16, "num_layers": 10}, True: {}}
CELLS, SMALL_CELLS, TINY = 32, 16, 8
"""Side of the latent, of 8 pixels each. The MoVQ is timed at the small one in the middle size.
Memory is always measured at the larger one, beside which what else a process takes is small."""

Given = dict[str, Tensor]
Run = Callable[[Given], Tensor]


class Task(NamedTuple):
    """What a process is asked for."""

    side: str
    job: str
    folder: str
    full_size: bool


def measure(
    full_size: bool = False,
    rounds: int = 5,
    jobs: tuple[str, ...] = JOBS,
    cells: int | None = None,
    folder: Path | None = None,
) -> dict[str, float]:
    """Ours, as ComfyUI runs it, and diffusers': differences, seconds, memory and their ratios.

    Args:
        full_size: the published sizes instead of the middle ones.
        jobs: `unet`, one step with guidance; `encode` and `decode`, one picture with the
            MoVQ; `prior`, one of its steps with guidance; `ddim` and `ddpm`, whole sampling
            runs at 64 pixels; `frames`, 16 frames through our UNet as one batch and one by one.
        cells: side of the latent instead of the usual ones.

    Returns:
        For every job `<job>_s`, `<job>_diffusers_s`: medians of the seconds, taken in turns,
        and `_cpu_s` of the processor's; `<job>_time`: median of the turns' ratios;
        `<job>_mb`, `<job>_diffusers_mb`: the peak of memory above the loaded weights (with a
        GPU: on the GPU), `<job>_memory` their ratio, `_peak_mb`: with the weights and all;
        `<job>_difference`: the largest, of the largest number. Of `frames`, what the others
        have of diffusers is of one by one, `frames_single`, and memory is what is taken beyond
        a first frame. `<part>_parameters`: how many weights unet, movq and prior have.

    Raises:
        RuntimeError: the results of a job differ, so that its other figures would say nothing.
    """
    figures = {}
    with tempfile.TemporaryDirectory(dir=folder) as place:
        for part in dict.fromkeys(PART_OF[job] for job in jobs):
            figures[f"{part}_parameters"] = _write(Path(place), part, full_size)
        for job in jobs:
            ours = Task(OURS, job, place, full_size)
            other = ours._replace(side=DIFFUSERS)
            names = (job, f"{job}_diffusers")
            if job == "frames":
                names, other = (job, "frames_single"), ours._replace(job="frames_single")
            small = SMALL_CELLS if PART_OF[job] == "movq" and not full_size else CELLS
            turns = 1 if job in RUNS else rounds
            found = _side_by_side(job, names, (ours, other), cells or small, turns)
            if job not in RUNS:
                found |= _memory(job, names, (ours, other), cells or CELLS)
            figures |= found
    return figures


def _side_by_side(
    job: str, names: tuple[str, str], tasks: tuple[Task, Task], cells: int, rounds: int
) -> dict[str, float]:
    """Both in turns; each round starts with the other one."""
    with fresh_process() as first, fresh_process() as second:
        sides = list(zip((first, second), tasks, strict=True))
        found, expected = (pool.submit(_result, task, cells).result() for pool, task in sides)
        difference = float(np.abs(found - expected).max() / np.abs(expected).max())
        if not difference < SAME:
            raise RuntimeError(f"{job}: results differ by {difference:.1e} of the largest number")
        turns = []
        for turn in range(rounds):
            seconds = {}
            for pool, task in sides if turn % 2 else reversed(sides):
                seconds[task] = pool.submit(_seconds, task, cells).result()
            turns.append([seconds[task] for task in tasks])
    figures = {f"{job}_difference": difference}
    for name, of_side in zip(names, zip(*turns, strict=True), strict=True):
        wall, busy = zip(*of_side, strict=True)
        figures |= {f"{name}_s": statistics.median(wall), f"{name}_cpu_s": statistics.median(busy)}
    return figures | {f"{job}_time": statistics.median(a[0] / b[0] for a, b in turns)}


def _memory(
    job: str, names: tuple[str, str], tasks: tuple[Task, Task], cells: int
) -> dict[str, float]:
    """Megabytes that each takes, in a process that has done nothing else."""
    figures, above = {}, []
    for name, task in zip(names, tasks, strict=True):
        with fresh_process(**GIVING_BACK) as pool:
            taken, peak = pool.submit(_bytes, task, cells).result()
        above.append(taken)
        figures |= {f"{name}_mb": taken / 2**20, f"{name}_peak_mb": peak / 2**20}
    return figures | {f"{job}_memory": above[0] / above[1]}


# --- In a side's process --------------------------------------------------------------------------


@cache
def _loaded(task: Task) -> Run:
    return (_ours if task.side == OURS else _diffusers)(task)


@torch.inference_mode()
def _result(task: Task, cells: int, tiny: bool = False) -> np.ndarray:
    given = _inputs(task.job, cells, tiny)
    return _loaded(task)(given).float().cpu().numpy()  # waits for the GPU, too


def _seconds(task: Task, cells: int) -> tuple[float, float]:
    """Of the clock and of the processor."""
    begun, busy = time.perf_counter(), time.process_time()
    _result(task, cells)
    return time.perf_counter() - begun, time.process_time() - busy


def _bytes(task: Task, cells: int) -> tuple[int, int]:
    """The peak above the loaded weights, and the peak."""
    _result(task, cells, tiny=True)  # loads everything that stays
    before = _peak(anew=True)
    _result(task, cells)
    return _peak() - before, _peak()


def _peak(anew: bool = False) -> int:
    """The most bytes held so far, on the GPU if there is one; `anew`: from now on."""
    if torch.cuda.is_available():
        if anew:
            torch.cuda.reset_peak_memory_stats()
        return torch.cuda.max_memory_allocated()
    return process_peak(anew)


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _inputs(job: str, cells: int, tiny: bool) -> Given:
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
    if job in RUNS:
        return {"x": randn(1, 4, TINY, TINY), "embedding": randn(2, 1, 1280)}
    if job == "unet":
        return {"x": randn(2, 4, cells, cells), "embedding": randn(2, 1280)}
    frames = 1 if tiny else FRAMES
    return {"x": randn(frames, 4, TINY, TINY), "embedding": randn(frames, 1280)}


# --- Both models ----------------------------------------------------------------------------------


def _reference(part: str, full_size: bool) -> nn.Module:
    """diffusers' model."""
    if part == "unet":
        return kandinsky_oracle.reference_unet(**UNET[full_size])
    if part == "prior":
        return PriorTransformer(embedding_dim=1280, **PRIOR[full_size]).train(False)
    return kandinsky_oracle.reference_movq()


def _write(folder: Path, part: str, full_size: bool) -> int:
    """Random weights in diffusers' names; returns how many."""
    with torch.device("meta"):
        weights = _reference(part, full_size).state_dict()
    shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
    module, config_of = {
        "unet": (Unet, unet_config),
        "movq": (Movq, movq_config),
        "prior": (Prior, prior_config),
    }[part]
    model = randomise(module(**config_of(shapes, {}), device="meta").to_empty(device="cpu"))
    save_file(model.state_dict(), folder / f"{part}.safetensors")
    if part == "unet":
        small_movq(folder / "small_movq.safetensors")
    return sum(parameter.numel() for parameter in model.parameters())


def _diffusers(task: Task) -> Run:
    part = PART_OF[task.job]
    # diffusers' prior holds a mask that no file has, so it is made whole.
    with torch.device("cpu" if part == "prior" else "meta"):
        model = _reference(part, task.full_size)
    model.load_state_dict(load_file(Path(task.folder, f"{part}.safetensors")), assign=True)
    model.to(_device())

    def prior(x: Tensor, states: Tensor, pooled: Tensor, mask: Tensor) -> Tensor:
        return model(x, TIMESTEP, pooled, states, mask).predicted_image_embedding

    def sampled(x: Tensor, embedding: Tensor) -> Tensor:
        given = kandinsky_oracle.Given(*embedding)
        return kandinsky_oracle.run(task.job, model, x, given, RUNS[task.job])

    runs = {
        "encode": lambda pixels: model.encode(pixels.movedim(-1, 1) * 2 - 1).latents,
        "decode": lambda latent: model.decode(latent, force_not_quantize=True).sample,
        "prior": prior,
        "unet": partial(kandinsky_oracle.reference_noise, model, timestep=TIMESTEP),
    }
    return lambda given: runs.get(task.job, sampled)(**given)


def _ours(task: Task) -> Run:
    nodes = import_pack().kandinsky22.nodes
    import comfy.model_management as management

    part = PART_OF[task.job]
    file = Path(task.folder, f"{part}.safetensors")
    if part == "movq":
        vae = nodes.vae.load_movq(file)
        vae.process_output = lambda x: x  # or what lies beyond 0..1 would not be compared
        if task.job == "encode":
            return lambda given: vae.encode(given["pixels"])
        return lambda given: vae.decode(given["latent"]).movedim(-1, 1)
    if part == "prior":
        prior = nodes.prior_model.load_prior(file).patcher
        management.load_models_gpu([prior])

        def step(x: Tensor, states: Tensor, pooled: Tensor, mask: Tensor) -> Tensor:
            steps = torch.full((len(x),), TIMESTEP, device=x.device)
            return prior.model(x, steps, states, pooled, mask)

        return lambda given: step(**given)

    small = nodes.vae.load_movq(Path(task.folder, "small_movq.safetensors"))
    patcher = nodes.model.load_decoder(file, small, {"dtype": torch.float32})
    if task.job in RUNS:
        nodes.model.clip_predictions(patcher)

        def sampled(x: Tensor, embedding: Tensor) -> Tensor:
            given = kandinsky_oracle.Given(*embedding.cpu())
            return kandinsky_sampling.run(task.job, patcher, x.cpu(), given, RUNS[task.job])

        return lambda given: sampled(**given)
    management.load_models_gpu([patcher])
    model = patcher.model
    sigma = model.model_sampling.sigmas[TIMESTEP].to(_device())

    def unet(x: Tensor, embedding: Tensor) -> Tensor:
        # diffusers' x in ComfyUI's scale, and back from the picture to the noise.
        x = x * (1 + sigma**2).sqrt()
        denoised = model.apply_model(x, sigma.expand(len(x)), c_crossattn=embedding[:, None])
        return (x - denoised) / sigma

    if task.job == "frames_single":
        return lambda given: torch.cat(
            [unet(x[None], e[None]) for x, e in zip(*given.values(), strict=True)]
        )
    return lambda given: unet(**given)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("jobs", nargs="*", metavar="JOB", choices=[[], *JOBS], help=", ".join(JOBS))
    parser.add_argument("--full-size", action="store_true", help="1.25 billion parameters")
    parser.add_argument("--cells", type=int, help="side of the latent; 32 is 256 pixels")
    parser.add_argument("--folder", type=Path, help="where the weights are while it runs")
    options = vars(parser.parse_args())
    figures = measure(jobs=tuple(options.pop("jobs")) or JOBS, **options)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
