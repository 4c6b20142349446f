"""CLIP Drift/Consistency: keep still what the motion does not change."""

from comfy_api.latest import io

from ..clip_drift.attend import MODES
from ..clip_drift.errors import DriftError
from .core.attention import BLOCKS, FrameAttention, attend_to_frames

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


NODES = [ClipDriftAttendFirst]
