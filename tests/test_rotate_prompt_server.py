"""Rotate Prompt in a running ComfyUI, before core's sampler: SD 1.5, SDXL and SD 3."""

from __future__ import annotations

import time

import pytest
import torch
from pack.farm.client import NodeError, node
from pack.tests.watching import watch
from pack.workshop.rig import prompts
from safetensors.torch import load

TEXT, CARRIER, FRAMES = "a red star", "in the middle", 3
WORDS = "on the left\non the right\nnear the lower edge"
SAME = 5e-4  # of the largest number: other batches round differently

CLIP_L, BIG_G = "random_as_clip_l.safetensors", "random_as_big_g.safetensors"
TEXT_ENCODERS = {
    "clip_name1": "random_clip_l.safetensors",
    "clip_name2": "random_big_g.safetensors",
    "type": "sd3",
}
LAYOUTS = {"sd15": (CLIP_L, "inversion"), "sdxl": (BIG_G, "inversion"), "sd3": (CLIP_L, "captions")}
"""Kind of model → what reads the clip, and the way through the text encoder."""


@pytest.fixture(scope="module")
def video(server, sample_clip) -> str:
    return server.upload(sample_clip)


def moved(video: str, kind: str, name: str = "moved", **settings) -> dict:
    """Clip → rotation → Rotate Prompt on a model of that kind."""
    encoder, through = LAYOUTS[kind]
    graph = prompts.rotation(video, FRAMES)
    graph["encoder"]["inputs"]["model"] = encoder
    graph["model"] = node("CheckpointLoaderSimple", ckpt_name=f"random_{kind}.safetensors")
    if kind == "sd3":
        graph["texts"] = node("DualCLIPLoader", **TEXT_ENCODERS)
    clip = ["texts", 0] if kind == "sd3" else ["model", 1]
    graph["whole"] = node("CLIPTextEncode", clip=clip, text=f"{TEXT} {CARRIER}")
    graph["canvas"] = node("EmptyLatentImage", width=64, height=64, batch_size=FRAMES)
    given = {"words": "", "carrier": CARRIER, "method": "follow", "strength": 1.0}
    given |= {"through": through, "keep": 0.0, "smooth": 0.0, "captions": WORDS, "steps": 2}
    given |= {"clip": clip, "text": TEXT, "rotation": ["rotation", 0], "encoder": ["encoder", 0]}
    return graph | {name: node("ClipDriftRotatePrompt", **given | settings)}


def sampled(positive: list, latent: list | None = None) -> dict:
    """A KSampler."""
    how = {"seed": 7, "steps": 1, "cfg": 1.0, "sampler_name": "euler", "scheduler": "normal"}
    links = {"model": ["model", 0], "positive": positive, "negative": ["whole", 0]}
    return node("KSampler", latent_image=latent or ["canvas", 0], denoise=1.0, **links, **how)


def latents(server, graph: dict, *names: str) -> list[torch.Tensor]:
    """The latents of the nodes named, from one run; lists become a batch."""
    for name in names:
        graph = graph | {
            f"saved_{name}": node("SaveLatent", samples=[name, 0], filename_prefix="latents/test")
        }
    outputs = server.run(graph)["outputs"]
    return [
        torch.cat([load(server.view(**file))["latent_tensor"] for file in found["latents"]])
        for found in (outputs[f"saved_{name}"] for name in names)
    ]


def apart(a: torch.Tensor, b: torch.Tensor) -> float:
    assert a.shape == b.shape
    return float((a - b).abs().max() / b.abs().max())


@pytest.mark.parametrize("kind", LAYOUTS)
def test_it_moves_what_is_drawn_and_without_strength_nothing(server, video, kind):
    """Four ways into one sampler, which sees the same noise: only the conditioning differs."""
    graph = moved(video, kind)
    graph |= moved(video, kind, "still", strength=0.0)
    graph |= moved(video, kind, "tangent", method="tangent")
    ways = {"a": ["moved", 0], "b": ["still", 0], "c": ["tangent", 0], "d": ["whole", 0]}
    graph |= {name: sampled(positive) for name, positive in ways.items()}
    follow, still, tangent, whole = latents(server, graph, *ways)
    assert torch.equal(still, whole)
    print(f"{kind}: frame 0 against the prompt by follow {apart(follow[0], whole[0]):.1e}, by "
          f"tangent {apart(tangent[0], whole[0]):.1e}")  # fmt: skip
    assert apart(tangent[0], whole[0]) < SAME
    for frame in follow[1:]:
        assert apart(frame, whole[0]) > 10 * SAME


def test_list_and_chunks_are_the_batch(server, video):
    graph = moved(video, "sd15") | {"batch": sampled(["moved", 0])}
    cut = {"conditioning": ["moved", 0], "latent": ["canvas", 0]}
    for name, start, count in (("list", 0, 0), ("first", 0, 1), ("rest", 1, 9)):
        graph[f"cut_{name}"] = node("ClipDriftFrames", start=start, count=count, **cut)
        graph[name] = sampled([f"cut_{name}", 0], [f"cut_{name}", 1])
    batch, listed, first, rest = latents(server, graph, "batch", "list", "first", "rest")
    assert apart(listed, batch) < SAME
    assert torch.equal(torch.cat((first, rest)), listed)


def test_it_says_what_came_of_it(server, video):
    graph = moved(video, "sd15", text="a (red:1.3) star")
    graph["count"] = node("PreviewAny", source=["moved", 1])
    graph["lines"] = node("PreviewAny", source=["moved", 2])
    outputs = server.run(graph)["outputs"]
    assert outputs["count"]["text"] == [str(FRAMES)]
    lines = outputs["lines"]["text"][0].splitlines()
    assert len(lines) == FRAMES + 1
    assert lines[0].startswith("CLIP-L moved")
    assert all(any(phrase in line for phrase in WORDS.splitlines()) for line in lines[1:])
    assert outputs["moved"]["images"]
    assert "of the way" in outputs["moved"]["text"][0]


def test_cancelling_takes_effect_within_a_step(server, video):
    graph = moved(video, "sd15", steps=1000, keep=0.01)
    asked, seen = [], []

    def cancel(kind: str, data: dict):
        if kind == "progress" and data["node"] == "moved":
            seen.append((data["value"], time.monotonic()))
            if not asked and data["value"] >= 3:
                asked.append(data["value"])
                server.interrupt()

    found = watch(server, graph | {"shown": node("PreviewAny", source=["moved", 2])}, cancel)
    ended = time.monotonic()
    kind, details = found.ended()
    assert (kind, details["node_id"]) == ("execution_interrupted", "moved")
    # The step under way when it was asked for may end; none begins after.
    assert seen[-1][0] <= asked[0] + 1
    (first, begun), (last, cancelled) = seen[0], seen[-1]
    step = (cancelled - begun) / max(1, last - first)
    print(f"a step {step:.2f} s; the node stopped {ended - cancelled:.2f} s after the last")


def test_a_projection_that_nobody_holds_is_one_sentence(server, video):
    graph = moved(video, "sd15")
    graph["encoder"]["inputs"]["model"] = prompts.SMALL_ENCODER
    graph["shown"] = node("PreviewAny", source=["moved", 2])
    with pytest.raises(NodeError, match="CLIP-L comes without its text_projection"):
        server.run(graph)
