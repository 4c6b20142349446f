"""OpenCLIP encoders through ``open_clip_torch``: weight files first, downloads only on request.

A weight file says neither its architecture nor its preprocessing. Both are taken from the
``open_clip_config.json`` beside it where there is one (named like the weights), else from the one
architecture among open_clip's own whose tensors have the same names and shapes.
"""

import json
import logging
import os
import pickle
import tempfile
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from .errors import DriftError
from .preprocess import normalise

PRECISIONS = ("auto", "fp32", "fp16", "bf16")
EXTENSIONS = (".safetensors", ".pt", ".pth", ".bin")

Shapes = dict[str, tuple[int, ...]]

# Shapes cannot tell the two activations apart; these models were trained with QuickGELU.
_QUICKGELU_NAMES = ("openai", "quickgelu", "metaclip", "dfn")

# What a tensor's name begins with in files that people mistake for OpenCLIP weights.
_OTHER_MODELS = {
    "model.diffusion_model.": "a Stable Diffusion checkpoint",
    "vision_model.": "CLIP vision weights in Hugging Face's layout (use Load CLIP Vision)",
    "text_model.": "a text encoder in Hugging Face's layout",
    "lora_": "a LoRA",
    "first_stage_model.": "a VAE",
    "decoder.": "a VAE",
}


class OpenClipEncoder:
    """A CLIP model that open_clip built, image and text tower, as an encoder of pictures.

    Attributes:
        name: "ARCHITECTURE/tag", or the weight file's name without its ending.
        size: side of the pictures that the image tower takes, in pixels.
        model: the whole model, a plain module: whoever manages devices moves this.
        dtype: what the image tower takes its pixels in.
        mean, std: of the pixels it was trained on, in 0..1.
    """

    def __init__(self, name: str, model: nn.Module, dtype: torch.dtype):
        size = model.visual.image_size
        sides = size if isinstance(size, (tuple, list)) else (size, size)
        if sides[0] != sides[1]:
            raise DriftError(
                f"{name} takes pictures of {sides[1]}×{sides[0]} pixels; only square ones are "
                "supported, so choose another model."
            )
        preprocess = model.visual.preprocess_cfg
        self.name = name
        self.size = int(sides[0])
        self.model = model.train(False).requires_grad_(False)
        self.dtype = dtype
        self.mean = tuple(preprocess["mean"])
        self.std = tuple(preprocess["std"])

    @torch.inference_mode()
    def encode(self, pixels: Tensor) -> Tensor:
        """Embed pictures on the device where the model is.

        Args:
            pixels: (B, S, S, 3) uint8, or float in 0..1.

        Returns:
            (B, N) float32, not normalised.
        """
        device = next(self.model.parameters()).device
        inputs = normalise(pixels.to(device), self.mean, self.std)
        return self.model.encode_image(inputs.to(self.dtype)).float()


def load_openclip_file(
    path: str | os.PathLike, precision: str = "auto", device: str | torch.device = "cpu"
) -> OpenClipEncoder:
    """Load OpenCLIP weights from a file. Pickles are read as bare tensors only, never executed.

    Args:
        path: ``.safetensors`` (preferred), ``.pt``, ``.pth`` or ``.bin``. A config of the same
            name ending in ``.json`` (open_clip_config.json's layout) beside it decides the
            architecture; without one it is recognised by the tensors' shapes.
        precision: ``auto`` (fp32 on a CPU, else fp16), ``fp32``, ``fp16`` or ``bf16``.
        device: where the model will run; it is *loaded* on the CPU either way.

    Returns:
        The encoder, its model on the CPU.

    Raises:
        DriftError: no such file, not weights, not OpenCLIP's, no architecture fits, or open_clip
            is not installed.
    """
    open_clip = _open_clip()
    path = Path(path)
    precision = _resolved(precision, device)
    shapes = _read_shapes(path)
    config_path = path.with_suffix(".json")
    if config_path.is_file():
        config = _read_config(config_path)
    else:
        config = _recognise(open_clip, path, shapes)
    return _build(open_clip, path.stem, config, path, precision)


def load_openclip_tag(
    model_name: str,
    tag: str,
    precision: str = "auto",
    device: str | torch.device = "cpu",
    cache_dir: str | os.PathLike | None = None,
    allow_download: bool = False,
) -> OpenClipEncoder:
    """Load one of open_clip's pretrained models from the local cache, or download it if allowed.

    Args:
        model_name: architecture, such as ``ViT-L-14``.
        tag: name of its weights, such as ``laion2b_s32b_b82k``.
        precision, device: as in :func:`load_openclip_file`.
        cache_dir: where downloads are kept; None = Hugging Face's own cache.
        allow_download: without it nothing is ever asked of the internet.

    Raises:
        DriftError: no such model, not in the cache while ``allow_download`` is off, the download
            fails, or open_clip is not installed.
    """
    open_clip = _open_clip()
    precision = _resolved(precision, device)
    name = f"{model_name}/{tag}"
    pretrained = open_clip.get_pretrained_cfg(model_name, tag)
    if not pretrained:
        raise DriftError(f"open_clip has no pretrained model {name}: choose one from the list.")
    model_cfg = open_clip.get_model_config(model_name)
    if "hf_model_name" in model_cfg["text_cfg"] and not allow_download:
        raise DriftError(
            f"{name} takes the layout of its text tower from huggingface.co: "
            "switch allow_download on, or choose another model."
        )
    path = _cached(open_clip, pretrained, cache_dir)
    if path is None and not allow_download:
        raise DriftError(
            f"{name} is not on this computer: switch allow_download on, or put its weight file "
            "into models/open_clip."
        )
    if path is None:
        path = _download(open_clip, name, pretrained, cache_dir)
    if pretrained.get("quick_gelu"):
        model_cfg["quick_gelu"] = True
    return _build(open_clip, name, _Config(model_cfg, pretrained), path, precision)


def pretrained_names() -> list[str]:
    """open_clip's pretrained models as "ARCHITECTURE/tag"; empty if it is not installed."""
    try:
        open_clip = _open_clip()
    except DriftError:
        return []
    return [f"{model_name}/{tag}" for model_name, tag in open_clip.list_pretrained()]


@dataclass
class _Config:
    """What open_clip_config.json holds: how to build a model, and what pixels it takes."""

    model_cfg: dict
    preprocess_cfg: dict = field(default_factory=dict)


def _open_clip() -> ModuleType:
    # Imported late: it takes seconds, and the rest of the library does without it.
    try:
        import open_clip
    except ImportError as error:
        raise DriftError(
            f"OpenCLIP models need the package open_clip_torch ({error}): "
            "install it with pip install open_clip_torch, or use a CLIP Vision model."
        ) from error
    return open_clip


def _resolved(precision: str, device: str | torch.device) -> str:
    if precision not in PRECISIONS:
        raise DriftError(f"precision is {precision!r}: choose one of {', '.join(PRECISIONS)}.")
    if precision != "auto":
        return precision
    return "fp32" if torch.device(device).type == "cpu" else "fp16"


def _read_shapes(path: Path) -> Shapes:
    """Names and shapes of a weight file's tensors; of big files only the directory is read."""
    if not path.is_file():
        raise DriftError(f"there is no file {path}: check the name of the OpenCLIP weights.")
    if path.suffix not in EXTENSIONS:
        raise DriftError(
            f"{path.name} is not a weight file: choose one ending in {', '.join(EXTENSIONS)}."
        )
    shapes = _safetensors_shapes(path) if path.suffix == ".safetensors" else _pickle_shapes(path)
    shapes = {name.removeprefix("module."): shape for name, shape in shapes.items()}
    _check_clip(path, shapes)
    return shapes


def _safetensors_shapes(path: Path) -> Shapes:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise DriftError(
            f"{path.name} is not a complete safetensors file ({error}): download it again."
        ) from error


def _pickle_shapes(path: Path) -> Shapes:
    try:
        content = torch.load(
            path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
        )
    except pickle.UnpicklingError as error:
        raise DriftError(
            f"{path.name} holds Python code besides tensors, which is never run: "
            "use the same weights as .safetensors."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        what = "is a TorchScript program" if "TorchScript" in str(error) else "cannot be read"
        raise DriftError(
            f"{path.name} {what}: download it again, or use the same weights as .safetensors."
        ) from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]  # open_clip's training checkpoints
    if not isinstance(content, dict):
        raise DriftError(
            f"{path.name} holds a {type(content).__name__} instead of named tensors: "
            "choose a file of OpenCLIP weights."
        )
    return {str(name): tuple(t.shape) for name, t in content.items() if isinstance(t, Tensor)}


def _check_clip(path: Path, shapes: Shapes) -> None:
    """Raise unless both towers of an OpenCLIP model are there, and say what the file is instead."""
    if any(name.startswith("visual.") for name in shapes) and any(
        name.startswith(("text.", "token_embedding.")) for name in shapes
    ):
        return
    found = next(
        (
            what
            for prefix, what in _OTHER_MODELS.items()
            if any(name.startswith(prefix) for name in shapes)
        ),
        f"{len(shapes)} tensors such as {next(iter(shapes), 'none')!r}",
    )
    raise DriftError(
        f"{path.name} is not an OpenCLIP model, it holds {found}: choose weights with both an "
        "image tower (visual.*) and a text tower."
    )


def _read_config(path: Path) -> _Config:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        model_cfg = content.get("model_cfg", content)
        towers = model_cfg["vision_cfg"], model_cfg["text_cfg"], model_cfg["embed_dim"]
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise DriftError(
            f"{path.name} is not a config of open_clip ({type(error).__name__}: {error}): use the "
            "model's own open_clip_config.json, or remove the file."
        ) from error
    if "hf_model_name" in towers[1]:
        raise DriftError(
            f"{path.name} asks for a text tower of Hugging Face's, whose layout would have to be "
            "downloaded: choose another model, or load it by its pretrained tag."
        )
    return _Config(model_cfg, content.get("preprocess_cfg", {}))


def _recognise(open_clip: ModuleType, path: Path, shapes: Shapes) -> _Config:
    """The architecture among open_clip's own whose tensors have just these names and shapes."""
    fitting = []
    for name in open_clip.list_models():
        config = open_clip.get_model_config(name)
        if _could_be(config, shapes) and _shapes_of(open_clip, name) == _comparable(shapes):
            fitting.append(name)
    if not fitting:
        raise DriftError(
            f"{path.name} fits none of open_clip's architectures: put the model's "
            f"open_clip_config.json beside it as {path.with_suffix('.json').name}."
        )
    quick = any(word in path.stem.lower() for word in _QUICKGELU_NAMES)
    name = min(fitting, key=lambda name: (name.endswith("-quickgelu") != quick, name))
    tags = open_clip.list_pretrained_tags_by_model(name)
    # Every tag of an architecture takes the same pixels, but for a few retrained by others.
    preprocess = open_clip.get_pretrained_cfg(name, tags[0]) if tags else {}
    return _Config(open_clip.get_model_config(name), preprocess)


def _could_be(config: dict, shapes: Shapes) -> bool:
    """A quick look before the costly comparison: the text tower's size, the image tower's kind."""
    text, vision = config["text_cfg"], config["vision_cfg"]
    if "hf_model_name" in text:
        return False
    tokens = shapes.get("token_embedding.weight", shapes.get("text.token_embedding.weight"))
    if tokens != (text.get("vocab_size", 49408), text["width"]):
        return False
    if "timm_model_name" in vision:
        return any(name.startswith("visual.trunk.") for name in shapes)
    if isinstance(vision["layers"], list):
        return "visual.layer1.0.conv1.weight" in shapes
    patch = vision["patch_size"]
    return shapes.get("visual.conv1.weight") == (vision["width"], 3, patch, patch)


def _shapes_of(open_clip: ModuleType, model_name: str) -> Shapes:
    """Names and shapes of an architecture's tensors, without making the tensors."""
    with _quiet(), torch.device("meta"):
        model = open_clip.create_model(model_name, device="meta", pretrained_text=False)
    return _comparable({name: tuple(t.shape) for name, t in model.state_dict().items()})


def _comparable(shapes: Shapes) -> Shapes:
    """Shapes by names that do not depend on whether the text tower is a module of its own.

    Scalars (logit scale and bias, counters) come and go between versions, and tell nothing.
    """
    return {name.removeprefix("text."): s for name, s in shapes.items() if len(s) and s != (1,)}


def _build(
    open_clip: ModuleType, name: str, config: _Config, weights: Path, precision: str
) -> OpenClipEncoder:
    content = {"model_cfg": config.model_cfg, "preprocess_cfg": config.preprocess_cfg}
    try:
        # Only by way of a folder does open_clip build from a config that is not its own.
        with _quiet(), tempfile.TemporaryDirectory() as folder:
            Path(folder, "open_clip_config.json").write_text(json.dumps(content), encoding="utf-8")
            model = open_clip.create_model(
                f"local-dir:{folder}", precision=precision, pretrained_text=False
            )
        open_clip.load_checkpoint(model, str(weights), weights_only=True)
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DriftError(
            f"{weights.name} does not fit the architecture that its config or name tells "
            f"({reason}): use the open_clip_config.json that belongs to it."
        ) from error
    dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]
    return OpenClipEncoder(name, model, dtype)


def _cached(
    open_clip: ModuleType, pretrained: dict, cache_dir: str | os.PathLike | None
) -> Path | None:
    """Where a pretrained model's weights are on this computer, without asking the internet."""
    from huggingface_hub import try_to_load_from_cache

    if pretrained.get("hf_hub"):
        repository, file = os.path.split(pretrained["hf_hub"])
        stem, ending = os.path.splitext(file or "open_clip_pytorch_model.bin")
        names = ["open_clip_model.safetensors"] * (not file)
        names += [f"{stem}.safetensors", f"{stem}{ending}"]
        for name in names:
            found = try_to_load_from_cache(repository, name, cache_dir=cache_dir)
            if isinstance(found, str):
                return Path(found)
    if pretrained.get("url"):
        folder = Path(cache_dir or "~/.cache/clip").expanduser()
        found = folder / os.path.basename(pretrained["url"])
        if found.is_file():
            return found
    return None


def _download(
    open_clip: ModuleType, name: str, pretrained: dict, cache_dir: str | os.PathLike | None
) -> Path:
    try:
        folder = None if cache_dir is None else str(cache_dir)
        return Path(open_clip.download_pretrained(pretrained, cache_dir=folder))
    except Exception as error:  # whatever the network and three libraries raise
        reason = " ".join(str(error).split())[:200]
        raise DriftError(
            f"{name} could not be downloaded ({reason}): check the connection, or put its weight "
            "file into models/open_clip."
        ) from error


@contextmanager
def _quiet():
    """Silence open_clip's warning that a model has no weights: they are loaded right after."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
