"""What the node that reads a video shows: while it reads, and afterwards."""

import math
import re

import pytest
import torch
from pack.tests.paths import trajectory
from pack.workshop.rig import prompts


@pytest.fixture
def progress(pack):

    return pack.nodes.core.progress


@pytest.fixture
def shown(progress, monkeypatch):
    """What is sent to the front end, which is not there: (frames done, of how many, picture) and
    texts."""
    import comfy.utils

    bars, texts = [], []
    before = comfy.utils.PROGRESS_BAR_HOOK
    comfy.utils.set_progress_bar_global_hook(lambda *call, **_: bars.append(call))
    monkeypatch.setattr(progress, "show_on_node", lambda node, text: texts.append(text))
    yield bars, texts
    comfy.utils.set_progress_bar_global_hook(before)


def read(progress, points: torch.Tensor, batch: int, total: int | None = None):
    """Hand embeddings over as the encoders do."""
    on_batch = progress.batch_progress(None)
    picture = torch.full((48, 48, 3), 7, dtype=torch.uint8)
    for start in range(0, len(points), batch):
        part = points[start : start + batch]
        on_batch(start + len(part), total, picture, part)


@pytest.mark.parametrize("batch", [1, 3, 4])
def test_the_step_is_the_one_to_the_frame_shown(progress, shown, monkeypatch, batch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_PICTURES", 0.0)
    points = trajectory(1, 8, 32).float()
    read(progress, points, batch, total=8)
    bars, texts = shown
    assert [done for done, *_ in bars] == [*range(batch, 8, batch), 8]
    for done, total, picture in bars:
        assert total == 8
        kind, image, _ = picture
        assert (kind, image.size, image.getpixel((0, 0))) == ("JPEG", (48, 48), (7, 7, 7))
        text = texts.pop(0)
        cosine = float(torch.cosine_similarity(points[done - 1], points[done - 2], dim=0))
        if done == 1:
            assert text == "frame 1 of 8"
        else:
            found = re.fullmatch(rf"frame {done} of 8 · step ([\d.]+) rad", text)
            assert float(found[1]) == pytest.approx(math.acos(cosine), abs=1e-3)


def test_pictures_are_not_sent_for_every_batch(progress, shown, monkeypatch):
    """All batches fall within the time in which one picture is sent: only the first has one."""
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_PICTURES", math.inf)
    read(progress, trajectory(2, 6, 8).float(), 1, total=6)
    bars, texts = shown
    assert bars[0][2] is not None
    assert all(picture is None for *_, picture in bars[1:])
    assert len(texts) == 1


def test_a_frame_without_direction_is_left_to_the_drift_to_name(progress, shown, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_PICTURES", 0.0)
    points = trajectory(3, 4, 8).float()
    points[2] = 0
    read(progress, points, 1)
    assert shown[1][2] == "frame 3 of 4"


def test_every_node_that_makes_a_drift_says_what_it_is(server, sample_clip):
    graph = prompts.rotation(server.upload(sample_clip), 5)
    graph["report"] = {"class_type": "ClipDriftReport", "inputs": {"drift": ["shape", 0]}}
    outputs = server.run(graph)["outputs"]
    (read_text,), (shaped_text,) = outputs["drift"]["text"], outputs["shape"]["text"]
    # Two seconds at 4 per second; then from the first to the last of these, 1.75 s, in four steps.
    pattern = r"{} · .*random_small.* · path [\d.]+ rad"
    for text, expected in (
        (read_text, r"8 frames · 2\.0 s · 4 per second"),
        (shaped_text, r"5 frames · 2\.2 s · 2\.286 per second"),
    ):
        assert re.fullmatch(pattern.format(expected), text.splitlines()[0])
