"""What a prompt's motion came to, in words and numbers that a user can read."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ..sphere import unit
from .inversion import Moved


@dataclass(frozen=True, eq=False)
class Reading:
    """F frames of a moved prompt.

    Attributes:
        before: (F,) cosine of the unmoved prompt to each frame's target.
        after: (F,) cosine of the moved prompt to it.
        reached: (F,) share of the way, 1 = all of it.
        per_token: (T,) how far each token moved, over all frames.
        captions: F texts of the bank, the nearest to each frame's target.
        closeness: (F,) cosine of that caption to the target.
        lost: frames whose numbers ran out of range on the way.
    """

    before: Tensor
    after: Tensor
    reached: Tensor
    per_token: Tensor
    captions: tuple[str, ...]
    closeness: Tensor
    lost: tuple[int, ...] = ()

    def lines(self) -> list[str]:
        """One line per frame."""
        return [
            f"frame {i}: {caption} (cosine {self.closeness[i]:.2f}) · "
            f"{100 * float(self.reached[i]):.0f} % of the way, cosine {self.before[i]:.3f} → "
            f"{self.after[i]:.3f}{' · stopped: NaN or infinity' if i in self.lost else ''}"
            for i, caption in enumerate(self.captions)
        ]


def reading(moved: Moved, targets: Tensor, bank: Tensor, texts: Sequence[str]) -> Reading:
    """Read a moved prompt.

    Args:
        moved: what the inversion gave.
        targets: (F, N), where it should stand.
        bank: (C, N) text vectors, in the same space.
        texts: the bank's C texts, as a user should read them.
    """
    targets, bank = (unit(rows.detach().cpu()) for rows in (targets, bank))
    best = (targets @ bank.mT).max(dim=1)
    return Reading(
        moved.before.cpu(),
        moved.after.cpu(),
        moved.reached.cpu(),
        moved.per_token.mean(0).cpu(),
        tuple(texts[i] for i in best.indices.tolist()),
        best.values,
        moved.lost,
    )
