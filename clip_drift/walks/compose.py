"""Composition of a sequence's steps, frame after frame."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..rotation import PlaneRotation


def compose(x: Tensor, g: Tensor, step: Callable[[int, Tensor, Tensor], Tensor]) -> Tensor:
    """Frame i gets steps 0 .. i-1, one after another.

    Args:
        x: (1, T, N) the start of every frame, or (F, T, N) one per frame.
        g: (F, T) strengths; entry i + 1 belongs to step i, which leads into frame i + 1.
        step: `(i, rows (..., T, N), g (T)) -> rows`.

    Returns:
        (F, T, N) tensor.
    """
    frames = len(g)
    if len(x) == 1:
        path = [x[0]]
        for i in range(frames - 1):
            path.append(step(i, path[-1], g[i + 1]))
        return torch.stack(path)
    walked = x.clone()
    for i in range(frames - 1):
        walked[i + 1 :] = step(i, walked[i + 1 :], g[i + 1])
    return walked


def turned(plane: PlaneRotation, rows: Tensor, power: float | Tensor = 1.0) -> Tensor:
    """Rows (..., T, N) turned by one rotation, or each token's by its own of T."""
    if not plane.batch or rows.ndim == 2:
        return plane.apply(rows, power)
    power = power.unsqueeze(-1) if isinstance(power, Tensor) else power
    return plane.apply(rows.movedim(-2, 0), power).movedim(0, -2)
