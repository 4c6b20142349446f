"""Self-attention with other frames' keys and values, in each family of models that core runs.

Where the attention is changed differs from family to family; what is done there does not, and
stands in `clip_drift/attend.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from comfy.ldm.flux.math import apply_rope
from comfy.ldm.flux.model import Flux
from comfy.ldm.modules.attention import SpatialVideoTransformer, optimized_attention
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ...clip_drift.attend import attend, from_rows, source_rows
from ...clip_drift.errors import DriftError
from .frame_numbers import FRAMES, number_frames

BLOCKS = {
    "all": ("input", "middle", "output"),
    "down": ("input",),
    "middle": ("middle",),
    "up": ("output",),
}
"""What a user chooses, and core's names for it."""

JOINT = "joint_attn1"
"""The `patches_replace` of models whose self-attention joins a prompt's tokens with the pixels.

Under the name that core uses, patches made for its own UNets would meet more keys than queries.
"""

_OUTSIDE = "clip_drift_attended"  # in a Flux block's extra_options, between its two patches


@dataclass(frozen=True)
class FrameAttention:
    """The patch: attention to other frames between two noise levels.

    Attributes:
        mode, strength: see `clip_drift.attend`.
        start, end: the highest and the lowest sigma at which it works.
    """

    mode: str
    strength: float
    start: float
    end: float

    def rows(self, q: Tensor, options: dict) -> list[Tensor] | None:
        """Whose tokens each of q's rows attends to; None where the patch does not work."""
        if not self.end <= float(options["sigmas"][0]) <= self.start:
            return None
        chunks = len(options["cond_or_uncond"])
        frames = options.get(FRAMES) or list(range(len(q) // chunks))
        if len(q) != chunks * len(frames):
            raise DriftError(
                f"the model's attention gets {len(q)} rows for {len(frames)} frames, so it is "
                "split into parts (HyperTile?): remove that node, or Attend to First Frame."
            )
        if self.mode == "first and previous" and "context_window" not in options:
            _check_neighbours(frames)
        return source_rows(frames, chunks, self.mode)

    def replace(self, q: Tensor, k: Tensor, v: Tensor, options: dict) -> Tensor:
        """For `patches_replace`, (B, tokens, C); keys before the pixels' own stay each row's."""

        def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return optimized_attention(
                q,
                k,
                v,
                options["n_heads"],
                attn_precision=options.get("attn_precision"),
                transformer_options=options,
            )

        rows = self.rows(q, options)
        if rows is None:
            return attention(q, k, v)
        return attend(attention, q, k, v, rows, self.strength, own=k.shape[1] - q.shape[1])

    def flux(self, q, k, v, pe=None, attn_mask=None, extra_options=None) -> dict:
        """For Flux's `attn1_patch`, (B, heads, tokens, D), before places are rotated in."""
        rows = self.rows(q, extra_options)
        if rows is None:
            return {}
        own = extra_options["img_slice"][0]
        if self.mode == "first" and self.strength == 1:
            return {name: from_rows(x, rows, own, 2) for name, x in (("k", k), ("v", v))}
        turned = (q, k) if pe is None else apply_rope(q, k, pe)
        mask = None if attn_mask is None else torch.cat([attn_mask] * len(rows), -1)
        extra_options[_OUTSIDE] = optimized_attention(
            turned[0],
            from_rows(turned[1], rows, own, 2),
            from_rows(v, rows, own, 2),
            q.shape[1],
            skip_reshape=True,
            mask=mask,
            transformer_options=extra_options,
        )
        return {}

    def flux_output(self, out: Tensor, extra_options: dict) -> Tensor:
        """For Flux's `attn1_output_patch`: mix in what `flux` has put aside."""
        there = extra_options.pop(_OUTSIDE, None)
        return out if there is None else torch.lerp(out, there, self.strength)


def _check_neighbours(frames: list[int]) -> None:
    missing = next((n for n in frames if n > 0 and n - 1 not in frames), None)
    if missing is not None:
        raise DriftError(
            f"mode first and previous needs frame {missing - 1} beside frame {missing}, and so "
            "every frame before it: sample all frames as one batch, or choose another mode."
        )


def attend_to_frames(model: ModelPatcher, patch: FrameAttention, blocks: str) -> None:
    """Patch a model; a strength of 0 leaves it as it is.

    Args:
        model: a clone of one's own.
        blocks: a key of BLOCKS.

    Raises:
        DriftError: the model is of a family whose attention cannot be reached, or has no such
            blocks.
    """
    patch_family = _family(model.model.diffusion_model)
    if patch.strength:
        patch_family(model, patch, blocks)
        number_frames(model)


def _family(unet) -> Callable[[ModelPatcher, FrameAttention, str], None]:
    if isinstance(unet, UNetModel) and not _has_time(unet):
        return _patch_unet
    if isinstance(unet, Flux):
        return _patch_flux
    if JOINT in getattr(unet, "replaceable", ()):
        return _patch_joint
    raise DriftError(
        f"model is a {type(unet).__name__}, whose self-attention core lets no patch change: use a "
        "picture model (SD 1.x, SD 2.x, SDXL, Flux, Kandinsky 2.2)."
    )


def _has_time(unet: UNetModel) -> bool:
    return any(isinstance(part, SpatialVideoTransformer) for part in unet.modules())


def _patch_unet(model: ModelPatcher, patch: FrameAttention, blocks: str) -> None:
    unet = model.model.diffusion_model
    counts = {"input": len(unet.input_blocks), "middle": 1, "output": len(unet.output_blocks)}
    for name in BLOCKS[blocks]:
        for number in range(counts[name]):
            model.set_model_attn1_replace(patch.replace, name, number)


def _patch_joint(model: ModelPatcher, patch: FrameAttention, blocks: str) -> None:
    unet = model.model.diffusion_model
    counts = {"input": len(unet.down_blocks), "middle": 1, "output": len(unet.up_blocks)}
    for name in BLOCKS[blocks]:
        for number in range(counts[name]):
            model.set_model_patch_replace(patch.replace, JOINT, name, number)


def _patch_flux(model: ModelPatcher, patch: FrameAttention, blocks: str) -> None:
    if blocks != "all":
        raise DriftError(
            f"blocks is {blocks}, but Flux has one resolution, without a way down and up: choose "
            "all."
        )
    model.set_model_attn1_patch(patch.flux)
    model.set_model_attn1_output_patch(patch.flux_output)
