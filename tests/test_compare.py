"""Compare Drifts: its picture for every kind of drift, and the node in a real ComfyUI."""

import json
import math

import pytest
import torch
from pack.clip_drift.drift import Drift
from pack.clip_drift.report import comparison_report
from pack.clip_drift.report.score_rows import ROW
from pack.clip_drift.scores import Scores, compare
from pack.farm.client import node
from pack.tests.paths import randn, trajectory
from pack.workshop.rig import prompts


def drift(frames: int, pictures: bool = True, seed: int = 1, **names) -> Drift:
    shown = (randn(seed, frames, 6, 8, 3) * 40 + 128).clamp(0, 255).to(torch.uint8)
    points = trajectory(seed, frames, 32)
    return Drift.from_embeddings(points, None, shown if pictures else None, **names)


def still(frames: int) -> Drift:
    return Drift.from_embeddings(trajectory(2, 2, 32)[:1].expand(frames, -1))


PAIRS = {
    "equal": lambda: (drift(20), drift(20)),
    "different counts, no pictures in one": lambda: (drift(600), drift(20, False, 2)),
    "a still": lambda: (drift(20), still(20)),
    "two stills": lambda: (still(5), still(5)),
    "odd names": lambda: (drift(9, source="$a$ \\frac 猫\n" * 40), drift(9, encoder="x" * 500)),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", PAIRS)
def test_the_page_is_drawn_for_every_pair(name):
    pytest.importorskip("matplotlib")
    prompt = torch.ones(32) if name == "equal" else None
    picture = comparison_report(compare(*PAIRS[name](), prompt))
    assert picture.shape[1:] == (1600, 3)
    assert picture.dtype == torch.float32
    assert 0 <= float(picture.min()) <= float(picture.max()) <= 1
    assert float(picture.std()) > 0.02


def test_the_page_shows_the_result():
    pytest.importorskip("matplotlib")
    reference = drift(20, False)
    follows, differs = (
        comparison_report(compare(reference, result))
        for result in (reference, drift(20, False, seed=5))
    )
    assert not torch.equal(follows[-500:], differs[-500:])  # px: the scores


def test_a_score_that_was_not_asked_for_has_no_row():
    pytest.importorskip("matplotlib")
    pair = PAIRS["equal"]()
    without, asked = (comparison_report(compare(*pair, p)) for p in (None, torch.ones(32)))
    assert len(asked) - len(without) == ROW


# --- In a real ComfyUI ----------------------------------------------------------------------------

NAMES = list(Scores._fields)


def graph(video: str, strength: float) -> dict:
    """A clip's drift against itself, scaled; the prompt's pooled vector has its 768 dimensions."""
    scaled = node(
        "ClipDriftShape",
        drift=["drift", 0],
        frames=0,
        smooth=0.0,
        direction="forward",
        strength=strength,
    )
    text = {
        "model": node("CheckpointLoaderSimple", ckpt_name=prompts.CHECKPOINT),
        "text": node("CLIPTextEncode", clip=["model", 1], text=prompts.TEXT),
    }
    compared = node(
        "ClipDriftCompare", reference=["drift", 0], result=["scaled", 0], prompt=["text", 0]
    )
    return prompts.drift(video, sample_fps=6.0) | text | {"scaled": scaled, "compared": compared}


def shown(server, prompt: dict, *outputs: int) -> tuple[dict, list]:
    """What the run shows, and what these outputs of the node hold."""
    probes = {f"out{i}": node("PreviewAny", source=["compared", i]) for i in outputs}
    said = server.run(prompt | probes)["outputs"]
    return said, [said[f"out{i}"]["text"][0] for i in outputs]


def test_the_node_gives_a_picture_and_numbers(server, sample_clip):
    prompt = graph(server.upload(sample_clip), strength=1.0)
    outputs = server.object_info()["ClipDriftCompare"]["output_name"]
    assert outputs == ["plots", "scores", "frozen", "shuffled", "verdict", *NAMES]
    said, (scores, frozen, verdict, *each) = shown(server, prompt, 1, 2, 4, *range(5, 13))
    (image,) = said["compared"]["images"]
    assert server.view(**image).startswith(b"\x89PNG")
    scores, frozen = (dict(zip(NAMES, json.loads(x), strict=True)) for x in (scores, frozen))
    assert [float(x) for x in each] == pytest.approx(list(scores.values()), abs=1e-6)
    assert scores["gram_correlation"] == pytest.approx(1, abs=1e-4)
    assert scores["angle_spearman"] > 0.9
    assert abs(scores["clip_t"]) > 0
    assert frozen["clip_f"] == pytest.approx(1)
    assert frozen["motion_ratio"] == 0
    assert verdict.startswith("Moves like the reference")


def test_another_node_takes_a_score(server, sample_clip):
    """Motion ratio as Shape Drift's strength; strength 0 makes a still, whose ratio is 0."""
    prompt = graph(server.upload(sample_clip), strength=0.0)
    prompt["again"] = prompt["scaled"] | {
        "inputs": prompt["scaled"]["inputs"] | {"strength": ["compared", 7]}
    }
    prompt["report"] = node("ClipDriftReport", drift=["again", 0])
    said, (ratio, verdict) = shown(server, prompt, 7, 4)
    assert math.isclose(float(ratio), 0, abs_tol=1e-4)
    assert verdict.startswith("Nearly a still")
    assert said["report"]["images"]
