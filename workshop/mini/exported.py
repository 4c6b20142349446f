"""The exported files, read back by the pack's own library as a user's ComfyUI would."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ...clip_drift.openclip import load_openclip_file
from ...clip_drift.weight_files import read_header
from ...kandinsky22.files import config_beside
from ...kandinsky22.movq import Movq, movq_config
from ...kandinsky22.prior import Prior, prior_config
from ...kandinsky22.unet import Unet, unet_config
from ..world.scenes import SIZE
from .export import FILES
from .movq_model import decode_all, encode_all
from .prior_model import draw_texts
from .unet_model import draw_latents

PRIOR_CFG = 4.0
"""Guidance of the prior: the default of Kandinsky 2.2 Prior."""


@dataclass
class Mini:
    """All of Mini Kandinsky.

    Attributes:
        clip: an `OpenClipEncoder`; unet, movq, prior: the pack's classes.
    """

    clip: object
    unet: nn.Module
    movq: nn.Module
    prior: nn.Module

    def embed(self, pictures: Tensor) -> Tensor:
        """(B, 3, 64, 64) in 0..1 → (B, E)."""
        parts = pictures.permute(0, 2, 3, 1).split(128)
        return torch.cat([self.clip.encode(part) for part in parts]).clone()

    def through_movq(self, pictures: Tensor) -> Tensor:
        """Pictures encoded and decoded."""
        return decode_all(self.movq, encode_all(self.movq, pictures))

    def imagine(
        self, texts: list[str], seed: int = 0, cfg: float = PRIOR_CFG, steps: int = 25
    ) -> Tensor:
        """Texts → (B, E), by the prior."""
        return draw_texts(self.prior, self.clip, texts, seed=seed, cfg=cfg, steps=steps)

    def draw(self, embeddings: Tensor, **options) -> Tensor:
        """(B, E) → pictures (B, 3, 64, 64); options as in `draw_latents`."""
        empty = self.clip.encode_normalised(torch.zeros(1, 3, SIZE, SIZE))[0]
        return decode_all(self.movq, draw_latents(self.unet, embeddings, empty.clone(), **options))


def load_mini(folder: Path) -> Mini:
    return Mini(
        load_openclip_file(folder / FILES["clip"]),
        _load(folder / FILES["unet"], Unet, unet_config),
        _load(folder / FILES["movq"], Movq, movq_config),
        _load(folder / FILES["prior"], Prior, prior_config),
    )


def _load(path: Path, module: type[nn.Module], config_of) -> nn.Module:
    """Sizes from the weights, as the nodes do it; fp16 weights computed with in float32."""
    built = module(**config_of(read_header(path).shapes, config_beside(path)))
    built.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return built.train(False).requires_grad_(False)
