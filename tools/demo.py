"""The main job, headless: a clip's drift moves a prompt, and native nodes draw the frames.

python tools/demo.py [--checkpoint FILE] [--output DIR]
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import weights
from clips import sample_clip
from comfy_server import BASE_DIR, RUN_DIR, ComfyServer, NodeError, Prompt, ServerError, has_gpu

CLIP_SECONDS = 2.0
FRAMES = 16
TEXT = "a lighthouse on a cliff above a stormy sea, oil painting"
TIMEOUT = 24 * 3600  # a real model on a CPU takes hours

NOISE_NOTICE = """\
The checkpoint has RANDOM WEIGHTS in Stable Diffusion 1.5's layout: the pictures are noise.
The pipeline is real, down to native loaders and samplers; --checkpoint FILE uses a real model."""
ENCODER_NOTICE = """\
The CLIP Vision encoder has RANDOM WEIGHTS in ViT-L/14's layout: the drift answers to the clip,
but does not know what is in it."""


class Settings(NamedTuple):
    """How the frames are drawn."""

    checkpoint: str
    size: int
    steps: int
    cfg: float


def random_settings() -> Settings:
    """Small pictures in few steps: minutes on a CPU. cfg 1 spares the negative prompt's half."""
    return Settings("random_sd15.safetensors", size=128, steps=4, cfg=1.0)


def real_settings(checkpoint: str) -> Settings:
    """What Stable Diffusion 1.5 was made for."""
    return Settings(checkpoint, size=512, steps=20, cfg=7.0)


def demo_prompt(clip_name: str, settings: Settings) -> Prompt:
    """The workflow in API format: drift -> rotation -> walk of text and noise -> frames."""
    fps = FRAMES / CLIP_SECONDS
    return {**_drift_nodes(clip_name, fps), **_drawing_nodes(settings), **_output_nodes(fps)}


def _drift_nodes(clip_name: str, fps: float) -> Prompt:
    """From the video file to the rotation that its frames make in CLIP space."""
    return {
        "clip": _node("LoadVideo", file=clip_name),
        "encoder": _node("CLIPVisionLoader", clip_name="random_vit_l.safetensors"),
        "drift": _node(
            "ClipDriftFromVideo",
            frames=["clip", 0],
            encoder=["encoder", 0],
            sample_fps=fps,
            max_frames=0,
            batch_size=8,
            crop="center",
        ),
        "shape": _node(
            "ClipDriftShape",
            drift=["drift", 0],
            frames=FRAMES,
            smooth=0.0,
            direction="forward",
            strength=1.0,
        ),
        "rotation": _node(
            "ClipDriftRotation", start=["shape", 0], pairing="from_first", centered=True
        ),
    }


def _drawing_nodes(settings: Settings) -> Prompt:
    """A plain Stable Diffusion graph, whose prompt and noise are walked along the rotation."""
    return {
        "model": _node("CheckpointLoaderSimple", ckpt_name=settings.checkpoint),
        "text": _node("CLIPTextEncode", clip=["model", 1], text=TEXT),
        "negative": _node("CLIPTextEncode", clip=["model", 1], text="blurry, low quality"),
        "walk": _node(
            "ClipDriftRotateConditioning",
            conditioning=["text", 0],
            rotation=["rotation", 0],
            method="carry",
            strength=1.0,
            preserve_norm=True,
            rotate_pooled=True,
        ),
        "canvas": _node(
            "EmptyLatentImage", width=settings.size, height=settings.size, batch_size=1
        ),
        "noise": _node(
            "ClipDriftRotateNoise",
            latent=["canvas", 0],
            rotation=["rotation", 0],
            noise_seed=7,
            method="correlate",
            strength=1.0,
        ),
        "guider": _node(
            "CFGGuider",
            model=["model", 0],
            positive=["walk", 0],
            negative=["negative", 0],
            cfg=settings.cfg,
        ),
        "sampler": _node("KSamplerSelect", sampler_name="euler"),
        "sigmas": _node(
            "BasicScheduler",
            model=["model", 0],
            scheduler="normal",
            steps=settings.steps,
            denoise=1.0,
        ),
        "sample": _node(
            "SamplerCustomAdvanced",
            noise=["noise", 0],
            guider=["guider", 0],
            sampler=["sampler", 0],
            sigmas=["sigmas", 0],
            latent_image=["noise", 1],
        ),
        "pictures": _node("VAEDecode", samples=["sample", 0], vae=["model", 2]),
    }


def _output_nodes(fps: float) -> Prompt:
    """Everything that is written: the drift, its report, the frames as a video."""
    return {
        "save_drift": _node("ClipDriftSave", drift=["drift", 0], filename_prefix="drift"),
        "report": _node("ClipDriftReport", drift=["drift", 0]),
        "save_report": _node("SaveImage", images=["report", 0], filename_prefix="report"),
        "video": _node("CreateVideo", images=["pictures", 0], fps=fps),
        "save_video": _node(
            "SaveVideo", video=["video", 0], filename_prefix="frames", format="mp4", codec="h264"
        ),
    }


def _node(class_type: str, **inputs) -> dict:
    return {"class_type": class_type, "inputs": inputs}


class LogPrinter:
    """Repeats what the server logs from now on, sampler steps included, with the time passed."""

    def __init__(self, server: ComfyServer):
        self._server = server
        self._started = time.monotonic()
        self._seen = len(server.log())

    def __call__(self):
        """Print the lines that have come in since the last call."""
        log = self._server.log()
        complete = max(log.rfind("\n"), log.rfind("\r"), self._seen - 1) + 1
        for line in re.split(r"[\r\n]+", log[self._seen : complete]):
            if line.strip():
                print(f"  {time.monotonic() - self._started:5.0f} s  {line.strip()}", flush=True)
        self._seen = complete


def render(checkpoint: Path | None, output: Path) -> list[Path]:
    """Do the main job and return the files that it wrote to `output`."""
    needed = ["vit_l"] if checkpoint else ["vit_l", "sd15"]
    weights.ensure(BASE_DIR / "models", *needed)
    settings = real_settings(checkpoint.name) if checkpoint else random_settings()
    model_paths = {"checkpoints": checkpoint.parent} if checkpoint else None
    use_cpu = checkpoint is None or not has_gpu()
    with tempfile.TemporaryDirectory(dir=RUN_DIR) as work_dir:
        clip = sample_clip(Path(work_dir) / "clip.mp4", seconds=CLIP_SECONDS)
        print("starting ComfyUI ...", flush=True)
        with ComfyServer(Path(work_dir), cpu=use_cpu, model_paths=model_paths) as server:
            print(f"rendering {FRAMES} frames of {settings.size} x {settings.size} ...", flush=True)
            prompt = demo_prompt(server.upload(clip), settings)
            server.run(prompt, TIMEOUT, on_poll=LogPrinter(server))
            return copy_results([clip, *sorted(server.output_dir.glob("*.*"))], output)


def copy_results(files: list[Path], output: Path) -> list[Path]:
    """Copy files into a folder, under their names less the counter that ComfyUI adds."""
    output.mkdir(parents=True, exist_ok=True)
    return [
        Path(shutil.copy(file, output / re.sub(r"_\d{5}_?(?=\.)", "", file.name))) for file in files
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, help="a Stable Diffusion 1.5 model to draw with")
    parser.add_argument("--output", type=Path, default=RUN_DIR / "demo", help="folder of results")
    options = parser.parse_args()
    if options.checkpoint and not options.checkpoint.is_file():
        parser.error(f"there is no file {options.checkpoint}")
    started = time.monotonic()
    try:
        results = render(options.checkpoint and options.checkpoint.resolve(), options.output)
    except (NodeError, ServerError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted")
    print(f"\ndone in {time.monotonic() - started:.0f} s; results in {options.output.resolve()}:")
    for file in results:
        print(f"  {file.name}")
    print("\n" + (ENCODER_NOTICE if options.checkpoint else f"{NOISE_NOTICE}\n{ENCODER_NOTICE}"))


if __name__ == "__main__":
    main()
