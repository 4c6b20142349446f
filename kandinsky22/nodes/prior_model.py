"""The prior in ComfyUI's hands: loaded as core loads a diffusion model, moved when it is needed."""

import os
from collections.abc import Callable

import comfy.model_management
import comfy.ops
import comfy.utils
import torch
from comfy.model_patcher import CoreModelPatcher
from torch import Tensor

from ...clip_drift.errors import DriftError
from ...clip_drift.text import TextStates
from ..prior import Prior, prior_config
from ..prior_sampling import sample_prior
from .weights import can_assign, checked_sizes


class ManagedPrior:
    """The KANDINSKY22_PRIOR socket.

    Attributes:
        patcher: ComfyUI's hold on the model.
        embedding: width of the image embeddings that it draws.
    """

    def __init__(self, patcher: CoreModelPatcher, compute_dtype: torch.dtype):
        self.patcher = patcher
        self.embedding = patcher.model.embedding
        self._compute_dtype = compute_dtype

    def require_text(self, text: TextStates) -> None:
        """Raise unless a text encoder's output fits the prior."""
        prior = self.patcher.model
        found = (*text.states.shape[1:], text.pooled.shape[1])
        needed = (prior.text_length, prior.text_width, prior.pooled_width)
        if found != needed:
            described = "{} tokens of width {} and a pooled vector of width {}"
            raise DriftError(
                f"clip gives {described.format(*found)}, the prior takes "
                f"{described.format(*needed)}: use the text encoder that it was trained with."
            )

    def draw(
        self,
        text: TextStates,
        negative: TextStates | None,
        *,
        steps: int,
        cfg: float,
        seed: int,
        on_step: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Draw image embeddings (B, N), float32; see sample_prior."""
        comfy.model_management.load_models_gpu([self.patcher])
        device = self.patcher.load_device

        def place(states: TextStates | None) -> TextStates | None:
            return None if states is None else states.to(device, self._compute_dtype)

        with comfy.model_management.cuda_device_context(device):
            drawn = sample_prior(
                self.patcher.model,
                place(text),
                place(negative),
                steps=steps,
                cfg=cfg,
                seed=seed,
                on_step=on_step,
            )
        return drawn.to(comfy.model_management.intermediate_device())


def load_prior(path: str | os.PathLike) -> ManagedPrior:
    """Load a prior's weights, stored in any type.

    Raises:
        DriftError: the file is no prior, or not a whole one; before its weights are read.
    """
    header, config = checked_sizes(path, "prior", "prior_name", Prior, prior_config)

    management = comfy.model_management
    weights = comfy.utils.load_torch_file(str(path), safe_load=True)
    load_device, offload_device = management.get_torch_device(), management.unet_offload_device()
    dtype = management.unet_dtype(
        model_params=header.parameters, weight_dtype=comfy.utils.weight_dtype(weights)
    )
    cast = management.unet_manual_cast(dtype, load_device)
    operations = comfy.ops.pick_operations(dtype, cast, load_device=load_device)
    prior = Prior(**config, dtype=dtype, device=offload_device, operations=operations).train(False)
    patcher = CoreModelPatcher(prior, load_device=load_device, offload_device=offload_device)
    patcher.set_model_compute_dtype(cast or dtype)
    # Not strict: what else a file may hold is of no use, and what it must hold has been checked.
    assign = can_assign(patcher, weights, dtype)
    prior.load_state_dict(weights, strict=False, assign=assign)
    prior.requires_grad_(False)
    return ManagedPrior(patcher, cast or dtype)
