"""The files of ComfyUI's input folder that a prompt reads: found here, sent along, told apart."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from .errors import FarmError
from .graph import Prompt
from .plan import Infos, is_file_input, specs_of

SUBFOLDER = "clip-drift"
"""Where in the input folder they are put."""
CHOSEN = 16
"""So many digits of the digest make the name that a file is put under."""


@dataclass(frozen=True)
class InputFile:
    """A file that some node reads.

    Attributes:
        name: as the prompt has it.
        digest: SHA-256.
        content: gives its bytes; None where they are on the server and nowhere else.
    """

    name: str
    digest: str
    content: Callable[[], bytes] | None

    @property
    def sent_name(self) -> str:
        """The name that it is sent under: another file never has the same."""
        return f"{self.digest[:CHOSEN]}{PurePosixPath(self.name).suffix}"


def file_inputs(prompt: Prompt, infos: Infos) -> Iterator[tuple[str, str, str]]:
    """Node, input and value of every input that names a file of the input folder."""
    for node_id, node in sorted(prompt.items()):
        for name, spec in specs_of(infos, node["class_type"]).items():
            value = node["inputs"].get(name)
            if isinstance(value, str) and is_file_input(node["class_type"], name, spec):
                yield node_id, name, value


def find_local(names: Sequence[str], folders: Sequence[Path]) -> dict[str, InputFile]:
    """The files that lie in one of the folders, by name.

    A name that leads out of a folder is not looked up: it is a stranger's.
    """
    found = {}
    for name in names:
        path = next(_candidates(name, folders), None)
        if path is not None:
            found[name] = InputFile(name, file_digest(path), path.read_bytes)
    return found


def _candidates(name: str, folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        try:
            path = (folder / name).resolve()
            if path.is_relative_to(folder.resolve()) and path.is_file():
                yield path
        except (OSError, ValueError, RuntimeError):  # no name that this system could have
            continue


def file_digest(path: Path) -> str:
    """SHA-256 of a file, read piece by piece."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(2**20):
                digest.update(piece)
    except OSError as error:
        raise FarmError(f"{path} cannot be read: {error.strerror}.") from error
    return digest.hexdigest()


def with_values(prompt: Prompt, infos: Infos, values: dict[str, str]) -> Prompt:
    """The prompt with other names for its files; those not given stay."""
    changed: dict[str, dict[str, Any]] = dict(prompt)
    for node_id, name, value in file_inputs(prompt, infos):
        if value in values:
            node = changed[node_id]
            changed[node_id] = {**node, "inputs": {**node["inputs"], name: values[value]}}
    return changed
