"""CLIP Drift/Prompt: pick the words of a prompt."""

from comfy_api.latest import io
from torch import Tensor

from ..clip_drift.words import Token, select_words
from .core import sockets


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


NODES = [ClipDriftSelectWords]
