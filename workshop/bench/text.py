"""What an inversion costs beside the bare tower, and beside one that runs all 77 tokens."""

import time

import torch
from torch.nn import functional

from ...clip_drift.through.inversion import invert
from ...clip_drift.through.layouts import tower_from_state
from ...clip_drift.through.tower import TextTower
from ..rig.random_tensors import clip_text_shapes, random_tensors
from .memory import GIVING_BACK, fresh_process, process_peak

FRAMES = 16
WORDS = 12
WINDOW = 77


def measure(steps: int = 60, frames: int = FRAMES) -> dict[str, float]:
    """Ratios of one run through a text tower of CLIP-L's size, random weights in float16.

    Every word of a prompt of 12 may move: what a carrier's prefix saves is left out.

    Returns:
        `inversion_over_passes`: of so many steps, over as many bare passes forward and back.
        `window_over_inversion`: the same inversion over all 77 tokens.
        `carrier_over_inversion`: with the last four words free alone.
        `inversion_mib`, `window_mib`: what a step of the two takes at its peak above the loaded
        weights, each in a process of its own.
    """
    tower = tower_from_state(random_tensors(clip_text_shapes("sd1_clip_config")))
    generator = torch.Generator().manual_seed(1)
    window = tower.embed(torch.randint(0, 49000, (1, WINDOW), generator=generator))
    prompt = window[:, : WORDS + 2]
    free = torch.ones(WORDS + 2)
    free[[0, -1]] = 0
    carrier = torch.zeros(WORDS + 2)
    carrier[-5:-1] = 1
    everywhere = torch.ones(WINDOW)
    everywhere[[0, -1]] = 0
    targets = functional.normalize(torch.randn(frames, 768, generator=generator), dim=-1)
    options = {"steps": steps, "tolerance": 0.0}
    _passes(tower, prompt, targets, 1)
    passes = _seconds(lambda: _passes(tower, prompt, targets, steps))
    inversion = _seconds(lambda: invert(tower, prompt, targets, free, **options))
    short = _seconds(lambda: invert(tower, prompt, targets, carrier, **options))
    whole = _seconds(lambda: invert(tower, window, targets, everywhere, **options))
    return {
        "inversion_over_passes": inversion / passes,
        "window_over_inversion": whole / inversion,
        "carrier_over_inversion": short / inversion,
        "inversion_mib": _mib(WORDS + 2, frames),
        "window_mib": _mib(WINDOW, frames),
    }


def _passes(tower: TextTower, prompt: torch.Tensor, targets: torch.Tensor, steps: int) -> None:
    for _ in range(steps):
        moved = prompt.repeat(len(targets), 1, 1).requires_grad_()
        vectors = tower.text_vector(moved, moved.shape[1] - 1)
        torch.autograd.grad((vectors * targets).sum(), moved)


def _seconds(job) -> float:
    """Of the processor: what else the machine does adds nothing."""
    begun = time.process_time()
    job()
    return time.process_time() - begun


def _mib(tokens: int, frames: int) -> float:
    """What a step takes at its peak, in a process of its own."""
    with fresh_process(**GIVING_BACK) as pool:
        return pool.submit(_step_mib, tokens, frames).result()


def _step_mib(tokens: int, frames: int) -> float:
    tower = tower_from_state(random_tensors(clip_text_shapes("sd1_clip_config")))
    rows = tower.embed(torch.arange(1, tokens + 1)[None])
    targets = functional.normalize(torch.randn(frames, 768), dim=-1)
    free = torch.ones(tokens)
    free[[0, -1]] = 0
    before = process_peak(anew=True)
    invert(tower, rows, targets, free, steps=2, tolerance=0.0)
    return (process_peak() - before) / 2**20
