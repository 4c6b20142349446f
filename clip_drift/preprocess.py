"""CLIP's own preprocessing: resize (bicubic, antialiased), cut a square, normalise.

The rules are those of `open_clip.image_transform`, so an embedding made here is the one
that the library itself would make of the same picture.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

from .errors import DriftError

CROPS = ("center", "pad", "stretch")


class Fit(NamedTuple):
    """How a frame becomes a square: the size to resize it to, then where the square begins.

    `top` and `left` are pixels of the *resized* frame; negative ones stand for a black margin.
    """

    height: int
    width: int
    top: int
    left: int


def fit_size(height: int, width: int, target: int, crop: str = "center") -> Fit:
    """How a frame of `height` × `width` pixels becomes a square of `target` pixels.

    Args:
        crop: `center` (CLIP's own) makes the shorter side `target` long and cuts the middle;
            `pad` makes the longer side `target` long and adds black margins; `stretch`
            squeezes the whole frame into the square.

    Raises:
        DriftError: an unknown crop mode, or a size below one pixel.
    """
    if crop not in CROPS:
        raise DriftError(f"crop is {crop!r}: choose one of {', '.join(CROPS)}.")
    if min(height, width, target) < 1:
        raise DriftError(
            f"cannot fit a frame of {width}×{height} pixels into a square of {target}: "
            "every side must be at least one pixel."
        )
    if crop == "stretch":
        return Fit(target, target, 0, 0)
    if crop == "pad":
        longest = max(height, width)
        resized_height = max(1, round(height * target / longest))
        resized_width = max(1, round(width * target / longest))
        return Fit(
            resized_height,
            resized_width,
            -((target - resized_height) // 2),
            -((target - resized_width) // 2),
        )
    # torchvision's Resize cuts the fraction off, and its CenterCrop rounds half to even.
    shortest = min(height, width)
    resized_height = target * height // shortest
    resized_width = target * width // shortest
    return Fit(
        resized_height,
        resized_width,
        round((resized_height - target) / 2),
        round((resized_width - target) / 2),
    )


def cut_square(frames: Tensor, fit: Fit, target: int) -> Tensor:
    """Cut the square out of frames that have been resized to `fit`, or put margins round them.

    Args:
        frames: (..., fit.height, fit.width, 3).

    Returns:
        (..., target, target, 3): a view where cutting is enough, otherwise a copy in a
            black square.
    """
    if fit.height >= target and fit.width >= target:
        return frames[..., fit.top : fit.top + target, fit.left : fit.left + target, :]
    square = frames.new_zeros(*frames.shape[:-3], target, target, frames.shape[-1])
    square[..., -fit.top : fit.height - fit.top, -fit.left : fit.width - fit.left, :] = frames
    return square


def to_square(images: Tensor, target: int, crop: str = "center") -> Tensor:
    """Resize pictures held in memory to CLIP's square, as Pillow would.

    Args:
        images: (B, H, W, 3 or 4) uint8, or float in 0..1 (rounded to 8 bits, which is what
            CLIP's own transform starts from). Alpha is put over black.

    Returns:
        (B, target, target, 3) uint8.

    Raises:
        DriftError: an unknown crop mode.
    """
    fit = fit_size(images.shape[1], images.shape[2], target, crop)
    pixels = images
    if pixels.dtype != torch.uint8:
        pixels = pixels.float().mul(255).round_().clamp_(0, 255).to(torch.uint8)
    if pixels.shape[-1] > 3:
        pixels = over_black(pixels)
    if pixels.shape[1:3] != (fit.height, fit.width):
        pixels = functional.interpolate(
            rearrange(pixels, "b h w c -> b c h w"),
            (fit.height, fit.width),
            mode="bicubic",
            antialias=True,
        )
        pixels = rearrange(pixels, "b c h w -> b h w c")
    return cut_square(pixels, fit, target)


def over_black(pixels: Tensor) -> Tensor:
    """Put pictures with alpha over black, the colour of a padded frame's margins: `RGB·A/255`.

    Args:
        pixels: (..., 4) uint8 RGBA, colours not multiplied by alpha.

    Returns:
        (..., 3) uint8 RGB.
    """
    colours, alpha = pixels[..., :3].float(), pixels[..., 3:4].float()
    return (colours * alpha / 255).round_().to(torch.uint8)


def normalise(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Bring pixels to what the image tower was trained on.

    Args:
        pixels: (B, S, S, 3) uint8, or float in 0..1.
        mean: the three channels' means, in 0..1.
        std: the three channels' standard deviations.

    Returns:
        (B, 3, S, S) float, `(pixels − mean) / std`.
    """
    if pixels.dtype == torch.uint8:
        pixels = pixels.float() / 255
    centre = torch.tensor(mean, dtype=pixels.dtype, device=pixels.device)
    scale = torch.tensor(std, dtype=pixels.dtype, device=pixels.device)
    return rearrange((pixels - centre) / scale, "b h w c -> b c h w")


def thumbnails(squares: Tensor, side: int = 48) -> Tensor:
    """Small antialiased copies of frames, for looking at pixel space.

    Args:
        squares: (B, S, S, 3) uint8.

    Returns:
        (B, side, side, 3) uint8.
    """
    small = functional.interpolate(
        rearrange(squares, "b h w c -> b c h w"), (side, side), mode="bilinear", antialias=True
    )
    return rearrange(small, "b c h w -> b h w c").contiguous()
