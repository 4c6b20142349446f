"""What is fed: a maker of good files by kind, and a reader that may refuse with its own errors."""

from __future__ import annotations

import gzip
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import av
import numpy as np
import torch

from ...clip_drift.drift import Drift
from ...clip_drift.errors import DriftError
from ...clip_drift.files import load_drift, save_drift
from ...clip_drift.openclip import load_openclip_file
from ...clip_drift.through.bank import BANK, behind, read_bank
from ...clip_drift.video import open_frames
from ...clip_drift.weight_files import read_header
from ...farm.errors import FarmError
from ...farm.files import file_inputs, find_local, with_values
from ...farm.folder import Manifest, RenderFolder
from ...farm.plan import lacking, make_plan
from ...farm.workflow import read_workflow, to_prompt
from ...kandinsky22.files import config_beside, setting
from ..rig.paths import EXAMPLES, MODELS, REPO
from ..rig.prompts import mini_frames
from .mutate import broken_bytes, broken_json

REFUSALS = (DriftError, FarmError)
"""What a reader may raise; anything else is a fault."""

# name → (codec, layout of its pixels)
CONTAINERS = {
    "h264.mp4": ("libx264", "yuv420p"),
    "h264.mkv": ("libx264", "yuv420p"),
    "h264.ts": ("libx264", "yuv420p"),
    "h265.mp4": ("libx265", "yuv420p"),
    "vp9.webm": ("libvpx-vp9", "yuv420p"),
    "av1.mkv": ("libsvtav1", "yuv420p"),
    "prores.mov": ("prores_ks", "yuv422p10le"),
    "mjpeg.avi": ("mjpeg", "yuvj420p"),
    "mpeg4.avi": ("mpeg4", "yuv420p"),
    "ffv1.mkv": ("ffv1", "bgr0"),
    "picture.gif": ("gif", "rgb8"),
    "raw.h264": ("libx264", "yuv420p"),
}
FRAMES = 12


def make_corpus(folder: Path, infos: dict[str, Any]) -> None:
    """Write the good files that are broken later."""
    for name, (codec, layout) in CONTAINERS.items():
        try:
            _write_clip(folder / name, codec, layout)
        except (ValueError, av.error.FFmpegError):  # this PyAV has no such encoder
            (folder / name).unlink(missing_ok=True)
    steps = torch.randn(6, 16, generator=torch.Generator().manual_seed(0)).cumsum(0)
    pictures = torch.zeros(6, 8, 8, 3, dtype=torch.uint8)
    save_drift(
        Drift.from_embeddings(steps + 3, torch.arange(6.0), pictures), folder / "drift.safetensors"
    )
    torch.save({"weight": torch.zeros(4, 3), "bias": torch.zeros(4)}, folder / "weights.pt")
    (folder / "infos.json").write_text(json.dumps(infos), encoding="utf-8")


def _write_clip(path: Path, codec: str, layout: str) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=12)
        stream.width, stream.height, stream.pix_fmt = 64, 48, layout
        if codec == "libx265":
            stream.options = {"x265-params": "log-level=none"}
        for i in range(FRAMES):
            picture = np.zeros((48, 64, 3), np.uint8)
            picture[:, i * 4 : i * 4 + 12] = 220
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=layout)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def drift(random: Random, corpus: Path, folder: Path) -> None:
    """Load CLIP Drift's file."""
    path = folder / "case.safetensors"
    path.write_bytes(broken_bytes(random, (corpus / "drift.safetensors").read_bytes()))
    found = load_drift(path)
    if not torch.isfinite(found.embeddings).all():
        raise AssertionError("a drift that was read holds what is no number")


def video(random: Random, corpus: Path, folder: Path) -> None:
    """A clip in any container, by either reader."""
    name = random.choice([name for name in CONTAINERS if (corpus / name).exists()])
    path = folder / f"case{Path(name).suffix}"
    path.write_bytes(broken_bytes(random, (corpus / name).read_bytes()))
    backend = random.choice(("pyav", "pyav", "pyav", "decord"))
    rate = random.choice((0.0, 5.0))
    with open_frames(path, 32, sample_fps=rate, max_frames=40, backend=backend) as stream:
        for batch in itertools.islice(stream, 100):
            if batch.frames.shape[-3:] != (32, 32, 3):
                raise AssertionError(f"pixels of shape {tuple(batch.frames.shape)}")


def workflow(random: Random, corpus: Path, folder: Path) -> None:
    """A workflow given to `render`, in either format, and a manifest found in its folder."""
    infos = json.loads((corpus / "infos.json").read_text(encoding="utf-8"))
    path = folder / "workflow.json"
    path.write_bytes(broken_json(random, random.choice(_workflows())))
    _read_manifest(random, folder / "out")
    read, _ = read_workflow(path)
    prompt = to_prompt(read, infos)
    plan = make_plan(prompt, infos)
    plan.counting(), plan.seeds(), lacking(plan.chunk(0, 4), infos)
    names = [value for _, _, value in file_inputs(plan.prompt, infos)]
    find_local(names, [folder])
    json.dumps(with_values(plan.prompt, infos, dict.fromkeys(names, "other")))


def _workflows() -> list[Any]:
    if not _READ:
        _READ.append(mini_frames(4))
        saved = sorted([*EXAMPLES.glob("*.json"), *(REPO / "subgraphs").glob("*.json")])
        _READ.extend(json.loads(path.read_bytes()) for path in saved)
    return _READ


_READ: list[Any] = []


def _read_manifest(random: Random, out: Path) -> None:
    prompt = mini_frames(4)
    good = Manifest({}, prompt, {"a": "b"}, {"seed": 1}, first=0, limit=0, total=4, rate=8.0)
    with RenderFolder(out) as made:
        made.begin(good)
        made.keep({1: b"frame"})
    stored = json.loads((out / "manifest.json").read_bytes())
    (out / "manifest.json").write_bytes(broken_json(random, stored))
    try:
        with RenderFolder(out) as opened:
            if opened.manifest is not None:
                opened.check()
    except FarmError:
        return


def config(random: Random, corpus: Path, folder: Path) -> None:
    """What lies beside weights: Kandinsky's .json, OpenCLIP's .json and vocabulary; the directory
    of a weight file; a bank of captions."""
    kind = random.choice(("kandinsky", "header", "pickle", "openclip", "vocabulary", "bank"))
    if kind == "kandinsky":
        path = folder / "unet.safetensors"
        good = json.loads((MODELS / "diffusion_models/mini-kandinsky-decoder.json").read_bytes())
        path.with_suffix(".json").write_bytes(broken_json(random, good))
        found = config_beside(path)
        for key in good:
            for official in (1, 1.0):
                setting(found, key, official)
    elif kind == "header":
        path = folder / "unet.safetensors"
        whole = (MODELS / "vae/mini-kandinsky-movq.safetensors").read_bytes()
        length = int.from_bytes(whole[:8], "little") + 8
        path.write_bytes(broken_bytes(random, whole[:length]) + whole[length:])
        read_header(path)
    elif kind == "pickle":
        path = folder / "case.pt"
        path.write_bytes(broken_bytes(random, (corpus / "weights.pt").read_bytes()))
        read_header(path, pickles=True)
    elif kind == "bank":
        good = "\n".join(phrase for group in BANK.values() for phrase in group)
        text = broken_bytes(random, good.encode()).decode(errors="surrogateescape")
        [behind("a cat", phrase) for phrase in read_bank(text)]
    else:
        _openclip(random, kind, folder)


def _openclip(random: Random, kind: str, folder: Path) -> None:
    name = "mini-kandinsky-clip"
    for path in (MODELS / "open_clip").glob(f"{name}.*"):
        shutil.copy(path, folder)
    beside, words = folder / f"{name}.json", folder / f"{name}.txt.gz"
    if kind == "openclip":
        beside.write_bytes(broken_json(random, json.loads(beside.read_bytes())))
    else:
        packed = random.random() < 0.5
        content = words.read_bytes() if packed else gzip.decompress(words.read_bytes())
        broken = broken_bytes(random, content)
        words.write_bytes(broken if packed else gzip.compress(broken))
    encoder = load_openclip_file(folder / f"{name}.safetensors")
    encoder.encode_text(["a large yellow star"])
    encoder.encode(torch.zeros(1, encoder.size, encoder.size, 3, dtype=torch.uint8))


TARGETS: dict[str, Callable[[Random, Path, Path], None]] = {
    "drift": drift,
    "video": video,
    "workflow": workflow,
    "config": config,
}
