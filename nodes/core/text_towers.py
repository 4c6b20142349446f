"""The text towers of a loaded CLIP, read where ComfyUI keeps them, patches included."""

from contextlib import contextmanager
from os import PathLike
from pathlib import Path

import torch
from comfy.clip_model import CLIPTextModel
from comfy.ops import cast_bias_weight, cast_to, uncast_bias_weight
from comfy.utils import load_torch_file
from safetensors import safe_open
from torch import Tensor, nn

from ...clip_drift.through.layouts import hugging_face_tower
from ...clip_drift.through.tower import TextTower, Weights

NAMES = {"l": "CLIP-L", "g": "CLIP-bigG", "h": "CLIP-H"}

SAME = 0.05
"""Relative difference below which two projections are one: a narrower type's rounding is less."""


def encoder_of(clip, key: str) -> nn.Module | None:
    """The encoder of a CLIP that reads a prompt's tokens of that key ("l", "g", "t5xxl")."""
    model = clip.cond_stage_model
    return getattr(model, f"clip_{key}", None) or getattr(model, key, None)


def text_tower(clip, key: str, projection: Tensor | None = None) -> TextTower | None:
    """One of a CLIP's text towers, over the weights that it encodes with.

    The weights stay with ComfyUI: each layer's are borrowed, as they are after LoRAs, for as long
    as the layer runs. Load the CLIP before (`clip.load_model()`).

    Args:
        key: of the prompt's tokens.
        projection: (N, W) where the CLIP has none of its own.

    Returns:
        None where the encoder is no CLIP text tower (T5, Qwen). The tower's projection is None
        where none is known.
    """
    encoder = encoder_of(clip, key)
    model = getattr(encoder, "transformer", None)
    if not isinstance(model, CLIPTextModel):
        return None
    text = model.text_model
    first, table = text.encoder.layers[0], text.embeddings.token_embedding
    device = clip.patcher.load_device
    own = own_projection(clip, key)
    return hugging_face_tower(
        lambda tokens: table(tokens.to(device), out_dtype=torch.float32),
        lambda name: _lent(text.get_submodule(name)),
        len(text.encoder.layers),
        projection=projection if own is None else own,
        heads=first.self_attn.heads,
        activation=first.mlp.activation,
        width=table.weight.shape[1],
        window=text.embeddings.position_embedding.weight.shape[0],
        name=NAMES.get(key, key),
    )


def own_projection(clip, key: str) -> Tensor | None:
    """The projection (N, W) that a CLIP's file brought along for one of its encoders.

    The layer is always there, but many files hold nothing for it, and it is then zero or whatever
    the memory held before. So it counts only if the file that the CLIP was loaded from has it.

    Returns:
        None where that file has none, or is not known.
    """
    layer = encoder_of(clip, key).transformer.text_projection
    backup = clip.patcher.backup.get(_name_of(clip, layer, "weight"))
    loaded = layer.weight if backup is None else backup.weight
    for path in _files_of(clip):
        for stored in _projections_in(path, loaded.shape):
            if _same(stored, loaded) or _same(stored.mT, loaded):
                with _lent(layer)(torch.empty(0, device=clip.patcher.load_device)) as (weight, _):
                    return weight.clone()
    return None


def _files_of(clip) -> list[Path]:
    """What ComfyUI's loaders note down, to be able to load a model again."""
    made_by = getattr(clip.patcher, "cached_patcher_init", None)
    if not made_by or not made_by[1]:
        return []
    files = made_by[1][0]
    files = [files] if isinstance(files, str | PathLike) else files
    return [Path(file) for file in files if isinstance(file, str | PathLike)]


def _projections_in(path: Path, shape: torch.Size) -> list[Tensor]:
    """The text projections of that shape in a weight file."""
    if not path.is_file():
        return []
    if path.suffix == ".safetensors":
        with safe_open(path, framework="pt") as file:
            found = [file.get_tensor(name) for name in file.keys() if _is_projection(name)]  # noqa: SIM118
    else:
        tensors = load_torch_file(str(path), safe_load=True)
        found = [tensor for name, tensor in tensors.items() if _is_projection(name)]
    return [tensor for tensor in found if tensor.shape == shape]


def _is_projection(name: str) -> bool:
    return f".{name}".endswith((".text_projection", ".text_projection.weight"))


def _same(a: Tensor, b: Tensor) -> bool:
    a, b = a.float().cpu(), b.float().cpu()
    return bool((a - b).norm() <= SAME * a.norm()) and bool(a.any())


def _name_of(clip, module: nn.Module, parameter: str) -> str:
    """A parameter's name in the patcher's model."""
    names = (name for name, part in clip.patcher.model.named_modules() if part is module)
    return f"{next(names)}.{parameter}"


def _lent(module: nn.Module) -> Weights:
    @contextmanager
    def lend(like: Tensor):
        if isinstance(module, nn.Embedding):  # positions: core adds them without patches
            yield cast_to(module.weight, dtype=like.dtype, device=like.device), None
            return
        weight, bias, stream = cast_bias_weight(
            module, dtype=like.dtype, device=like.device, bias_dtype=like.dtype, offloadable=True
        )
        try:
            yield weight, bias
        finally:
            uncast_bias_weight(module, weight, bias, stream)

    return lend
