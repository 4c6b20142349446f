"""A walk with its settings, ready to move whatever belongs to a prompt: tokens, pooled, images."""

from dataclasses import dataclass, replace

from torch import Tensor

from ..sequence import RotationSequence
from ..strength import Strength, per_frame
from .engine import walk


@dataclass(frozen=True, eq=False)
class PromptWalk:
    """A motion and how to apply it. Immutable; see `walk` for what the settings mean.

    Once made `for_batch`, it holds nothing but tensors and numbers, so it can be sent to another
    process.
    """

    rotation: RotationSequence
    method: str = "carry"
    strength: Strength = 1.0
    preserve_norm: bool = True
    seed: int = 0
    directions: int = 0

    def for_batch(self, batch: int = 1) -> "PromptWalk":
        """The same walk with one frame per entry: a motion of many frames decides how many, and
        one pair of vectors serves as many as the batch or a list of strengths asks for.

        Args:
            batch: of the conditioning to move.

        Raises:
            DriftError: a list of strengths of another length, or one that is not finite.
        """
        listed = len(self.strength) if isinstance(self.strength, list) else 1
        frames = len(self.rotation) if len(self.rotation) > 1 else max(batch, listed)
        strength = per_frame(self.strength, frames).tolist()
        return replace(self, rotation=self.rotation.for_frames(frames), strength=strength)

    def __len__(self) -> int:
        return len(self.rotation)

    def __call__(
        self,
        x: Tensor,
        pivot: Tensor | None = None,
        mask: Tensor | None = None,
        name: str = "the conditioning",
    ) -> Tensor:
        """Move (1 or F, T, D) tokens: (F, T, D). Arguments and errors as in `walk`."""
        return walk(
            x,
            self.rotation,
            self.method,
            self.strength,
            preserve_norm=self.preserve_norm,
            directions=self.directions,
            pivot=pivot,
            mask=mask,
            seed=self.seed,
            name=name,
        )
