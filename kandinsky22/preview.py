"""Quick previews: the linear map from a latent's channels to colours, fitted to the MoVQ in use.

None is published for Kandinsky 2.2, and a MoVQ of another size has another.
"""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

SIDE = 4  # patches of the palette
CELLS = 2  # latent cells per patch, along a side


def palette(ratio: int) -> Tensor:
    """A small picture of 16 flat patches: the corners of the colour cube, and of one half as wide.

    Args:
        ratio: pixels per latent cell.

    Returns:
        (1, H, W, 3) in 0..1.
    """
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)
    colours = torch.cat([corners, 0.25 + corners / 2])
    # Shuffled, or what a patch takes on from its neighbours would favour some colours.
    order = torch.randperm(len(colours), generator=torch.Generator().manual_seed(22))
    patches = colours[order].T.reshape(1, 3, SIDE, SIDE)
    return interpolate(patches, scale_factor=CELLS * ratio).movedim(1, -1)


def fit_colours(latent: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """The map that turns latent cells into their colours with the least squared error.

    Args:
        latent: (B, C, h, w), what the MoVQ encodes `pixels` to.
        pixels: (B, H, W, 3) in 0..1, H / h and W / w the same whole number.

    Returns:
        (C, 3) factors and (3,) bias: cell @ factors + bias is the colour in -1..1.
    """
    size = pixels.shape[1] // latent.shape[2]
    colours = avg_pool2d(pixels.movedim(-1, 1), size) * 2 - 1
    cells = torch.nan_to_num(latent.float().cpu()).movedim(1, -1).flatten(0, 2)
    cells = torch.cat([cells, torch.ones(len(cells), 1)], dim=1)
    wanted = colours.float().cpu().movedim(1, -1).flatten(0, 2)
    # This driver also solves for latents with a dead channel.
    solution = torch.linalg.lstsq(cells, wanted, driver="gelsd").solution
    return solution[:-1], solution[-1]
