"""White noise rows, the same as ComfyUI draws them."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor


def white_rows(seed: int, shape: Sequence[int]) -> Iterator[Tensor]:
    """Endless independent draws of N(0, I) from one seed.

    Row k is what ComfyUI's `prepare_noise` gives batch_index k for this seed: float32, one
    (1, C, H, W) draw after another from one CPU generator.

    Yields:
        (*shape) float32 tensors.
    """
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield torch.randn(1, *shape, generator=generator)[0]


def mix(shares: Tensor, rows: Iterable[Tensor]) -> Tensor:
    """`shares @ rows`, one row after another.

    A matrix product would round differently for one frame than for sixteen; so frames are the
    same to the last bit however many are made at once, and only one row need be held.

    Args:
        shares: (n, r).
        rows: r tensors of one shape, or more.

    Returns:
        (n, *shape) float32.
    """
    # Rows that only later frames take are not drawn.
    wanted = shares.ne(0).any(0).nonzero()
    used = int(wanted[-1]) + 1 if len(wanted) else 1
    pairs = zip(shares[:, :used].float().T, rows, strict=False)
    parts = (share.reshape(-1, *(1 for _ in row.shape)) * row for share, row in pairs)
    total = next(parts)
    for part in parts:
        total.add_(part)
    return total
