"""What a rotation costs beside the dense matrix product and beside one elementwise operation."""

import time
from collections.abc import Callable

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ...clip_drift.rotation import PlaneRotation


def measure(rounds: int = 30) -> dict[str, float]:
    """Ratios of best times, the jobs run in turns: other work on the machine only ever adds.

    Returns:
        `apply_over_lerp`, `dense_over_apply`: on 16×77×1280, one plane per frame; dense
        includes building the matrices.
        `noise_apply_over_lerp`: on 16 latents of 16,384 values, one plane each.
        `noise_allocation_over_dense`: the most memory that rotation allocates at any time, as a
        share of one 16,384² matrix.
    """
    tokens, other = torch.randn(2, 16, 77, 1280)
    rotation = PlaneRotation.from_vectors(torch.randn(16, 1280), torch.randn(16, 1280))
    lerp, apply = _best_times(
        [lambda: torch.lerp(tokens, other, 0.3), lambda: rotation.apply(tokens)], rounds
    )
    (dense,) = _best_times([lambda: tokens @ rotation.as_matrix().mT], 3)

    latents, others = torch.randn(2, 16, 16384)
    turn = PlaneRotation.from_vectors(torch.randn(16, 16384), torch.randn(16, 16384))
    noise_lerp, noise_apply = _best_times(
        [lambda: torch.lerp(latents, others, 0.3), lambda: turn.apply(latents)], 10 * rounds
    )
    with _LargestTensor() as largest:
        turn.apply(latents)
    return {
        "apply_over_lerp": apply / lerp,
        "dense_over_apply": dense / apply,
        "noise_apply_over_lerp": noise_apply / noise_lerp,
        "noise_allocation_over_dense": largest.bytes / (4 * 16384**2),
    }


def _best_times(jobs: list[Callable[[], object]], rounds: int) -> list[float]:
    seconds = [[] for _ in jobs]
    for job in jobs:
        job()
    for _ in range(rounds):
        for job, times in zip(jobs, seconds, strict=True):
            begun = time.perf_counter()
            job()
            times.append(time.perf_counter() - begun)
    return [min(times) for times in seconds]


class _LargestTensor(TorchDispatchMode):
    """Remembers the size in bytes of the largest tensor that any operation gives."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self.bytes = max(self.bytes, tensor.numel() * tensor.element_size())
        return result
