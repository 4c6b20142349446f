"""CLIP Drift/Report: look first, as the article does."""

from comfy_api.latest import io, ui

from ..clip_drift.report import drift_report
from .core import sockets
from .core.language import say


class ClipDriftReport(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ClipDriftReport",
            display_name="Drift Report",
            category="CLIP Drift/Report",
            description="Look at a clip in pixel space and in CLIP space: what changes from frame "
            "to frame, Gram matrices side by side, how alike neighbouring frames are, the angle of "
            "every step, the largest steps, and the path.",
            search_aliases=["correlation matrix", "gram matrix", "plot", "pca", "clip drift"],
            is_output_node=True,
            inputs=[sockets.ClipDrift.Input("drift", tooltip="The drift to look at.")],
            outputs=[io.Image.Output("plots", tooltip="The report as a picture.")],
        )

    @classmethod
    def execute(cls, drift):
        plots = drift_report(drift, say).unsqueeze(0)
        return io.NodeOutput(plots, ui=ui.PreviewImage(plots, cls=cls))


NODES = [ClipDriftReport]
