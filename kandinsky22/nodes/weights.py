"""Weights from a file into a model, in no more memory than they take."""

import os
from collections.abc import Callable

import comfy.utils
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor, nn

from ...clip_drift.weight_files import Header, read_header
from ...nodes.core.advice import advice
from ..files import config_beside, require_kind, require_tensors


def checked_sizes(
    path: str | os.PathLike,
    kind: str,
    input_name: str,
    model: Callable[..., nn.Module],
    sizes_of: Callable[[dict, dict], dict],
) -> tuple[Header, dict]:
    """A weight file's header and its model's sizes, before any of its weights are read.

    Args:
        path: a .safetensors file; a .json beside it tells what weights cannot.
        kind: what it has to be, as in require_kind.
        input_name: of the node, for an error.
        model: takes those sizes, and has the parameters that the file must hold.
        sizes_of: from the tensors' shapes and the .json.

    Raises:
        DriftError: the file is something else, or not whole.
    """
    with advice(input_name):
        header, beside = read_header(path), config_beside(path)
        require_kind(header, kind)
        sizes = sizes_of(header.shapes, beside)
        plan = model(**sizes, device="meta").state_dict()
        require_tensors(header, {name: tensor.shape for name, tensor in plan.items()})
    return header, sizes


def can_assign(patcher: ModelPatcher, weights: dict[str, Tensor], dtype: torch.dtype) -> bool:
    """Whether the file's tensors may become the model's, as core does where it loads dynamically.

    Copied, they are in memory twice while loading: once as pages of the mapped file. They can stay
    as they are where the model wants them in the type that the file has.
    """
    if patcher.is_dynamic():
        return True
    mapped = not comfy.utils.DISABLE_MMAP
    return mapped and all(tensor.dtype == dtype for tensor in weights.values())
