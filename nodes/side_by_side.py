"""CLIP Drift: the clip and what was drawn from it, at one pace."""

import torch
from comfy_api.latest import io

from ..clip_drift.errors import DriftError
from ..clip_drift.video import frames_at
from .core import sockets

GAP, GREY = 8, 0.5


class ClipDriftSideBySide(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ClipDriftSideBySide",
            display_name="Side by Side",
            category="CLIP Drift",
            description="Put the clip to the left of what was drawn: of the clip just the frames "
            "that the drift took, so that both move at one pace.",
            search_aliases=["compare videos", "beside", "before after", "clip drift"],
            inputs=[
                io.Image.Input("images", tooltip="What was drawn, an image for each frame."),
                io.Video.Input("video", tooltip="The clip that the drift was read from."),
                sockets.ClipDrift.Input(
                    "drift",
                    tooltip="The drift of that clip: its times say which frames are shown. With "
                    "Shape Drift's frames in between, the nearest ones before.",
                ),
            ],
            outputs=[
                io.Image.Output("images", tooltip="Clip and result, an image for each frame."),
                io.Float.Output(
                    "fps", tooltip="Images per second of the clip's own pace, for Create Video say."
                ),
            ],
        )

    @classmethod
    def execute(cls, images, video, drift):
        if len(images) != len(drift):
            raise DriftError(
                f"images holds {len(images)} and drift {len(drift)} frames: connect the drift "
                "that the images were drawn with."
            )
        height = images.shape[1]
        clip = frames_at(video.get_stream_source(), drift.times.tolist(), height).to(images) / 255
        gap = torch.full((len(images), height, GAP, 3), GREY).to(images)
        return io.NodeOutput(torch.cat([clip, gap, images[..., :3]], 2), drift.fps)


NODES = [ClipDriftSideBySide]
