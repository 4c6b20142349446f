"""CLIP Drift/Prompt: move a prompt, or some of its words, along a motion."""

import node_helpers
from comfy_api.latest import io
from torch import Tensor

from ..clip_drift.errors import DriftError
from ..clip_drift.sequence import RotationSequence
from ..clip_drift.strength import Strength
from ..clip_drift.walks import WALKS, one_a_frame, walk
from ..clip_drift.words import without_start_tokens
from .core import sockets
from .core.conditioning import conditioning_frames
from .core.message import show_on_node
from .core.unclip import has_images, walked_images


class ClipDriftRotateConditioning(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ClipDriftRotateConditioning",
            display_name="Rotate Conditioning",
            category="CLIP Drift/Prompt",
            description="Move a prompt along a motion: one conditioning a frame, as one batch. "
            "Give the sampler a latent batch of frame_count, or go through Frames to List. Image "
            "embeddings (unCLIP) move only through Frames to List or Frame Loop. A video model "
            "takes one prompt for its whole clip: pick it with Frames to List.",
            search_aliases=["prompt travel", "prompt schedule", "animate prompt", "clip drift"],
            inputs=[
                io.Conditioning.Input(
                    "conditioning",
                    tooltip="The prompt. A batch of one is moved into all frames; a batch that has "
                    "one entry a frame already is moved frame by frame, so walks can be chained.",
                ),
                sockets.Rotation.Input(
                    "rotation", tooltip="The motion, from Rotation Matrix from Vectors."
                ),
                io.Combo.Input(
                    "method",
                    list(WALKS),
                    default="carry",
                    tooltip="carry: the clip's whole path, moved to start at the prompt; works "
                    "for any text encoder. rotate: the clip's own rotations. perturb: the "
                    "article's x + g·Rx. translate: add the clip's change of embedding. tangent: "
                    "turn towards that change. All but carry need equal dimensions.",
                ),
                sockets.strength_input(
                    "How much of the motion to apply: 0 leaves the prompt as it is, 1 is the "
                    "clip's own. A number, a list of one number a frame, or a curve over the clip."
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
            ],
            outputs=[
                io.Conditioning.Output(
                    "conditioning",
                    tooltip="The prompt in every frame, as a batch. Image embeddings of unCLIP "
                    "move only through Frames to List or Frame Loop.",
                ),
                io.Int.Output("frame_count", tooltip="How many frames, for the latent's batch."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
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
    ):
        strength = sockets.as_strength(strength)
        frames = _frame_count(rotation, strength, conditioning_frames(conditioning))
        rotation = rotation.for_frames(frames)

        def moved(x: Tensor, name: str, pivot: Tensor | None = None, mask: Tensor | None = None):
            return walk(
                x,
                rotation,
                method,
                strength,
                preserve_norm=preserve_norm,
                pivot=pivot,
                mask=mask,
                seed=lift_seed,
                name=name,
            )

        result = []
        for tokens, extra in conditioning:
            mask = None if move_start_token else without_start_tokens(*tokens.shape[1:])
            if words is not None:
                mask = words.weights
            center, pooled_center = _pivot_of(pivot, tokens)
            if rotate_tokens:
                tokens = moved(tokens, TOKENS, center, mask)
            else:
                tokens = one_a_frame(tokens, frames, TOKENS).clone()
            values = {}
            pooled = extra.get("pooled_output")
            if pooled is not None and rotate_pooled:
                values["pooled_output"] = moved(pooled[:, None], POOLED, pooled_center)[:, 0]
            if rotate_image:
                values |= walked_images(extra, lambda images: moved(images, IMAGE))
            result += node_helpers.conditioning_set_values([[tokens, extra]], values)
        if rotate_image and any(has_images(extra) for _, extra in result):
            show_on_node(cls, "The image moves through Frames to List or Frame Loop.")
        return io.NodeOutput(result, frames)


# What moves, as an error names it.
TOKENS = "the conditioning"
POOLED = "the pooled vector (rotate_pooled)"
IMAGE = "the image embedding (rotate_image)"


def _frame_count(rotation: RotationSequence, strength: Strength, batch: int) -> int:
    """A motion of many frames decides; one pair of vectors serves as many as are asked for."""
    if len(rotation) > 1:
        return len(rotation)
    return max(batch, len(strength) if isinstance(strength, list) else 1)


def _pivot_of(pivot, tokens: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """The pivot's tokens, repeated to as many as the prompt's, and its pooled vector."""
    if pivot is None:
        return None, None
    center, extra = pivot[0]
    repeats, rest = divmod(tokens.shape[1], center.shape[1])
    if rest or len(center) != 1 or center.shape[2] != tokens.shape[2]:
        raise DriftError(
            f"pivot has shape {tuple(center.shape)}, which does not fit a prompt of "
            f"{tokens.shape[1]} tokens of {tokens.shape[2]} numbers: encode it (an empty text, "
            "say) with the same CLIP, as a batch of one."
        )
    pooled = extra.get("pooled_output")
    return center.repeat(1, repeats, 1), None if pooled is None else pooled[:, None]


NODES = [ClipDriftRotateConditioning]
