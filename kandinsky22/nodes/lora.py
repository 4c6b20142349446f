"""Which names a LoRA file may give Kandinsky 2.2's layers.

Core knows `lora_unet_<layer>` and `diffusion_model.<layer>` by itself, for any model. What
diffusers' training scripts write needs a table, and core's tables are one per model, in the middle
of `comfy.lora.model_lora_keys_unet`, with nothing that a model or a pack could add to. So that
function is wrapped, once: it does what it did, then asks the model for more names if the model has
any to give.
"""

from collections.abc import Iterable
from functools import wraps

import comfy.lora

PREFIX = "diffusion_model."
ENDING = ".weight"


def diffusers_lora_keys(weights: Iterable[str]) -> dict[str, str]:
    """The names of layers in diffusers' and PEFT's LoRA files -> the model's weight.

    PEFT: `[unet.]<layer>.lora_A.weight`, `base_model.model.<layer>...`. diffusers before PEFT:
    `[unet.]<attention>.processor.to_q_lora.down.weight`.
    """
    keys = {}
    for weight in weights:
        if not (weight.startswith(PREFIX) and weight.endswith(ENDING)):
            continue
        layer = weight[len(PREFIX) : -len(ENDING)]
        for prefix in ("", "unet.", "base_model.model.", "unet.base_model.model."):
            keys[prefix + layer] = weight
        block, attention, projection = layer.rpartition(".attentions.")
        number, _, projection = projection.partition(".")
        if attention and projection.startswith(("to_", "add_")):
            old = f"{block}{attention}{number}.processor.{projection.removesuffix('.0')}"
            keys[old] = keys[f"unet.{old}"] = weight
    return keys


def teach_core() -> None:
    """Let core's LoRA loaders ask a model for the names of its own (`lora_keys`)."""
    core = comfy.lora.model_lora_keys_unet
    if hasattr(core, "asks_the_model"):
        return

    @wraps(core)
    def model_lora_keys_unet(model, *args, **kwargs):
        keys = core(model, *args, **kwargs)
        if hasattr(model, "lora_keys"):
            keys.update(model.lora_keys())
        return keys

    model_lora_keys_unet.asks_the_model = True
    comfy.lora.model_lora_keys_unet = model_lora_keys_unet
