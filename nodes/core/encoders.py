"""CLIP_VISION and OPENCLIP as the library's encoders, their memory left to ComfyUI."""

import comfy.model_management
from comfy.model_patcher import ModelPatcher
from torch import Tensor, float32, zeros

from ...clip_drift.errors import DriftError
from ...clip_drift.openclip import OpenClipEncoder
from ...clip_drift.text import TextStates
from ...clip_drift.through.layouts import open_clip_projection

# Vision towers by (width, layers), as people name them.
KNOWN = {(1024, 24): "ViT-L", (1280, 32): "ViT-H", (1664, 48): "ViT-bigG"}


class ClipVisionEncoder:
    """Core's CLIP_VISION."""

    def __init__(self, clip_vision):
        self._model = clip_vision
        self.size = clip_vision.image_size
        config = clip_vision.config
        tower = KNOWN.get((config.get("hidden_size"), config.get("num_hidden_layers")), "vision")
        self.name = f"{tower}/{config.get('patch_size', '?')} (CLIP_VISION)"

    def encode(self, pixels: Tensor) -> Tensor:
        pixels = pixels.to(self._model.load_device).float() / 255
        return _embedding(self._model.encode_image(pixels)["image_embeds"])

    def encode_zeros(self) -> Tensor:
        """The embedding (1, N) of a picture that is zero *after* normalisation."""
        comfy.model_management.load_model_gpu(self._model.patcher)
        pixels = zeros(1, 3, self.size, self.size, device=self._model.load_device)
        return _embedding(self._model.model(pixel_values=pixels, intermediate_output=-2)[2])


def _embedding(embeds: Tensor | None) -> Tensor:
    if embeds is None or embeds.ndim != 2:
        raise DriftError(
            "encoder gives no image embedding (a DINO model?): load a CLIP or SigLIP vision model."
        )
    return embeds.float().cpu()


class ManagedOpenClip:
    """The OPENCLIP socket: an OpenCLIP model that ComfyUI moves between devices."""

    def __init__(self, encoder: OpenClipEncoder):
        self._encoder = encoder
        self._patcher = ModelPatcher(
            encoder.model,
            load_device=comfy.model_management.text_encoder_device(),
            offload_device=comfy.model_management.text_encoder_offload_device(),
        )
        self.size = encoder.size
        self.name = encoder.name

    def encode(self, pixels: Tensor) -> Tensor:
        comfy.model_management.load_model_gpu(self._patcher)
        return self._encoder.encode(pixels).cpu()

    def encode_zeros(self) -> Tensor:
        """The embedding (1, N) of a picture that is zero *after* normalisation."""
        comfy.model_management.load_model_gpu(self._patcher)
        return self._encoder.encode_normalised(zeros(1, 3, self.size, self.size)).cpu()

    def encode_text(self, text: str) -> TextStates:
        """What the text tower says about a text; see there for the errors."""
        comfy.model_management.load_model_gpu(self._patcher)
        return self._encoder.encode_text([text]).to("cpu", float32)

    def text_projection(self) -> Tensor | None:
        """(N, W) from the text tower's end state into the joint space; None where it has none."""
        return open_clip_projection(self._encoder.model.state_dict())

    def spelt_words(self, text: str) -> list[str]:
        """The words of a text that the model never learnt, as far as its tokenizer can tell."""
        return self._encoder.spelt_words(text)


def as_encoder(value) -> ClipVisionEncoder | ManagedOpenClip:
    """What the encoder socket holds, as the library takes it."""
    return value if isinstance(value, ManagedOpenClip) else ClipVisionEncoder(value)
