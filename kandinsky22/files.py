"""Kandinsky 2.2's weight files: whether one is what is asked for, whole, and its config.json."""

import json
import math
import os
from pathlib import Path
from typing import TypeVar

from ..clip_drift.errors import DriftError, WrongFileError
from ..clip_drift.weight_files import HUB_NAMES, Header, Shapes
from ..clip_drift.weight_kinds import describe, recognise

Number = TypeVar("Number", int, float)

NEEDED = {
    "decoder": "a Kandinsky 2.2 decoder (the UNet of kandinsky-2-2-decoder or of "
    "kandinsky-2-2-decoder-inpaint)",
    "prior": "a Kandinsky 2.2 prior (the folder prior of kandinsky-2-2-prior)",
    "movq": "Kandinsky 2.2's MoVQ (the folder movq of kandinsky-2-2-decoder)",
}


def require_kind(header: Header, kind: str) -> None:
    """Raise unless a file is of a kind; says what the file is, and what is needed.

    Args:
        kind: `decoder`, `prior` or `movq`.

    Raises:
        WrongFileError: it is of another.
    """
    found = recognise(header.shapes)
    if found != f"kandinsky {kind}":
        raise WrongFileError(
            f"{header.name} is {describe(header.shapes)}, where {NEEDED[kind]} is needed.", found
        )


def require_tensors(header: Header, shapes: Shapes) -> None:
    """Raise unless a file holds every tensor of a model in its shape; more tensors do no harm.

    Args:
        shapes: the model's, which may have been built on the meta device.

    Raises:
        DriftError: a tensor is missing, or has another shape.
    """
    for name, shape in shapes.items():
        found = header.shapes.get(name)
        if found != tuple(shape):
            has = "lacks the tensor" if found is None else f"holds {list(found)} as"
            raise DriftError(
                f"{header.name} {has} {name}, where the model needs {list(shape)}: "
                "the file is incomplete or of another model, choose another."
            )


def count_numbered(shapes: Shapes, prefix: str) -> int:
    """How many numbered modules there are behind a prefix."""
    return len({name[len(prefix) :].split(".")[0] for name in shapes if name.startswith(prefix)})


def config_beside(path: str | os.PathLike) -> dict:
    """The model's .json: `config.json` in a hub folder, otherwise the file's own name; {} if none.

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


def setting(config: dict, key: str, official: Number) -> Number:
    """What weights cannot tell: the .json's number, or the official one where it has none.

    Args:
        config: of `config_beside`.
        official: a whole number if only such are right.

    Raises:
        DriftError: it is not a number, not whole where it must be, or not above 0.
    """
    value: Number = config.get(key, official)
    whole = isinstance(official, int)
    kinds = int if whole else (int, float)
    if not isinstance(value, kinds) or isinstance(value, bool) or not 0 < value < math.inf:
        raise DriftError(
            f"the .json beside the weights says that {key} is {value!r}, where a "
            f"{'whole ' if whole else ''}number above 0 is needed: use the model's own config.json."
        )
    return value
