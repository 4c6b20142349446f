"""CLIP Drift/Rotation: read a motion as plane rotations."""

from comfy_api.latest import io
from torch import Tensor

from ..clip_drift.drift import Drift
from ..clip_drift.errors import DriftError
from ..clip_drift.report import matrix_heatmap
from ..clip_drift.sequence import PAIRINGS, RotationSequence
from .core import sockets
from .core.language import say


class ClipDriftRotation(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ClipDriftRotation",
            display_name="Rotation Matrix from Vectors",
            category="CLIP Drift/Rotation",
            description="Read a motion as plane rotations: from the frames of a drift, or from "
            "start vectors to end vectors. The rotations stay rank 2, however many dimensions.",
            search_aliases=[
                "rodrigues",
                "plane rotation",
                "rotate embedding",
                "clip drift",
            ],
            inputs=[
                io.MultiType.Input(
                    "start",
                    sockets.VECTOR_TYPES,
                    tooltip="The motion: a drift of two frames or more. Or the vector(s) each "
                    "frame starts from, when end is connected.",
                ),
                io.Combo.Input(
                    "pairing",
                    list(PAIRINGS),
                    default="from_first",
                    tooltip="from_first: each frame is turned as the clip turned since its first "
                    "frame. neighbours: each frame is turned as the clip turned since the frame "
                    "before, on top of what came before. from_mean: as the clip's mean turns to "
                    "each frame; centered must be off. Not used when end is connected.",
                ),
                io.Boolean.Input(
                    "centered",
                    default=False,
                    tooltip="Take the clip's mean embedding out first, so that what all frames "
                    "share (the subject, the style) stays and only the motion turns. On for method "
                    "rotate on image embeddings, off for carry. The angles get much larger: start "
                    "with a strength of 0.1 to 0.3 on text prompts.",
                ),
                io.MultiType.Input(
                    "end",
                    sockets.VECTOR_TYPES,
                    optional=True,
                    tooltip="Optional. Frame i then moves as start i moves to end i; one vector "
                    "against many serves them all.",
                ),
                io.Int.Input(
                    "matrix_pair",
                    default=1,
                    min=1,
                    max=100_000,
                    tooltip="Which pair of vectors the matrix output shows, counted from 1.",
                    optional=True,
                    advanced=True,
                ),
            ],
            outputs=[
                sockets.Rotation.Output("rotation", tooltip="The motion, for the Rotate nodes."),
                sockets.Floats.Output(
                    "angles", tooltip="The rotations' angles in radians, one per pair of vectors."
                ),
                io.Image.Output(
                    "matrix",
                    tooltip="Heat map of one dense rotation matrix minus the identity.",
                ),
            ],
        )

    @classmethod
    def execute(cls, start, pairing, centered, end=None, matrix_pair=1):
        if end is None:
            trajectory = start if isinstance(start, Drift) else _several(start)
            sequence = RotationSequence.from_trajectory(trajectory, pairing, centered)
        else:
            sequence = RotationSequence.from_pairs(
                sockets.vectors_of(start, "start"), sockets.vectors_of(end, "end"), centered
            )
        angles = sequence.planes.magnitude()
        pair = min(matrix_pair, len(angles)) - 1
        title = say(
            "R − I of pair {pair} of {pairs}: {angle:.4f} rad",
            pair=pair + 1,
            pairs=len(angles),
            angle=float(angles[pair]),
        )
        matrix = matrix_heatmap(sequence.planes[pair].as_matrix(), title, say).unsqueeze(0)
        return io.NodeOutput(sequence, angles.tolist(), matrix)


def _several(start) -> Tensor:
    vectors = sockets.vectors_of(start, "start")
    if len(vectors) < 2:
        raise DriftError(
            "start holds one vector, but a motion needs two or more: give it a drift, or connect "
            "end as well."
        )
    return vectors


NODES = [ClipDriftRotation]
