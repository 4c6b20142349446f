"""Weights from a file into a model, in no more memory than they take."""

import comfy.utils
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor


def can_assign(patcher: ModelPatcher, weights: dict[str, Tensor], dtype: torch.dtype) -> bool:
    """Whether the file's tensors may become the model's, as core does where it loads dynamically.

    Copied, they are in memory twice while loading: once as pages of the mapped file. They can stay
    as they are where the model wants them in the type that the file has.
    """
    if patcher.is_dynamic():
        return True
    mapped = not comfy.utils.DISABLE_MMAP
    return mapped and all(tensor.dtype == dtype for tensor in weights.values())
