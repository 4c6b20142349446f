"""The nodes in a real ComfyUI: the contract, three ways to render, cancelling, files."""

import json
import time

import pytest
import torch
from pack.clip_drift.drift import Drift
from pack.clip_drift.files import load_drift
from pack.farm.client import node
from pack.workshop.rig import prompts
from safetensors.torch import load

FRAMES = 3

# Ids, inputs and outputs of the public contract; shared workflows depend on every name here.
CONTRACT = {
    "ClipDriftFromVideo": (
        ["frames", "encoder", "sample_fps", "max_frames", "batch_size", "crop", "fps"],
        {"drift": "CLIP_DRIFT", "angles": "FLOATS", "frame_count": "INT", "fps": "FLOAT"},
    ),
    "ClipDriftLoadOpenCLIP": (["model", "precision", "allow_download"], {"encoder": "OPENCLIP"}),
    "ClipDriftShape": (
        ["drift", "frames", "smooth", "direction", "strength"],
        {"drift": "CLIP_DRIFT", "frame_count": "INT", "fps": "FLOAT"},
    ),
    "ClipDriftSave": (["drift", "filename_prefix"], {"drift": "CLIP_DRIFT"}),
    "ClipDriftLoad": (["file"], {"drift": "CLIP_DRIFT"}),
    "ClipDriftSideBySide": (["images", "video", "drift"], {"images": "IMAGE", "fps": "FLOAT"}),
    "ClipDriftReport": (["drift"], {"plots": "IMAGE"}),
    "ClipDriftCompare": (
        ["reference", "result", "prompt"],
        {
            "plots": "IMAGE",
            "scores": "FLOATS",
            "frozen": "FLOATS",
            "shuffled": "FLOATS",
            "verdict": "STRING",
            "angle_spearman": "FLOAT",
            "gram_correlation": "FLOAT",
            "motion_ratio": "FLOAT",
            "clip_f": "FLOAT",
            "clip_t": "FLOAT",
            "background_consistency": "FLOAT",
            "path_length": "FLOAT",
            "straightness": "FLOAT",
        },
    ),
    "ClipDriftRotation": (
        ["start", "end", "pairing", "centered"],
        {"rotation": "ROTATION", "angles": "FLOATS", "matrix": "IMAGE"},
    ),
    "ClipDriftRotatePrompt": (
        [
            "clip",
            "text",
            "rotation",
            "encoder",
            "words",
            "carrier",
            "method",
            "strength",
            "through",
            "captions",
            "keep",
            "smooth",
            "steps",
        ],
        {
            "conditioning": "CONDITIONING",
            "frame_count": "INT",
            "read_as": "STRING",
            "plots": "IMAGE",
            "fps": "FLOAT",
        },
    ),
    "ClipDriftRotateConditioning": (
        [
            "conditioning",
            "rotation",
            "method",
            "strength",
            "preserve_norm",
            "rotate_pooled",
            "pivot",
            "words",
        ],
        {"conditioning": "CONDITIONING", "frame_count": "INT", "fps": "FLOAT"},
    ),
    "ClipDriftRotateNoise": (
        ["latent", "rotation", "noise_seed", "method", "strength"],
        {"noise": "NOISE", "latent": "LATENT", "fps": "FLOAT"},
    ),
    "ClipDriftSelectWords": (
        ["clip", "text", "words"],
        {"words": "TOKEN_MASK", "matched": "STRING"},
    ),
    "ClipDriftAttendFirst": (
        ["model", "mode", "strength", "start_percent", "end_percent", "blocks"],
        {"model": "MODEL"},
    ),
    "ClipDriftWarpFirst": (
        [
            "model",
            "start",
            "latent",
            "sigmas",
            "frames",
            "x",
            "y",
            "noise_seed",
            "strength",
            "drift",
        ],
        {"latent": "LATENT"},
    ),
    "ClipDriftFrames": (
        ["conditioning", "latent", "start", "count", "anchor"],
        {"conditioning": "CONDITIONING", "latent": "LATENT"},
    ),
    "ClipDriftLoopStart": (
        ["conditioning", "latent", "feedback", "anchor"],
        {
            "loop": "CLIP_DRIFT_LOOP",
            "conditioning": "CONDITIONING",
            "latent": "LATENT",
            "index": "INT",
        },
    ),
    "ClipDriftLoopEnd": (["loop", "latent"], {"latent": "LATENT"}),
    "Kandinsky22LoadDecoder": (
        ["unet_name", "movq_name", "weight_dtype", "clip_x0"],
        {"model": "MODEL", "vae": "VAE"},
    ),
    "Kandinsky22LoadPrior": (["prior_name"], {"prior": "KANDINSKY22_PRIOR"}),
    "Kandinsky22Encode": (
        [
            "prior",
            "clip",
            "text",
            "negative",
            "seed",
            "steps",
            "cfg",
            "image",
            "image_weight",
        ],
        {"positive": "CONDITIONING", "negative": "CONDITIONING"},
    ),
}
DEFAULTS = {
    ("ClipDriftFromVideo", "batch_size"): 16,
    ("ClipDriftFromVideo", "crop"): "center",
    ("ClipDriftFromVideo", "fps"): 0.0,
    ("ClipDriftLoadOpenCLIP", "allow_download"): False,
    ("ClipDriftRotation", "pairing"): "from_first",
    ("ClipDriftRotation", "centered"): False,
    ("ClipDriftRotatePrompt", "method"): "follow",
    ("ClipDriftRotatePrompt", "strength"): 1.0,
    ("ClipDriftRotatePrompt", "through"): "inversion",
    ("ClipDriftRotatePrompt", "steps"): 60,
    ("ClipDriftRotateConditioning", "method"): "follow",
    ("ClipDriftRotateConditioning", "strength"): 1.0,
    ("ClipDriftRotateConditioning", "preserve_norm"): True,
    ("ClipDriftRotateConditioning", "rotate_pooled"): True,
    ("ClipDriftRotateConditioning", "rotate_tokens"): True,
    ("ClipDriftRotateConditioning", "rotate_image"): True,
    ("ClipDriftRotateNoise", "method"): "correlate",
    ("ClipDriftLoopStart", "feedback"): 0.5,
    ("ClipDriftLoopStart", "anchor"): False,
    ("ClipDriftFrames", "anchor"): False,
    ("ClipDriftAttendFirst", "mode"): "first and own",
    ("ClipDriftAttendFirst", "strength"): 1.0,
    ("ClipDriftAttendFirst", "blocks"): "all",
    ("ClipDriftWarpFirst", "x"): 12.0,
    ("Kandinsky22LoadDecoder", "clip_x0"): True,
    ("Kandinsky22Encode", "steps"): 25,
    ("Kandinsky22Encode", "cfg"): 4.0,
}


def inputs_of(info: dict) -> dict:
    return {**info["input"].get("required", {}), **info["input"].get("optional", {})}


@pytest.fixture(scope="module")
def ours(server) -> dict:
    prefixes = ("ClipDrift", "Kandinsky22")
    return {k: v for k, v in server.object_info().items() if k.startswith(prefixes)}


@pytest.fixture(scope="module")
def video(server, sample_clip) -> str:
    return server.upload(sample_clip)


@pytest.mark.parametrize("node_id", CONTRACT)
def test_the_contract_holds(ours, node_id):
    inputs, outputs = CONTRACT[node_id]
    info = ours[node_id]
    assert set(inputs) <= inputs_of(info).keys()
    # What the contract does not name must not be required of a shared workflow.
    assert info["input"].get("required", {}).keys() <= set(inputs)
    assert dict(zip(info["output_name"], info["output"], strict=True)) == outputs
    assert info["category"].startswith("CLIP Drift/")
    for (owner, name), value in DEFAULTS.items():
        if owner == node_id:
            assert inputs_of(info)[name][1]["default"] == value


def test_every_text_a_user_needs_is_there(ours):
    for node_id, info in ours.items():
        assert info["description"], node_id
        assert all(info["output_tooltips"]), node_id
        for name, (_, options) in inputs_of(info).items():
            assert options.get("tooltip"), f"{node_id}.{name}"
        if node_id in CONTRACT:
            assert info["search_aliases"], node_id


def test_strength_takes_numbers_lists_and_curves(ours):
    for node_id in ("ClipDriftRotateConditioning", "ClipDriftRotateNoise"):
        types = inputs_of(ours[node_id])["strength"][0].split(",")
        assert set(types) == {"FLOAT", "INT", "FLOATS", "CURVE"}


# --- Three ways to render -------------------------------------------------------------------------


def latents(server, prompt: dict) -> torch.Tensor:
    """What SaveLatent wrote, all files of the run as one batch, at full precision."""
    entry = server.run(prompt | prompts.saved_latents(["sample", 0]))
    files = entry["outputs"]["saved"]["latents"]
    return torch.cat([load(server.view(**file))["latent_tensor"] for file in files])


@pytest.fixture(scope="module")
def batch(server, video) -> torch.Tensor:
    prompt = prompts.walks(video, FRAMES) | prompts.sampled(["walk", 0], ["noise", 1])
    return latents(server, prompt)


def listed(video: str, start: int = 0, count: int = 0) -> dict:
    frames = node(
        "ClipDriftFrames", conditioning=["walk", 0], latent=["noise", 1], start=start, count=count
    )
    sampling = prompts.sampled(["frames", 0], ["frames", 1])
    return prompts.walks(video, FRAMES) | {"frames": frames} | sampling


def looped(video: str, feedback: float, denoise: float = 1.0) -> dict:
    start = node(
        "ClipDriftLoopStart", conditioning=["walk", 0], latent=["noise", 1], feedback=feedback
    )
    sampling = prompts.sampled(["start", 1], ["start", 2], denoise)
    end = node("ClipDriftLoopEnd", loop=["start", 0], latent=["sample", 0])
    saved = prompts.saved_latents(["end", 0])
    return prompts.walks(video, FRAMES) | {"start": start} | sampling | {"end": end} | saved


# The UNet rounds differently for one frame than for three: latents of size ~1 agree to about 1e-4
# (core's own figure for pairwise conditioning); a wrong frame or noise is off by more than 0.1.
SAME = 2e-3


def test_frames_differ(batch):
    assert batch.shape == (FRAMES, 4, 8, 8)
    assert (batch[1:] - batch[:-1]).abs().max() > 100 * SAME


def test_list_gives_the_frames_of_the_batch(server, video, batch):
    difference = (latents(server, listed(video)) - batch).abs().max()
    print(f"list against batch: {difference:.1e}")
    assert difference < SAME


def test_chunks_give_the_frames_of_the_whole(server, video, batch):
    chunks = [latents(server, listed(video, *cut)) for cut in ((0, 1), (1, 5))]
    difference = (torch.cat(chunks) - batch).abs().max()
    print(f"chunks against batch: {difference:.1e}")
    assert difference < SAME


def loop_latents(server, prompt: dict) -> torch.Tensor:
    (file,) = server.run(prompt)["outputs"]["saved"]["latents"]
    return load(server.view(**file))["latent_tensor"]


def test_loop_gives_the_frames_of_the_batch(server, video, batch):
    difference = (loop_latents(server, looped(video, feedback=0.0)) - batch).abs().max()
    print(f"loop against batch: {difference:.1e}")
    assert difference < SAME


def test_feedback_starts_a_frame_from_the_one_before(server, video):
    free = loop_latents(server, looped(video, feedback=0.0, denoise=0.5))
    fed = loop_latents(server, looped(video, feedback=0.8, denoise=0.5))
    assert torch.equal(free[0], fed[0])
    assert (free[1:] - fed[1:]).abs().max() > 100 * SAME


def test_a_loop_without_its_start_is_refused(server, video):
    prompt = looped(video, feedback=0.0)
    prompt["guider"]["inputs"]["positive"] = ["walk", 0]
    prompt["sample"]["inputs"]["latent_image"] = ["noise", 1]
    with pytest.raises(Exception, match="does not come from Frame Loop Start"):
        server.run(prompt)


# --- Drifts ---------------------------------------------------------------------------------------


def saved_drift(server, prompt: dict, source: list) -> Drift:
    before = set(server.output_dir.rglob("*.safetensors"))
    server.run(prompt | {"save": node("ClipDriftSave", drift=source, filename_prefix="d/x")})
    (new,) = set(server.output_dir.rglob("d/*.safetensors")) - before
    return load_drift(new)


def test_a_video_made_in_the_graph_is_read_from_its_frames(server, video):
    """Not encoded and decoded again: equal to the IMAGE batch to the last bit."""
    graph = prompts.drift(video, max_frames=4)
    graph["parts"] = node("GetVideoComponents", video=["video", 0])
    graph["made"] = node("CreateVideo", images=["parts", 0], fps=8.0)
    settings = {"encoder": ["encoder", 0], "sample_fps": 0.0, "max_frames": 4, "crop": "center"}
    graph["of_video"] = node("ClipDriftFromVideo", frames=["made", 0], **settings)
    graph["of_images"] = node("ClipDriftFromVideo", frames=["parts", 0], **settings)
    from_video = saved_drift(server, graph, ["of_video", 0])
    from_images = saved_drift(server, graph, ["of_images", 0])
    assert torch.equal(from_video.embeddings, from_images.embeddings)
    assert torch.allclose(from_video.times, torch.arange(4).double() / 8)


def test_a_trim_is_honoured(server, video):
    graph = prompts.drift(video, sample_fps=0.0)
    whole = saved_drift(server, graph, ["drift", 0])
    graph["cut"] = node(
        "Video Slice", video=["video", 0], start_time=0.5, duration=1.0, strict_duration=False
    )
    graph["drift"]["inputs"]["frames"] = ["cut", 0]
    cut = saved_drift(server, graph, ["drift", 0])
    inside = (whole.times >= 0.5) & (whole.times < 1.5)
    assert len(cut) == int(inside.sum())
    assert torch.allclose(cut.embeddings, whole.embeddings[inside], atol=1e-5)


def test_saved_and_loaded_it_is_the_same_drift(server, video):
    graph = prompts.drift(video)
    drift = saved_drift(server, graph, ["drift", 0])
    info = server.object_info()["ClipDriftLoad"]["input"]["required"]["file"]
    (name, *_) = [choice for choice in info[1]["options"] if choice.startswith("d/")]
    loaded = {"load": node("ClipDriftLoad", file=name)}
    assert saved_drift(server, loaded, ["load", 0]).encoder == drift.encoder


def test_native_clip_vision_agrees_with_cores_own_encoding(server, video):
    """Same frames, through our stream and through core's nodes: the same angles between them.

    Core resizes in float, we in 8 bits; the random ViT-L's step angles are about 0.1 rad.
    """
    count = 3
    graph = prompts.drift(video, sample_fps=0.0, max_frames=count) | {
        "vit": node("CLIPVisionLoader", clip_name="random_vit_l.safetensors"),
        "parts": node("GetVideoComponents", video=["video", 0]),
        "some": node("ImageFromBatch", image=["parts", 0], batch_index=0, length=count),
        "core": node("CLIPVisionEncode", clip_vision=["vit", 0], image=["some", 0], crop="center"),
        "theirs": node(
            "ClipDriftRotation", start=["core", 0], pairing="neighbours", centered=False
        ),
        "ours_shown": node("PreviewAny", source=["drift", 1]),
        "theirs_shown": node("PreviewAny", source=["theirs", 1]),
    }
    graph["drift"]["inputs"]["encoder"] = ["vit", 0]
    outputs = server.run(graph)["outputs"]
    ours, theirs = (
        torch.tensor(json.loads(outputs[name]["text"][0]))
        for name in ("ours_shown", "theirs_shown")
    )
    assert len(ours) == count - 1
    assert torch.allclose(ours, theirs, rtol=0.1)


# --- Words, pairs, noise --------------------------------------------------------------------------


def test_words_are_found_by_the_real_tokenizer(server):
    graph = {
        "model": node("CheckpointLoaderSimple", ckpt_name=prompts.CHECKPOINT),
        "words": node(
            "ClipDriftSelectWords",
            clip=["model", 1],
            text="A (cat:1.2) on a red sofa, catalogue",
            words="cat, red sofa",
        ),
        "shown": node("PreviewAny", source=["words", 1]),
    }
    # <start> a cat on a red sofa , catalogue: tokens 0, 1, 2, 3, ...
    assert server.run(graph)["outputs"]["shown"]["text"] == ["cat: token 2\nred sofa: token 5, 6"]


def test_two_prompts_make_a_rotation(server, video):
    """SD 1.5's conditioning carries a pooled vector, which stands for the prompt."""
    graph = prompts.walks(video, FRAMES) | {
        "other": node("CLIPTextEncode", clip=["model", 1], text="a dog in the snow"),
        "turn": node(
            "ClipDriftRotation",
            start=["text", 0],
            end=["other", 0],
            pairing="from_first",
            centered=True,
        ),
        "shown": node("PreviewAny", source=["turn", 1]),
    }
    (angle,) = json.loads(server.run(graph)["outputs"]["shown"]["text"][0])
    assert 0 < angle < torch.pi


def test_the_matrix_is_there_when_its_socket_is_connected_later(server, video):
    """Connecting it changes no input of the node, which then comes from the cache."""
    graph = prompts.rotation(video, FRAMES)
    shown = node("PreviewAny", source=["rotation", 1])
    server.run(graph | {"shown": shown})
    entry = server.run(
        graph | {"shown": shown, "picture": node("PreviewImage", images=["rotation", 2])}
    )
    (image,) = entry["outputs"]["picture"]["images"]
    assert len(server.view(**image)) > 5_000  # a heat map


@pytest.mark.parametrize("kind", ["number", "curve"])
def test_strength_zero_gives_all_frames_one_noise(server, video, kind):
    """The prompt is fixed, so equal noise shows as equal frames."""
    graph = prompts.walks(video, FRAMES) | prompts.sampled(["text", 0], ["noise", 1], steps=1)
    flat = {"points": [[0.0, 0.0], [1.0, 0.0]], "interpolation": "linear"}
    graph["curve"] = node("CurveEditor", curve=flat)
    graph["noise"]["inputs"]["strength"] = {"number": 0.0, "curve": ["curve", 0]}[kind]
    same = latents(server, graph)
    assert (same - same[:1]).abs().max() < SAME


@pytest.mark.parametrize("method", ["rotate", "near_identity"])
def test_the_other_noise_walks_reach_a_native_sampler(server, video, method):
    graph = prompts.walks(video, FRAMES) | prompts.sampled(["text", 0], ["noise", 1], steps=1)
    graph["noise"]["inputs"]["method"] = method
    frames = latents(server, graph)
    assert torch.isfinite(frames).all()
    assert (frames[1:] - frames[:1]).abs().max() > 100 * SAME


# --- Cancelling -----------------------------------------------------------------------------------


def test_cancelling_takes_effect_within_a_batch(server, video):
    """ViT-L needs seconds per frame on a CPU: 48 frames are minutes, a batch of two is seconds."""
    graph = prompts.drift(video, sample_fps=0.0, batch_size=2)
    graph["encoder"] = node("CLIPVisionLoader", clip_name="random_vit_l.safetensors")
    graph["shown"] = node("PreviewAny", source=["drift", 2])
    prompt_id = server.queue(graph)
    time.sleep(8)
    server.interrupt()
    asked = time.monotonic()
    entry = server.wait(prompt_id, timeout=120)
    assert any(event == "execution_interrupted" for event, _ in entry["status"]["messages"])
    print(f"cancelled after {time.monotonic() - asked:.1f} s")
