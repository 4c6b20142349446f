"""CLIP Drift/Consistency: keep still what the motion does not change."""

from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

import torch
from comfy.model_patcher import ModelPatcher
from comfy.model_sampling import CONST
from comfy_api.latest import io
from torch import Tensor

from ..clip_drift.attend import MODES
from ..clip_drift.drift import Drift
from ..clip_drift.errors import DriftError
from ..clip_drift.noise.white import white_rows
from ..clip_drift.path import path_in_picture
from ..clip_drift.warp import noised, shifted
from .core import sockets
from .core.attention import BLOCKS, FrameAttention, attend_to_frames
from .core.batches import picture_samples

CATEGORY = "CLIP Drift/Consistency"


class ClipDriftAttendFirst(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ClipDriftAttendFirst",
            display_name="Attend to First Frame",
            category=CATEGORY,
            description="Let the self-attention of every frame look at the first one, so that "
            "ground, colours and shapes stay alike over the clip. For picture models with a batch "
            "of frames; the prompts, and with them the motion, stay each frame's own.",
            search_aliases=[
                "text2video-zero",
                "cross-frame attention",
                "consistency",
                "flicker",
                "clip drift",
            ],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="A picture model: SD 1.x, SD 2.x, SDXL, Flux, Kandinsky 2.2. A "
                    "ControlNet is a model of its own and is not changed.",
                ),
                io.Combo.Input(
                    "mode",
                    list(MODES),
                    default="first and own",
                    tooltip="first: the first frame's keys and values alone, as in "
                    "Text2Video-Zero. first and own: besides the frame's own. first and previous: "
                    "besides those of the frame before, which needs all frames in one batch.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="How much of it goes into each attention's result: 0 leaves the model "
                    "as it is.",
                ),
                io.Float.Input(
                    "start_percent",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Where in the sampling it begins to work.",
                ),
                io.Float.Input(
                    "end_percent",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Where in the sampling it ends.",
                ),
                io.Combo.Input(
                    "blocks",
                    list(BLOCKS),
                    default="all",
                    tooltip="Which part of the UNet: on the way down, in the middle, on the way "
                    "up, or all. Flux has no such parts: all.",
                ),
            ],
            outputs=[io.Model.Output("model", tooltip="The model, for any native sampler.")],
        )

    @classmethod
    def execute(cls, model, mode, strength, start_percent, end_percent, blocks):
        if start_percent > end_percent:
            raise DriftError(
                f"start_percent is {start_percent:g} and end_percent {end_percent:g}: let it end "
                "after it starts."
            )
        sigma_at = model.get_model_object("model_sampling").percent_to_sigma
        patch = FrameAttention(mode, strength, sigma_at(start_percent), sigma_at(end_percent))
        model = model.clone()
        attend_to_frames(model, patch, blocks)
        return io.NodeOutput(model)


class ClipDriftWarpFirst(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ClipDriftWarpFirst",
            display_name="Warp First Frame",
            category=CATEGORY,
            description="Let every frame begin as the first one, moved along a path: the motion "
            "of Text2Video-Zero, or the clip's own. Draw the first frame down to some noise, give "
            "it here, and draw all frames from the result on.",
            search_aliases=["text2video-zero", "motion prior", "latent warp", "pan", "clip drift"],
            inputs=[
                io.Model.Input("model", tooltip="The model that draws the frames."),
                io.Latent.Input(
                    "start",
                    tooltip="The first frame at the higher noise level, from a sampler that "
                    "stopped there: it stays frame 0.",
                ),
                io.Latent.Input(
                    "latent",
                    tooltip="The first frame drawn on from start through sigmas: what is moved.",
                ),
                io.Sigmas.Input(
                    "sigmas",
                    tooltip="The steps from start to latent, from Split Sigmas. Text2Video-Zero "
                    "takes steps 2 to 5 of 50.",
                ),
                io.Int.Input(
                    "frames",
                    default=8,
                    min=2,
                    max=1_000_000,
                    tooltip="How many frames; a drift says it itself.",
                ),
                *(
                    io.Float.Input(
                        name,
                        default=12.0,
                        min=-1000.0,
                        max=1000.0,
                        step=0.5,
                        tooltip=f"Pixels {way} from frame to frame; with a drift, no part.",
                    )
                    for name, way in (("x", "to the right"), ("y", "down"))
                ),
                io.Int.Input(
                    "noise_seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="Of the noise that is put back. Frame i gets the noise of batch_index "
                    "i, as a KSampler with this seed would give it.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-10.0,
                    max=10.0,
                    step=0.01,
                    tooltip="How far along the path: 0 moves nothing, -1 the other way.",
                ),
                sockets.ClipDrift.Input(
                    "drift",
                    optional=True,
                    tooltip="A clip: the frames move as its picture does, or what moves in it.",
                ),
            ],
            outputs=[
                io.Latent.Output(
                    "latent",
                    tooltip="One latent per frame at the noise of start: sample it without new "
                    "noise from that level on, whole or through Frames to List.",
                )
            ],
        )

    @classmethod
    def execute(cls, model, start, latent, sigmas, frames, x, y, noise_seed, strength, drift=None):
        first, drawn = _one_picture(start, "start"), _one_picture(latent, "latent")
        if first.shape != drawn.shape:
            raise DriftError(
                f"start has shape {tuple(first.shape)} and latent {tuple(drawn.shape)}: draw "
                "latent on from start."
            )
        if drift is None:
            pixels = model.model.latent_format.spacial_downscale_ratio
            path = torch.arange(frames)[:, None] * torch.tensor([x, y]) / pixels
        else:
            path = _path_of(drift) * torch.tensor([drawn.shape[-1], drawn.shape[-2]])
        levels = _Levels(model, sigmas[0], sigmas[-1])
        noises = islice(white_rows(noise_seed, drawn.shape[1:]), 1, len(path))
        begun = levels.raised(drawn, (path[1:] * strength).tolist(), noises)
        samples = torch.cat([first, begun])
        return io.NodeOutput({"samples": samples, "batch_index": list(range(len(samples)))})


def _one_picture(latent: dict, name: str) -> Tensor:
    samples = picture_samples(latent, name)
    if len(samples) != 1:
        raise DriftError(
            f"{name} holds {len(samples)} pictures, but every frame begins as the first one: "
            "draw one, with one prompt (Frames to List with count 1)."
        )
    return samples


def _path_of(drift: Drift) -> Tensor:
    if drift.thumbnails is None:
        raise DriftError(
            "drift was not made from pictures, so it has no path in the picture: connect Video → "
            "CLIP Drift, or take x and y."
        )
    return path_in_picture(drift.thumbnails)


class _Levels(NamedTuple):
    """A model's noise, between two levels.

    Attributes:
        model: MODEL.
        high, low: sigmas, tensors without dimensions.
    """

    model: ModelPatcher
    high: Tensor
    low: Tensor

    def raised(self, drawn: Tensor, path: Iterable, noises: Iterable[Tensor]) -> Tensor:
        """A latent as a sampler gives it at `low`, moved along the path, as one takes it at
        `high`: (places, …)."""
        scaling = self.model.get_model_object("model_sampling")
        latent = self.model.model.process_latent_in(drawn)
        latent = scaling.noise_scaling(self.low, torch.zeros_like(latent), latent)
        ends = float(self.low), float(self.high), isinstance(scaling, CONST)
        frames = [
            noised(shifted(latent, *place), noise, *ends)
            for place, noise in zip(path, noises, strict=True)
        ]
        frames = scaling.inverse_noise_scaling(self.high, torch.cat(frames))
        return self.model.model.process_latent_out(frames)


NODES = [ClipDriftAttendFirst, ClipDriftWarpFirst]
