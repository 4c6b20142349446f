"""From frames to a drift: an encoder's batches, gathered."""

from collections.abc import Callable, Iterable
from typing import Protocol

import torch
from torch import Tensor

from .drift import Drift
from .errors import DriftError
from .preprocess import thumbnails
from .video import Damage, FrameBatch, Source, frames_from_images, open_frames, source_name

OnBatch = Callable[[int, int | None, Tensor, Tensor], None]


class Encoder(Protocol):
    """An image tower, whoever runs it.

    Attributes:
        name: what the drift remembers as its space.
        size: S, the side of the pictures that it takes, in pixels.
    """

    name: str
    size: int

    def encode(self, pixels: Tensor) -> Tensor:
        """Embed pictures; the encoder normalises them and moves them to its own device.

        Args:
            pixels: (B, S, S, 3) uint8 on the CPU: a quarter of the bytes to move, and floats are
                made where the encoder runs.

        Returns:
            (B, N) float, of any length.
        """
        ...


def drift_from_video(
    source: Source,
    encoder: Encoder,
    *,
    start: float = 0.0,
    duration: float = 0.0,
    sample_fps: float = 0.0,
    max_frames: int = 0,
    batch_size: int = 16,
    crop: str = "center",
    backend: str = "pyav",
    on_batch: OnBatch | None = None,
    damage: Damage | None = None,
) -> Drift:
    """Encode a video's frames; the next batch is decoded while one is encoded.

    Args:
        source: path of a file, or a file in memory.
        start, duration, sample_fps, max_frames, batch_size, crop, backend: which frames and how,
            see `video.open_frames`.
        on_batch: called after each batch with the number of frames done, about how many there will
            be (None if unknown), the last frame's thumbnail (h, w, 3) uint8 and the batch's
            embeddings (B, N) float32, of any length. What it raises stops the reading and is
            passed on.
        damage: where what could not be decoded is counted.

    Raises:
        DriftError: bad input of any kind, each named in one sentence.
    """
    with open_frames(
        source,
        encoder.size,
        crop=crop,
        start=start,
        duration=duration,
        sample_fps=sample_fps,
        max_frames=max_frames,
        batch_size=batch_size,
        backend=backend,
    ) as frames:
        drift = _encoded(frames, encoder, frames.total, source_name(source), on_batch)
    if damage is not None:
        damage.places += frames.damage.places
    return drift


def drift_from_images(
    images: Tensor,
    encoder: Encoder,
    *,
    fps: float = 0.0,
    sample_fps: float = 0.0,
    max_frames: int = 0,
    batch_size: int = 16,
    crop: str = "center",
    source: str = "images",
    on_batch: OnBatch | None = None,
) -> Drift:
    """Encode an IMAGE batch.

    Args:
        images: (F, H, W, 3 or 4) float in 0..1; alpha is put over black.
        fps, sample_fps, max_frames, batch_size, crop: see
            `video.frames_from_images`.
        source: what the drift remembers as its source.
        on_batch: as in `drift_from_video`.

    Raises:
        DriftError: bad input of any kind, each named in one sentence.
    """
    batches = frames_from_images(
        images,
        encoder.size,
        fps=fps,
        crop=crop,
        sample_fps=sample_fps,
        max_frames=max_frames,
        batch_size=batch_size,
    )
    return _encoded(batches, encoder, batches.total, source, on_batch)


def _encoded(
    batches: Iterable[FrameBatch],
    encoder: Encoder,
    total: int | None,
    source: str,
    on_batch: OnBatch | None,
) -> Drift:
    # One growing block each: tensors kept in a list would sit between the batches' temporary
    # memory and pin it, and concatenating them would need everything twice.
    embeddings, small, times = bytearray(), bytearray(), []
    for batch in batches:
        encoded = encoder.encode(batch.frames).detach().to("cpu", torch.float32)
        shown = thumbnails(batch.frames)
        embeddings += encoded.contiguous().numpy().data
        small += shown.numpy().data
        times += batch.times
        if on_batch is not None:
            on_batch(len(times), total, shown[-1], encoded)
    if len(times) < 2:
        found = "one frame was" if times else "no frame was"
        raise DriftError(
            f"{source}: {found} read, but a drift needs two or more; choose a longer clip, "
            "a wider trim, a higher sample_fps or a larger max_frames."
        )
    return Drift.from_embeddings(
        torch.frombuffer(embeddings, dtype=torch.float32).reshape(len(times), -1),
        torch.tensor(times, dtype=torch.float64),
        torch.frombuffer(small, dtype=torch.uint8).reshape(len(times), *shown.shape[1:]),
        encoder=encoder.name,
        source=source,
    )
