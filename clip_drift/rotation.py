"""Plane rotations in N dimensions, kept at rank 2.

Rodrigues' formula in R^N, the exponential of one generator `v uᵀ − u vᵀ`:

    R^t = I + sin(tα)·(v uᵀ − u vᵀ) + (cos(tα) − 1)·(u uᵀ + v vᵀ)

Two dot products and two axpys per vector instead of an N×N matrix. Formulas hold column
vectors; tensors hold rows, so "R x" is `x @ R.mT`.

Reference: Rodrigues, "Des lois géométriques qui régissent les déplacements d'un système solide
dans l'espace", 1840, for N = 3; the plane spanned by two vectors of R^N takes its place here.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .errors import DriftError
from .sphere import angle, at_least_float32, orthogonal_part, unit


@dataclass(frozen=True, eq=False)
class PlaneRotation:
    """One rotation, or a batch of them, each in one plane of R^N.

    Attributes:
        plane: (*batch, 2, N) orthonormal rows u and v that span the planes, float32 or better.
        angles: (*batch) radians, float64; u turns towards v.
    """

    plane: Tensor
    angles: Tensor

    @classmethod
    def from_vectors(cls, start: Tensor, end: Tensor, name: str = "vector") -> "PlaneRotation":
        """The rotations that take start to end along the shortest arc: `R â = b̂`.

        Equal vectors give the identity; opposite ones turn by π in a plane picked
        deterministically.

        >>> start, end = torch.tensor([1.0, 0, 0]), torch.tensor([0, 1.0, 0])
        >>> PlaneRotation.from_vectors(start, end).apply(torch.tensor([0, 2.0, 5]))
        tensor([-2.,  0.,  5.])

        Args:
            start, end: (*batch, N) tensors that broadcast, N ≥ 2, any float dtype.
            name: what a row is called in an error.

        Raises:
            DriftError: the widths differ, or a vector is zero or not finite (the message
                names which).
        """
        if start.shape[-1] != end.shape[-1]:
            raise DriftError(
                f"a rotation needs vectors of one width, but start has {start.shape[-1]} "
                f"dimensions and end {end.shape[-1]}: take both from the same encoder."
            )
        kept = torch.promote_types(at_least_float32(start).dtype, at_least_float32(end).dtype)
        a, b = unit(start.double(), f"start {name}"), unit(end.double(), f"end {name}")
        a, b = torch.broadcast_tensors(a, b)
        return cls(torch.stack((a, orthogonal_part(a, b)), -2).to(kept), angle(a, b))

    @property
    def u(self) -> Tensor:
        """(*batch, N) where the rotations start from."""
        return self.plane[..., 0, :]

    @property
    def v(self) -> Tensor:
        """(*batch, N) where they turn to."""
        return self.plane[..., 1, :]

    @property
    def batch(self) -> torch.Size:
        """Shape of the batch; empty for a single rotation."""
        return self.angles.shape

    @property
    def dim(self) -> int:
        """N."""
        return self.plane.shape[-1]

    def __len__(self) -> int:
        return len(self.angles)

    def __getitem__(self, index) -> "PlaneRotation":
        return PlaneRotation(self.plane[index], self.angles[index])

    def __pow__(self, t: float | Tensor) -> "PlaneRotation":
        """`R^t`, the same planes and t times the angle; t broadcasts over the batch."""
        return PlaneRotation(self.plane, self.angles * t)

    def magnitude(self) -> Tensor:
        """(*batch) the rotations' angles in radians, unsigned."""
        return self.angles.abs()

    def apply(self, x: Tensor, power: float | Tensor = 1.0) -> Tensor:
        """Rotate rows: "R^power x" for each row x.

        Args:
            x: (*batch, ..., N) tensor: the rotations' batch dimensions come first, any more may
                follow (tokens, say). Any float dtype and device.
            power: number, or a tensor that broadcasts against x without its last dimension; -1
                rotates back.

        Returns:
            Tensor like x; computed in float32 or better, given back in x's dtype and device.

        Raises:
            DriftError: x has another width or other batch dimensions.
        """
        batch = self.batch
        if x.shape[-1] != self.dim or x.shape[: len(batch)] != batch or x.ndim <= len(batch):
            raise DriftError(
                f"rotations of batch {tuple(batch)} in {self.dim} dimensions cannot turn a tensor "
                f"of shape {tuple(x.shape)}."
            )
        rows = at_least_float32(x)
        # Flat batch and rows, as bmm wants them: (count, rows, N).
        flat = rows.reshape(batch.numel(), -1, self.dim)
        plane = self.plane.to(rows).reshape(batch.numel(), 2, self.dim)
        # In its plane, with u as 1 and v as i, a rotation by θ is a product with e^{iθ}: what it
        # adds to a vector is e^{iθ} − 1 times the vector's coordinates there.
        theta = self.angles.to(x.device).reshape(batch + (1,) * (x.ndim - 1 - len(batch))) * power
        change = torch.expm1(1j * theta)
        along = torch.view_as_complex(torch.bmm(flat, plane.mT)).reshape(x.shape[:-1])
        added = torch.view_as_real(along * change.to(along.dtype)).reshape(*flat.shape[:-1], 2)
        return torch.baddbmm(flat, added, plane).reshape(x.shape).to(x.dtype)

    def as_matrix(self) -> Tensor:
        """The dense matrices, for looking at: N² numbers each, never used in a computation.

        `R = I + sin θ (v uᵀ − u vᵀ) − (1 − cos θ)(u uᵀ + v vᵀ)`, Rodrigues' formula in R^N.

        Returns:
            (*batch, N, N) tensor R with `R @ column`, the transpose of what rows need.
        """
        u, v = self.u.unsqueeze(-1), self.v.unsqueeze(-1)
        theta = self.angles.to(u.dtype)[..., None, None]
        eye = torch.eye(self.dim, dtype=u.dtype, device=u.device)
        turn, shrink = v @ u.mT - u @ v.mT, u @ u.mT + v @ v.mT
        return eye + torch.sin(theta) * turn - 2 * torch.sin(theta / 2) ** 2 * shrink
