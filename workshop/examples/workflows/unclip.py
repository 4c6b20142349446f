"""The workflow on Stable unCLIP: the image embedding that rides beside the prompt moves."""

from __future__ import annotations

from ..ui_graph import Graph, Output, Stack
from . import models
from .parts import (
    FPS,
    FRAMES,
    IMAGE,
    STABLE_DIFFUSION,
    Subject,
    draw,
    drawn_page,
    motion,
    rotate,
    texts,
)

SIZE = 768


def unclip(add: Graph, prompt: str) -> Subject:
    """One checkpoint with everything → a prompt that holds a picture."""
    checkpoint = add("unCLIPCheckpointLoader", models.UNCLIP, ckpt_name=models.UNCLIP["name"])
    picture = add("LoadImage", image=IMAGE)
    said = texts(add, checkpoint["CLIP"], prompt)
    seen = add("CLIPVisionEncode", clip_vision=checkpoint["CLIP_VISION"], image=picture)
    both = add("unCLIPConditioning", conditioning=said.positive, clip_vision_output=seen)
    canvas = add("EmptyLatentImage", width=SIZE, height=SIZE)
    return Subject(
        checkpoint["MODEL"],
        checkpoint["CLIP"],
        checkpoint["VAE"],
        checkpoint["CLIP_VISION"],
        Output(both, 0),
        said.negative,
        canvas,
        (checkpoint, picture),
        (said.place, seen, both),
        STABLE_DIFFUSION,
    )


def image_prompt(add: Graph) -> Stack:
    """The picture's embedding is moved by a clip; frames one by one, since core sums a batch."""
    text = add.note(f"""
# unCLIP: a picture is the prompt

A Stable Diffusion 2.1 *unCLIP* model draws from a text **and from a picture's CLIP embedding**. The
clip's motion moves that embedding. The clip is read by the checkpoint's own CLIP, so motion and
picture are in one space.

## First

1. **unCLIP Checkpoint Loader**:
   [this model, 4 GB]({models.UNCLIP["url"]}) in
   `models/checkpoints`, or another unCLIP model of Stable Diffusion 2.1.
2. **Load Image**: your picture.
3. **Load Video**: choose your clip, best one clear movement. Its first {FRAMES // FPS} seconds are
   used, at {FPS} frames a second. Run.

## Then

- **Rotate Conditioning** `strength`: 1 is the clip's own motion, 0 a still. `rotate_tokens` lets
  the text move as well.
- **unCLIPConditioning** `strength`: how much of the picture; `noise_augmentation`: how freely.
- **Draw** opens: **Frames to List** in it has to stay. ComfyUI adds up the image embeddings of a
  batch, so each frame is drawn on its own. **Rebatch Images** collects them again.
""")
    subject = unclip(add, "a mountain landscape, highly detailed")
    read = motion(add, subject)
    moved = rotate(add, subject, read, rotate_pooled=False, rotate_tokens=False)
    drawn = draw(add, subject, read, moved, each=True)
    title = "Move it and draw, frame by frame"
    return drawn_page(add, text, subject, read, drawn, title, "unclip-image")
