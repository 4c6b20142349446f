"""Video of high dynamic range (PQ or HLG, BT.2020) as the standard pictures that CLIP knows.

The signal becomes light on a display of 1000 cd/m², its highlights are bent down to reference
white, and the light becomes BT.709 as a standard display takes it.

Reference: ITU-R BT.2100-2 (PQ, HLG), BT.2390-11 section 5.4.1 (the bend), BT.2408-7 (reference
white), BT.2087-0 (primaries), BT.1886 (the standard display).
"""

import math

import torch
from torch import Tensor

_PEAK = 1000.0  # cd/m²: HLG's nominal display, and what most PQ videos are graded on
_WHITE = 203.0  # cd/m²: what is white paper, not a light
_DISPLAY_GAMMA = 2.4

_BT2020_TO_BT709 = torch.tensor(
    [
        [1.6605, -0.5876, -0.0728],
        [-0.1246, 1.1329, -0.0083],
        [-0.0182, -0.1006, 1.1187],
    ]
)
_BT2020_LUMA = torch.tensor([0.2627, 0.6780, 0.0593])


def to_sdr(signal: Tensor, hdr: str) -> Tensor:
    """Bring pixels of high dynamic range to the standard one.

    Args:
        signal: (..., 3) float RGB in 0..1, as stored.
        hdr: how light is coded, "pq" or "hlg".

    Returns:
        (..., 3) uint8 RGB, BT.709.
    """
    light = {"pq": pq_light, "hlg": hlg_light}[hdr](signal).clamp(max=_PEAK)
    # The brightest channel decides for all three, so that hues stay.
    brightest = light.amax(-1, keepdim=True).clamp_min(1e-4)
    shown = light * (bent(brightest) / brightest) / _WHITE
    standard = (shown @ _BT2020_TO_BT709.T).clamp(0, 1) ** (1 / _DISPLAY_GAMMA)
    return (standard * 255).round().to(torch.uint8)


_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32


def pq_light(signal: Tensor) -> Tensor:
    """What a PQ signal in 0..1 is on a display, in cd/m²."""
    root = signal ** (1 / _M2)
    return 10_000 * ((root - _C1).clamp_min(0) / (_C2 - _C3 * root)) ** (1 / _M1)


def pq_signal(light: Tensor) -> Tensor:
    """The PQ signal in 0..1 of light in cd/m²."""
    power = (light / 10_000) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


_A = 0.17883277
_B = 1 - 4 * _A
_C = 0.5 - _A * math.log(4 * _A)
_SYSTEM_GAMMA = 1.2  # of a display of 1000 cd/m²


def hlg_light(signal: Tensor) -> Tensor:
    """What an HLG signal (..., 3) in 0..1 is on a display of 1000 cd/m², in cd/m²."""
    scene = torch.where(signal <= 0.5, signal**2 / 3, (((signal - _C) / _A).exp() + _B) / 12)
    luma = (scene @ _BT2020_LUMA)[..., None].clamp_min(1e-6)
    return _PEAK * luma ** (_SYSTEM_GAMMA - 1) * scene


def bent(light: Tensor) -> Tensor:
    """Light of up to 1000 cd/m² on a display of 203: the dark as it is, the bright bent down."""
    peak, white = pq_signal(torch.tensor([_PEAK, _WHITE], dtype=light.dtype))
    level, largest = pq_signal(light) / peak, white / peak
    knee = 1.5 * largest - 0.5
    t = ((level - knee) / (1 - knee)).clamp_min(0)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (3 * t**2 - 2 * t**3) * largest
    )
    return pq_light(torch.where(level < knee, level, spline) * peak)
