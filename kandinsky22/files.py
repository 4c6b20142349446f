"""What a Kandinsky 2.2 weight file holds, read from its header alone, and what a wrong one is."""

import json
import math
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ..clip_drift.errors import DriftError

ENDING = ".safetensors"
HUB_NAMES = (f"diffusion_pytorch_model{ENDING}", f"diffusion_pytorch_model.fp16{ENDING}")
"""The weights' names in the hub's folders, the preferred one first."""

Shapes = dict[str, tuple[int, ...]]
Number = TypeVar("Number", int, float)

_LENGTH = 8  # bytes, in which a safetensors file says how long its header is
_LONGEST = 100_000_000  # bytes of header, the format's own limit
_BITS = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "BOOL": 8, "BF16": 16}


@dataclass(frozen=True)
class Header:
    """What a weight file says about its tensors. Immutable.

    Attributes:
        path: the file.
        shapes: each tensor's shape.
        dtypes: each tensor's type in safetensors' words, such as ``F32`` or ``F8_E4M3``.
    """

    path: Path
    shapes: Shapes
    dtypes: dict[str, str]

    @property
    def name(self) -> str:
        """The file as a user knows it; the hub calls all alike, so there the folders count too."""
        return "/".join(self.path.parts[-3:]) if self.path.name in HUB_NAMES else self.path.name

    @property
    def parameters(self) -> int:
        """How many numbers the file holds."""
        return sum(map(math.prod, self.shapes.values()))

    @property
    def dtype_counts(self) -> dict[str, int]:
        """How many numbers are stored as each type, the most frequent first."""
        counts: Counter[str] = Counter()
        for name, dtype in self.dtypes.items():
            counts[dtype] += math.prod(self.shapes[name])
        return dict(counts.most_common())


def read_header(path: str | os.PathLike) -> Header:
    """Read a safetensors file's header, and none of its tensors.

    Raises:
        DriftError: no such file, a pickle, something else, or a file that is cut short.
    """
    path = Path(path)
    if not path.is_file():
        raise DriftError(f"there is no file {path.name}: choose another.")
    size = path.stat().st_size
    with path.open("rb") as file:
        start, first = file.read(_LENGTH), file.read(1)
        length = int.from_bytes(start, "little")
        if first != b"{" or not 2 <= length <= _LONGEST:
            _refuse_pickle(path, start)
            raise _no_safetensors(path)
        text = first + file.read(length - 1)
    _refuse_pickle(path)
    if len(text) < length:
        raise _cut_short(path, size, _LENGTH + length)
    try:
        entries = json.loads(text)
        entries.pop("__metadata__", None)
        shapes = {name: tuple(map(_count, entry["shape"])) for name, entry in entries.items()}
        dtypes = {name: str(entry["dtype"]) for name, entry in entries.items()}
        ends = [_end_of(entries[name], shapes[name]) for name in entries]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _no_safetensors(path) from error
    needed = _LENGTH + length + max(ends, default=0)
    if size < needed:
        raise _cut_short(path, size, needed)
    return Header(path, shapes, dtypes)


def _refuse_pickle(path: Path, start: bytes = b"") -> None:
    """Raise for torch.save's archive or bare pickle, and for any ending but safetensors'."""
    pickled = start.startswith(
        (b"PK\x03\x04", *(bytes((0x80, protocol)) for protocol in range(2, 6)))
    )
    if pickled or path.suffix.lower() != ENDING:
        what = "is a pickle" if pickled else f"does not end in {ENDING}"
        raise DriftError(
            f"{path.name} {what}, and only {ENDING} files are read, since those can run no code: "
            f"use the same weights as a {ENDING} file."
        )


def _count(number) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise ValueError(number)
    return number


def _end_of(entry: dict, shape: tuple[int, ...]) -> int:
    """Where a tensor ends, in bytes after the header; it must be as long as its shape says."""
    start, end = map(_count, entry["data_offsets"])
    dtype = entry["dtype"]
    digits = dtype.lstrip("FIUC").partition("_")[0]
    bits = _BITS.get(dtype) or int(digits)
    if (end - start) * 8 != math.prod(shape) * bits:
        raise ValueError(entry)
    return end


def _no_safetensors(path: Path) -> DriftError:
    return DriftError(
        f"{path.name} is not a safetensors file, it is damaged or something else: download the "
        "weights again."
    )


def _cut_short(path: Path, size: int, needed: int) -> DriftError:
    return DriftError(
        f"{path.name} is cut short, it has {size:,} of at least {needed:,} bytes: download it "
        "again."
    )


NEEDED = {
    "decoder": "a Kandinsky 2.2 decoder (the UNet of kandinsky-2-2-decoder or of "
    "kandinsky-2-2-decoder-inpaint)",
    "prior": "a Kandinsky 2.2 prior (the folder prior of kandinsky-2-2-prior)",
    "movq": "Kandinsky 2.2's MoVQ (the folder movq of kandinsky-2-2-decoder)",
}


def require_kind(header: Header, kind: str, input_name: str) -> None:
    """Raise unless a file is of a kind; names the input, what the file is, and what is needed.

    Args:
        kind: ``decoder``, ``prior`` or ``movq``.
        input_name: the node's input that the file was chosen in.
    """
    found, what = _recognise(header.shapes)
    if found != kind:
        raise DriftError(
            f"{input_name} {header.name} is {what}, where {NEEDED[kind]} is needed: choose another "
            "file."
        )


def require_tensors(header: Header, shapes: Shapes, input_name: str) -> None:
    """Raise unless a file holds every tensor of a model in its shape; more tensors do no harm.

    Args:
        shapes: the model's, which may have been built on the meta device.
    """
    for name, shape in shapes.items():
        found = header.shapes.get(name)
        if found != tuple(shape):
            has = "lacks the tensor" if found is None else f"holds {list(found)} as"
            raise DriftError(
                f"{input_name} {header.name} {has} {name}, where the model needs {list(shape)}: "
                "the file is incomplete or of another model, choose another."
            )


def _recognise(shapes: Shapes) -> tuple[str | None, str]:
    """The kind of our own that a file is, or None, and what to call the file."""
    for recognise in (_kandinsky, _adapter, _unet, _vae, _encoder):
        found = recognise(shapes)
        if found:
            return found if isinstance(found, tuple) else (None, found)
    if not shapes:
        return None, "empty"
    return None, f"something unknown with {len(shapes)} tensors such as {next(iter(shapes))!r}"


def _kandinsky(shapes: Shapes) -> tuple[str | None, str] | None:
    if {"add_embedding.image_norm.weight", "conv_in.weight"} <= shapes.keys():
        if any(name.startswith("add_embedding.input_hint_block.") for name in shapes):
            return None, "a Kandinsky 2.2 decoder with depth control"
        if "encoder_hid_proj.image_embeds.weight" in shapes:
            return "decoder", "a Kandinsky 2.2 decoder"
    if {"add_embedding.text_proj.weight", "encoder_hid_proj.text_proj.weight"} <= shapes.keys():
        return None, "a Kandinsky 2.1 decoder"
    if {"prd_embedding", "clip_mean", "proj_to_clip_embeddings.weight"} <= shapes.keys():
        return "prior", "a Kandinsky 2.2 prior"
    if {"quantize.embedding.weight", "decoder.conv_norm_out.conv_y.weight"} <= shapes.keys():
        return "movq", "Kandinsky 2.2's MoVQ"
    return None


_ADAPTERS = ("lora_up.", "lora_down.", "lora_A.", "lora_B.", "_lora.up.", "_lora.down.", "lora.up.")


def _adapter(shapes: Shapes) -> str | None:
    if any(part in name for name in shapes for part in _ADAPTERS):
        return "a LoRA"
    if any(name.startswith(("control_model.", "controlnet_")) for name in shapes):
        return "a ControlNet"
    return None


_LDM = "model.diffusion_model."


def _unet(shapes: Shapes) -> str | None:
    bare = {name.removeprefix(_LDM) for name in shapes}
    if not {"input_blocks.0.0.weight", "time_embedding.linear_1.weight"} & bare or not (
        {"input_blocks.0.0.weight", "conv_in.weight"} & bare
    ):
        return None
    large = {"label_emb.0.0.weight", "add_embedding.linear_1.weight"} & bare
    parts = any(name.startswith(("first_stage_model.", "cond_stage_model.")) for name in shapes)
    return f"an {'SDXL' if large else 'SD'} {'checkpoint' if parts else 'UNet'}"


def _vae(shapes: Shapes) -> str | None:
    names = {name.removeprefix("first_stage_model."): shape for name, shape in shapes.items()}
    shape = names.get("decoder.conv_in.weight")
    if shape is None:
        return None
    channels = shape[1] if len(shape) > 1 else 0
    return "an SD VAE" if channels == 4 else f"a VAE of {channels} latent channels"


def _encoder(shapes: Shapes) -> str | None:
    if any(name.startswith("visual.") for name in shapes):
        return "an OpenCLIP model"
    if any(name.startswith("vision_model.") for name in shapes):
        return "a CLIP vision encoder"
    if any("text_model." in name or name == "text_projection.weight" for name in shapes):
        return "a text encoder"
    if "encoder.block.0.layer.0.SelfAttention.q.weight" in shapes:
        return "a text encoder"
    return None


def count_numbered(shapes: Shapes, prefix: str) -> int:
    """How many numbered modules there are behind a prefix."""
    return len({name[len(prefix) :].split(".")[0] for name in shapes if name.startswith(prefix)})


def config_beside(path: str | os.PathLike) -> dict:
    """The model's .json: ``config.json`` in a hub folder, else the file's own name; {} if none.

    Raises:
        DriftError: it is no JSON object.
    """
    path = Path(path)
    found = path.with_name("config.json") if path.name in HUB_NAMES else path.with_suffix(".json")
    if not found.is_file():
        return {}
    try:
        config = json.loads(found.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DriftError(f"{found.name} beside {path.name} is not valid JSON: {error}.") from error
    if not isinstance(config, dict):
        raise DriftError(f"{found.name} beside {path.name} holds no JSON object: replace it.")
    return config


def setting(config: dict, key: str, official: Number, input_name: str) -> Number:
    """What weights cannot tell: the .json's number, or the official one where it has none.

    Args:
        config: of :func:`config_beside`.
        official: a whole number if only such are right.
        input_name: the node's input that the file was chosen in.

    Raises:
        DriftError: it is not a number, not whole where it must be, or not above 0.
    """
    value: Number = config.get(key, official)
    whole = isinstance(official, int)
    kinds = int if whole else (int, float)
    if not isinstance(value, kinds) or isinstance(value, bool) or not 0 < value < math.inf:
        raise DriftError(
            f"the .json beside {input_name} says that {key} is {value!r}, where a "
            f"{'whole ' if whole else ''}number above 0 is needed: use the model's own config.json."
        )
    return value
