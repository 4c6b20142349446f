"""What nodes say where a run will disappoint, in one line each, and what they are silent about."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from pack.tests.video_files import numbered_video, remux, write_video
from pack.workshop.examples.workflows.models import MINI_CLIP, MINI_PRIOR
from pack.workshop.world.captions import all_words, write_captions
from pack.workshop.world.motions import MOTIONS, write_motion
from pack.workshop.world.scenes import draw_scenes


@pytest.fixture(scope="module")
def mini(pack):
    """The CLIP in the box."""
    return pack.nodes.encoder.ClipDriftLoadOpenCLIP.execute(MINI_CLIP, "fp32", False)[0]


@pytest.fixture(scope="module")
def read(pack, mini):
    """(output, first line on the node, the warnings below it) of Video → CLIP Drift."""
    from comfy_api.latest import InputImpl

    def run(frames, sample_fps=0.0, **how):
        frames = frames if torch.is_tensor(frames) else InputImpl.VideoFromFile(str(frames))
        node = pack.nodes.drift.ClipDriftFromVideo
        return said(node.execute(frames, mini, sample_fps, 0, "stretch", **how))

    return run


@pytest.fixture(scope="module")
def reshape(pack):
    def run(drift, frames=0, strength=1.0, direction="forward"):
        return said(
            pack.nodes.drift.ClipDriftShape.execute(drift, frames, 0.0, direction, strength)
        )

    return run


def said(output) -> tuple:
    first, *warnings = output.ui.value.split("\n")
    assert all(line.startswith("⚠ ") for line in warnings)
    return output.result, first, [line.removeprefix("⚠ ") for line in warnings]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("warned")


@pytest.fixture(scope="module")
def across(folder):
    write_motion(folder / "across.mp4", "across", 0)
    return folder / "across.mp4"


# --- Rates ----------------------------------------------------------------------------------------


def test_a_video_says_its_rate(read, across):
    (drift, angles, count, fps), text, warnings = read(across)
    assert (count, len(angles), warnings) == (16, 15, [])
    assert fps == pytest.approx(8)
    assert text.startswith("16 frames · 2.0 s · 8 per second · mini-kandinsky-clip · path ")
    assert drift.fps == fps


def test_the_rate_is_that_of_the_frames_taken(read, across):
    (*_, count, fps), text, _ = read(across, sample_fps=4.0)
    assert (count, fps) == (8, pytest.approx(4))
    assert text.startswith("8 frames · 2.0 s · 4 per second")


def test_what_a_clip_moves_has_its_rate(pack, read, across):
    (drift, *_), _, _ = read(across, sample_fps=4.0)
    rotation, *_ = pack.nodes.rotation.ClipDriftRotation.execute(drift, "from_first", False).args
    prompt, latent = [[torch.ones(1, 3, 16), {}]], {"samples": torch.zeros(1, 4, 8, 8)}
    for moved in (
        pack.nodes.prompt.ClipDriftRotateConditioning.execute(
            prompt, rotation, "carry", 1.0, True, True
        ),
        pack.nodes.noise.ClipDriftRotateNoise.execute(latent, rotation, 1, "correlate", 1.0),
    ):
        assert moved.args[-1] == pytest.approx(4)


def images(count=6) -> torch.Tensor:
    """A grey bar that grows from a tenth of the picture to all of it."""
    pictures = torch.zeros(count, 64, 64, 3)
    for i, picture in enumerate(pictures):
        picture[:, : 6 + (58 * i) // (count - 1)] = 0.8
    return pictures


def test_images_without_a_rate_are_one_a_second_and_that_is_said(pack, read):
    (drift, *_, fps), text, warnings = read(images())
    assert drift.times.tolist() == [0, 1, 2, 3, 4, 5]
    assert (fps, warnings) == (1, [pack.nodes.drift.NO_RATE])
    assert text.startswith("6 frames · 6.0 s · 1 per second")


def test_images_with_a_rate(read):
    (drift, *_, fps), text, warnings = read(images(), fps=12.0)
    assert (fps, warnings) == (pytest.approx(12), [])
    assert text.startswith("6 frames · 0.5 s · 12 per second")
    (drift, *_), _, _ = read(images(), fps=12.0, sample_fps=6.0)
    assert drift.times.tolist() == pytest.approx([0, 2 / 12, 4 / 12])


def test_a_video_made_of_images_has_a_rate(pack, mini):
    from comfy_api.latest import InputImpl, Types

    made = Types.VideoComponents(images=images(), frame_rate=Fraction(24))
    video = InputImpl.VideoFromComponents(made)
    node = pack.nodes.drift.ClipDriftFromVideo
    (*_, fps), _, warnings = said(node.execute(video, mini, 0.0, 0, "center"))
    assert (fps, warnings) == (pytest.approx(24), [])


@pytest.mark.parametrize(
    ("frames", "direction", "fps"),
    [
        # 15 steps of 1/8 s stay as they are, or become 30 of half as long
        (0, "forward", 8),
        (31, "forward", 16),
        (0, "reverse", 8),
        # a loop's last frame is the first again: so many steps as frames over there and back
        (60, "ping-pong", 16),
        (30, "seamless loop", 16),
    ],
)
def test_a_shaped_drift_hands_on_its_rate(read, reshape, across, frames, direction, fps):
    (drift, *_), _, _ = read(across)
    (_, count, shaped_fps), text, _ = reshape(drift, frames, direction=direction)
    assert shaped_fps == pytest.approx(fps)
    assert f"{count} frames · {count / fps:.1f} s · {fps} per second" in text


# --- Motion ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("motion", MOTIONS)
def test_a_motion_of_the_toy_world_is_motion(read, folder, motion):
    write_motion(folder / f"{motion}.mp4", motion, 1)
    (drift, *_), _, warnings = read(folder / f"{motion}.mp4")
    print(f"{motion}: {drift.reach():.2f} rad from the first")
    assert warnings == []


def test_a_still_with_a_cameras_noise_hardly_moves(read, folder):
    generator = np.random.default_rng(0)
    still = np.full((96, 96, 3), 120.0)
    still[30:60, 30:60] = (200, 60, 60)
    noisy = (np.clip(still + generator.normal(0, 5, still.shape), 0, 255) for _ in range(16))
    clip = write_video(folder / "still.mp4", (picture.astype(np.uint8) for picture in noisy))
    (drift, *_), _, (warning,) = read(clip)
    assert warning.startswith("Hardly any motion")
    assert f"{drift.reach():.2f} rad" in warning


def test_a_drift_without_strength_hardly_moves(read, reshape, across):
    (drift, *_), _, _ = read(across)
    assert reshape(drift)[2] == []
    assert reshape(drift, strength=0.05)[2][0].startswith("Hardly any motion")


# --- Times and holes ------------------------------------------------------------------------------

# Half at 25 per second, half at 5: at the even rate of 8.3, frame 12 comes 1.44 − 0.48 s late.
UNEVEN = [i / 25 for i in range(13)] + [0.48 + (i + 1) / 5 for i in range(12)]


def test_uneven_times_are_said_and_shaping_evens_them(read, reshape, folder):
    clip = numbered_video(folder / "uneven.mp4", 25, times=UNEVEN)
    (drift, *_, fps), _, warnings = read(clip)
    assert fps == pytest.approx(24 / 2.88)
    late = 12 / fps - 0.48
    assert f"up to {late:.2f} s too soon or too late" in "".join(warnings)
    assert not [w for w in reshape(drift, frames=25)[2] if "Uneven" in w]


def test_sampling_below_the_rate_is_even(read, folder):
    """30 per second read at 8: a frame is up to 1/30 s late, which is no warp."""
    clip = numbered_video(folder / "thirty.mp4", 90, rate=Fraction(30))
    (*_, fps), _, warnings = read(clip, sample_fps=8.0)
    assert fps == pytest.approx(8, rel=0.02)
    assert not [w for w in warnings if "Uneven" in w]


def test_damage_is_said(read, folder):
    clip = remux(numbered_video(folder / "sent.mp4", 100), folder / "sent.ts")
    assert not [w for w in read(clip)[2] if "damaged" in w]
    data = clip.read_bytes()
    at = len(data) // 188 // 2 * 188
    clip.write_bytes(data[:at] + data[at + 3 * 188 :])
    assert [w for w in read(clip)[2] if w.startswith("The file is damaged in ")]


# --- Prompts --------------------------------------------------------------------------------------


@pytest.fixture
def warned(pack, mini, monkeypatch):
    """The warnings of Kandinsky 2.2 Prior for a text."""
    node = pack.kandinsky22.nodes.prior
    prior = node.Kandinsky22LoadPrior.execute(MINI_PRIOR)[0]
    seen: list[str] = []
    monkeypatch.setattr(node, "warn_on_node", lambda _node, warnings: seen.extend(warnings))

    def run(text, **how):
        seen.clear()
        with torch.inference_mode():
            node.Kandinsky22Encode.execute(prior, mini, text, "", 0, 2, 1.0, **how)
        return list(seen)

    return run


def test_words_that_the_small_model_never_learnt_are_named(warned):
    (warning,) = warned("a red cat sitting on a sofa")
    assert "never learnt: cat, sitting, sofa." in warning


def test_its_own_words_are_known(mini, warned):
    assert mini.spelt_words(" ".join(all_words())) == []
    assert not any(mini.spelt_words(text) for text in write_captions(draw_scenes(200, 1), 2))
    assert warned("a big red circle on the left") == []


def test_a_large_vocabulary_knows_most_words():
    open_clip = pytest.importorskip("open_clip")
    from pack.clip_drift.openclip.text import spelt_words

    tokenizer = open_clip.tokenizer.SimpleTokenizer()
    assert spelt_words(tokenizer, "a cat on a sofa, oil painting by Kandinsky, it's 4k") == []
    assert spelt_words(tokenizer, "a xqzv") == ["xqzv"]


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_text_is_said(pack, warned, text):
    assert warned(text) == [pack.kandinsky22.nodes.prior.NO_TEXT]


def test_a_text_that_is_not_used_is_no_matter(warned):
    picture = {"image_embeds": torch.randn(1, 128)}
    assert warned("", image=picture, image_weight=1.0) == []
