"""The scores of a clip in CLIP space."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from ..said import Said
from ..sphere import unit
from .correlation import pearson, spearman

CODING_NOISE = 1e-3
"""Radians. H.264 at crf 23 instead of 12 changes the angle between neighbouring frames by 0.2 to 1
of these in pixel space and by 0.6 to 7 in CLIP space (standard deviations, six toy-world clips,
worked out from cosines): what varies by no more than this is not the clip's motion."""

NOISE_SPREAD = math.sqrt(math.pi / 2 - 1)
"""0.756: the most that steps of nothing but normal noise spread, as standard deviation over mean.

Lengths of k-dimensional normal vectors spread by about 1/√(2k), most along a single line (k = 1,
the half-normal distribution: mean σ √(2/π), variance σ² (1 − 2/π)). A bound on purpose wide: by the
small CLIP, toy-world motions of one pace spread by 0.05 to 0.59, and a swing too (0.48 to 0.59),
so that below it spread alone does not tell a pace from the encoder's unevenness."""


class ScoreInfo(NamedTuple):
    """What a score is called and what it says, for whoever reads it."""

    label: str
    help: str


SCORES = {
    "angle_spearman": ScoreInfo(
        Said("Step angles, Spearman"),
        "Rank correlation of the step angles: does it move when the reference moves? "
        "1 is perfect; 0 for a still, and near 0 for shuffled frames or noise.",
    ),
    "gram_correlation": ScoreInfo(
        Said("Gram matrices, Pearson"),
        "Pearson correlation of the two Gram matrices off the diagonal: does it "
        "come back to where the reference comes back to? 1 is perfect; 0 for a still.",
    ),
    "motion_ratio": ScoreInfo(
        Said("Motion ratio"),
        "Path length of the result over the reference's. 1 is as far, 0 a still, "
        "much more than 1 flicker.",
    ),
    "clip_f": ScoreInfo(
        Said("CLIP-F"),
        "CLIP-F, mean cosine of neighbouring frames. A still has 1: read it beside motion_ratio.",
    ),
    "clip_t": ScoreInfo(
        Said("CLIP-T"), "CLIP-T, mean cosine of the frames and the prompt. 0 without a prompt."
    ),
    "background_consistency": ScoreInfo(
        Said("Background consistency"),
        "VBench's background consistency. A still has 1: read it beside motion_ratio.",
    ),
    "path_length": ScoreInfo(
        Said("Path length, rad"), "Sum of the result's step angles, in radians."
    ),
    "straightness": ScoreInfo(
        Said("Straightness"),
        "Angle from the first frame to the last over the path length: 1 for the "
        "straight way, near 0 for a way that comes back. 0 for a still.",
    ),
}


class Scores(NamedTuple):
    """What a clip scores against a reference, in the order of `SCORES`; formulas in `score`."""

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
        """From embeddings (F, N), F ≥ 2, and a prompt (N,) in the same space, of any length."""
        points = unit(embeddings.double(), "frame")
        # The angle of the chord; see sphere.angle for why not that of the cosine.
        chord = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
        between = 2 * torch.atan2(chord, (4 - chord.square()).clamp_min(0).sqrt())
        gram = (points @ points.mT).clamp(-1, 1)
        return cls(gram, between, None if prompt is None else points @ unit(prompt.double()))

    def reordered(self, order: Tensor) -> "Motion":
        """The same frames in another order: (F,) indices, which may repeat."""
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
    def spread(self) -> float:
        """Standard deviation of the step angles over their mean; 0 for a still."""
        return 0.0 if self.is_still() else float(self.angles.std() / self.angles.mean())

    def hardly_moves(self) -> bool:
        """Whether the frames differ by no more than those of a still that is encoded anew."""
        return bool(self.between.square().mean().sqrt() <= CODING_NOISE)

    def is_still(self) -> bool:
        """Whether all frames are one point, as far as float32 embeddings tell."""
        return bool(self.between.max() < 1e-6)

    def has_even_pace(self) -> bool:
        """Whether the step angles are equal but for round-off, so that their order says nothing."""
        return bool(self.angles.std() <= 1e-6 + 1e-3 * self.angles.mean())


def score(motion: Motion, reference: Motion) -> Scores:
    """All scores of a clip, of frames `e_0 .. e_{F-1}` with step angles `α_i`.

    angle_spearman: `spearman(α, reference's α)`; 0 where undefined: a still, or an even pace.
    gram_correlation: `pearson` of `e_i·e_j`, `i < j`, and the reference's; 0 for a still.
    motion_ratio: `Σ α_i` over the reference's. path_length: `Σ α_i`, radians.
    clip_f: mean `e_i·e_{i+1}`. clip_t: mean `e_i·prompt`, None without a prompt.
    background_consistency: mean `½ max(0, e_{i-1}·e_i) + ½ max(0, e_0·e_i)`, `i ≥ 1`.
    straightness: `angle(e_0, e_{F-1}) / Σ α_i`; 0 for a still.

    Args:
        motion, reference: equally many frames, 4 or more.

    Reference: Hessel et al., CLIPScore: A Reference-free Evaluation Metric for Image Captioning,
        2021 (clip_t); Esser et al., Structure and Content-Guided Video Synthesis with Diffusion
        Models, 2023 (clip_f); Huang et al., VBench: Comprehensive Benchmark Suite for Video
        Generative Models, 2024 (background_consistency).
    """
    length, whole = float(motion.angles.sum()), float(reference.angles.sum())
    still = motion.is_still() or reference.is_still()
    even = motion.has_even_pace() or reference.has_even_pace()
    return Scores(
        angle_spearman=0.0 if even else spearman(motion.angles, reference.angles) or 0.0,
        gram_correlation=0.0 if still else pearson(motion.pairs, reference.pairs) or 0.0,
        motion_ratio=length / whole if whole else 0.0,
        clip_f=float(motion.gram.diagonal(1).mean()),
        clip_t=None if motion.prompt is None else float(motion.prompt.mean()),
        background_consistency=background_consistency(motion.gram),
        path_length=length,
        straightness=0.0 if motion.is_still() else float(motion.between[0, -1]) / length,
    )


def background_consistency(gram: Tensor) -> float:
    """How alike each frame is to the one before and to the first, of 1, from (F, F) cosines.

    Reference: Huang et al., "VBench: Comprehensive Benchmark Suite for Video Generative Models",
    2024.
    """
    before, first = gram.diagonal(1).clamp_min(0), gram[0, 1:].clamp_min(0)
    return float((before + first).mean() / 2)
