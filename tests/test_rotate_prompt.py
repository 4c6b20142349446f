"""Rotate Prompt on small CLIPs of the layouts that ComfyUI knows: what it gives, and refuses."""

from __future__ import annotations

import pytest
import torch
from pack.clip_drift.errors import DriftError
from pack.clip_drift.sequence import RotationSequence
from pack.tests.paths import trajectory
from pack.tests.small_clips import small_clip

TEXT, CARRIER, PHRASES = "a red star", "in the middle", "on the left\non the right\nupright"
FRAMES = 3
SPACES = {"sd15": 64, "sdxl": 128, "sd3": 64, "flux": 64}
"""Kind of CLIP → N of the tower that the motion goes through: CLIP-L's or bigG's."""


@pytest.fixture(scope="module")
def moved(pack, tmp_path_factory):
    """`moved(kind, strength, ...)`: the CLIP, and the node's outputs."""
    clips = {}

    def run(kind: str, strength: float, through: str = "inversion", dim: int | None = None, **more):
        if kind not in clips:
            folder = tmp_path_factory.mktemp(kind)
            clips[kind] = small_clip(kind, folder, ("clip_l", "clip_g"))
        motion = RotationSequence.from_trajectory(trajectory(3, FRAMES, dim or SPACES[kind]))
        given = {"words": "", "carrier": CARRIER} | more
        node = pack.nodes.rotate_prompt.ClipDriftRotatePrompt
        with torch.inference_mode():
            done = node.execute(
                clips[kind],
                TEXT,
                motion,
                method="tangent",
                strength=strength,
                through=through,
                keep=0.0,
                smooth=0.0,
                captions=PHRASES,
                steps=5,
                **given,
            )
        return clips[kind], done.args

    return run


def encoded(clip):
    with torch.inference_mode():
        return clip.encode_from_tokens_scheduled(clip.tokenize(f"{TEXT} {CARRIER}"))[0]


WAYS = [
    ("sd15", "end_token"),
    *((kind, through) for kind in SPACES for through in ("inversion", "captions")),
]


@pytest.mark.parametrize(("kind", "through"), WAYS)
def test_without_strength_it_is_the_text_encoder_to_the_bit(moved, kind, through):
    clip, (((tokens, extra),), count, _, _, _) = moved(kind, 0.0, through)
    wanted, more = encoded(clip)
    assert count == len(tokens) == FRAMES
    for frame, pooled in zip(tokens, extra["pooled_output"], strict=True):
        assert torch.equal(frame, wanted[0])
        assert torch.equal(pooled, more["pooled_output"][0])


@pytest.mark.parametrize("kind", SPACES)
def test_the_carrier_moves_and_the_rest_stays(moved, kind):
    clip, (((tokens, extra),), _, read_as, plots, _) = moved(kind, 1.0)
    wanted, _ = encoded(clip)
    assert torch.equal(tokens[0], wanted[0])  # tangent: the first frame is the prompt
    if kind == "flux":  # its tokens are T5's, which has no joint space; CLIP-L's are pooled
        assert torch.equal(tokens[1], tokens[2])
        assert not torch.allclose(extra["pooled_output"][1], extra["pooled_output"][2])
    else:
        assert not torch.allclose(tokens[1], tokens[2])
        words = 1 + len(TEXT.split())
        assert torch.equal(tokens[2, :words], wanted[0, :words])
    assert len(read_as.splitlines()) == 1 + FRAMES
    assert plots.shape[-1] == 3


def test_another_space_is_one_sentence(moved):
    with pytest.raises(DriftError, match=r"has 32 dimensions, and no text encoder .* leads there"):
        moved("sd15", 1.0, dim=32)


def test_a_word_that_is_not_there_is_named(moved):
    with pytest.raises(DriftError, match="'green' is not in the text"):
        moved("sd15", 1.0, words="green")


def test_the_end_token_way_is_refused_where_it_is_not_exact(moved):
    with pytest.raises(DriftError, match="use through inversion"):
        moved("sdxl", 1.0, "end_token")
