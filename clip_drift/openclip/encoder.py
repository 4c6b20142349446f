"""A CLIP model as an encoder of pictures and texts, built from a config and a weight file."""

import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from ..errors import DriftError
from ..preprocess import normalise
from ..text import TextStates
from .architecture import Config
from .library import ClipModel, quiet
from .text import build_tokenizer, encode_text, spelt_words

PRECISIONS = ("auto", "fp32", "fp16", "bf16")


class OpenClipEncoder:
    """A CLIP model that open_clip built, image and text tower, as an encoder of both.

    Attributes:
        name: "ARCHITECTURE/tag", or the weight file's name without its ending.
        size: side of the pictures that the image tower takes, in pixels.
        model: the whole model, a plain module: whoever manages devices moves this.
        dtype: what the image tower takes its pixels in.
        mean, std: of the pixels it was trained on, in 0..1.
        tokenizer: makes the model's own tokenizer, when the first text comes.
    """

    def __init__(
        self, name: str, model: ClipModel, dtype: torch.dtype, tokenizer: Callable | None = None
    ):
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
        self.mean = _per_colour(preprocess["mean"])
        self.std = _per_colour(preprocess["std"])
        self._make_tokenizer = tokenizer
        self._tokenizer = None

    @torch.inference_mode()
    def encode(self, pixels: Tensor) -> Tensor:
        """Embed pictures on the device where the model is.

        Args:
            pixels: (B, S, S, 3) uint8, or float in 0..1.

        Returns:
            (B, N) float32, not normalised.
        """
        return self.encode_normalised(normalise(pixels, self.mean, self.std))

    @torch.inference_mode()
    def encode_normalised(self, inputs: Tensor) -> Tensor:
        """The same for (B, 3, S, S) pixels of mean 0 and deviation 1."""
        device = next(self.model.parameters()).device
        return self.model.encode_image(inputs.to(device, self.dtype)).float()

    def encode_text(self, texts: list[str]) -> TextStates:
        """Embed texts on the device where the model is. Raises DriftError: no usable text tower."""
        return encode_text(self.model, self._text_tokenizer(), texts, self.name)

    def spelt_words(self, text: str) -> list[str]:
        """The words of a text that the model never learnt, as far as its tokenizer can tell."""
        return spelt_words(self._text_tokenizer(), text)

    def _text_tokenizer(self):
        if self._tokenizer is None:
            if self._make_tokenizer is None:
                raise DriftError(f"{self.name} came without a tokenizer: load it from a file.")
            self._tokenizer = self._make_tokenizer()
        return self._tokenizer


def build_encoder(
    open_clip: ModuleType, name: str, config: Config, weights: Path, precision: str
) -> OpenClipEncoder:
    """The model that a config describes, on the CPU, with the weights of a file."""
    content = {"model_cfg": config.model_cfg, "preprocess_cfg": config.preprocess_cfg}
    try:
        # Only by way of a folder does open_clip build from a config that is not its own.
        with quiet(), tempfile.TemporaryDirectory() as folder:
            Path(folder, "open_clip_config.json").write_text(json.dumps(content), encoding="utf-8")
            model = open_clip.create_model(
                f"local-dir:{folder}", precision=precision, pretrained_text=False
            )
        open_clip.load_checkpoint(model, str(weights), weights_only=True)
        dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]
        tokenizer = partial(
            build_tokenizer, open_clip, config.model_cfg["text_cfg"], weights.parent, name
        )
        return OpenClipEncoder(name, model, dtype, tokenizer)
    except DriftError:
        raise
    except Exception as error:  # a config may say anything, and open_clip checks nothing of it
        reason = " ".join(str(error).split())[:200]
        raise DriftError(
            f"{weights.name} does not fit the architecture that its config or name tells "
            f"({reason}): use the open_clip_config.json that belongs to it."
        ) from error


def _per_colour(values) -> tuple[float, float, float]:
    red, green, blue = map(float, values)
    return red, green, blue


def resolve_precision(precision: str, device: str | torch.device) -> str:
    """What `auto` means on a device; any other precision as it is."""
    if precision not in PRECISIONS:
        raise DriftError(f"precision is {precision!r}: choose one of {', '.join(PRECISIONS)}.")
    if precision != "auto":
        return precision
    return "fp32" if torch.device(device).type == "cpu" else "fp16"
