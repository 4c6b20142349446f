"""The first workflow with a clip and a prompt of one's own: what a newcomer tries next."""

import io
import json

import numpy as np
import pytest
import torch
from pack.farm.ui_to_api import ids_of, replace_values, ui_to_api
from pack.workshop.examples.example_clip import example_scenes
from pack.workshop.rig.clips import write_clip
from pack.workshop.rig.paths import EXAMPLES
from pack.workshop.world.motions import frames_of
from pack.workshop.world.scenes import CENTRE, measure
from PIL import Image, ImageSequence

RATE, SECONDS = 30, 4
TAKEN, AT = 16, 8
"""Frames that the workflow takes, and how many per second."""


def swinging() -> torch.Tensor:
    """Where the ball is at each of the clip's frames: across the picture in 1 s, and back."""
    phase = torch.arange(RATE * SECONDS) / RATE * torch.pi
    return CENTRE[0] + (CENTRE[1] - CENTRE[0]) * (1 - phase.cos()) / 2


def test_the_drawn_shape_follows_beside_the_clip_at_its_pace(server):
    """An upright clip of 4 seconds, as a phone would make it, and words that the model knows."""
    place = swinging()
    scenes = example_scenes()[torch.zeros(len(place), dtype=torch.long)].but(x=place)
    margin = ((70, 70), (0, 0), (0, 0))
    upright = (np.pad(frame, margin, mode="edge") for frame in frames_of(scenes, 180))
    write_clip(server.input_dir / "phone.mp4", upright, RATE)
    workflow = json.loads((EXAMPLES / "01-mini_kandinsky.json").read_text(encoding="utf-8"))
    prompt = ui_to_api(workflow, server.object_info())
    said = {("Kandinsky22Encode", "text"): "a red circle on black"}
    replace_values(prompt, said | {("LoadVideo", "file"): "phone.mp4"})
    outputs = server.run(prompt)["outputs"]
    (shown,) = outputs[ids_of(prompt, "SaveAnimatedWEBP")[0]]["images"]
    with Image.open(io.BytesIO(server.view(**shown))) as moving:
        frames = [np.array(frame.convert("RGB")) for frame in ImageSequence.Iterator(moving)]
        assert abs(moving.info["duration"] - 1000 / AT) < 2
    pictures = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2) / 255
    clip, drawn = measure(pictures[..., :448]), measure(pictures[..., 456:])

    # The frame at or after each eighth of a second; half a pixel of the clip's 180 is 0.003.
    taken = swinging()[np.ceil(np.arange(TAKEN) * RATE / AT - 1e-9)]
    assert (clip.x - taken).abs().max() < 0.01
    assert torch.corrcoef(torch.stack([clip.x, drawn.x]))[0, 1] > 0.95
    assert np.ptp(drawn.x.numpy()) == pytest.approx(np.ptp(taken.numpy()), rel=0.25)  # and as far
    assert np.ptp(drawn.y.numpy()) < 0.1
    assert (drawn.rgb[:, 0] > 2 * drawn.rgb[:, 1:].amax(1)).all()  # red throughout
