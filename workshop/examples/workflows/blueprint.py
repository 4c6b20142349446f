"""The blueprint: a clip in, a prompt moved by it out, as one node for any workflow."""

from __future__ import annotations

from ..ui_graph import Graph, Stack, column, row
from . import models
from .parts import FPS, FRAMES, VIDEO


def drift_to_conditioning(add: Graph) -> Stack:
    """Load Video → drift → rotations → Rotate Conditioning, in a subgraph and nothing else."""
    video = add("LoadVideo", file=VIDEO)
    encoder = add("CLIPVisionLoader", models.VIT_L, clip_name=models.VIT_L["name"])
    drift = add(
        "ClipDriftFromVideo", frames=video, encoder=encoder, sample_fps=FPS, max_frames=FRAMES
    )
    rotation = add("ClipDriftRotation", start=drift, pairing="from_first", centered=False)
    moved = add("ClipDriftRotateConditioning", rotation=rotation, method="follow")
    return row(
        add.fold(
            "Video Drift to Conditioning",
            row(column(encoder, video), drift, rotation, moved),
            shows=[
                (moved, "conditioning", "conditioning"),
                (video, "file", "video"),
                (encoder, "clip_name", "encoder"),
                (drift, "sample_fps", "sample_fps"),
                (drift, "max_frames", "max_frames"),
                (rotation, "centered", "centered"),
                (moved, "method", "method"),
                (moved, "strength", "strength"),
            ],
            gives=[
                (drift, "drift"),
                (moved, "conditioning"),
                (moved["frame_count"], "frame_count"),
                (moved["fps"], "fps"),
            ],
        )
    )
