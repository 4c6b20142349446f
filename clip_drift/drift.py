"""The drift: a video as a path on CLIP's unit sphere.

The article starts by looking at frames in two spaces, pixels and CLIP. A `Drift`
holds both: one unit embedding and one small thumbnail per frame.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .errors import DriftError
from .sphere import angle, unit


@dataclass(frozen=True, eq=False)
class Drift:
    """Frames of a video as points on the unit sphere. Immutable; build it with
    `from_embeddings`.

    Attributes:
        embeddings: (F, N) float32 on the CPU, unit rows `e_0 .. e_{F-1}`.
        times: (F,) float64, seconds from the start of the video, increasing.
        thumbnails: (F, h, w, 3) uint8, or None for a drift not made from pictures.
        encoder: name of the encoder whose space this is.
        source: name of the video, or of what it was read from.
    """

    embeddings: Tensor
    times: Tensor
    thumbnails: Tensor | None = None
    encoder: str = ""
    source: str = ""

    @classmethod
    def from_embeddings(
        cls,
        embeddings: Tensor,
        times: Tensor | None = None,
        thumbnails: Tensor | None = None,
        encoder: str = "",
        source: str = "",
    ) -> "Drift":
        """Build a drift from raw embeddings; rows are scaled to length one.

        >>> Drift.from_embeddings(torch.eye(3), encoder="CLIP")
        Drift(3 frames, 2.00 s, 3 dimensions, encoder='CLIP', source='')

        Args:
            embeddings: (F, N), F ≥ 2, any float dtype.
            times: (F,) seconds, strictly increasing; without them frame i is at i seconds.
            thumbnails: (F, h, w, 3) uint8.

        Raises:
            DriftError: fewer than two frames, shapes that do not belong together, times that
                do not increase, or a frame whose embedding is zero or not finite.
        """
        if embeddings.ndim != 2 or embeddings.shape[1] < 2:
            raise DriftError(
                f"embeddings must be a (frames, dimensions) matrix, not {tuple(embeddings.shape)}."
            )
        count = len(embeddings)
        if count < 2:
            raise DriftError(
                f"a drift needs two frames or more, but got {count}: use a longer clip, "
                "a higher sample_fps or a larger max_frames."
            )
        times = torch.arange(count) if times is None else torch.as_tensor(times)
        times = times.detach().to("cpu", torch.float64)
        if times.shape != (count,) or not _is_increasing(times):
            raise DriftError(f"frame times must be {count} increasing numbers of seconds.")
        if thumbnails is not None:
            if (
                thumbnails.dtype != torch.uint8
                or thumbnails.ndim != 4
                or (thumbnails.shape[0] != count or thumbnails.shape[-1] != 3)
            ):
                raise DriftError(f"thumbnails must be a uint8 tensor of shape ({count}, h, w, 3).")
            thumbnails = thumbnails.detach().cpu()
        points = unit(embeddings.detach().cpu().float(), "frame")
        return cls(points, times, thumbnails, encoder, source)

    def __len__(self) -> int:
        return len(self.embeddings)

    @property
    def dim(self) -> int:
        """N, the dimension of the encoder's space."""
        return self.embeddings.shape[1]

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the last."""
        return float(self.times[-1] - self.times[0])

    @property
    def fps(self) -> float:
        """Frames per second at which the drift takes as long as it took: `(F − 1)/duration`."""
        return (len(self) - 1) / self.duration

    def unevenness(self) -> float:
        """By how many seconds, at most, a frame would come too soon or too late at this rate:
        `max_i |t_i − t_0 − i/fps|`."""
        even = torch.linspace(self.times[0], self.times[-1], len(self), dtype=torch.float64)
        return float((self.times - even).abs().max())

    def step_angles(self) -> Tensor:
        """Angles between neighbouring frames, `α_i = angle(e_i, e_{i+1})`.

        Returns:
            (F-1,) float32 radians.
        """
        return angle(self.embeddings[:-1], self.embeddings[1:])

    def path_length(self) -> float:
        """Sum of the step angles, `Σ α_i`, in radians."""
        return float(self.step_angles().sum())

    def reach(self) -> float:
        """The largest angle from the first frame to another, `max_i angle(e_0, e_i)`, radians."""
        return float(angle(self.embeddings[:1], self.embeddings).max())

    def gram(self) -> Tensor:
        """Gram matrix of CLIP space, `C_ij = e_i·e_j` (the article's correlation matrix).

        Returns:
            (F, F) float32.
        """
        return self.embeddings @ self.embeddings.mT

    def flat_pixels(self) -> Tensor:
        """The thumbnails as unit "flat vectors", for the article's comparison.

        Returns:
            (F, h·w·3) float32; a black frame's row stays zero.

        Raises:
            DriftError: the drift has no thumbnails.
        """
        if self.thumbnails is None:
            raise DriftError(
                "this drift was not made from pictures, so it has no pixel space to look at."
            )
        flat = self.thumbnails.flatten(1).float()
        return torch.nn.functional.normalize(flat, dim=-1)

    def pixel_gram(self) -> Tensor:
        """Gram matrix of pixel space, `P_ij = p_i·p_j` of the `flat_pixels`.

        Returns:
            (F, F) float32.

        Raises:
            DriftError: the drift has no thumbnails.
        """
        flat = self.flat_pixels()
        return flat @ flat.mT

    def __repr__(self) -> str:
        return (
            f"Drift({len(self)} frames, {self.duration:.2f} s, {self.dim} dimensions, "
            f"encoder={self.encoder!r}, source={self.source!r})"
        )


def _is_increasing(times: Tensor) -> bool:
    return bool(torch.isfinite(times).all() and (times.diff() > 0).all())
