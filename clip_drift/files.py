"""Drift files: `.safetensors` only, so that a file from a stranger can run no code."""

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from .drift import Drift
from .errors import DriftError, WrongFileError
from .whole_file import whole_file

FORMAT = "clip_drift"
VERSION = "1"
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def save_drift(drift: Drift, path: str | os.PathLike) -> None:
    """Write a drift; the file is there whole or not at all.

    Args:
        path: ends in `.safetensors`; its folder exists.
    """
    tensors = {"embeddings": drift.embeddings.contiguous(), "times": drift.times.contiguous()}
    if drift.thumbnails is not None:
        tensors["thumbnails"] = drift.thumbnails.contiguous()
    # Only the base name: a shared file should not tell where its maker's videos lie.
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "encoder": drift.encoder,
        "source": " + ".join(
            name.replace("\\", "/").rsplit("/", 1)[-1] for name in drift.source.split(" + ")
        ),
    }
    with whole_file(path) as file:
        file.write(save(tensors, metadata))


def load_drift(path: str | os.PathLike) -> Drift:
    """Read a drift file.

    Raises:
        WrongFileError: not a safetensors file, or not a drift.
        DriftError: no such file, a later version's, or one that is damaged.
    """
    path = Path(path)
    name = path.name
    if not path.is_file():
        raise DriftError(f"drift file {name} does not exist: choose another.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise WrongFileError(f"{name} is a safetensors file but not a CLIP drift.")
            if metadata.get("version") != VERSION:
                raise DriftError(
                    f"{name} is a drift of format version {metadata.get('version')}, where "
                    f"version {VERSION} is read here: update CLIP Drift."
                )
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise WrongFileError(
            f"{name} is not a readable safetensors file ({error}), it is damaged or something else."
        ) from error
    if not all(key in tensors and tensors[key].dtype in FLOATS for key in ("embeddings", "times")):
        raise DriftError(f"{name} lacks a drift's embeddings and times: it is damaged.")
    try:
        return Drift.from_embeddings(
            tensors["embeddings"],
            tensors["times"],
            tensors.get("thumbnails"),
            metadata.get("encoder", ""),
            metadata.get("source", ""),
        )
    except DriftError as error:
        raise DriftError(f"{name} is damaged: {error}") from error
