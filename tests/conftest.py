"""What the tests share: the library as an importable module, a real server, real video files."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest
from pack.workshop.rig import clips, in_process, weights
from pack.workshop.rig.paths import BASE_DIR, REPO
from pack.workshop.rig.server import ComfyServer

# A deadline for each example fails on a busy machine; pytest-timeout watches over whole tests.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """ComfyUI's models folder, with the random weights in it."""
    weights.ensure(BASE_DIR / "models")
    return BASE_DIR / "models"


@pytest.fixture(scope="session")
def pack(models_dir: Path):
    """The pack's nodes, imported beside ComfyUI's modules in this process (see in_process.py)."""
    return in_process.import_pack()


@pytest.fixture(scope="session")
def server(models_dir: Path, tmp_path_factory: pytest.TempPathFactory):
    """A real ComfyUI with this pack, the random weights, and folders of its own."""
    with ComfyServer(tmp_path_factory.mktemp("comfyui")) as running:
        yield running


@pytest.fixture(scope="session")
def sample_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An H.264 clip of two seconds: 48 frames of a ball that moves, grows and changes colour."""
    return clips.sample_clip(tmp_path_factory.mktemp("clips") / "ball.mp4")


@pytest.fixture(scope="session")
def shared_videos() -> Path:
    """The folder of real clips; they lie beside the checkout and are not part of it."""
    for folder in (REPO.parent / "shared" / "video", REPO / "shared" / "video"):
        if folder.is_dir():
            return folder
    pytest.skip("there is no folder shared/video beside the repository")
