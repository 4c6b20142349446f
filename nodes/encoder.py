"""CLIP Drift/Encoder: the encoders as the library takes them, their memory left to ComfyUI."""

import os

import comfy.model_management
import folder_paths
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io
from torch import Tensor, float32, zeros

from ..clip_drift.errors import DriftError
from ..clip_drift.openclip import (
    PRECISIONS,
    OpenClipEncoder,
    import_open_clip,
    load_openclip_file,
    load_openclip_tag,
    pretrained_names,
)
from ..clip_drift.text import TextStates
from .core import sockets
from .core.folders import OPEN_CLIP

NOT_INSTALLED = "(open_clip_torch is not installed)"

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


def as_encoder(value) -> ClipVisionEncoder | ManagedOpenClip:
    """What the encoder socket holds, as the library takes it."""
    return value if isinstance(value, ManagedOpenClip) else ClipVisionEncoder(value)


def model_names() -> list[str]:
    """What there is to load: files in models/open_clip, then open_clip's pretrained models."""
    return [*folder_paths.get_filename_list(OPEN_CLIP), *pretrained_names()]


class ClipDriftLoadOpenCLIP(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ClipDriftLoadOpenCLIP",
            display_name="Load OpenCLIP",
            category="CLIP Drift/Encoder",
            description="Load an OpenCLIP model from models/open_clip, or one of open_clip's "
            "pretrained models if you allow the download.",
            search_aliases=["clip vision loader", "openclip", "laion", "clip drift"],
            inputs=[
                io.Combo.Input(
                    "model",
                    model_names() or [NOT_INSTALLED],
                    tooltip="A file in models/open_clip (with its open_clip_config .json of the "
                    "same name beside it, or an architecture open_clip knows), or architecture/tag "
                    "of a pretrained model.",
                ),
                io.Combo.Input(
                    "precision",
                    list(PRECISIONS),
                    default="auto",
                    tooltip="auto: fp16 on a GPU, fp32 on the CPU.",
                ),
                io.Boolean.Input(
                    "allow_download",
                    default=False,
                    tooltip="Allow this node to fetch the chosen pretrained model from the "
                    "internet, into models/open_clip. Off: nothing is ever downloaded.",
                ),
            ],
            outputs=[
                sockets.OpenClip.Output(
                    "encoder",
                    tooltip="For Video → CLIP Drift; also for Kandinsky 2.2 Prior, if the prior "
                    "was trained with it.",
                )
            ],
        )

    @classmethod
    def validate_inputs(cls, model):
        try:
            import_open_clip()
        except DriftError as error:
            return str(error)
        if model is None or model in model_names():  # None: linked, known only when it runs
            return True
        return (
            f"model {model} is neither in models/open_clip nor one of open_clip's pretrained "
            "models: choose one from the list."
        )

    @classmethod
    def fingerprint_inputs(cls, model, precision, allow_download):
        path = folder_paths.get_full_path(OPEN_CLIP, model)
        if path is None:
            return model
        state = os.stat(path)
        return f"{state.st_mtime_ns}:{state.st_size}"

    @classmethod
    def execute(cls, model, precision, allow_download):
        device = comfy.model_management.text_encoder_device()
        if model in folder_paths.get_filename_list(OPEN_CLIP):
            path = folder_paths.get_full_path_or_raise(OPEN_CLIP, model)
            encoder = load_openclip_file(path, precision, device)
        else:
            encoder = load_openclip_tag(
                *model.split("/", 1),
                precision,
                device,
                cache_dir=folder_paths.get_folder_paths(OPEN_CLIP)[0],
                allow_download=allow_download,
            )
        return io.NodeOutput(ManagedOpenClip(encoder))


NODES = [ClipDriftLoadOpenCLIP]
