"""Writing a file so that it is there whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[IO[bytes]]:
    """A file to write, itself or by its `name`, which takes its place when the block ends; if that
    fails, none is left.

    Args:
        path: its folder exists. A file that is there already stays until then.
    """
    path = Path(path)
    with tempfile.NamedTemporaryFile(
        dir=path.parent, prefix=".", suffix=".unfinished", delete=False
    ) as file:
        try:
            yield file
            file.close()
            os.chmod(file.name, 0o666 & ~_umask())  # a temporary file is its owner's alone
            os.replace(file.name, path)
        finally:
            file.close()
            Path(file.name).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
