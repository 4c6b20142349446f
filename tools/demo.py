"""The main job, headless: a clip's drift moves a prompt, and native nodes draw the frames.

python tools/demo.py [--checkpoint FILE] [--output DIR]
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import weights
from clips import sample_clip
from comfy_server import (
    BASE_DIR,
    REPO,
    RUN_DIR,
    ComfyServer,
    NodeError,
    Prompt,
    ServerError,
    has_gpu,
    node,
)
from ui_to_api import ids_of, replace_values, ui_to_api

CLIP_SECONDS = 2.0
FRAMES = 16
WORKFLOW = REPO / "example_workflows" / "5-text_and_noise_frame_by_frame.json"
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


def demo_prompt(object_info: dict, clip_name: str, settings: Settings) -> Prompt:
    """The example workflow that walks text and noise together, with what is at hand."""
    workflow = json.loads(WORKFLOW.read_text(encoding="utf-8"))
    prompt = ui_to_api(workflow, object_info)
    replace_values(
        prompt,
        {
            ("LoadVideo", "file"): clip_name,
            ("CLIPVisionLoader", "clip_name"): "random_vit_l.safetensors",
            ("CheckpointLoaderSimple", "ckpt_name"): settings.checkpoint,
            ("ClipDriftShape", "frames"): FRAMES,
            ("EmptyLatentImage", "width"): settings.size,
            ("EmptyLatentImage", "height"): settings.size,
            ("BasicScheduler", "steps"): settings.steps,
            ("CFGGuider", "cfg"): settings.cfg,
        },
    )
    (drift,) = ids_of(prompt, "ClipDriftFromVideo")
    return {**prompt, "save": node("ClipDriftSave", drift=[drift, 0], filename_prefix="drift")}


class LogPrinter:
    """Repeats what the server logs from now on, with the time passed, less its progress bars."""

    def __init__(self, server: ComfyServer):
        self._server = server
        self._started = time.monotonic()
        self._seen = len(server.log())

    def __call__(self):
        """Print the lines that have come in since the last call."""
        log = self._server.log()
        complete = max(log.rfind("\n"), log.rfind("\r"), self._seen - 1) + 1
        for line in re.split(r"[\r\n]+", log[self._seen : complete]):
            if line.strip() and not re.match(r"\s*\d+%\|", line):
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
            prompt = demo_prompt(server.object_info(), server.upload(clip), settings)
            outputs = server.run(prompt, TIMEOUT, on_poll=LogPrinter(server))["outputs"]
            output.mkdir(parents=True, exist_ok=True)
            (drift,) = server.output_dir.glob("drift*.safetensors")
            results = {
                "clip.mp4": clip.read_bytes(),
                "drift.safetensors": drift.read_bytes(),
                "frames.mp4": fetched(server, prompt, outputs, "SaveVideo"),
                "report.png": fetched(server, prompt, outputs, "ClipDriftReport"),
            }
    for name, content in results.items():
        (output / name).write_bytes(content)
    return [output / name for name in results]


def fetched(server: ComfyServer, prompt: Prompt, outputs: dict, class_type: str) -> bytes:
    """The file that the only node of a type shows."""
    (node_id,) = ids_of(prompt, class_type)
    (file,) = outputs[node_id]["images"]
    return server.view(**file)


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
