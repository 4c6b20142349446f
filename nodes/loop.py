"""CLIP Drift/Frame loop: frames one after another, each fed by the one before."""

from typing import NamedTuple

import torch
from comfy_api.latest import io
from comfy_execution.graph_utils import GraphBuilder, is_link

from ..clip_drift.errors import DriftError
from .core import sockets
from .core.batches import common_frames, join_latents, last_frame, latent_frame, picture_samples
from .core.conditioning import conditioning_frame

CATEGORY = "CLIP Drift/Frame loop"


class LoopLength(NamedTuple):
    """What CLIP_DRIFT_LOOP carries from a loop's start to its end.

    Attributes:
        frames: how many there are.
        anchor: whether every frame after the first is sampled with the first one before it.
    """

    frames: int
    anchor: bool


class ClipDriftLoopStart(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ClipDriftLoopStart",
            display_name="Frame Loop Start",
            category=CATEGORY,
            description="Begin a loop over frames: the nodes between here and Frame Loop End run "
            "once per frame, one after another, each starting from the frame before.",
            search_aliases=[
                "for loop",
                "feedback",
                "deforum",
                "animate",
                "img2img loop",
                "clip drift",
            ],
            inputs=[
                io.Conditioning.Input("conditioning", tooltip="One prompt per frame, as a batch."),
                io.Latent.Input(
                    "latent",
                    tooltip="What the first frame starts from; a batch of one latent per frame "
                    "gives every frame its own.",
                ),
                io.Float.Input(
                    "feedback",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="How much of the previous frame's result goes into what a frame starts "
                    "from. It shows only where the sampler's denoise is below 1.",
                ),
                io.Boolean.Input(
                    "anchor",
                    default=False,
                    optional=True,
                    tooltip="Sample the first frame along with every other one, for Attend to "
                    "First Frame; Frame Loop End drops it again.",
                ),
            ],
            outputs=[
                sockets.Loop.Output("loop", tooltip="For Frame Loop End."),
                io.Conditioning.Output("conditioning", tooltip="This frame's prompt."),
                io.Latent.Output("latent", tooltip="What this frame starts from."),
                io.Int.Output("index", tooltip="The frame's number, from 0."),
            ],
        )

    @classmethod
    def execute(cls, conditioning, latent, feedback, anchor=False):
        picture_samples(latent)
        frames = common_frames(conditioning, latent)
        first = conditioning_frame(conditioning, 0, frames)
        return io.NodeOutput(LoopLength(frames, anchor), first, latent_frame(latent, 0), 0)


class ClipDriftLoopStep(io.ComfyNode):
    """Frame Loop Start in every frame after the first. Frame Loop End makes it; it has the
    same outputs, so that the nodes between do not notice."""

    @classmethod
    def define_schema(cls):
        start = ClipDriftLoopStart.define_schema()
        return io.Schema(
            node_id="ClipDriftLoopStep",
            display_name="Frame Loop Step",
            category=CATEGORY,
            description="Made by Frame Loop End while it runs; not for use by hand.",
            is_dev_only=True,
            inputs=[
                *start.inputs,
                io.Latent.Input("previous", tooltip="The previous frame's result."),
                io.Int.Input("index", min=0, tooltip="The frame's number, from 0."),
            ],
            outputs=start.outputs,
        )

    @classmethod
    def execute(cls, conditioning, latent, feedback, previous, index, anchor=False):
        frame = latent_frame(latent, index, anchor)
        result = picture_samples(previous, "the loop's latent")
        if anchor:
            result = result[-1:]
        given = frame["samples"]
        if given.ndim < result.ndim:  # models of pictures and video in one make (B, C, 1, H, W)
            given = given.unsqueeze(2)
        before, given = given[:-1], given[-1:]
        if given.shape != result.shape:
            raise DriftError(
                f"the loop's result has shape {tuple(result.shape)} but its frames start from "
                f"{tuple(given.shape)}: keep the size within the loop, and scale after its end."
            )
        if feedback:
            fed = torch.lerp(given, result.to(given), feedback)
            frame["samples"] = torch.cat([before, fed])
        frames = common_frames(conditioning, latent)
        prompt = conditioning_frame(conditioning, index, frames, anchor)
        return io.NodeOutput(LoopLength(frames, anchor), prompt, frame, index)


class ClipDriftLoopEnd(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ClipDriftLoopEnd",
            display_name="Frame Loop End",
            category=CATEGORY,
            description="End a loop over frames and collect their latents as one batch.",
            search_aliases=["for loop", "feedback", "collect", "clip drift"],
            inputs=[
                sockets.Loop.Input("loop", tooltip="From Frame Loop Start."),
                io.Latent.Input("latent", tooltip="This frame's result."),
            ],
            outputs=[io.Latent.Output("latent", tooltip="All frames, as a batch.")],
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
            enable_expand=True,
            not_idempotent=True,
        )

    @classmethod
    def execute(cls, loop, latent):
        picture_samples(latent, "the loop's latent")
        prompt, end_id = cls.hidden.dynprompt, cls.hidden.unique_id
        start_id = prompt.get_node(end_id)["inputs"]["loop"][0]
        start = prompt.get_node(start_id)
        if start["class_type"] not in ("ClipDriftLoopStart", "ClipDriftLoopStep"):
            raise DriftError("loop must come straight from Frame Loop Start.")
        result = prompt.get_node(end_id)["inputs"]["latent"]
        body = _body(prompt, start_id, result[0])

        graph = GraphBuilder()
        results = {"frame_0": result}
        for i in range(1, loop.frames):
            step = graph.node("ClipDriftLoopStep", f"{i}/{start_id}", **start["inputs"])
            step.set_input("previous", results[f"frame_{i - 1}"])
            step.set_input("index", i)
            step.set_override_display_id(start_id)
            copies = {start_id: step}
            for node_id in body:
                node = prompt.get_node(node_id)
                copies[node_id] = graph.node(node["class_type"], f"{i}/{node_id}")
                copies[node_id].set_override_display_id(node_id)
            for node_id in body:
                for name, value in prompt.get_node(node_id)["inputs"].items():
                    inside = is_link(value) and value[0] in copies
                    copies[node_id].set_input(
                        name, copies[value[0]].out(value[1]) if inside else value
                    )
            results[f"frame_{i}"] = copies[result[0]].out(result[1])
        collected = graph.node("ClipDriftLoopCollect", "collect", **results, anchor=loop.anchor)
        return io.NodeOutput(collected.out(0), expand=graph.finalize())


def _body(prompt, start_id: str, result_id: str) -> list[str]:
    """The nodes of a loop: what the result depends on and what depends on the start.

    Raises:
        DriftError: the result does not depend on the start.
    """
    inside: dict[str, bool] = {start_id: True}

    def depends_on_start(node_id: str) -> bool:
        if node_id not in inside:
            inside[node_id] = False  # a graph without cycles never asks again before it is known
            inputs = prompt.get_node(node_id)["inputs"].values()
            # All of them, not up to the first hit: each is a node of the body or not.
            found = [depends_on_start(value[0]) for value in inputs if is_link(value)]
            inside[node_id] = any(found)
        return inside[node_id]

    if not depends_on_start(result_id):
        raise DriftError(
            "the loop's latent does not come from Frame Loop Start: connect the start's latent and "
            "conditioning to the sampler whose result ends the loop."
        )
    return [node_id for node_id, yes in inside.items() if yes and node_id != start_id]


class ClipDriftLoopCollect(io.ComfyNode):
    """Gathers the frames of a loop. Frame Loop End makes it."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ClipDriftLoopCollect",
            display_name="Frame Loop Collect",
            category=CATEGORY,
            description="Made by Frame Loop End while it runs; not for use by hand.",
            is_dev_only=True,
            inputs=[],
            outputs=[io.Latent.Output("latent", tooltip="All frames, as a batch.")],
            accept_all_inputs=True,
        )

    @classmethod
    def execute(cls, anchor, **results):
        frames = [results[f"frame_{i}"] for i in range(len(results))]
        return io.NodeOutput(join_latents([last_frame(f) for f in frames] if anchor else frames))


NODES = [ClipDriftLoopStart, ClipDriftLoopStep, ClipDriftLoopEnd, ClipDriftLoopCollect]
