"""CLIP Drift/Drift: read a video as a path in CLIP space, and shape it."""

from comfy_api.latest import InputImpl, io, ui

from ..clip_drift import shaping
from ..clip_drift.drift import Drift
from ..clip_drift.encode import drift_from_images, drift_from_video
from ..clip_drift.errors import DriftError
from ..clip_drift.preprocess import CROPS
from ..clip_drift.video import BACKENDS
from .core import sockets
from .core.encoders import as_encoder
from .core.progress import batch_progress, summary

CATEGORY = "CLIP Drift/Drift"


class ClipDriftFromVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ClipDriftFromVideo",
            display_name="Video → CLIP Drift",
            category=CATEGORY,
            description="Read the motion of a video: every frame as a point in CLIP space. Frames "
            "are streamed, so a long film takes no more memory than a short clip.",
            search_aliases=[
                "video motion",
                "motion transfer",
                "animate",
                "deforum",
                "encode video",
                "video to drift",
                "clip drift",
            ],
            has_intermediate_output=True,
            inputs=[
                io.MultiType.Input(
                    "frames",
                    [io.Video, io.Image],
                    tooltip="A video, best straight from Load Video (its trim is honoured), or a "
                    "batch of images.",
                ),
                io.MultiType.Input(
                    "encoder",
                    [io.ClipVision, sockets.OpenClip],
                    tooltip="The CLIP that looks at the frames, from Load CLIP Vision or Load "
                    "OpenCLIP. One with the prompt's dimensions lets every method work.",
                ),
                io.Float.Input(
                    "sample_fps",
                    default=0.0,
                    min=0.0,
                    max=240.0,
                    step=0.1,
                    tooltip="Frames a second to look at; 0 takes every frame. The article took "
                    "every 2nd to 5th.",
                ),
                io.Int.Input(
                    "max_frames",
                    default=0,
                    min=0,
                    max=1_000_000,
                    tooltip="Stop after so many frames; 0 takes all.",
                ),
                io.Int.Input(
                    "batch_size",
                    default=16,
                    min=1,
                    max=1024,
                    tooltip="Frames encoded at once. Smaller needs less memory.",
                    optional=True,
                    advanced=True,
                ),
                io.Combo.Input(
                    "crop",
                    list(CROPS),
                    default="center",
                    tooltip="How a frame becomes square: its centre (CLIP's own way), the whole "
                    "frame with black bars, or the whole frame stretched.",
                ),
                io.Combo.Input(
                    "decoder",
                    list(BACKENDS),
                    default="pyav",
                    tooltip="What reads video files. decord, if installed, reads plain ones only "
                    "and leaves the rest to pyav.",
                    optional=True,
                    advanced=True,
                ),
            ],
            outputs=[
                sockets.ClipDrift.Output("drift", tooltip="The clip's path in CLIP space."),
                sockets.Floats.Output(
                    "angles", tooltip="The angle in radians from each frame to the next."
                ),
                io.Int.Output("frame_count", tooltip="How many frames were taken."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, frames, encoder, sample_fps, max_frames, crop, batch_size=16, decoder="pyav"):
        settings = {
            "encoder": as_encoder(encoder),
            "sample_fps": sample_fps,
            "max_frames": max_frames,
            "batch_size": batch_size,
            "crop": crop,
            "on_batch": batch_progress(cls),
        }
        drift = _read(frames, settings, decoder)
        return io.NodeOutput(
            drift,
            drift.step_angles().tolist(),
            len(drift),
            ui=ui.PreviewText(summary(drift)),
        )


def _read(frames, settings: dict, decoder: str) -> Drift:
    if isinstance(frames, InputImpl.VideoFromComponents):
        made = frames.get_components()
        return drift_from_images(made.images, fps=float(made.frame_rate), **settings)
    if hasattr(frames, "get_stream_source"):
        start, duration = frames.get_active_trim_window()
        return drift_from_video(
            frames.get_stream_source(), start=start, duration=duration, backend=decoder, **settings
        )
    if settings["sample_fps"]:
        raise DriftError(
            "sample_fps needs a frame rate, which frames of type IMAGE do not have: set it to 0, "
            "or connect a VIDEO."
        )
    return drift_from_images(frames, **settings)


class ClipDriftShape(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ClipDriftShape",
            display_name="Shape Drift",
            category=CATEGORY,
            description="Change a drift's length, smoothness, direction or strength, always on the "
            "sphere: frames in between are found along great circles.",
            search_aliases=["resample", "smooth", "reverse", "loop", "ping pong", "clip drift"],
            has_intermediate_output=True,
            inputs=[
                sockets.ClipDrift.Input("drift", tooltip="The drift to shape."),
                io.Int.Input(
                    "frames",
                    default=0,
                    min=0,
                    max=100_000,
                    tooltip="Frames of the result, evenly spaced in time; 0 keeps them.",
                ),
                io.Float.Input(
                    "smooth",
                    default=0.0,
                    min=0.0,
                    max=1000.0,
                    step=0.1,
                    tooltip="Average out jitter: width of a Gaussian, in frames of the input. 0 is "
                    "off, 1 to 3 is usual.",
                ),
                io.Combo.Input(
                    "direction",
                    list(shaping.DIRECTIONS),
                    default="forward",
                    tooltip="ping-pong goes there and back. seamless loop bends the path so that "
                    "its end meets its start. Both can be repeated without a jump.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-10.0,
                    max=10.0,
                    step=0.01,
                    tooltip="Scales the motion about the first frame.",
                ),
            ],
            outputs=[
                sockets.ClipDrift.Output("drift", tooltip="The shaped drift."),
                io.Int.Output("frame_count", tooltip="How many frames it has."),
            ],
        )

    @classmethod
    def execute(cls, drift, frames, smooth, direction, strength):
        shaped = shaping.shape(drift, frames, smooth, direction, strength)
        return io.NodeOutput(shaped, len(shaped), ui=ui.PreviewText(summary(shaped)))


NODES = [ClipDriftFromVideo, ClipDriftShape]
