"""What model a file's tensors make up: the one list of what people take for something else."""

from collections.abc import Callable
from typing import NamedTuple

from .weight_files import Shapes


class Kind(NamedTuple):
    """One kind of weights.

    Attributes:
        what: as a user calls it.
        fits: whether tensors of these names and shapes are of this kind.
    """

    what: str
    fits: Callable[[Shapes], bool]


def recognise(shapes: Shapes) -> str:
    """The kind of weights that tensors make up: a key of `KINDS`, "" for none that is known."""
    return next((key for key, kind in KINDS.items() if kind.fits(shapes)), "")


def describe(shapes: Shapes) -> str:
    """What to call a file of these tensors, in an error."""
    kind = recognise(shapes)
    if kind == "vae":
        return f"a VAE of {_latent_channels(shapes)} latent channels"
    if kind:
        return KINDS[kind].what
    if not shapes:
        return "empty"
    return f"something unknown with {len(shapes)} tensors such as {min(shapes)!r}"


def _all(*names: str) -> Callable[[Shapes], bool]:
    """Tensors of all these names are there."""
    return lambda shapes: shapes.keys() >= set(names)


def _begins(*prefixes: str) -> Callable[[Shapes], bool]:
    """A tensor whose name begins so is there."""
    return lambda shapes: any(name.startswith(prefixes) for name in shapes)


def _holds(*parts: str) -> Callable[[Shapes], bool]:
    """A tensor with one of these in its name is there."""
    return lambda shapes: any(part in name for name in shapes for part in parts)


def _both(*tests: Callable[[Shapes], bool]) -> Callable[[Shapes], bool]:
    return lambda shapes: all(test(shapes) for test in tests)


def _either(*tests: Callable[[Shapes], bool]) -> Callable[[Shapes], bool]:
    return lambda shapes: any(test(shapes) for test in tests)


def _latent_channels(shapes: Shapes) -> int | None:
    """What a VAE's decoder takes; None if these are not a VAE's tensors."""
    for name in ("decoder.conv_in.weight", "first_stage_model.decoder.conv_in.weight"):
        if name in shapes:
            return shapes[name][1] if len(shapes[name]) > 1 else 0
    return None


_DECODER = _all("add_embedding.image_norm.weight", "conv_in.weight")
_CHECKPOINT = _both(
    _begins("model.diffusion_model."), _begins("first_stage_model.", "cond_stage_model.")
)
_UNET = _either(
    _holds("input_blocks.0.0.weight"),
    _both(_holds("time_embedding.linear_1.weight"), _holds("conv_in.weight")),
)
_SDXL = _holds("label_emb.0.0.weight", "add_embedding.linear_1.weight")

KINDS: dict[str, Kind] = {
    "kandinsky depth decoder": Kind(
        "a Kandinsky 2.2 decoder with depth control",
        _both(_DECODER, _begins("add_embedding.input_hint_block.")),
    ),
    "kandinsky decoder": Kind(
        "a Kandinsky 2.2 decoder", _both(_DECODER, _all("encoder_hid_proj.image_embeds.weight"))
    ),
    "kandinsky 2.1 decoder": Kind(
        "a Kandinsky 2.1 decoder",
        _all("add_embedding.text_proj.weight", "encoder_hid_proj.text_proj.weight"),
    ),
    "kandinsky prior": Kind(
        "a Kandinsky 2.2 prior",
        _all("prd_embedding", "clip_mean", "proj_to_clip_embeddings.weight"),
    ),
    "kandinsky movq": Kind(
        "Kandinsky 2.2's MoVQ",
        _all("quantize.embedding.weight", "decoder.conv_norm_out.conv_y.weight"),
    ),
    "lora": Kind(
        "a LoRA",
        _holds(
            "lora_up.", "lora_down.", "lora_A.", "lora_B.", "_lora.up.", "_lora.down.", "lora.up."
        ),
    ),
    "controlnet": Kind("a ControlNet", _begins("control_model.", "controlnet_")),
    "sdxl checkpoint": Kind("an SDXL checkpoint", _both(_UNET, _SDXL, _CHECKPOINT)),
    "sd checkpoint": Kind("an SD checkpoint", _CHECKPOINT),
    "sdxl unet": Kind("an SDXL UNet", _both(_UNET, _SDXL)),
    "sd unet": Kind("an SD UNet", _UNET),
    "sd vae": Kind("an SD VAE", lambda shapes: _latent_channels(shapes) == 4),
    "vae": Kind("a VAE", lambda shapes: _latent_channels(shapes) is not None),
    "openclip": Kind(
        "an OpenCLIP model", _both(_begins("visual."), _begins("text.", "token_embedding."))
    ),
    "image tower": Kind("an OpenCLIP image tower", _begins("visual.")),
    "clip vision": Kind("a CLIP vision encoder", _begins("vision_model.")),
    "text encoder": Kind(
        "a text encoder",
        _holds("text_model.", "text_projection.weight", "block.0.layer.0.SelfAttention.q.weight"),
    ),
}
"""Every kind of weights that people choose by mistake, and those of this pack; the first that fits
is what a file is."""
