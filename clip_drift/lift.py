"""Bring a trajectory into a space of another dimension, its geometry kept.

No rotation of R^N acts on R^D. But the F frames span at most F directions, and an isometry
from that span into R^D keeps every angle between them: same Gram matrix, other directions.
"""

from dataclasses import replace

import torch
from torch import Tensor

from .errors import FramesError
from .sequence import RotationSequence

# Residuals below this are round-off of float32 embeddings, not new directions.
NEW_DIRECTION = 1e-6


def coordinates(points: Tensor) -> Tensor:
    """Coordinates of rows in their own Gram-Schmidt basis: `L Lᵀ` is their Gram matrix.

    Row i uses only the directions that rows 0..i brought in, so L is a lower-triangular
    (Cholesky) factor without zero columns. It exists for singular Gram matrices too, and
    is the same on every machine: a row that brings no new direction brings no column.

    Reference: Giraud, Langou, Rozložník, "The Loss of Orthogonality in the Gram-Schmidt
    Orthogonalization Process", 2005 (why twice).

    Args:
        points: (F, N) float64.

    Returns:
        (F, r) float64, r the rank.
    """
    basis = points.new_empty(min(points.shape), points.shape[1])
    result = points.new_zeros(len(points), len(basis))
    rank = 0
    for i, point in enumerate(points):
        rest = point
        for _ in range(2):  # twice is enough for orthogonality to round-off
            along = basis[:rank] @ rest
            rest = rest - along @ basis[:rank]
            result[i, :rank] += along
        length = rest.norm()
        if length > NEW_DIRECTION and rank < len(basis):
            basis[rank], result[i, rank] = rest / length, length
            rank += 1
    return result[:, :rank]


def orthonormal_rows(count: int, dim: int, seed: int) -> Tensor:
    """Seeded random directions at right angles: rows of a uniformly drawn orthogonal matrix.

    Reference: Mezzadri, "How to Generate Random Matrices from the Classical Compact Groups", 2007
    (why the signs).

    Returns:
        (count, dim) float64; the first rows do not depend on count.

    Raises:
        FramesError: more directions than dimensions.
    """
    if count > dim:
        raise FramesError(
            f"the motion has {count} independent directions, more than the {dim} dimensions of "
            "what it should move."
        )
    generator = torch.Generator().manual_seed(seed)
    # Row by row: one draw of all would depend on how many there are.
    draws = torch.empty(count, dim, dtype=torch.float64)
    for row in draws:
        row.normal_(generator=generator)
    q, r = torch.linalg.qr(draws.mT)
    return (q * r.diagonal().sign()).mT


def isometry(sequence: RotationSequence, dim: int, seed: int = 0) -> RotationSequence:
    """The same motion in R^dim, its directions drawn from a seed.

    Args:
        sequence: in R^N, N ≠ dim.
        dim: D.
        seed: of the directions.

    Returns:
        A sequence in R^D with the same angles between all frames.

    Raises:
        FramesError: the motion spans more than D directions.
    """
    rows = [sequence.base, sequence.points]
    if sequence.center is not None:
        rows.append(sequence.center.unsqueeze(0))
    local = coordinates(torch.cat(rows))
    lifted = local @ orthonormal_rows(local.shape[1], dim, seed)
    base, points, center = lifted.split(
        (len(sequence.base), len(sequence.points), len(lifted) - sum(map(len, rows[:2])))
    )
    return replace(sequence, base=base, points=points, center=center[0] if len(center) else None)
