"""Attend to First Frame on SD 1.5's layout in a running ComfyUI: five ways to sample the frames.

Batch, list, chunks, loop and core's context windows, with a prompt and a noise that drift.
"""

import pytest
import torch
from pack.farm.client import node
from pack.workshop.rig import prompts
from safetensors.torch import load

FRAMES = 3
SAME = 5e-4  # of the largest number


@pytest.fixture(scope="module")
def video(server, sample_clip) -> str:
    return server.upload(sample_clip)


def sampling(positive: list, latent: list, video: str) -> dict:
    """The walks, sampled by a model that attends to the first frame."""
    graph = prompts.walks(video, FRAMES) | prompts.sampled(positive, latent)
    graph["attend"] = node(
        "ClipDriftAttendFirst",
        model=["model", 0],
        mode="first and own",
        strength=0.8,
        start_percent=0.0,
        end_percent=1.0,
        blocks="all",
    )
    graph["guider"]["inputs"]["model"] = ["attend", 0]
    return graph


def listed(video: str, start: int, count: int) -> dict:
    cut = {"conditioning": ["walk", 0], "latent": ["noise", 1], "start": start, "count": count}
    graph = sampling(["frames", 0], ["frames", 1], video)
    graph["frames"] = node("ClipDriftFrames", **cut, anchor=True)
    graph["own"] = node("LatentFromBatch", samples=["sample", 0], batch_index=-1, length=1)
    return graph


def latents(server, graph: dict, source: str = "sample") -> torch.Tensor:
    entry = server.run(graph | prompts.saved_latents([source, 0]))
    files = entry["outputs"]["saved"]["latents"]
    return torch.cat([load(server.view(**file))["latent_tensor"] for file in files])


def apart(a: torch.Tensor, b: torch.Tensor) -> float:
    assert a.shape == b.shape
    return float((a - b).abs().max() / b.abs().max())


@pytest.fixture(scope="module")
def batch(server, video) -> torch.Tensor:
    return latents(server, sampling(["walk", 0], ["noise", 1], video))


def test_it_changes_the_frames(server, video, batch):
    plain = prompts.walks(video, FRAMES) | prompts.sampled(["walk", 0], ["noise", 1])
    steps = [apart(a, b) for a, b in zip(batch, latents(server, plain), strict=True)]
    print(f"with and without, frame by frame: {[f'{step:.1e}' for step in steps]}")
    assert steps[0] < SAME
    assert min(steps[1:]) > 20 * SAME


def test_list_in_chunks(server, video, batch):
    frames = torch.cat([latents(server, listed(video, *cut), "own") for cut in ((0, 1), (1, 9))])
    print(f"list in chunks against batch: {apart(frames, batch):.1e}")
    assert apart(frames, batch) < SAME


def test_loop(server, video, batch):
    graph = sampling(["start", 1], ["start", 2], video)
    given = {"conditioning": ["walk", 0], "latent": ["noise", 1], "feedback": 0.0, "anchor": True}
    graph["start"] = node("ClipDriftLoopStart", **given)
    graph["end"] = node("ClipDriftLoopEnd", loop=["start", 0], latent=["sample", 0])
    frames = latents(server, graph, "end")
    print(f"loop against batch: {apart(frames, batch):.1e}")
    assert apart(frames, batch) < SAME


def test_context_windows(server, video, batch):
    """Core's own node, after ours; frame 0 is in the first window only."""
    graph = sampling(["walk", 0], ["noise", 1], video)
    graph["windows"] = node(
        "ContextWindowsManual",
        model=["attend", 0],
        context_length=2,
        context_overlap=1,
        context_schedule="standard_static",
        context_stride=1,
        closed_loop=False,
        fuse_method="pyramid",
        dim=0,
        freenoise=False,
        cond_retain_index_list="",
        split_conds_to_windows=False,
        latent_retain_index_list="",
        causal_window_fix=True,
    )
    graph["guider"]["inputs"]["model"] = ["windows", 0]
    frames = latents(server, graph)
    print(f"windows against batch: {apart(frames, batch):.1e}")
    assert apart(frames, batch) < SAME
    assert "Context window 2/2" in server.log()
