"""CLIP Drift/Prompt: move a prompt, or some of its words, along a motion."""

from functools import partial

import node_helpers
from comfy_api.latest import io
from torch import Tensor

from ..clip_drift.spaces import pivot_for, without_start_tokens
from ..clip_drift.walks import WALKS, PromptWalk
from ..clip_drift.walks.engine import per_frame_batch
from .core import sockets
from .core.advice import frames_advice
from .core.conditioning import conditioning_frames
from .core.language import say
from .core.message import show_on_node
from .core.unclip import has_images, walked_images


class ClipDriftRotateConditioning(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ClipDriftRotateConditioning",
            display_name="Rotate Conditioning",
            category="CLIP Drift/Prompt",
            description="Move a prompt along a motion: one conditioning per frame, as one batch. "
            "Give the sampler a latent batch of frame_count, or go through Frames to List. Image "
            "embeddings (unCLIP) move only through Frames to List or Frame Loop. A video model "
            "takes one prompt for its whole clip: pick it with Frames to List.",
            search_aliases=[
                "animate prompt",
                "deforum",
                "video motion",
                "prompt travel",
                "prompt schedule",
                "clip drift",
            ],
            inputs=[
                io.Conditioning.Input(
                    "conditioning",
                    tooltip="The prompt. A batch of one is moved into all frames; a batch that has "
                    "one entry per frame already is moved frame by frame, so walks can be chained.",
                ),
                sockets.Rotation.Input(
                    "rotation", tooltip="The motion, from Rotation Matrix from Vectors."
                ),
                io.Combo.Input(
                    "method",
                    list(WALKS),
                    default="follow",
                    tooltip="follow: be where the clip is, which suits a prompt that says no "
                    "place. tangent: turn towards the clip's change, for one that begins where "
                    "the clip begins. translate: add that change. carry: the clip's whole path, "
                    "moved to start at the prompt; it keeps less of the prompt, but is the one "
                    "that needs no equal dimensions. rotate: the clip's own rotations. perturb: "
                    "the article's x + g·Rx.",
                ),
                sockets.strength_input(
                    "How much of the motion to apply: 0 leaves the prompt as it is, 1 is the "
                    "clip's own. A number, a list with one number per frame, or a curve over it."
                ),
                io.Boolean.Input(
                    "preserve_norm",
                    default=True,
                    tooltip="Give each token the length it had, so that only its direction moves.",
                ),
                io.Boolean.Input(
                    "rotate_pooled",
                    default=True,
                    tooltip="Move the pooled vector along with the tokens (SDXL, Flux and others "
                    "use it).",
                ),
                io.Conditioning.Input(
                    "pivot",
                    optional=True,
                    tooltip="Optional. Rotate about this conditioning, usually the empty prompt, "
                    "instead of about the origin.",
                ),
                sockets.TokenMask.Input(
                    "words",
                    optional=True,
                    tooltip="Optional. Move these words only, from Select Words. The pooled vector "
                    "stands for the whole text: switch rotate_pooled off to keep it.",
                ),
                io.Boolean.Input(
                    "move_start_token",
                    default=False,
                    tooltip="Move CLIP's start-of-text token as well. It shifts the whole picture.",
                    optional=True,
                    advanced=True,
                ),
                io.Int.Input(
                    "lift_seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFF,
                    tooltip="Picks the directions carry uses where drift and prompt have different "
                    "dimensions.",
                    optional=True,
                    advanced=True,
                ),
                io.Boolean.Input(
                    "rotate_tokens",
                    default=True,
                    tooltip="Move the prompt's tokens. Off, only the pooled vector and the images "
                    "move.",
                    optional=True,
                    advanced=True,
                ),
                io.Boolean.Input(
                    "rotate_image",
                    default=True,
                    tooltip="Move the image embeddings of unCLIPConditioning along. Samplers blend "
                    "a batch of those into one, so render through Frames to List or Frame Loop; in "
                    "one sampler call, all frames get the first one's image.",
                    optional=True,
                    advanced=True,
                ),
                io.Int.Input(
                    "directions",
                    default=0,
                    min=0,
                    max=64,
                    tooltip="How many principal directions of the clip's motion method follow "
                    "takes; 0 takes as few as explain 85 % of it. More bring the clip's "
                    "look along.",
                    optional=True,
                    advanced=True,
                ),
            ],
            outputs=[
                io.Conditioning.Output(
                    "conditioning",
                    tooltip="The prompt in every frame, as a batch. Image embeddings of unCLIP "
                    "move only through Frames to List or Frame Loop.",
                ),
                io.Int.Output("frame_count", tooltip="How many frames, for the latent's batch."),
                sockets.rate_output(),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @frames_advice()
    def execute(
        cls,
        conditioning,
        rotation,
        method,
        strength,
        preserve_norm,
        rotate_pooled,
        pivot=None,
        words=None,
        move_start_token=False,
        lift_seed=0,
        rotate_tokens=True,
        rotate_image=True,
        directions=0,
    ):
        walk = PromptWalk(
            rotation, method, sockets.as_strength(strength), preserve_norm, lift_seed, directions
        ).for_batch(conditioning_frames(conditioning))
        result = []
        for tokens, extra in conditioning:
            mask = None if move_start_token else without_start_tokens(*tokens.shape[1:])
            if words is not None:
                mask = words.weights
            center, pooled_center = _pivot_of(pivot, tokens)
            if rotate_tokens:
                tokens = walk(tokens, center, mask, TOKENS)
            else:
                tokens = per_frame_batch(tokens, len(walk), TOKENS).clone()
            values = {}
            pooled = extra.get("pooled_output")
            if pooled is not None and rotate_pooled:
                values["pooled_output"] = walk(pooled[:, None], pooled_center, name=POOLED)[:, 0]
            if rotate_image:
                values |= walked_images(extra, partial(walk, name=IMAGE))
            result += node_helpers.conditioning_set_values([[tokens, extra]], values)
        if rotate_image and any(has_images(extra) for _, extra in result):
            show_on_node(cls, say("The image moves through Frames to List or Frame Loop."))
        return io.NodeOutput(result, len(walk), sockets.rate_of(rotation))


# What moves, as an error names it.
TOKENS = "the conditioning"
POOLED = "the pooled vector (rotate_pooled)"
IMAGE = "the image embedding (rotate_image)"


def _pivot_of(pivot, tokens: Tensor) -> tuple[Tensor | None, Tensor | None]:
    center, extra = (None, {}) if pivot is None else pivot[0]
    return pivot_for(center, extra.get("pooled_output"), tokens)


NODES = [ClipDriftRotateConditioning]
