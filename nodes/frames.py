"""CLIP Drift/Frames: render frame by frame, in the memory of one."""

from comfy_api.latest import io

from ..clip_drift.errors import DriftError
from .core.batches import common_frames, is_video, latent_frame
from .core.conditioning import conditioning_frame


class ClipDriftFrames(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ClipDriftFrames",
            display_name="Frames to List",
            category="CLIP Drift/Frames",
            description="Split a batch of frames into a list, so that the nodes after it run once "
            "per frame, in the memory of one frame. Start and count render a clip in chunks, or "
            "pick the one prompt of a video model's clip.",
            search_aliases=["unbatch", "split batch", "low vram video", "animate", "clip drift"],
            inputs=[
                io.Conditioning.Input("conditioning", tooltip="One prompt per frame, as a batch."),
                io.Latent.Input(
                    "latent",
                    tooltip="One latent per frame, or one for all (then all get the same noise). A "
                    "video latent (5-D) takes one prompt: set count to 1, and start to the frame "
                    "of the walk that the whole clip should get.",
                ),
                io.Int.Input(
                    "start", default=0, min=0, max=1_000_000, tooltip="The first frame, from 0."
                ),
                io.Int.Input(
                    "count",
                    default=0,
                    min=0,
                    max=1_000_000,
                    tooltip="How many frames; 0 takes all that follow.",
                ),
                io.Boolean.Input(
                    "anchor",
                    default=False,
                    optional=True,
                    tooltip="Sample the first frame along with every other one, for Attend to "
                    "First Frame. Each entry then holds two frames, the first one's before its "
                    "own: after the sampler, Latent From Batch with batch_index -1 keeps its own.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(
                    "conditioning", is_output_list=True, tooltip="The prompt of each frame."
                ),
                io.Latent.Output(
                    "latent",
                    is_output_list=True,
                    tooltip="The latent of each frame, with the batch_index of its noise.",
                ),
            ],
        )

    @classmethod
    def execute(cls, conditioning, latent, start, count, anchor=False):
        total = common_frames(conditioning, latent)
        if start >= total:
            raise DriftError(
                f"start is {start} but there are {total} frames: choose 0 to {total - 1}."
            )
        frames = range(start, min(start + count, total) if count else total)
        samples = latent["samples"]
        if is_video(samples) and len(samples) == 1 and len(frames) > 1:
            raise DriftError(
                f"latent is one video, 5-D {tuple(samples.shape)}, and takes one prompt for its "
                f"whole clip, but {len(frames)} frames are asked for: set count to 1, and start to "
                f"the frame of the walk to use (0 to {total - 1})."
            )
        return io.NodeOutput(
            [conditioning_frame(conditioning, i, total, anchor) for i in frames],
            [latent_frame(latent, i, anchor) for i in frames],
        )


NODES = [ClipDriftFrames]
