"""Kandinsky 2.2's latent as ComfyUI's samplers and previews see it."""

import comfy.latent_formats
import comfy.sd
import torch

from ..preview import fit_colours, palette


class Kandinsky22Latent(comfy.latent_formats.LatentFormat):
    """Raw latents: what the MoVQ encodes is what the decoder samples.

    The colours of quick previews are fitted to the MoVQ itself when the first preview asks.
    """

    scale_factor = 1.0

    def __init__(self, vae: comfy.sd.VAE):
        self.latent_channels = vae.latent_channels
        self.spacial_downscale_ratio = vae.spacial_compression_decode()
        self._vae = vae
        self._colours = None

    @property
    def latent_rgb_factors(self) -> list[list[float]]:
        return self._fitted()[0]

    @property
    def latent_rgb_factors_bias(self) -> list[float]:
        return self._fitted()[1]

    def _fitted(self) -> tuple[list[list[float]], list[float]]:
        if self._colours is None:
            picture = palette(self.spacial_downscale_ratio)
            with torch.no_grad():
                latent = self._vae.encode(picture)
            factors, bias = fit_colours(latent, picture)
            self._colours = factors.tolist(), bias.tolist()
            self._vae = None  # otherwise the model would keep it in memory
        return self._colours
