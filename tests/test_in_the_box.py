"""What the pack brings: models that every loader lists, a clip to begin with, the demo of both."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from pack.clip_drift.files import load_drift
from pack.workshop.examples import demo
from pack.workshop.examples.example_clip import FILE, example_scenes
from pack.workshop.examples.workflows.models import MINI_CLIP, MINI_DECODER, MINI_MOVQ, MINI_PRIOR
from pack.workshop.rig.paths import MODELS
from pack.workshop.world.scenes import measure, nearest_colour, render
from PIL import Image

KINDS = [folder.name for folder in MODELS.glob("*") if folder.is_dir()]


# --- Models ---------------------------------------------------------------------------------------


def test_loaders_list_the_packs_models_and_load_them(pack):
    files = pack.kandinsky22.nodes.decoder
    assert MINI_CLIP in pack.nodes.encoder.model_names()
    assert MINI_DECODER in files.choices("unet")
    assert MINI_MOVQ in files.choices("movq")
    assert MINI_PRIOR in files.choices("prior")

    clip = pack.nodes.encoder.ClipDriftLoadOpenCLIP.execute(MINI_CLIP, "auto", False)[0]
    model, vae = files.Kandinsky22LoadDecoder.execute(MINI_DECODER, MINI_MOVQ, "default", True)
    prior = pack.kandinsky22.nodes.prior.Kandinsky22LoadPrior.execute(MINI_PRIOR)[0]

    assert clip.encode(torch.zeros(1, 64, 64, 3, dtype=torch.uint8)).shape == (1, prior.embedding)
    assert model.model.diffusion_model.embed_dim == prior.embedding
    assert model.model.latent_format.latent_channels == vae.latent_channels


@pytest.mark.parametrize("kind", KINDS)
def test_comfyui_saves_into_the_users_folders_not_the_packs(pack, kind):
    import folder_paths

    first, *_, last = folder_paths.get_folder_paths(kind)
    assert Path(first).is_relative_to(folder_paths.models_dir)
    assert Path(last) == MODELS / kind


# --- The clip -------------------------------------------------------------------------------------


def test_the_clip_shows_its_scenes():
    with av.open(str(FILE)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.average_rate) == ("h264", 8)
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    scenes = example_scenes()
    shown = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2) / 255
    found = measure(shown)

    # Colours in 8 bits of limited range are up to 2 off, and H.264 adds its own.
    assert (shown - render(scenes, 256)).abs().mean() < 3 / 255
    assert (found.x - scenes.x).abs().max() < 0.5 / 256
    assert (found.y - scenes.y).abs().max() < 0.5 / 256
    assert (nearest_colour(found.rgb) == scenes.colour).all()
    assert scenes.x[0] == scenes.x.min()  # far left, where the prompt begins too
    assert scenes.y[0] == pytest.approx(0.5)


@pytest.fixture
def offered(pack, monkeypatch):
    """Loads the pack, as far as its clip goes, beside an input folder; gives the clip there."""
    import folder_paths

    def load(folder: Path) -> Path:
        monkeypatch.setattr(folder_paths, "input_directory", str(folder))
        pack.nodes.core.folders.offer_example_clip()
        return folder / FILE.name

    return load


def test_the_clip_is_put_among_the_input_files(offered, tmp_path):
    assert offered(tmp_path).read_bytes() == FILE.read_bytes()
    assert offered(tmp_path).read_bytes() == FILE.read_bytes()


def test_a_users_own_file_of_that_name_stays(offered, tmp_path):
    (tmp_path / FILE.name).write_bytes(b"mine")
    assert offered(tmp_path).read_bytes() == b"mine"


def test_an_input_folder_that_cannot_be_written_is_a_warning(offered, tmp_path, caplog):
    (tmp_path / "input").write_text("a file, where no one can put another")
    with caplog.at_level(logging.WARNING):
        offered(tmp_path / "input")
    assert "could not put its example clip into the input folder" in caplog.text


# --- On a server ----------------------------------------------------------------------------------


def test_the_demo_needs_nothing_but_the_pack(server, tmp_path):
    rendered = demo.render(server)

    assert set(rendered.files) == {
        "clip.mp4",
        "side_by_side.mp4",
        "strip.png",
        "report.png",
        "comparison.png",
        "drift.safetensors",
    }
    assert rendered.files["clip.mp4"] == FILE.read_bytes()
    both = demo.frames_of(rendered.files["side_by_side.mp4"])
    assert [frame.shape for frame in both] == [(256, 520, 3)] * 16
    # The clip is on the left, encoded once more.
    assert np.abs(both[3][:, :250].astype(int) - rendered.clip[3][:, :250]).mean() < 4
    assert [frame.shape for frame in rendered.drawn] == [(64, 64, 3)] * 16
    for name in ("strip.png", "report.png", "comparison.png"):
        assert min(Image.open(io.BytesIO(rendered.files[name])).size) > 300
    assert rendered.verdict.endswith(".")
    assert 0 < rendered.seconds < 600
    (tmp_path / "drift.safetensors").write_bytes(rendered.files["drift.safetensors"])
    drift = load_drift(tmp_path / "drift.safetensors")
    assert len(drift) == 16
    assert drift.times[-1] == pytest.approx(15 / 8)
