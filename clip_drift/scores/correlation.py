"""How well two curves follow each other."""

import torch
from torch import Tensor


def pearson(a: Tensor, b: Tensor) -> float | None:
    """Pearson's correlation of two series of cosines, over the entries that both have.

    `r = Σ (a_i − ā)(b_i − b̄) / (‖a − ā‖ ‖b − b̄‖)`.

    Args:
        a, b: (n,) float64; NaN where a series has no value.

    Returns:
        r in [-1, 1]; None where it means nothing: fewer than three common entries, or a series
        that does not vary by more than round-off.

    Reference: Pearson, Note on regression and inheritance in the case of two parents, 1895.
    """
    a, b = _common(a, b)
    if len(a) < 3 or _is_flat(a) or _is_flat(b):
        return None
    return _correlation(a, b)


def spearman(a: Tensor, b: Tensor) -> float | None:
    """Spearman's rank correlation, over the entries that both have; ties share their mean rank.

    Args:
        a, b: (n,); NaN where a series has no value.

    Returns:
        Pearson's r of the ranks, in [-1, 1]; None for fewer than three common entries or where all
        entries are equal.

    Reference: Spearman, The proof and measurement of association between two things, 1904.
    """
    a, b = _common(a, b)
    if len(a) < 3 or bool((a == a[0]).all()) or bool((b == b[0]).all()):
        return None
    return _correlation(_ranks(a), _ranks(b))


def _common(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    both = torch.isfinite(a) & torch.isfinite(b)
    if bool(both.all()):  # spares copies, of large Gram matrices above all
        return a.double(), b.double()
    return a[both].double(), b[both].double()


def _correlation(a: Tensor, b: Tensor) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float((a @ b / (a.norm() * b.norm())).clamp(-1, 1))


def _ranks(x: Tensor) -> Tensor:
    """(n,) ranks from 1, equal values sharing the mean of theirs."""
    _, place, count = x.unique(return_inverse=True, return_counts=True)
    last = count.cumsum(0)
    return (last - (count - 1) / 2).double()[place]


def _is_flat(curve: Tensor) -> bool:
    """Whether a series of cosines varies by no more than the round-off of float32 frames does."""
    change = 1 - curve
    return bool(change.std() <= max(1e-12, 1e-4 * float(change.mean().abs())))
