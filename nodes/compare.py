"""CLIP Drift/Report: does a rendered clip move like its reference?"""

from comfy_api.latest import io, ui

from ..clip_drift.report import comparison_report
from ..clip_drift.scores import SHUFFLES, compare
from .core import sockets

# In the order of clip_drift.scores.Scores, which is also that of the lists.
SCORES = {
    "angle_spearman": "Rank correlation of the step angles: does it move when the reference moves? "
    "1 is perfect; 0 for a still, and near 0 for shuffled frames or noise.",
    "gram_correlation": "Pearson correlation of the two Gram matrices off the diagonal: does it "
    "come back to where the reference comes back to? 1 is perfect; 0 for a still.",
    "motion_ratio": "Path length of the result over the reference's. 1 is as far, 0 a still, "
    "much more than 1 flicker.",
    "clip_f": "CLIP-F, mean cosine of neighbouring frames. A still has 1: read it beside "
    "motion_ratio.",
    "clip_t": "CLIP-T, mean cosine of the frames and the prompt. 0 without a prompt.",
    "background_consistency": "VBench's background consistency. A still has 1: read it beside "
    "motion_ratio.",
    "path_length": "Sum of the result's step angles, in radians.",
    "straightness": "Angle from the first frame to the last over the path length: 1 for the "
    "straight way, near 0 for a way that comes back. 0 for a still.",
}


class ClipDriftCompare(io.ComfyNode):
    """Outputs, in this order: plots, the three lists, the verdict, then each score by itself."""

    @classmethod
    def define_schema(cls):
        order = ", ".join(SCORES)
        return io.Schema(
            node_id="ClipDriftCompare",
            display_name="Compare Drifts",
            category="CLIP Drift/Report",
            description="Score a rendered clip against the drift that it was rendered with. Every "
            "score stands beside two controls: a frozen clip, and the clip's frames in random "
            "order.",
            search_aliases=["score", "metric", "evaluate", "clip score", "vbench", "clip drift"],
            is_output_node=True,
            inputs=[
                sockets.ClipDrift.Input("reference", tooltip="The drift to follow."),
                sockets.ClipDrift.Input(
                    "result",
                    tooltip="The rendered frames, from Video → CLIP Drift with the same encoder. "
                    "4 frames or more; 16 or more tell better from chance.",
                ),
                io.MultiType.Input(
                    "prompt",
                    sockets.VECTOR_TYPES,
                    optional=True,
                    tooltip="For CLIP-T: the prompt in the encoder's own space, of the same "
                    "dimensions. A CONDITIONING's pooled vector from the same CLIP's text encoder "
                    "with its projection, or an image's CLIP_VISION_OUTPUT to compare with.",
                ),
            ],
            outputs=[
                io.Image.Output("plots", tooltip="The comparison as a picture."),
                sockets.Floats.Output("scores", tooltip=f"The result's scores: {order}."),
                sockets.Floats.Output(
                    "frozen", tooltip="The same for the result's first frame, repeated."
                ),
                sockets.Floats.Output(
                    "shuffled",
                    tooltip=f"The same for the result's frames, mean of {SHUFFLES} random orders.",
                ),
                io.String.Output("verdict", tooltip="The comparison in one sentence."),
                *(io.Float.Output(name, tooltip=said) for name, said in SCORES.items()),
            ],
        )

    @classmethod
    def execute(cls, reference, result, prompt=None):
        vector = None if prompt is None else sockets.vectors_of(prompt, "prompt")
        found = compare(reference, result, vector)
        plots = comparison_report(found).unsqueeze(0)
        lists = (found.scores.floats(), found.frozen.floats(), found.shuffled.floats())
        shown = {**ui.PreviewImage(plots, cls=cls).as_dict(), "text": (found.verdict,)}
        return io.NodeOutput(plots, *lists, found.verdict, *lists[0], ui=shown)


NODES = [ClipDriftCompare]
