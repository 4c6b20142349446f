"""The folder of a render: its frames, and the manifest that says which are done.

Whatever happens, a file under its own name is whole: it is written under another name, flushed to
the disk, and renamed. A frame that is there but not in the manifest (the command was killed between
the two) is taken in when the folder is opened again, since the manifest that says what is rendered
is always the older one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import FarmError
from .lock import FolderLock
from .png import is_whole

MANIFEST = "manifest.json"
VERSION = 1
FRAME = re.compile(r"frame_(\d{6,})\.png")
HALF_WRITTEN = ".part"
WRITERS = 8


def frame_name(index: int) -> str:
    """The file of a frame."""
    return f"frame_{index:06d}.png"


@dataclass
class Manifest:
    """What a folder holds: enough to go on, and to see that a workflow is another one.

    Attributes:
        source: SHA-256 of the workflow's file, and the options that choose what is rendered of it.
        prompt: the rendered part of the workflow; files that it reads stand as their digests.
        files: SHA-256 by name of every file that the prompt reads.
        first, limit: of which frames the workflow asks for, and how many (0 for all that follow).
        total: how many there are.
        rate: the video's frames per second.
        frames: SHA-256 and size in bytes of each frame that is done, by its index.
        video: SHA-256 of what the video was made of, where it has been made.
    """

    source: dict[str, Any]
    prompt: dict[str, Any]
    files: dict[str, str]
    seeds: dict[str, int]
    first: int
    limit: int
    total: int
    rate: float
    frames: dict[int, tuple[str, int]] = field(default_factory=dict)
    video: str = ""

    def missing(self) -> list[int]:
        """The frames still to be rendered."""
        wanted = range(self.first, self.first + self.total)
        return [index for index in wanted if index not in self.frames]

    def digest(self) -> str:
        """One digest of all the frames that are done, and of the rate."""
        parts = [self.rate, *(self.frames[index][0] for index in sorted(self.frames))]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class RenderFolder:
    """A folder that one command at a time renders into; a context manager.

    `again` forgets what is there, once `begin` is called.

    Raises:
        FarmError: on entry, where it cannot be made or another command uses it; from every method
            that writes, where the disk is full or cannot be written.
    """

    def __init__(self, path: Path, again: bool = False):
        self.path = path
        self._again = again
        self.manifest: Manifest | None = None
        self._lock = FolderLock(path)

    def __enter__(self) -> RenderFolder:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.take()
            for half in self.path.glob(f"*{HALF_WRITTEN}"):
                half.unlink()
        except OSError as error:
            raise self._refused(error) from error
        try:
            self.manifest = None if self._again else self._read()
            self._refuse_strange_frames()
        except FarmError:
            self._lock.release()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def begin(self, manifest: Manifest) -> None:
        """Start anew: the old frames go first, so that none is ever taken for one of these."""
        try:
            (self.path / MANIFEST).unlink(missing_ok=True)
            for index in self.frames_there():
                (self.path / frame_name(index)).unlink()
        except OSError as error:
            raise self._refused(error) from error
        self.manifest = manifest
        self.save()

    def frames_there(self) -> list[int]:
        """The indices of the frames whose files are there."""
        matches = (FRAME.fullmatch(path.name) for path in self.path.iterdir())
        return sorted(int(match[1]) for match in matches if match)

    def check(self, digests: bool = False) -> None:
        """Make the manifest say what is there.

        A frame whose file is gone or has another size is to be rendered again; one that is there
        and whole but not listed is done. With `digests`, every frame is read and compared.
        """
        manifest = self.require_manifest()
        wanted = set(range(manifest.first, manifest.first + manifest.total))
        there = set(self.frames_there())
        before = dict(manifest.frames)
        for index, (digest, size) in before.items():
            if index not in there or not self._is_same(index, digest, size, digests):
                del manifest.frames[index]
        for index in (there & wanted) - before.keys():
            content = (self.path / frame_name(index)).read_bytes()
            if is_whole(content):
                manifest.frames[index] = (_digest(content), len(content))
        if manifest.frames != before:
            self.save()

    def keep(self, frames: dict[int, bytes]) -> None:
        """Write frames, then the manifest that lists them."""
        manifest = self.require_manifest()
        with ThreadPoolExecutor(WRITERS) as writers:  # a flushed file is mostly waiting
            list(writers.map(self._write, map(frame_name, frames), frames.values()))
        for index, content in frames.items():
            manifest.frames[index] = (_digest(content), len(content))
        self.save()

    def save(self) -> None:
        """Write the manifest."""
        manifest = self.require_manifest()
        frames = {str(index): manifest.frames[index] for index in sorted(manifest.frames)}
        text = json.dumps({"version": VERSION, **vars(manifest), "frames": frames}, indent=1)
        self._write(MANIFEST, text.encode())

    def require_manifest(self) -> Manifest:
        """The manifest, once there is one."""
        assert self.manifest is not None
        return self.manifest

    # --- inside -----------------------------------------------------------------------------------

    def _refuse_strange_frames(self) -> None:
        if self.manifest is None and not self._again and self.frames_there():
            raise FarmError(
                f"{self.path} holds frames but no {MANIFEST}: choose another folder for --out, or "
                "let --again replace them."
            )

    def _is_same(self, index: int, digest: str, size: int, read: bool) -> bool:
        path = self.path / frame_name(index)
        if path.stat().st_size != size:
            return False
        return not read or _digest(path.read_bytes()) == digest

    def _write(self, name: str, content: bytes) -> None:
        half = self.path / f"{name}{HALF_WRITTEN}"
        try:
            with half.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            half.replace(self.path / name)
        except OSError as error:
            with contextlib.suppress(OSError):
                half.unlink()
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> FarmError:
        return FarmError(
            f"{self.path} cannot be written ({error.strerror or error}): put that right and call "
            "the same command again; what is done is kept."
        )

    def _read(self) -> Manifest | None:
        path = self.path / MANIFEST
        if not path.exists():
            return None
        try:
            stored = json.loads(path.read_bytes())
            version = stored.pop("version")
            frames = {int(index): _entry(*each) for index, each in stored.pop("frames").items()}
            manifest = Manifest(**stored, frames=frames)
            whole = version == VERSION and _is_sound(manifest)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            whole = False
        if not whole:
            raise FarmError(f"{path} is not a manifest of this version: choose another folder.")
        return manifest


def _entry(digest: str, size: int) -> tuple[str, int]:
    if not isinstance(digest, str) or not isinstance(size, int):
        raise TypeError
    return digest, size


def _is_sound(manifest: Manifest) -> bool:
    kinds = {"source": dict, "prompt": dict, "files": dict, "seeds": dict, "video": str}
    numbers = (manifest.first, manifest.limit, manifest.total)
    return (
        all(isinstance(getattr(manifest, name), kind) for name, kind in kinds.items())
        and all(type(number) is int and 0 <= number <= 10**8 for number in numbers)
        and isinstance(manifest.rate, (int, float))
        and 0 < manifest.rate < 1000
    )


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
