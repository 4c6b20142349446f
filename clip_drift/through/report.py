"""What a prompt's motion came to, in words and numbers that a user can read."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ..said import Said
from ..sphere import unit
from .inversion import Moved

HALF, MOST_LOST = 0.5, 0.25
"""More frames than this share that come less than half of the way are too many. Set by one clip of
the toy world, so no more than a rule of thumb: with a carrier that carries every frame comes at
least 88 % of the way, with one of the wrong kind 10 of 16 less than half, 43 % on average."""

LEAST_GAP = 1e-4
"""1 − cos to the targets below which there is hardly anywhere to go."""


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

    def lines(self) -> list[Said]:
        """One line per frame."""
        return [
            Said(
                "frame {frame}: {caption} (cosine {closeness:.2f}) · {reached:.0f} % of the way, "
                "cosine {before:.3f} → {after:.3f}{end}",
                frame=i,
                caption=caption,
                closeness=float(self.closeness[i]),
                reached=100 * float(self.reached[i]),
                before=float(self.before[i]),
                after=float(self.after[i]),
                end=Said(" · stopped: NaN or infinity") if i in self.lost else "",
            )
            for i, caption in enumerate(self.captions)
        ]

    def advice(self) -> Said | None:
        """What to change where the picture will not move; None where it should."""
        if bool((1 - self.before <= LEAST_GAP).all()):
            return Said(
                "The prompt already stands where the motion leads: raise strength, or take a clip "
                "that moves more."
            )
        if float((self.reached < HALF).float().mean()) > MOST_LOST:
            return Said(
                "Many frames stay far from where they should be: these words cannot say this "
                "motion. Try another carrier or auto, free more words, or lower keep."
            )
        return None


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
