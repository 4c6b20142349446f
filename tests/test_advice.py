"""What the library says is wrong, and where a node says to put it right."""

import pytest
import torch
from pack.clip_drift.errors import DriftError, FramesError
from pack.clip_drift.sequence import RotationSequence
from pack.tests.paths import trajectory

FRAMES = 6


@pytest.fixture
def motion() -> RotationSequence:
    """In 12 dimensions, of as many directions as frames."""
    return RotationSequence.from_trajectory(trajectory(1, FRAMES, 12))


@pytest.mark.parametrize(("wanted", "said"), [(None, "fewer frames"), (4, "frames = 4")])
def test_another_number_of_frames_comes_from_shape_drift(pack, wanted, said):
    with pytest.raises(DriftError) as caught, pack.nodes.core.advice.frames_advice():
        raise FramesError("there are 6 frames.", wanted)
    expected = "there are 6 frames: use Shape Drift with {} before Rotation Matrix from Vectors."
    assert str(caught.value) == expected.format(said)


def test_a_prompt_of_fewer_dimensions_than_the_motion_has_directions(pack, motion):
    node = pack.nodes.prompt.ClipDriftRotateConditioning
    prompt = [[torch.ones(1, 3, FRAMES - 1), {}]]
    with pytest.raises(DriftError, match=r"more than the 5 dimensions.*Shape Drift with fewer"):
        node.execute(prompt, motion, "carry", 1.0, True, True)


def test_a_latent_of_fewer_numbers_than_the_motion_has_directions(pack, motion):
    node = pack.nodes.noise.ClipDriftRotateNoise
    noise, latent, _ = node.execute(
        {"samples": torch.zeros(1, 1, 2, 2)}, motion, 1, "rotate", 1
    ).args
    with pytest.raises(DriftError, match=r"the latent's 4 numbers.*Shape Drift with fewer frames"):
        noise.generate_noise(latent)


def test_a_latent_of_another_motion(pack, motion):
    node = pack.nodes.noise.ClipDriftRotateNoise
    noise, *_ = node.execute({"samples": torch.zeros(1, 4, 8, 8)}, motion, 1, "rotate", 1).args
    other = {"samples": torch.zeros(1, 4, 8, 8), "batch_index": [FRAMES]}
    with pytest.raises(DriftError, match=r"frame 6 .*frames 0 to 5: sample the latent output of"):
        noise.generate_noise(other)


def test_one_vector_alone_is_no_motion(pack):
    node = pack.nodes.rotation.ClipDriftRotation
    with pytest.raises(DriftError, match=r"start holds one vector.*connect end as well"):
        node.execute([[torch.ones(1, 1, 8), {}]], "from_first", False)
