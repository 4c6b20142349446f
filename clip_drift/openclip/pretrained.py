"""open_clip's pretrained models: their names, the local caches, the download."""

import os
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from ..errors import DriftError
from .library import import_open_clip

NAMES = Path(__file__).with_name("pretrained.txt")


def pretrained_names() -> list[str]:
    """open_clip's pretrained models as "ARCHITECTURE/tag"; empty if it is not installed.

    Read from a list that is kept here, because importing open_clip takes seconds. It was written by

        python -c "import open_clip as o; print(*map('/'.join, o.list_pretrained()), sep='\\n')"
    """
    if find_spec("open_clip") is None:
        return []
    return NAMES.read_text(encoding="utf-8").split()


def is_pretrained(name: str) -> bool:
    """Whether the open_clip that is installed knows a model "ARCHITECTURE/tag".

    Raises:
        DriftError: it is not installed.
    """
    model_name, _, tag = name.partition("/")
    return bool(import_open_clip().get_pretrained_cfg(model_name, tag))


def find_cached(
    open_clip: ModuleType, pretrained: dict, cache_dir: str | os.PathLike | None
) -> Path | None:
    """Where a pretrained model's weights are on this computer, without asking the internet."""
    from huggingface_hub import try_to_load_from_cache

    hub_cache = None if cache_dir is None else Path(cache_dir)
    if pretrained.get("hf_hub"):
        repository, file = os.path.split(pretrained["hf_hub"])
        stem, ending = os.path.splitext(file or "open_clip_pytorch_model.bin")
        names = ["open_clip_model.safetensors"] * (not file)
        names += [f"{stem}.safetensors", f"{stem}{ending}"]
        for name in names:
            found = try_to_load_from_cache(repository, name, cache_dir=hub_cache)
            if isinstance(found, str):
                return Path(found)
    if pretrained.get("url"):
        folder = Path(cache_dir or "~/.cache/clip").expanduser()
        found = folder / os.path.basename(pretrained["url"])
        if found.is_file():
            return found
    return None


def download(
    open_clip: ModuleType, name: str, pretrained: dict, cache_dir: str | os.PathLike | None
) -> Path:
    """Fetch a pretrained model's weights; returns where they are now."""
    try:
        folder = None if cache_dir is None else str(cache_dir)
        return Path(open_clip.download_pretrained(pretrained, cache_dir=folder))
    except Exception as error:  # whatever the network and three libraries raise
        reason = " ".join(str(error).split())[:200]
        raise DriftError(
            f"{name} could not be downloaded ({reason}): check the connection, or load its weight "
            "file instead."
        ) from error
