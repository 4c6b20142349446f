"""CLIP Drift/Encoder: load an OpenCLIP model."""

import comfy.model_management
import folder_paths
from comfy_api.latest import io

from ..clip_drift.errors import DriftError
from ..clip_drift.openclip import (
    PRECISIONS,
    OpenClipEncoder,
    is_pretrained,
    load_openclip_file,
    load_openclip_tag,
    pretrained_names,
)
from .core import sockets
from .core.advice import advice
from .core.encoders import ManagedOpenClip
from .core.folders import OPEN_CLIP, fingerprint

NOT_INSTALLED = "(open_clip_torch is not installed)"
MISSING = "switch allow_download on, or put its weight file into models/open_clip"


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
        # None: linked, known only when it runs.
        if pretrained_names() and model in (None, *model_names()):
            return True
        try:
            if is_pretrained(model or ""):
                return True  # in another version of open_clip than the list is of
        except DriftError as error:
            return str(error)
        return (
            f"model {model} is neither in models/open_clip nor one of open_clip's pretrained "
            "models: choose one from the list."
        )

    @classmethod
    def fingerprint_inputs(cls, model, precision, allow_download):
        path = folder_paths.get_full_path(OPEN_CLIP, model)
        return model if path is None else fingerprint(path)

    @classmethod
    def execute(cls, model, precision, allow_download):
        with advice("model", missing=MISSING):
            encoder = _load(model, precision, allow_download)
        return io.NodeOutput(ManagedOpenClip(encoder))


def _load(model: str, precision: str, allow_download: bool) -> OpenClipEncoder:
    device = comfy.model_management.text_encoder_device()
    if model in folder_paths.get_filename_list(OPEN_CLIP):
        path = folder_paths.get_full_path_or_raise(OPEN_CLIP, model)
        return load_openclip_file(path, precision, device)
    return load_openclip_tag(
        *model.split("/", 1),
        precision,
        device,
        cache_dir=folder_paths.get_folder_paths(OPEN_CLIP)[0],
        allow_download=allow_download,
    )


NODES = [ClipDriftLoadOpenCLIP]
