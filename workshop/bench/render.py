"""The pack inside a real ComfyUI: beside core's own nodes, and within a render of 16 frames."""

import tempfile
from pathlib import Path

from ...farm.client import Prompt, node
from ..rig import prompts, weights
from ..rig.clips import sample_clip
from ..rig.paths import BASE_DIR
from ..rig.server import ComfyServer

ENCODER = "random_vit_l.safetensors"
FRAMES = 16


def measure() -> dict[str, float]:
    """Seconds, bytes and their ratios.

    Returns:
        `core_*` and `ours_*`: a 720p clip of 60 frames to embeddings with ViT-L, through
        LoadVideo + GetVideoComponents + CLIPVisionEncode and through Video → CLIP Drift, each in a
        server of its own: `_s` seconds, `_mb` peak memory above the server's with the encoder
        loaded. `time_over_core`, `memory_over_core`: ours over core's.
        `render_s`: 16 frames of SD 1.5 at 128×128, 4 steps. `nodes_s`: rotation, prompt walk,
        noise walk and the drawing of the noise for them. `nodes_share`: their part of both.
    """
    weights.ensure(BASE_DIR / "models")
    core = _embed(
        {
            "parts": node("GetVideoComponents", video=["video", 0]),
            "embed": node(
                "CLIPVisionEncode", clip_vision=["encoder", 0], image=["parts", 0], crop="center"
            ),
            "angles": node(
                "ClipDriftRotation", start=["embed", 0], pairing="neighbours", centered=False
            ),
            "shown": node("PreviewAny", source=["angles", 1]),
        }
    )
    ours = _embed(
        {
            "drift": prompts.drift("", sample_fps=0.0)["drift"],
            "shown": node("PreviewAny", source=["drift", 1]),
        }
    )
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
        loaders = {"encoder": node("CLIPVisionLoader", clip_name=ENCODER)}
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
        graph = prompts.walks("clip.mp4", FRAMES)
        graph["canvas"]["inputs"] |= {"width": 128, "height": 128}
        sampling = prompts.sampled(["walk", 0], ["noise", 1], steps=4)
        # The noise is drawn when it is used: AddNoise does so without any sampling.
        used = node(
            "AddNoise",
            model=["model", 0],
            noise=["noise", 0],
            sigmas=["sigmas", 0],
            latent_image=["noise", 1],
        )
        only_walks = {
            "sigmas": sampling["sigmas"],
            "noises": used,
            "saved": node("SaveLatent", samples=["noises", 0], filename_prefix="latents/x"),
            "shown": node("PreviewAny", source=["walk", 1]),
        }
        _seconds(server, graph | only_walks)
        # All is cached now; other settings make just the rotation and the walks run again.
        graph["rotation"]["inputs"]["pairing"] = "neighbours"
        nodes = _seconds(server, graph | only_walks)
        pictures = {
            "pictures": node("VAEDecode", samples=["sample", 0], vae=["model", 2]),
            "saved": node("SaveImage", images=["pictures", 0], filename_prefix="x"),
        }
        render = _seconds(server, graph | sampling | pictures)
    return {"render_s": render, "nodes_s": nodes, "nodes_share": nodes / (render + nodes)}


def _seconds(server: ComfyServer, prompt: Prompt) -> float:
    """How long the server itself says a prompt took."""
    messages = dict(server.run(prompt)["status"]["messages"])
    started, ended = messages["execution_start"], messages["execution_success"]
    return (ended["timestamp"] - started["timestamp"]) / 1000
