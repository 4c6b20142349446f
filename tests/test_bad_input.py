"""Bad input against the running server: a message a user can act on, and a server that lives on."""

import shutil

import av
import numpy as np
import pytest
import torch
from pack.clip_drift.drift import Drift
from pack.clip_drift.files import save_drift
from pack.farm.client import NodeError, node
from pack.workshop.rig import prompts
from pack.workshop.rig.clips import write_clip
from safetensors.torch import save_file


@pytest.fixture(scope="module")
def video(server, sample_clip) -> str:
    return server.upload(sample_clip)


def refusal(server, prompt: dict, node_type: str) -> str:
    """The message of the node that refuses; the server must answer afterwards."""
    with pytest.raises(NodeError) as caught:
        server.run(prompt, timeout=300)
    assert caught.value.node_type == node_type, caught.value
    assert server.object_info()
    print(f"{node_type}: {caught.value.message}")
    return caught.value.message


def read(name: str, **settings) -> dict:
    graph = prompts.drift(name, sample_fps=settings.pop("sample_fps", 0.0), **settings)
    return graph | {"shown": node("PreviewAny", source=["drift", 2])}


# --- Videos ---------------------------------------------------------------------------------------


def audio_only(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def frames_of(count, value=None):
    generator = np.random.default_rng(0)
    for _ in range(count):
        picture = (
            generator.integers(0, 255, (64, 96, 3))
            if value is None
            else np.full((64, 96, 3), value)
        )
        yield picture.astype(np.uint8)


def cut_in_half(path, sample_clip):
    content = sample_clip.read_bytes()
    path.write_bytes(content[: len(content) // 2])


VIDEOS = {
    "no video stream": ("sound.mp4", lambda path, clip: audio_only(path), "video"),
    "truncated": ("cut.mp4", cut_in_half, "cut.mp4"),
    "not a video": ("text.mp4", lambda path, clip: path.write_text("hello " * 500), "text.mp4"),
    "empty file": ("empty.mp4", lambda path, clip: path.write_bytes(b""), "empty.mp4"),
    "one frame": ("one.mp4", lambda path, clip: write_clip(path, frames_of(1), 8), "two or more"),
}


@pytest.mark.parametrize("case", VIDEOS)
def test_a_video_that_cannot_be_read(server, sample_clip, case):
    name, make, expected = VIDEOS[case]
    make(server.input_dir / name, sample_clip)
    assert expected in refusal(server, read(name), "ClipDriftFromVideo")


def test_a_video_that_went_away_after_the_prompt_was_made(server):
    """Core's own Load Video refuses it, before anything runs."""
    assert "nowhere.mp4" in refusal(server, read("nowhere.mp4"), "LoadVideo")


def test_a_sampling_that_leaves_one_frame(server, video):
    assert "two or more" in refusal(server, read(video, max_frames=1), "ClipDriftFromVideo")


@pytest.mark.parametrize("value", [0, 200])
def test_a_black_or_constant_clip_has_no_rotation(server, value):
    name = f"still_{value}.mp4"
    write_clip(server.input_dir / name, frames_of(6, value), 8)
    graph = prompts.rotation(name, 4) | {"shown": node("PreviewAny", source=["rotation", 1])}
    graph["drift"]["inputs"]["sample_fps"] = 0.0
    message = refusal(server, graph, "ClipDriftRotation")
    assert "nothing moves" in message
    assert "use a clip with motion" in message


def test_sample_fps_on_images(server, video):
    graph = read(video, sample_fps=4.0)
    graph["parts"] = node("GetVideoComponents", video=["video", 0])
    graph["drift"]["inputs"]["frames"] = ["parts", 0]
    assert "sample_fps" in refusal(server, graph, "ClipDriftFromVideo")


# --- Walks ----------------------------------------------------------------------------------------


def walked(video: str, **changes) -> dict:
    """A walk of an image embedding's 768 numbers or of a prompt, without any sampling."""
    graph = prompts.walks(video, 4)
    del graph["canvas"], graph["noise"]
    graph["walk"]["inputs"] |= changes
    return graph | {"shown": node("PreviewAny", source=["walk", 1])}


@pytest.fixture(scope="module")
def wide_drift(server) -> str:
    """A drift of 1280 dimensions, as a bigG encoder gives."""
    generator = torch.Generator().manual_seed(0)
    steps = torch.randn(4, 1280, generator=generator).cumsum(0)
    save_drift(Drift.from_embeddings(steps + 5), server.input_dir / "wide.safetensors")
    return "wide.safetensors"


@pytest.mark.parametrize("method", ["rotate", "perturb", "translate", "tangent", "follow"])
def test_unequal_dimensions(server, video, wide_drift, method):
    graph = walked(video, method=method)
    graph["shape"]["inputs"]["drift"] = ["wide", 0]
    graph["wide"] = node("ClipDriftLoad", file=wide_drift)
    message = refusal(server, graph, "ClipDriftRotateConditioning")
    assert "1280" in message
    assert "768" in message
    assert "carry" in message


def test_a_strength_list_of_another_length(server, video):
    """The step angles are one fewer than the frames."""
    graph = walked(video, strength=["rotation", 1])
    message = refusal(server, graph, "ClipDriftRotateConditioning")
    assert "list of 3" in message
    assert "4 frames" in message


def test_a_rotation_of_another_length_than_the_batch(server, video):
    graph = walked(video)
    graph["shorter"] = node(
        "ClipDriftShape",
        drift=["drift", 0],
        frames=3,
        smooth=0.0,
        direction="forward",
        strength=1.0,
    )
    graph["turn"] = node(
        "ClipDriftRotation", start=["shorter", 0], pairing="from_first", centered=False
    )
    graph["again"] = graph["walk"] | {
        "inputs": graph["walk"]["inputs"] | {"conditioning": ["walk", 0], "rotation": ["turn", 0]}
    }
    graph["shown"] = node("PreviewAny", source=["again", 1])
    message = refusal(server, graph, "ClipDriftRotateConditioning")
    assert "batch of 4" in message
    assert "3 frames" in message


def test_a_word_that_is_not_in_the_prompt(server, video):
    graph = walked(video, words=["words", 0])
    graph["words"] = node(
        "ClipDriftSelectWords", clip=["model", 1], text=prompts.TEXT, words="cat, dog"
    )
    assert "'dog' is not in the text" in refusal(server, graph, "ClipDriftSelectWords")


def test_a_mask_made_for_another_prompt(server, video):
    """More than 75 words make two chunks of 77 tokens."""
    graph = walked(video, words=["words", 0])
    graph["words"] = node("ClipDriftSelectWords", clip=["model", 1], text="cat " * 90, words="cat")
    message = refusal(server, graph, "ClipDriftRotateConditioning")
    assert "154" in message
    assert "77" in message


# --- Latents --------------------------------------------------------------------------------------


def test_a_video_latent_where_pictures_are_needed(server, video):
    graph = prompts.walks(video, 4)
    graph["canvas"] = node("EmptyHunyuanLatentVideo", width=64, height=64, length=13, batch_size=1)
    graph["noise"] = node(
        "ClipDriftFrames", conditioning=["walk", 0], latent=["canvas", 0], start=0, count=0
    )
    graph["shown"] = node("PreviewAny", source=["noise", 1])
    message = refusal(server, graph, "ClipDriftFrames")
    assert "5-D" in message


def test_a_video_latent_of_another_length_than_the_motion(server, video):
    """13 pictures are 4 latent frames in this format; 9 are 3."""
    graph = prompts.walks(video, 4)
    graph["canvas"] = node("EmptyHunyuanLatentVideo", width=64, height=64, length=9, batch_size=1)
    graph["shown"] = node("PreviewAny", source=["noise", 1])
    message = refusal(server, graph, "ClipDriftRotateNoise")
    assert "3 latent frames" in message
    assert "4 frames" in message


@pytest.mark.parametrize("node_type", ["ClipDriftFrames", "ClipDriftRotateNoise"])
def test_a_nested_latent(server, video, node_type):
    """Video and sound in one, as some models take them."""
    graph = prompts.walks(video, 4)
    graph["still"] = graph["canvas"]
    graph["canvas"] = node(
        "LTXVConcatAVLatent", video_latent=["still", 0], audio_latent=["still", 0]
    )
    graph["frames"] = node(
        "ClipDriftFrames", conditioning=["walk", 0], latent=["canvas", 0], start=0, count=0
    )
    shown = {"ClipDriftFrames": ["frames", 1], "ClipDriftRotateNoise": ["noise", 1]}[node_type]
    graph["shown"] = node("PreviewAny", source=shown)
    assert "picture" in refusal(server, graph, node_type)


def test_a_latent_batch_of_another_length(server, video):
    graph = prompts.walks(video, 4)
    graph["canvas"]["inputs"]["batch_size"] = 3
    graph["shown"] = node("PreviewAny", source=["noise", 1])
    assert "3 latents" in refusal(server, graph, "ClipDriftRotateNoise")


def test_a_chunk_past_the_end(server, video):
    graph = prompts.walks(video, 4)
    graph["frames"] = node(
        "ClipDriftFrames", conditioning=["walk", 0], latent=["noise", 1], start=4, count=1
    )
    graph["shown"] = node("PreviewAny", source=["frames", 1])
    assert "0 to 3" in refusal(server, graph, "ClipDriftFrames")


# --- Files ----------------------------------------------------------------------------------------


class Evil:
    """A pickle that would leave a trace if it were ever run."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (open, (str(self.trace), "w"))


def loaded(name: str) -> dict:
    return {
        "load": node("ClipDriftLoad", file=name),
        "shown": node("ClipDriftReport", drift=["load", 0]),
    }


def test_a_malicious_drift_file(server, tmp_path):
    trace = tmp_path / "it_ran"
    torch.save({"embeddings": Evil(trace)}, server.input_dir / "evil.safetensors")
    message = refusal(server, loaded("evil.safetensors"), "ClipDriftLoad")
    assert "evil.safetensors" in message
    assert not trace.exists()
    shutil.copy(server.input_dir / "evil.safetensors", server.input_dir / "evil.pt")
    assert "only those are read" in refusal(server, loaded("evil.pt"), "ClipDriftLoad")
    assert not trace.exists()


def test_a_drift_file_from_something_else(server):
    save_file({"weight": torch.zeros(2)}, server.input_dir / "lora.safetensors")
    message = refusal(server, loaded("lora.safetensors"), "ClipDriftLoad")
    assert "not a CLIP drift: choose a file that Save Drift wrote" in message


def test_nan_in_a_drift_file(server, wide_drift):
    content = {"embeddings": torch.full((3, 8), torch.nan), "times": torch.arange(3.0)}
    metadata = {"format": "clip_drift", "version": "1"}
    save_file(content, server.input_dir / "nan.safetensors", metadata)
    message = refusal(server, loaded("nan.safetensors"), "ClipDriftLoad")
    assert "frame 0 is not finite" in message


@pytest.mark.parametrize("name", ["../outside.safetensors", "/etc/hostname", "gone.safetensors"])
def test_a_path_out_of_comfyuis_folders_or_to_nothing(server, name):
    assert "does not exist" in refusal(server, loaded(name), "ClipDriftLoad")


def test_a_pretrained_tag_without_allow_download(server, video):
    graph = read(video)
    tags = server.object_info()["ClipDriftLoadOpenCLIP"]["input"]["required"]["model"][1]["options"]
    tag = next(name for name in tags if name == "ViT-B-32/openai")
    graph["encoder"]["inputs"]["model"] = tag
    message = refusal(server, graph, "ClipDriftLoadOpenCLIP")
    assert message.startswith("model: ViT-B-32/openai is not on this computer: switch allow_dow")
    assert "models/open_clip" in message


def test_a_wrong_file_as_openclip_weights(server, video, models_dir):
    wrong = models_dir / "open_clip" / "wrong.safetensors"
    save_file({"lora_unet_x.lora_up.weight": torch.zeros(2)}, wrong)
    try:
        graph = read(video)
        graph["encoder"]["inputs"]["model"] = wrong.name
        message = refusal(server, graph, "ClipDriftLoadOpenCLIP")
        assert "a LoRA: choose another file, this one is for Load LoRA" in message
    finally:
        wrong.unlink()
