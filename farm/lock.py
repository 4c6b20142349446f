"""A folder for one process at a time."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import BinaryIO

from .errors import FarmError

NAME = ".lock"

if sys.platform == "win32":
    import msvcrt

    def _try(file: BinaryIO) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _try(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class FolderLock:
    """Held by the operating system, so that it ends with the process, however that ends."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._file: BinaryIO | None = None

    def take(self) -> None:
        """Take the folder.

        Raises:
            FarmError: another process has it.
        """
        file = (self._folder / NAME).open("ab")
        try:
            _try(file)
        except OSError as error:
            file.close()
            raise FarmError(
                f"another command is rendering into {self._folder}: wait for it, or choose another "
                "folder."
            ) from error
        self._file = file

    def release(self) -> None:
        """Let others take it."""
        if self._file is not None:
            self._file.close()
            self._file = None
