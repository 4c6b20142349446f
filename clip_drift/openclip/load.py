"""Loading an encoder: from a weight file, or from a pretrained model's tag."""

import os
from pathlib import Path

import torch

from ..errors import DriftError, NotHereError
from .architecture import Config, read_config, recognise
from .encoder import OpenClipEncoder, build_encoder, resolve_precision
from .library import import_open_clip
from .pretrained import download, find_cached
from .weights import openclip_shapes


def load_openclip_file(
    path: str | os.PathLike, precision: str = "auto", device: str | torch.device = "cpu"
) -> OpenClipEncoder:
    """Load OpenCLIP weights from a file. Pickles are read as bare tensors only, never executed.

    Args:
        path: `.safetensors` (preferred), `.pt`, `.pth` or `.bin`. A config of the same
            name ending in `.json` (open_clip_config.json's layout) beside it decides the
            architecture; without one it is recognised by the tensors' shapes.
        precision: `auto` (fp32 on a CPU, otherwise fp16), `fp32`, `fp16` or `bf16`.
        device: where the model will run; it is *loaded* on the CPU either way.

    Returns:
        The encoder, its model on the CPU.

    Raises:
        WrongFileError: weights of something else.
        DriftError: no such file, not weights, no architecture fits, or open_clip is not installed.
    """
    open_clip = import_open_clip()
    path = Path(path)
    precision = resolve_precision(precision, device)
    shapes = openclip_shapes(path)
    config_path = path.with_suffix(".json")
    if config_path.is_file():
        config = read_config(config_path)
    else:
        config = recognise(open_clip, path, shapes)
    return build_encoder(open_clip, path.stem, config, path, precision)


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
        model_name: architecture, such as `ViT-L-14`.
        tag: name of its weights, such as `laion2b_s32b_b82k`.
        precision, device: as in `load_openclip_file`.
        cache_dir: where downloads are kept; None = Hugging Face's own cache.
        allow_download: without it nothing is ever asked of the internet.

    Raises:
        NotHereError: it, or a part of it, is not in the cache, and no download is allowed.
        DriftError: no such model, the download fails, or open_clip is not installed.
    """
    open_clip = import_open_clip()
    precision = resolve_precision(precision, device)
    name = f"{model_name}/{tag}"
    pretrained = open_clip.get_pretrained_cfg(model_name, tag)
    if not pretrained:
        raise DriftError(
            f"this open_clip has no pretrained model {name}: choose another, or update "
            "open_clip_torch."
        )
    model_cfg = open_clip.get_model_config(model_name)
    if "hf_model_name" in model_cfg["text_cfg"] and not allow_download:
        raise NotHereError(f"{name} takes the layout of its text tower from huggingface.co.")
    path = find_cached(open_clip, pretrained, cache_dir)
    if path is None and not allow_download:
        raise NotHereError(f"{name} is not on this computer.")
    if path is None:
        path = download(open_clip, name, pretrained, cache_dir)
    if pretrained.get("quick_gelu"):
        model_cfg["quick_gelu"] = True
    return build_encoder(open_clip, name, Config(model_cfg, pretrained), path, precision)
