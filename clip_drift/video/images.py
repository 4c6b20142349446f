"""The same batches from pictures that are in memory already."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from ..errors import DriftError
from ..preprocess import fit_size, to_square
from .sampling import Sampler
from .stream import FrameBatch


def frames_from_images(
    images: Tensor,
    size: int,
    *,
    fps: float = 0.0,
    crop: str = "center",
    sample_fps: float = 0.0,
    max_frames: int = 0,
    batch_size: int = 16,
) -> "ImageFrames":
    """Read an IMAGE batch as squares of `size` pixels; one batch at a time is copied.

    Args:
        images: (F, H, W, 3 or 4) float in 0..1 or uint8; alpha is put over black.
        size: S, the image tower's side in pixels.
        fps: frames per second; without it frame i is at i seconds, and every frame is taken.
        crop, max_frames, batch_size: as in `open_frames`.
        sample_fps: as there; it needs `fps`.

    Raises:
        DriftError: at once for a tensor of another shape or a number out of its range.
    """
    if images.ndim != 4 or images.shape[-1] < 3 or not len(images):
        raise DriftError(
            f"images must be a batch of shape (frames, height, width, 3), not "
            f"{tuple(images.shape)}: give RGB pictures."
        )
    if batch_size < 1:
        raise DriftError(f"batch_size is {batch_size}: it must be 1 or more.")
    if fps < 0:
        raise DriftError(f"fps is {fps}: it must be 0 or more.")
    if sample_fps and not fps:
        raise DriftError(
            "sample_fps needs to know how fast the pictures follow each other: give fps, "
            "or set sample_fps to 0."
        )
    fit_size(images.shape[1], images.shape[2], size, crop)  # raises for an unknown crop
    seconds = [i / (fps or 1.0) for i in range(len(images))]
    sampler = Sampler(sample_fps=sample_fps, max_frames=max_frames)
    chosen = [i for i, time in enumerate(seconds) if sampler.take(time)]
    return ImageFrames(images, chosen, [seconds[i] for i in chosen], size, crop, batch_size)


@dataclass(frozen=True, eq=False)
class ImageFrames:
    """An iterable of `FrameBatch`, made from the pictures numbered `chosen`."""

    images: Tensor
    chosen: list[int]
    times: list[float]
    size: int
    crop: str
    batch_size: int

    @property
    def total(self) -> int:
        """How many frames come."""
        return len(self.chosen)

    def __iter__(self) -> Iterator[FrameBatch]:
        for first in range(0, self.total, self.batch_size):
            batch = slice(first, first + self.batch_size)
            squares = to_square(self.images[self.chosen[batch]], self.size, self.crop)
            yield FrameBatch(squares.cpu(), self.times[batch])
