"""CLIP Drift/Prompt: move a prompt, or some of its words, along a motion."""

import node_helpers
from comfy_api.latest import io
from torch import Tensor

from ..clip_drift.errors import DriftError
from ..clip_drift.sequence import RotationSequence
from ..clip_drift.strength import Strength
from ..clip_drift.walks import WALKS, walk
from ..clip_drift.words import Token, select_words, without_start_tokens
from . import sockets
from .batches import conditioning_frames


class ClipDriftRotateConditioning(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ClipDriftRotateConditioning",
            display_name="Rotate Conditioning",
            category="CLIP Drift/Prompt",
            description="Move a prompt along a motion: one conditioning a frame, as one batch. "
            "Give the sampler a latent batch of frame_count, or go through Frames to List.",
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
            ],
            outputs=[
                io.Conditioning.Output(
                    "conditioning", tooltip="The prompt in every frame, as a batch."
                ),
                io.Int.Output("frame_count", tooltip="How many frames, for the latent's batch."),
            ],
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
    ):
        strength = sockets.as_strength(strength)
        frames = _frame_count(rotation, strength, conditioning_frames(conditioning))
        rotation = rotation.for_frames(frames)

        def moved(x: Tensor, pivot: Tensor | None, mask: Tensor | None) -> Tensor:
            return walk(
                x,
                rotation,
                method,
                strength,
                preserve_norm=preserve_norm,
                pivot=pivot,
                mask=mask,
                seed=lift_seed,
            )

        result = []
        for tokens, extra in conditioning:
            mask = None if move_start_token else without_start_tokens(tokens.shape[1])
            if words is not None:
                mask = words.weights
            center, pooled_center = _pivot_of(pivot, tokens)
            walked = moved(tokens, center, mask)
            pooled = extra.get("pooled_output")
            values = {}
            if pooled is not None and rotate_pooled:
                values = {"pooled_output": moved(pooled[:, None], pooled_center, None)[:, 0]}
            result += node_helpers.conditioning_set_values([[walked, extra]], values)
        return io.NodeOutput(result, frames)


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


class ClipDriftSelectWords(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ClipDriftSelectWords",
            display_name="Select Words",
            category="CLIP Drift/Prompt",
            description="Pick the words of a prompt that should move: the verb moves, the nouns "
            "stay. Connect it to Rotate Conditioning.",
            search_aliases=["token mask", "word mask", "prompt words", "clip drift"],
            inputs=[
                io.Clip.Input("clip", tooltip="The CLIP that encodes the prompt."),
                io.String.Input(
                    "text",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="The prompt, exactly as in the text encoder node.",
                ),
                io.String.Input(
                    "words",
                    tooltip="Words or phrases of the text, separated by commas. (word:0.5) moves a "
                    "word half as much.",
                ),
            ],
            outputs=[
                sockets.TokenMask.Output("words", tooltip="For Rotate Conditioning's words."),
                io.String.Output("matched", tooltip="Which tokens each word was found at."),
            ],
        )

    @classmethod
    def execute(cls, clip, text, words):
        def tokenize(phrase: str) -> list[Token]:
            return _tokens(clip.tokenize(phrase, return_word_ids=True))

        mask = select_words(tokenize(text), words, tokenize)
        return io.NodeOutput(mask, "\n".join(mask.words))


def _tokens(by_encoder: dict) -> list[Token]:
    """The tokens that make up the conditioning, in order.

    Of several encoders, CLIP-L and -G share their positions, and any other (T5, say) is the one
    whose tokens the model attends to.
    """
    name = next((name for name in by_encoder if name not in ("l", "g")), next(iter(by_encoder)))
    return [
        # A textual inversion embedding is a tensor: equal to itself alone.
        Token(id(key) if isinstance(key, Tensor) else key, weight, word > 0)
        for chunk in by_encoder[name]
        for key, weight, word in chunk
    ]


NODES = [ClipDriftRotateConditioning, ClipDriftSelectWords]
