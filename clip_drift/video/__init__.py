"""Video in, CLIP's squares out: streamed, upright, in true colours, in flat memory."""

from .at_times import frames_at
from .images import frames_from_images
from .info import Damage, VideoInfo
from .probe import probe
from .sampling import Sampler
from .source import Source, source_name
from .stream import BACKENDS, FrameBatch, FrameStream, open_frames

__all__ = [
    "BACKENDS",
    "Damage",
    "FrameBatch",
    "FrameStream",
    "Sampler",
    "Source",
    "VideoInfo",
    "frames_at",
    "frames_from_images",
    "open_frames",
    "probe",
    "source_name",
]
