"""The workflow to begin with: its models and its clip are in the pack."""

from __future__ import annotations

from typing import NamedTuple

from ..ui_graph import PADDING, Graph, Group, Node, Output, Shown, Stack, column, row
from . import models
from .kandinsky import imagine
from .parts import (
    FPS,
    FRAMES,
    GOLD,
    GREEN,
    Sampling,
    Subject,
    drifting_noise,
    read_clip,
    sample,
)

PROMPT = "a yellow star on navy"
SIZE, SHOWN, SAMPLING = 64, 448, Sampling(25, 2.0, "ddim", "normal")
NARROW, NOTE = 280, (340, 370)
"""The front end fits a template into the window as it opens: small nodes are seen larger."""


def first(add: Graph) -> Stack:
    """A tiny Kandinsky's prompt follows a clip, and what is drawn moves as soon as it is there."""
    text = add.note(f"""
# A clip moves a prompt

## First

Press **Run**: everything is in the box. In a minute a yellow star goes round as the ball does. The
prompt says no place: **Follow the Clip** moves what it stands for to where the clip is.

## Change

- **text**: *circle, square, triangle, star*; *red* to *pink*, *white*; *on black, navy, maroon,
  dark green, dark grey*.
- **strength**: 1 is the clip's motion, 0 a still.
- **Load Video**: one bright thing that moves on a plain ground, {FRAMES // FPS} seconds.

Nodes with an arrow open. Next: *02-look_at_a_clip_first*, *08-kandinsky_text_loop*, the same with
the real model, and *13-score_the_motion*.
""")
    text.least_size = NOTE
    subject = mini_kandinsky(add)
    video, drift = read_clip(add, subject)
    drawn = follow_clip(add, subject, drift)
    larger = enlarge(add, drawn.images, SHOWN)
    beside = add("ClipDriftSideBySide", images=larger, video=video, drift=drift)
    following = add.fold(
        "Follow the Clip",
        row(*drawn.columns, larger, beside),
        drawn.shows,
        gives=[(beside, "images"), (beside["fps"], "fps")],
    )
    shown = add.titled(
        "The result",
        "SaveAnimatedWEBP",
        images=beside,
        filename_prefix="clip-drift/first",
        fps=beside["fps"],
        lossless=False,
        quality=90,
    )
    video.least_size, drift.least_size = (NOTE[0] - PADDING, 400), (NARROW, 460)
    (box,), (said,) = subject.loaders, subject.says
    following.least_size, said.least_size = (NARROW, 0), (NARROW, 400)  # warnings fit
    box.least_size = (NOTE[0] - PADDING, 0)
    moving = row(column(said, drift), following, shown)
    return row(
        column(text, Group("1 Clip and model", GREEN, column(box, video))),
        Group("2 The clip's motion moves the prompt", GOLD, moving),
    )


def mini_kandinsky(add: Graph) -> Subject:
    """The pack's own models, in one node, and a prompt. One CLIP reads the clip and the prompt."""
    decoder = add(
        "Kandinsky22LoadDecoder", unet_name=models.MINI_DECODER, movq_name=models.MINI_MOVQ
    )
    prior = add("Kandinsky22LoadPrior", prior_name=models.MINI_PRIOR)
    clip = add("ClipDriftLoadOpenCLIP", model=models.MINI_CLIP)
    box = add.fold(
        "Mini Kandinsky",
        column(decoder, prior, clip),
        gives=[(decoder, "model"), (decoder["vae"], "vae"), (prior, "prior"), (clip, "encoder")],
    )
    encode = imagine(add, prior, clip, clip, text=PROMPT)
    canvas = add("EmptyLatentImage", width=SIZE, height=SIZE)
    return Subject(
        decoder["model"],
        Output(clip, 0),
        decoder["vae"],
        Output(clip, 0),
        encode["positive"],
        encode["negative"],
        canvas,
        (box,),
        (encode,),
        SAMPLING,
    )


class Followed(NamedTuple):
    """What draws, as columns, what of it is shown outside, and what was drawn."""

    columns: tuple[Node | Stack, ...]
    shows: list[Shown]
    images: Node


def follow_clip(add: Graph, subject: Subject, drift: Node) -> Followed:
    """The prompt moved by a drift, and drawn."""
    rotation = add("ClipDriftRotation", start=drift, pairing="from_first", centered=False)
    moved = follow(add, subject, rotation["rotation"])
    noise = drifting_noise(add, subject, rotation["rotation"], 0.0)
    steps = sample(add, subject, moved, noise["noise"], noise["latent"])
    beginning = column(rotation, subject.canvas), column(moved, noise)
    shows = [
        (rotation, "start", "drift"),
        (moved, "method", "method"),
        (moved, "strength", "strength"),
        (noise, "noise_seed", "noise_seed"),
        (steps.sigmas, "steps", "steps"),
    ]
    return Followed((*beginning, *steps.columns, steps.decoded), shows, steps.decoded)


def enlarge(add: Graph, images: Node, width: int) -> Node:
    """Tiny pictures, large enough to be looked at."""
    return add("ImageScale", image=images, upscale_method="lanczos", width=width, height=SHOWN)


def follow(add: Graph, subject: Subject, rotation: Output) -> Node:
    """The walk for a prompt that says no place."""
    return add(
        "ClipDriftRotateConditioning",
        conditioning=subject.positive,
        rotation=rotation,
        method="follow",
        strength=1.0,
    )
