"""Our walks and noise under AnimateDiff-Evolved's motion module, in one real server.

That pack is not ours and not part of the repository: put a checkout of
github.com/Kosinkadink/ComfyUI-AnimateDiff-Evolved at .run/AnimateDiff-Evolved, or say in
ANIMATEDIFF_EVOLVED_PATH where it is. Without one the tests are skipped.
"""

import os
from functools import cache
from pathlib import Path

import pytest
import torch
from pack.farm.client import node
from pack.workshop.rig import prompts
from pack.workshop.rig.paths import PACK, REPO, RUN_DIR
from pack.workshop.rig.server import ComfyServer
from pack.workshop.rig.weights_animatediff import motion_module
from safetensors.torch import load

FRAMES = 3
OTHER = "animatediff-evolved"
SOURCE = Path(os.environ.get("ANIMATEDIFF_EVOLVED_PATH") or RUN_DIR / "AnimateDiff-Evolved")

pytestmark = pytest.mark.skipif(
    not (SOURCE / "__init__.py").is_file(),
    reason=f"no AnimateDiff-Evolved at {SOURCE}: clone it there, or set ANIMATEDIFF_EVOLVED_PATH",
)


@pytest.fixture(scope="module")
def both(models_dir, tmp_path_factory):
    """A server with the two packs, and two motion modules: one that does nothing, one random."""
    folder = tmp_path_factory.mktemp("animatediff")
    packs = folder / "base" / "custom_nodes"
    packs.mkdir(parents=True)
    (packs / PACK).symlink_to(REPO)
    (packs / OTHER).symlink_to(SOURCE)
    models = folder / "base" / "models"
    models.mkdir()  # of its own: the other pack makes folders in it
    for each in models_dir.iterdir():
        (models / each.name).symlink_to(each)
    (models / "animatediff_models").mkdir()
    motion_module(models / "animatediff_models" / "still.safetensors", works=False)
    motion_module(models / "animatediff_models" / "random.safetensors", works=True)
    with ComfyServer(folder / "work", base_dir=folder / "base", packs=(PACK, OTHER)) as running:
        yield running


def clip(video: str, motion: str | None, strength: float) -> dict:
    """A walk of three prompts with noise that drifts, with or without a motion module."""
    graph = prompts.walks(video, FRAMES) | prompts.sampled(["walk", 0], ["noise", 1], steps=1)
    graph["walk"]["inputs"]["strength"] = strength
    if motion is not None:
        graph |= {
            "motion": node("ADE_LoadAnimateDiffModel", model_name=f"{motion}.safetensors"),
            "applied": node("ADE_ApplyAnimateDiffModelSimple", motion_model=["motion", 0]),
            "animated": node(
                "ADE_UseEvolvedSampling",
                model=["model", 0],
                beta_schedule="use existing",
                m_models=["applied", 0],
            ),
        }
        for user in ("guider", "sigmas"):
            graph[user]["inputs"]["model"] = ["animated", 0]
    return graph


@pytest.fixture(scope="module")
def drawn(both, sample_clip):
    video = both.upload(sample_clip)

    @cache
    def run(motion: str | None, strength: float) -> torch.Tensor:
        entry = both.run(clip(video, motion, strength) | prompts.saved_latents(["sample", 0]))
        (file,) = entry["outputs"]["saved"]["latents"]
        return load(both.view(**file))["latent_tensor"]

    return run


def test_a_motion_module_that_does_nothing_draws_the_plain_frames(drawn):
    """So prompts, noise and their order come through the other pack's sampling as they are."""
    plain, still = drawn(None, 1.0), drawn("still", 1.0)
    difference = float((still - plain).abs().max())
    print(f"still motion module against none: {difference:.1e}")
    assert plain.shape == (FRAMES, 4, 8, 8)
    assert difference < 2e-3  # of latents of size one, as in test_nodes.py


def test_under_a_motion_module_frames_follow_their_own_prompts(drawn):
    """From strength 0 to 1 frame 0 keeps its prompt, the others' are walked away from it."""
    same, walked = drawn("random", 0.0), drawn("random", 1.0)
    assert (walked - drawn("still", 1.0)).abs().max() > 0.05  # the module takes part
    moved = (walked - same).flatten(1).norm(dim=1) / same.flatten(1).norm(dim=1)
    print(f"frames moved by {[f'{float(share):.3f}' for share in moved]}")
    assert moved[0] < 0.5 * moved[1:].min()
