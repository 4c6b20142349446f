"""The scores of a clip in CLIP space."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from ..sphere import unit
from .correlation import pearson, spearman


class Scores(NamedTuple):
    """What a clip scores against a reference, in the order in which nodes give them.

    Attributes:
        angle_spearman: rank correlation of the step angles with the reference's: does it move
            when the reference moves? 0 where undefined (a still, or an even pace).
        gram_correlation: Pearson of the off-diagonal entries of both Gram matrices: does it
            come back to where the reference comes back to? 0 where undefined (a still).
        motion_ratio: its path length over the reference's.
        clip_f: mean cosine of neighbouring frames. 1 for a still.
        clip_t: mean cosine of frame and prompt; None without a prompt.
        background_consistency: VBench's: mean of half the cosine with the frame before and half
            of that with the first frame, negative ones as 0. 1 for a still.
        path_length: sum of the step angles, radians.
        straightness: angle from the first frame to the last over the path length; 0 for a still.
    """

    angle_spearman: float
    gram_correlation: float
    motion_ratio: float
    clip_f: float
    clip_t: float | None
    background_consistency: float
    path_length: float
    straightness: float

    def floats(self) -> list[float]:
        """All of them as numbers; CLIP-T is 0 without a prompt."""
        return [0.0 if value is None else value for value in self]


@dataclass(frozen=True, eq=False)
class Motion:
    """What all scores of a clip are made of: its frames against each other and the prompt.

    Attributes:
        gram: (F, F) float64 cosines.
        between: (F, F) float64 angles, radians.
        prompt: (F,) float64 cosines of frame and prompt, or None.
    """

    gram: Tensor
    between: Tensor
    prompt: Tensor | None = None

    @classmethod
    def of(cls, embeddings: Tensor, prompt: Tensor | None = None) -> "Motion":
        """From embeddings of any length.

        Args:
            embeddings: (F, N), F ≥ 2.
            prompt: (N,), in the same space.
        """
        points = unit(embeddings.double(), "frame")
        # The angle of the chord; see sphere.angle for why not that of the cosine.
        chord = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
        between = 2 * torch.atan2(chord, (4 - chord.square()).clamp_min(0).sqrt())
        gram = (points @ points.mT).clamp(-1, 1)
        return cls(gram, between, None if prompt is None else points @ unit(prompt.double()))

    def reordered(self, order: Tensor) -> "Motion":
        """The same frames in another order.

        Args:
            order: (F,) indices, which may repeat.
        """
        prompt = None if self.prompt is None else self.prompt[order]
        return Motion(self.gram[order][:, order], self.between[order][:, order], prompt)

    @property
    def angles(self) -> Tensor:
        """(F-1,) radians, the step angles."""
        return self.between.diagonal(1)

    @cached_property
    def pairs(self) -> Tensor:
        """(F·(F-1)/2,) the Gram matrix above its diagonal: it is symmetric."""
        frames = len(self.gram)
        row, column = torch.triu_indices(frames, frames, offset=1)
        return self.gram[row, column]

    @property
    def path_length(self) -> float:
        """Radians."""
        return float(self.angles.sum())

    def is_still(self) -> bool:
        """Whether all frames are one point, as far as float32 embeddings tell."""
        return bool(self.between.max() < 1e-6)

    def has_even_pace(self) -> bool:
        """Whether the step angles are equal but for round-off, so that their order says nothing."""
        return bool(self.angles.std() <= 1e-6 + 1e-3 * self.angles.mean())


def score(motion: Motion, reference: Motion) -> Scores:
    """All scores of a clip.

    Args:
        motion, reference: equally many frames, 4 or more.
    """
    length, whole = motion.path_length, reference.path_length
    return Scores(
        angle_spearman=_angle_spearman(motion, reference),
        gram_correlation=_gram_correlation(motion, reference),
        motion_ratio=length / whole if whole else 0.0,
        clip_f=float(motion.gram.diagonal(1).mean()),
        clip_t=None if motion.prompt is None else float(motion.prompt.mean()),
        background_consistency=background_consistency(motion.gram),
        path_length=length,
        straightness=0.0 if motion.is_still() else float(motion.between[0, -1]) / length,
    )


def _angle_spearman(motion: Motion, reference: Motion) -> float:
    if motion.has_even_pace() or reference.has_even_pace():
        return 0.0
    return spearman(motion.angles, reference.angles) or 0.0


def _gram_correlation(motion: Motion, reference: Motion) -> float:
    if motion.is_still() or reference.is_still():
        return 0.0
    return pearson(motion.pairs, reference.pairs) or 0.0


def background_consistency(gram: Tensor) -> float:
    """How alike each frame is to the one before and to the first, of 1, from (F, F) cosines.

    Reference: Huang et al., "VBench: Comprehensive Benchmark Suite for Video Generative Models",
    2024.
    """
    before, first = gram.diagonal(1).clamp_min(0), gram[0, 1:].clamp_min(0)
    return float((before + first).mean() / 2)
