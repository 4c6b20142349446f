"""Which architecture a weight file is of: told by a config beside it, or by its tensors' shapes."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import torch

from ..errors import DriftError
from ..weight_files import Shapes
from .library import quiet

# Shapes cannot tell the two activations apart; these models were trained with QuickGELU.
_QUICKGELU_NAMES = ("openai", "quickgelu", "metaclip", "dfn")


@dataclass
class Config:
    """What open_clip_config.json holds: how to build a model, and what pixels it takes."""

    model_cfg: dict
    preprocess_cfg: dict = field(default_factory=dict)


def read_config(path: Path) -> Config:
    """Read open_clip_config.json, or the bare model_cfg of one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        model_cfg = content.get("model_cfg", content)
        towers = model_cfg["vision_cfg"], model_cfg["text_cfg"], model_cfg["embed_dim"]
        if not all(isinstance(tower, dict) for tower in towers[:2]):
            raise TypeError("a tower is no object")
    except (OSError, ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
        raise DriftError(
            f"{path.name} is not a config of open_clip ({type(error).__name__}: {error}): use the "
            "model's own open_clip_config.json, or remove the file."
        ) from error
    if "hf_model_name" in towers[1]:
        raise DriftError(
            f"{path.name} asks for a text tower of Hugging Face's, whose layout would have to be "
            "downloaded: choose another model, or load it by its pretrained tag."
        )
    return Config(model_cfg, content.get("preprocess_cfg", {}))


def recognise(open_clip: ModuleType, path: Path, shapes: Shapes) -> Config:
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
    return Config(open_clip.get_model_config(name), preprocess)


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
    with quiet(), torch.device("meta"):
        model = open_clip.create_model(model_name, device="meta", pretrained_text=False)
    return _comparable({name: tuple(t.shape) for name, t in model.state_dict().items()})


def _comparable(shapes: Shapes) -> Shapes:
    """Shapes by names that do not depend on whether the text tower is a module of its own.

    Scalars (logit scale and bias, counters) come and go between versions, and tell nothing.
    """
    return {name.removeprefix("text."): s for name, s in shapes.items() if len(s) and s != (1,)}
