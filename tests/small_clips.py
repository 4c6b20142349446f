"""Small CLIPs of the layouts that ComfyUI knows, filled with seeded random numbers.

Built by ComfyUI's own classes, whose sizes may be given by hand; a full-size bigG is 1.4 GB.
"""

from pathlib import Path
from types import SimpleNamespace

import torch
from safetensors.torch import save_file

WIDTHS = {"clip_l": 64, "clip_g": 128, "clip_h": 64}
LAYERS = 3


def text_config(width: int, activation: str) -> dict:
    return {
        "hidden_size": width,
        "num_attention_heads": width // 32,
        "intermediate_size": 4 * width,
        "num_hidden_layers": LAYERS,
        "hidden_act": activation,
        "max_position_embeddings": 77,
        "eos_token_id": 49407,
    }


T5_CONFIG = {"d_ff": 32, "d_kv": 16, "d_model": 32, "num_heads": 2, "num_layers": 1}

OPTIONS = {
    "clip_l_model_config": text_config(WIDTHS["clip_l"], "quick_gelu"),
    "clip_g_model_config": text_config(WIDTHS["clip_g"], "gelu"),
    "clip_h_model_config": text_config(WIDTHS["clip_h"], "gelu"),
    "t5xxl_model_config": T5_CONFIG,
}


def small_clip(kind: str, folder: Path, projections: tuple[str, ...] = ("clip_g", "clip_h")):
    """A comfy.sd.CLIP: "sd15", "sd2", "sdxl", "sd3" (CLIP-L and bigG), or "flux" (CLIP-L and T5).

    Args:
        folder: where the file goes that it was "loaded" from.
        projections: encoders whose text projection that file holds. The layer is there anyway.
    """
    import comfy.sd
    from comfy import sd1_clip, sdxl_clip
    from comfy.text_encoders import flux, sd2_clip, sd3_clip

    makers = {
        "sd15": (sd1_clip.SD1ClipModel, sd1_clip.SD1Tokenizer),
        "sd2": (sd2_clip.SD2ClipModel, sd2_clip.SD2Tokenizer),
        "sdxl": (sdxl_clip.SDXLClipModel, sdxl_clip.SDXLTokenizer),
        "sd3": (sd3_clip.sd3_clip(t5=False), sd3_clip.SD3Tokenizer),
        "flux": (flux.flux_clip(dtype_t5=torch.float32), flux.FluxTokenizer),
    }
    model, tokenizer = makers[kind]
    target = SimpleNamespace(params={}, clip=model, tokenizer=tokenizer)
    clip = comfy.sd.CLIP(target, model_options=dict(OPTIONS))
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in clip.cond_stage_model.named_parameters():
            norm = name.endswith("norm.weight") or (
                "layer_norm" in name and name.endswith("weight")
            )
            std = 0.1 if parameter.ndim < 2 else parameter.shape[-1] ** -0.5
            parameter.normal_(float(norm), std, generator=generator)
    path = folder / f"{kind}.safetensors"
    held = [name for name in projections if getattr(clip.cond_stage_model, name, None) is not None]
    tensors = {"logit_scale": torch.ones(1)}
    for name in held:
        weight = getattr(clip.cond_stage_model, name).transformer.text_projection.weight
        tensors[f"{name}.transformer.text_projection.weight"] = weight.detach().clone()
    save_file(tensors, path)
    clip.patcher.cached_patcher_init = (None, (str(path),))
    return clip
