"""The pack inside a real ComfyUI: beside core's own nodes, and within a render of 16 frames."""

import tempfile
from pathlib import Path

import weights
from clips import sample_clip
from comfy_server import BASE_DIR, ComfyServer, Prompt, node

ENCODER = "random_vit_l.safetensors"
FRAMES = 16


def measure() -> dict[str, float]:
    """Seconds, bytes and their ratios.

    Returns:
        ``core_*`` and ``ours_*``: a 720p clip of 60 frames to embeddings with ViT-L, through
        LoadVideo + GetVideoComponents + CLIPVisionEncode and through Video → CLIP Drift, each in a
        server of its own: ``_s`` seconds, ``_mb`` peak memory above the server's with the encoder
        loaded. ``time_over_core``, ``memory_over_core``: ours over core's.
        ``render_s``: 16 frames of SD 1.5 at 128×128, 4 steps. ``nodes_s``: rotation, prompt walk
        and noise walk for them. ``nodes_share``: the second over the first.
    """
    weights.ensure(BASE_DIR / "models")
    core = _embed(
        {
            "parts": node("GetVideoComponents", video=["video", 0]),
            "embed": node(
                "CLIPVisionEncode", clip_vision=["vit", 0], image=["parts", 0], crop="center"
            ),
            "angles": node(
                "ClipDriftRotation", start=["embed", 0], pairing="neighbours", centered=False
            ),
            "shown": node("PreviewAny", source=["angles", 1]),
        }
    )
    ours = _embed({**_drift(sample_fps=0.0), "shown": node("PreviewAny", source=["drift", 1])})
    return {
        "core_s": core[0],
        "ours_s": ours[0],
        "time_over_core": ours[0] / core[0],
        "core_mb": core[1] / 2**20,
        "ours_mb": ours[1] / 2**20,
        "memory_over_core": ours[1] / core[1],
        **_render(),
    }


def _embed(graph: Prompt) -> tuple[float, int]:
    """Seconds of a graph over the long clip, and the memory it took beyond a warm server's."""
    with tempfile.TemporaryDirectory() as folder, ComfyServer(Path(folder)) as server:
        loaders = {"vit": node("CLIPVisionLoader", clip_name=ENCODER)}
        for name, seconds in (("short.mp4", 0.1), ("long.mp4", 2.0)):
            sample_clip(server.input_dir / name, seconds=seconds, fps=30, size=(1280, 720))
        timed = {}
        for name in ("short.mp4", "long.mp4"):
            before = server.peak_memory()
            video = {"video": node("LoadVideo", file=name)}
            timed = _seconds(server, {**loaders, **video, **graph})
        return timed, server.peak_memory() - before


def _render() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder, ComfyServer(Path(folder)) as server:
        sample_clip(server.input_dir / "clip.mp4", seconds=2.0, fps=24)
        graph = {
            "video": node("LoadVideo", file="clip.mp4"),
            "vit": node("CLIPVisionLoader", clip_name=ENCODER),
            **_drift(sample_fps=8.0),
            "shape": node(
                "ClipDriftShape",
                drift=["drift", 0],
                frames=FRAMES,
                smooth=0.0,
                direction="forward",
                strength=1.0,
            ),
            "model": node("CheckpointLoaderSimple", ckpt_name="random_sd15.safetensors"),
            "text": node("CLIPTextEncode", clip=["model", 1], text="a lighthouse in a storm"),
            "empty": node("EmptyLatentImage", width=128, height=128, batch_size=1),
        }
        walked = ["walk", 1]
        _seconds(server, graph | _walks(0.9) | {"shown": node("PreviewAny", source=walked)})
        # All but the walks is cached now; another strength makes just them run again.
        walks = graph | _walks(1.0)
        only_walks = {
            "shown": node("PreviewAny", source=walked),
            "noises": node("SaveLatent", samples=["noise", 1], filename_prefix="latents/x"),
        }
        nodes = _seconds(server, walks | only_walks)
        sampling = {
            "guider": node(
                "CFGGuider", model=["model", 0], positive=["walk", 0], negative=["text", 0], cfg=1.0
            ),
            "sampler": node("KSamplerSelect", sampler_name="euler"),
            "sigmas": node(
                "BasicScheduler", model=["model", 0], scheduler="normal", steps=4, denoise=1.0
            ),
            "sample": node(
                "SamplerCustomAdvanced",
                noise=["noise", 0],
                guider=["guider", 0],
                sampler=["sampler", 0],
                sigmas=["sigmas", 0],
                latent_image=["noise", 1],
            ),
            "pictures": node("VAEDecode", samples=["sample", 0], vae=["model", 2]),
            "saved": node("SaveImage", images=["pictures", 0], filename_prefix="x"),
        }
        render = _seconds(server, walks | sampling)
    return {"render_s": render, "nodes_s": nodes, "nodes_share": nodes / (render + nodes)}


def _drift(sample_fps: float) -> Prompt:
    return {
        "drift": node(
            "ClipDriftFromVideo",
            frames=["video", 0],
            encoder=["vit", 0],
            sample_fps=sample_fps,
            max_frames=0,
            crop="center",
        )
    }


def _walks(strength: float) -> Prompt:
    """Rotation, prompt walk and noise walk, with nothing of them in the cache."""
    return {
        "rotation": node(
            "ClipDriftRotation",
            start=["shape", 0],
            pairing="from_first",
            centered=False,
            matrix_pair=round(10 * strength),
        ),
        "walk": node(
            "ClipDriftRotateConditioning",
            conditioning=["text", 0],
            rotation=["rotation", 0],
            method="carry",
            strength=strength,
            preserve_norm=True,
            rotate_pooled=True,
        ),
        "noise": node(
            "ClipDriftRotateNoise",
            latent=["empty", 0],
            rotation=["rotation", 0],
            noise_seed=7,
            method="correlate",
            strength=strength,
        ),
    }


def _seconds(server: ComfyServer, prompt: Prompt) -> float:
    """How long the server itself says a prompt took."""
    messages = dict(server.run(prompt)["status"]["messages"])
    started, ended = messages["execution_start"], messages["execution_success"]
    return (ended["timestamp"] - started["timestamp"]) / 1000
