"""CLIP Drift/Drift: read a video as a path in CLIP space, and shape it."""

from comfy_api.latest import InputImpl, io, ui

from ..clip_drift import shaping
from ..clip_drift.drift import Drift
from ..clip_drift.encode import drift_from_images, drift_from_video
from ..clip_drift.errors import DriftError
from ..clip_drift.preprocess import CROPS
from ..clip_drift.video import BACKENDS, Damage
from .core import sockets
from .core.encoders import as_encoder
from .core.language import say
from .core.message import with_warnings
from .core.progress import batch_progress, summary

CATEGORY = "CLIP Drift/Drift"

# What the nodes warn of.
HARDLY_MOVES = (
    "Hardly any motion: to this encoder no frame is more than {reach:.2f} rad from the first. Take "
    "a clip in which one thing clearly moves or changes, or scale the motion with strength."
)
UNEVEN = (
    "Uneven frame times: at an even rate frames come up to {seconds:.2f} s too soon or too late. "
    "Shape Drift with frames set evens them out."
)
DAMAGED = "The file is damaged in {places} places: frames are missing or spoilt there."
NO_RATE = "No rate given: one image per second is assumed. Set or connect fps."

# Radians. Measured with Mini Kandinsky's CLIP: stills with a camera's noise reach 0.01 to 0.04,
# real clips, which are nothing to it, 0.03 to 0.14, moving shapes 0.67 or more.
LEAST_REACH = 0.15


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
                    "batch of images. What is transparent is put over black.",
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
                    tooltip="Frames per second to look at; 0 takes every frame. The article took "
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
                io.Float.Input(
                    "fps",
                    default=0.0,
                    min=0.0,
                    max=1000.0,
                    step=0.01,
                    tooltip="Images per second of frames of type IMAGE, from Get Video Components "
                    "say; 0 takes them for one per second. A VIDEO knows its own.",
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
                io.Float.Output(
                    "fps", tooltip="Frames taken per second of video, for Create Video say."
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        frames,
        encoder,
        sample_fps,
        max_frames,
        crop,
        batch_size=16,
        decoder="pyav",
        fps=0.0,
    ):
        settings = {
            "encoder": as_encoder(encoder),
            "sample_fps": sample_fps,
            "max_frames": max_frames,
            "batch_size": batch_size,
            "crop": crop,
            "on_batch": batch_progress(cls),
        }
        drift, warnings = _read(frames, fps, settings, decoder)
        return io.NodeOutput(
            drift,
            drift.step_angles().tolist(),
            len(drift),
            drift.fps,
            ui=ui.PreviewText(with_warnings(summary(drift), warnings + warnings_of(drift))),
        )


def _read(frames, fps: float, settings: dict, decoder: str) -> tuple[Drift, list[str]]:
    """The drift, and what there is to warn of in its source."""
    if isinstance(frames, InputImpl.VideoFromComponents):
        made = frames.get_components()
        frames, fps = made.images, float(made.frame_rate)
    if hasattr(frames, "get_stream_source"):
        damage = Damage()
        start, duration = frames.get_active_trim_window()
        drift = drift_from_video(
            frames.get_stream_source(),
            start=start,
            duration=duration,
            backend=decoder,
            damage=damage,
            **settings,
        )
        return drift, [say(DAMAGED, places=damage.places)] if damage.places else []
    if settings["sample_fps"] and not fps:
        raise DriftError(
            "sample_fps needs a frame rate, which frames of type IMAGE do not have: set fps, or "
            "connect a VIDEO, or set sample_fps to 0."
        )
    return drift_from_images(frames, fps=fps, **settings), [] if fps else [say(NO_RATE)]


def warnings_of(drift: Drift) -> list[str]:
    """Where a drift will disappoint."""
    warnings = []
    if drift.reach() < LEAST_REACH:
        warnings.append(say(HARDLY_MOVES, reach=drift.reach()))
    if drift.unevenness() * drift.fps > 1:  # less than a frame is nothing to see
        warnings.append(say(UNEVEN, seconds=drift.unevenness()))
    return warnings


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
                io.Float.Output(
                    "fps", tooltip="Frames per second at which it lasts as long as the motion did."
                ),
            ],
        )

    @classmethod
    def execute(cls, drift, frames, smooth, direction, strength):
        shaped = shaping.shape(drift, frames, smooth, direction, strength)
        return io.NodeOutput(
            shaped,
            len(shaped),
            shaped.fps,
            ui=ui.PreviewText(with_warnings(summary(shaped), warnings_of(shaped))),
        )


NODES = [ClipDriftFromVideo, ClipDriftShape]
