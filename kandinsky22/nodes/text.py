"""Texts as the prior takes them, from whichever text encoder there is: CLIP or OPENCLIP."""

import logging

import comfy.model_management
import torch
from comfy.sd1_clip import SDClipModel

from ...clip_drift.errors import DriftError
from ...clip_drift.text import TextStates, until_end
from ...nodes.core.encoders import ManagedOpenClip


def text_states(clip, text: str) -> TextStates:
    """What a text encoder says about a text, float32 on the CPU; B is 1.

    Of core's CLIP it takes bigG (SDXL's, Stable Cascade's, SD 3's or Kandinsky's own): the *last*
    layer, whatever layer the CLIP is set to, and plain text, without weights in parentheses.

    Raises:
        DriftError: the CLIP has no bigG, the OPENCLIP no usable text tower.
    """
    if isinstance(clip, ManagedOpenClip):
        return clip.encode_text(text)
    return _big_g_states(clip, text)


@torch.no_grad()
def _big_g_states(clip, text: str) -> TextStates:
    model = clip.cond_stage_model
    tower = getattr(model, "clip_g", None)
    if tower is None:
        raise DriftError(
            f"clip holds {_towers(model)} and no bigG, whose text the prior was trained on: load "
            "Kandinsky 2.2's own text_encoder, or an SDXL or Stable Cascade text encoder."
        )
    tokens = clip.tokenize(text, disable_weights=True)
    window, *rest = tokens["g"]
    if rest:
        logging.warning(
            "CLIP Drift: the text is longer than the prior's window of %d tokens, the rest is not "
            "used.",
            len(window),
        )
    clip.load_model(tokens)
    device = clip.patcher.load_device
    # As core's CLIP itself does, which sets these anew for each text; "layer": None is the last
    # layer with its norm. In one call, for the next one would bring the layer's default back.
    model.reset_clip_options()
    tower.set_clip_options({"layer": None, "projected_pooled": True, "execution_device": device})
    try:
        with comfy.model_management.cuda_device_context(device):
            states, pooled = tower.encode_token_weights([window])[:2]
    finally:
        model.reset_clip_options()
    numbers = [token if isinstance(token, int) else -1 for token, _weight in window]
    mask = until_end(torch.tensor([numbers]), tower.special_tokens["end"])
    return TextStates(states, pooled, mask).to("cpu", torch.float32)


def _towers(model: torch.nn.Module) -> str:
    """The text encoders that core's CLIP is made of, by core's names."""
    names = [name for name, part in model.named_children() if isinstance(part, SDClipModel)]
    return " and ".join(names) or type(model).__name__
