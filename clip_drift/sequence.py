"""A rotation sequence: the motion of a whole clip as one plane rotation per frame pair."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from .drift import Drift
from .errors import DriftError, FramesError
from .rotation import PlaneRotation
from .sphere import angle, exp_map, log_map, unit

Pairing = Literal["neighbours", "from_first", "from_mean", "pairs"]
PAIRINGS = ("neighbours", "from_first", "from_mean")

# Below this many radians between all frames a clip is a still: float32 embeddings of the
# same picture, encoded at different places of a batch, differ by about 1e-6.
STILL = 1e-5


@dataclass(frozen=True, eq=False)
class RotationSequence:
    """Rotations read off a trajectory, with the trajectory itself. Immutable.

    Frame i moves as `base_i → point_i`: for a clip, base is its first frame throughout.

    Attributes:
        base: (1, N) or (F, N) unit rows, where the motion of each frame starts.
        points: (F, N) unit rows `e_0 .. e_{F-1}`, where it leads. Both may be (..., T, N), where
            each of T tokens moves in its own way.
        pairing: "neighbours" (planes i → i+1, composed), "from_first" (planes 0 → i), "from_mean"
            (planes from the clip's mean to i), or "pairs" (one start and end per frame, by hand).
        center: (N,) mean that was taken out before the planes were built, or None.
        encoder: name of the space, where known.
        fps: frames per second at which the motion takes as long as the clip did, 0 where nothing
            says it.
    """

    base: Tensor
    points: Tensor
    pairing: Pairing
    center: Tensor | None = None
    encoder: str = ""
    fps: float = 0.0

    @classmethod
    def from_trajectory(
        cls,
        trajectory: Drift | Tensor,
        pairing: Pairing = "from_first",
        centered: bool = False,
    ) -> "RotationSequence":
        """The motion of one clip.

        >>> clip = torch.tensor([[1.0, 0, 0], [0.8, 0.6, 0], [0, 1.0, 0]])
        >>> RotationSequence.from_trajectory(clip).planes.magnitude().rad2deg().round(decimals=1)
        tensor([36.9000, 90.0000], dtype=torch.float64)

        Args:
            trajectory: a drift, or (F, N) vectors, F ≥ 2.
            pairing: a name in `PAIRINGS`.
            centered: build the planes from `e_i − ē`: what all frames share then stays where
                it is. Two frames have no such thing (they would turn out opposite), so they
                are never centred.

        Raises:
            DriftError: fewer than two vectors, a zero or non-finite one, an unknown pairing, a
                still clip, or both from_mean and centered.
        """
        if pairing not in PAIRINGS:
            raise DriftError(f"pairing is {pairing!r}: choose one of {', '.join(PAIRINGS)}.")
        if pairing == "from_mean" and centered:
            raise DriftError(
                "pairing from_mean starts at the clip's mean, which centered takes out: switch "
                "centered off, or use from_first."
            )
        vectors, encoder, fps = (
            (trajectory.embeddings, trajectory.encoder, trajectory.fps)
            if isinstance(trajectory, Drift)
            else (trajectory, "", 0.0)
        )
        if vectors.ndim != 2 or len(vectors) < 2:
            raise DriftError(
                f"the trajectory is {tuple(vectors.shape)}, but a motion needs vectors (F, N), two "
                "or more: give more of them, or pairs."
            )
        points = unit(vectors.detach().cpu().double(), "frame")
        if float(angle(points[:1], points).max()) < STILL:
            raise DriftError(
                f"nothing moves: all {len(points)} frames have the same embedding (a black or "
                "still clip?), so there is no rotation to read; use a clip with motion."
            )
        base = unit(points.mean(0, keepdim=True), "mean") if pairing == "from_mean" else points[:1]
        return cls(base, points, pairing, _center(points) if centered else None, encoder, fps)

    @classmethod
    def from_pairs(cls, start: Tensor, end: Tensor, centered: bool = False) -> "RotationSequence":
        """Frame i moves as start_i → end_i.

        Args:
            start, end: (F, N) vectors; one against many broadcasts.
            centered: as in `from_trajectory`, about the mean of all of them.

        Raises:
            DriftError: the widths differ, the counts differ and neither is one, or a vector is
                zero or not finite.
        """
        if start.shape[-1] != end.shape[-1]:
            raise DriftError(
                f"start has {start.shape[-1]} dimensions and end {end.shape[-1]}: "
                "take both from the same encoder."
            )
        if len(start) != len(end) and 1 not in (len(start), len(end)):
            raise DriftError(
                f"start holds {len(start)} vectors and end {len(end)}: they pair up one by one, "
                "so give equally many, or one against many."
            )
        base = unit(start.detach().cpu().double(), "start vector")
        points = unit(end.detach().cpu().double(), "end vector")
        if len(base) > 1:
            points = points.expand(len(base), -1)
        center = _center(torch.cat((base, points))) if centered else None
        return cls(base, points, "pairs", center)

    def __len__(self) -> int:
        return len(self.points)

    @property
    def dim(self) -> int:
        """N."""
        return self.points.shape[-1]

    @property
    def token_points(self) -> Tensor:
        """(F, 1, N), or (F, T, N) where each token moves in its own way."""
        return by_token(self.points)

    @cached_property
    def about_center(self) -> tuple[Tensor, Tensor]:
        """(base, points) as unit rows, seen from the center where there is one.

        Raises:
            DriftError: a frame lies exactly at the mean, where it has no direction.
        """
        if self.center is None:
            return self.base, self.points
        base, points = self.base - self.center, self.points - self.center
        shortest = min(float(base.norm(dim=-1).min()), float(points.norm(dim=-1).min()))
        if shortest < STILL:
            raise DriftError(
                "a frame lies at the mean of the clip, where a centred rotation has no "
                "direction: switch centered off."
            )
        return unit(base), unit(points)

    @cached_property
    def planes(self) -> PlaneRotation:
        """The rotations: (F-1) for a trajectory, (F) for pairs and from the mean."""
        base, points = self.about_center
        if self.pairing == "neighbours":
            return PlaneRotation.from_vectors(points[:-1], points[1:], "frame")
        if self.pairing == "from_first":
            return PlaneRotation.from_vectors(base, points[1:], "frame")
        return PlaneRotation.from_vectors(base, points, "vector")

    @cached_property
    def frame_planes(self) -> PlaneRotation:
        """(F) rotations, one per frame, each from where the frame's motion starts."""
        return PlaneRotation.from_vectors(*self.about_center, "frame")

    def swept(self, g: Tensor) -> Tensor:
        """The trajectory at strength g: `exp_base(g·log_base(e_i))`, never centred.

        Args:
            g: (F,) float64.

        Returns:
            (F, N) float64 unit rows.
        """
        base = self.base.expand_as(self.points)
        return exp_map(base, log_map(base, self.points) * g.unsqueeze(-1))

    def for_frames(self, frames: int) -> "RotationSequence":
        """This sequence for so many frames; a single pair serves any number of them.

        Raises:
            FramesError: the sequence has another number of frames.
        """
        if len(self) == frames:
            return self
        if len(self) > 1:
            raise FramesError(
                f"the rotation has {len(self)} frames where {frames} are asked for.", frames
            )
        return replace(self, points=self.points.expand(frames, *self.points.shape[1:]))

    def for_tokens(self, tokens: Tensor) -> "RotationSequence":
        """The motion of some of the tokens; all share one where points are (F, N)."""
        if self.points.ndim == 2:
            return self
        return replace(self, base=self.base[:, tokens], points=self.points[:, tokens])


def _center(points: Tensor) -> Tensor | None:
    return points.mean(0) if len(points.unique(dim=0)) > 2 else None


def by_token(rows: Tensor) -> Tensor:
    """(F, N) rows as (F, 1, N), to broadcast over tokens; (F, T, N) ones as they are."""
    return rows if rows.ndim == 3 else rows.unsqueeze(1)
