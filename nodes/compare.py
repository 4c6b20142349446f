"""CLIP Drift/Report: does a rendered clip move like its reference?"""

from comfy_api.latest import io, ui

from ..clip_drift.report import comparison_report
from ..clip_drift.scores import SCORES, SHUFFLES, Verdict, compare
from .core import sockets
from .core.language import say


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
                *(io.Float.Output(name, tooltip=info.help) for name, info in SCORES.items()),
            ],
        )

    @classmethod
    def execute(cls, reference, result, prompt=None):
        vector = None if prompt is None else sockets.vectors_of(prompt, "prompt")
        found = compare(reference, result, vector)
        plots = comparison_report(found, say).unsqueeze(0)
        lists = (found.scores.floats(), found.frozen.floats(), found.shuffled.floats())
        verdict = str(Verdict(*map(say, found.judged)))
        shown = {**ui.PreviewImage(plots, cls=cls).as_dict(), "text": (verdict,)}
        return io.NodeOutput(plots, *lists, verdict, *lists[0], ui=shown)


NODES = [ClipDriftCompare]
