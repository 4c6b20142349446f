"""CLIP Drift/Kandinsky 2.2, the prior: from a text or a picture to the decoder's conditioning."""

from collections.abc import Callable
from pathlib import Path

from comfy.model_management import (
    intermediate_device,
    throw_exception_if_processing_interrupted,
)
from comfy.utils import ProgressBar
from comfy_api.latest import io
from torch import Tensor

from ...clip_drift.errors import DriftError
from ...nodes.core import sockets
from ...nodes.core.encoders import ManagedOpenClip, as_encoder
from ...nodes.core.folders import fingerprint
from ...nodes.core.language import say
from ...nodes.core.message import warn_on_node
from .files import choices, resolve
from .prior_model import ManagedPrior, load_prior
from .text import text_states

CATEGORY = "CLIP Drift/Kandinsky 2.2"
KandinskyPrior = io.Custom("KANDINSKY22_PRIOR")

# What the node warns of.
NO_TEXT = "The text is empty: the prior draws something, but nobody said what."
UNKNOWN_WORDS = (
    "This CLIP never learnt: {words}. It spells such words letter by letter, and the picture will "
    "hardly show them."
)


class Kandinsky22LoadPrior(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Kandinsky22LoadPrior",
            display_name="Load Kandinsky 2.2 Prior",
            category=CATEGORY,
            description="Load Kandinsky 2.2's prior, which turns a text into the image embedding "
            "that the decoder draws.",
            search_aliases=["kandinsky", "prior loader", "unclip prior"],
            inputs=[
                io.Combo.Input(
                    "prior_name",
                    choices("prior"),
                    tooltip="prior/diffusion_pytorch_model.safetensors of kandinsky-2-2-prior: in "
                    "models/diffusion_models under any name, or as the hub's folder in "
                    "models/diffusers. Its size is read from the weights.",
                )
            ],
            outputs=[KandinskyPrior.Output("prior", tooltip="For Kandinsky 2.2 Prior.")],
        )

    @classmethod
    def fingerprint_inputs(cls, prior_name):
        return fingerprint(_path(prior_name))

    @classmethod
    def execute(cls, prior_name):
        return io.NodeOutput(load_prior(_path(prior_name)))


def _path(prior_name: str) -> Path:
    return resolve(prior_name, "prior", "prior_name")


class Kandinsky22Encode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Kandinsky22Encode",
            display_name="Kandinsky 2.2 Prior",
            category=CATEGORY,
            description="Turn a text, a picture or a mix of both into the image embeddings that "
            "Kandinsky 2.2's decoder draws. Connect both outputs to a sampler; Rotate Conditioning "
            "moves them.",
            search_aliases=["kandinsky", "text encode", "clip text encode", "image prompt"],
            inputs=[
                KandinskyPrior.Input("prior", tooltip="From Load Kandinsky 2.2 Prior."),
                io.MultiType.Input(
                    "clip",
                    [io.Clip, sockets.OpenClip],
                    tooltip="A text encoder with bigG: Kandinsky's own text_encoder, or that of "
                    "SDXL or Stable Cascade. Which layer it is set to does not matter. An OpenCLIP "
                    "model if the prior was trained with that.",
                ),
                io.String.Input(
                    "text",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="What the picture shows, as plain text: weights such as (word:1.2) "
                    "have no meaning here. Only the first 77 tokens are used.",
                ),
                io.String.Input(
                    "negative",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="What the picture does not show. Empty: the official negative if "
                    "clip_vision is connected, otherwise the prior's picture of an empty text.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="The prior draws one of many image embeddings for a text; the same "
                    "seed draws the same one.",
                ),
                io.Int.Input(
                    "steps", default=25, min=1, max=1000, tooltip="The prior's own sampling steps."
                ),
                io.Float.Input(
                    "cfg",
                    default=4.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    round=0.01,
                    tooltip="How closely the image embedding follows the text; 1 takes half the "
                    "time and ignores the negative text. The sampler has its own cfg.",
                ),
                io.ClipVisionOutput.Input(
                    "image",
                    optional=True,
                    tooltip="Pictures from CLIP Vision Encode with clip_vision_g: shown instead of "
                    "the text, or mixed with it. Several give a batch.",
                ),
                io.Float.Input(
                    "image_weight",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="How much of the image goes into the mix, the text being the rest. "
                    "At 1 the text is not used.",
                ),
                io.MultiType.Input(
                    "clip_vision",
                    [io.ClipVision, sockets.OpenClip],
                    optional=True,
                    tooltip="clip_vision_g, for the official negative where no negative text is "
                    "given: the embedding of an empty picture.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(
                    "positive", tooltip="The image embedding, as the conditioning's only token."
                ),
                io.Conditioning.Output("negative", tooltip="The same for the negative."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        prior: ManagedPrior,
        clip,
        text,
        negative,
        seed,
        steps,
        cfg,
        image=None,
        image_weight=0.5,
        clip_vision=None,
    ):
        pictures = None if image is None else sockets.vectors_of(image, "image")
        _require_width(pictures, prior, "image")
        negative_image = None
        if clip_vision is not None and not negative.strip():
            negative_image = as_encoder(clip_vision).encode_zeros()
            _require_width(negative_image, prior, "clip_vision")

        draws_text = pictures is None or image_weight < 1
        draws_negative = negative_image is None
        if draws_text:
            warn_on_node(cls, _warnings(clip, text))
        settings = {"steps": steps, "cfg": cfg, "seed": seed}
        settings["on_step"] = _progress(steps * (draws_text + draws_negative))
        if draws_text or draws_negative:
            negative_text = text_states(clip, negative)
            prior.require_text(negative_text)
        drawn = (
            prior.draw(text_states(clip, text), negative_text, **settings) if draws_text else None
        )
        if draws_negative:
            negative_image = prior.draw(negative_text, None, **settings)
        positive = _mix(drawn, pictures, image_weight)
        return io.NodeOutput(_conditioning(positive), _conditioning(negative_image))


def _warnings(clip, text: str) -> list[str]:
    """Where the picture of a text will disappoint."""
    if not text.strip():
        return [say(NO_TEXT)]
    words = clip.spelt_words(text) if isinstance(clip, ManagedOpenClip) else []
    return [say(UNKNOWN_WORDS, words=", ".join(words))] if words else []


def _require_width(embeds: Tensor | None, prior: ManagedPrior, name: str) -> None:
    if embeds is not None and embeds.shape[-1] != prior.embedding:
        raise DriftError(
            f"{name} gives image embeddings of width {embeds.shape[-1]}, the prior's are of width "
            f"{prior.embedding}: use the CLIP vision model that the prior was trained with "
            "(clip_vision_g for Kandinsky 2.2)."
        )


def _progress(total: int) -> Callable[[int, int], None]:
    """Counts steps over several runs on the node's bar, and raises when the user cancelled."""
    bar = ProgressBar(total)

    def on_step(_done: int, _steps: int) -> None:
        throw_exception_if_processing_interrupted()
        bar.update(1)

    return on_step


def _mix(drawn: Tensor | None, pictures: Tensor | None, weight: float) -> Tensor:
    """(B, N): the text's embedding (1, N) and the pictures' (B, N), mixed along a line."""
    if pictures is None:
        return drawn
    pictures = pictures.to(intermediate_device()).float()
    return pictures if drawn is None else weight * pictures + (1 - weight) * drawn


def _conditioning(embeds: Tensor) -> list:
    return [[embeds.to(intermediate_device())[:, None], {}]]


NODES = [Kandinsky22LoadPrior, Kandinsky22Encode]
