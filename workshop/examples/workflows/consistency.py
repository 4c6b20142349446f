"""The workflows in which frames look at the first one, or begin as it."""

from __future__ import annotations

from typing import NamedTuple

from ..ui_graph import Graph, Group, Node, Output, Stack, column, row
from . import models
from .mini import SHOWN, enlarge, follow, mini_kandinsky
from .moved_prompts import SD_FIRST, move, openai, text_model
from .parts import (
    FPS,
    FRAMES,
    GOLD,
    SEED,
    Motion,
    Subject,
    draw,
    drifting_noise,
    motion,
    page,
    sample,
    save,
)

LONG, WINDOW, OVERLAP, LOW_VIDEO = 48, 16, 4, 430
FIRST, SECOND, STEPS = 2, 3, 50
"""Text2Video-Zero: of 50 steps the first frame is drawn 2, and then 3 more."""


def text2video_zero(add: Graph) -> Stack:
    """Attention, motion prior and prompt walk, the motion of all three a clip's own."""
    text = add.note(f"""
# Text2Video-Zero, with a clip's motion

Text2Video-Zero makes a clip with a picture model: the **first frame**, drawn a little, is shifted
along a line and drawn on, while all frames look at it. Here the line is the **clip's own path**,
and the prompt walks along with it.

## First

{SD_FIRST}
## Then

- **Rotate Prompt** `strength`: how far the prompt walks beside it; 0 is the paper's.
- **Warp First Frame** `strength`: 0 moves nothing. Without its `drift`, `x` and `y` pixels per
  frame are the line of the paper.
- **Attend to First Frame**: *first* is the paper's. *first and own* leaves frames more freedom.
- **First Frame** opens: 2 and 3 of {STEPS} steps come before the shift, as published.
""")
    subject = text_model(add, models.CHECKPOINT, openai(add))
    read = motion(add, subject)
    moved = move(add, subject, read, "a lighthouse above a stormy sea, oil painting")
    begun = first_frame(add, subject, moved, read)
    attending = attend(add, subject, "first")
    guider = guide(add, subject, attending, moved)
    no_noise = add("DisableNoise")
    drawn = add(
        "SamplerCustomAdvanced",
        noise=no_noise,
        guider=guider,
        sampler=begun.sampler,
        sigmas=begun.sigmas,
        latent_image=begun.latent,
    )
    decoded = add("VAEDecode", samples=drawn["output"], vae=subject.vae)
    video = add("CreateVideo", images=decoded, fps=FPS)
    fold = add.fold(
        "Attend and Draw",
        row(attending, column(no_noise, guider), drawn, decoded, video),
        shows=[
            (attending, "mode", "mode"),
            (attending, "strength", "strength"),
            (guider, "cfg", "cfg"),
        ],
        gives=[(video, "video"), (decoded, "images")],
    )
    saved = save(add, Output(video, 0), "text2video-zero", LOW_VIDEO)
    place = row(column(moved), column(begun.place, fold, saved))
    drawing = Group("3 Draw the first frame, then all from it", GOLD, place)
    return page(text, subject, read, drawing, first=subject.says)


def by_windows(add: Graph) -> Stack:
    """More frames than memory holds at once, in one sampler."""
    text = add.note(f"""
# A long clip, window by window

{LONG} frames in one sampler, of which a model sees {WINDOW} at a time: **Context Windows (Manual)**
with `dim` 0 splits the batch at every step and blends what overlaps. **Attend to First Frame**
brings frame 0 along into every window.

## First

{SD_FIRST}
## Then

- Longer: `frames` in *Drift to Rotations*, and `max_frames` in *Video → CLIP Drift*.
- Out of memory? A smaller `context_length`.
- Leave `freenoise` off: it would shuffle the noise that drifts.
- **Rotate Prompt** `strength` and **Draw** `noise_strength` weigh prompt against noise.
""")
    subject = text_model(add, models.CHECKPOINT, openai(add))
    read = motion(add, subject, frames=LONG)
    moved = move(add, subject, read, "a sailing boat on a calm sea, watercolor")
    attending = attend(add, subject, "first and own")
    windows = add(
        "ContextWindowsManual",
        model=attending,
        context_length=WINDOW,
        context_overlap=OVERLAP,
        context_schedule="standard_static",
    )
    looking = add.fold(
        "Attend, by Windows",
        row(attending, windows),
        shows=[
            (attending, "mode", "mode"),
            (attending, "strength", "strength"),
            (windows, "context_length", "context_length"),
            (windows, "context_overlap", "context_overlap"),
        ],
    )
    seen = subject._replace(model=Output(windows, 0), positive=Output(moved, 0))
    drawn = draw(add, seen, read, None, 0.2)
    saved = save(add, drawn.video, "windows", LOW_VIDEO)
    drawing = row(column(moved), column(looking, *drawn.nodes, saved))
    group = Group("3 Draw by windows", GOLD, drawing)
    return page(text, subject, read, group, first=subject.says)


def side_by_side(add: Graph) -> Stack:
    """Mini Kandinsky with and without attention to the first frame."""
    text = add.note(f"""
# With and without Attend to First Frame

**Everything is in the box.** The same prompt and the same noise, which drifts with the clip, drawn
twice: on the left as they are, on the right with **Attend to First Frame**. Look at the ground and
at the colour of the star.

## First

Press **Run**, and wait for *The result*.

## Then

- **mode** and **strength**. Here they change little: a picture of this small model is decided by
  its image embedding. `docs/figures.md` in the pack says what was measured.
- The {FRAMES} frames must be one batch for *first and previous*.
- With your own model, put the node between the model and the sampler, as here.
""")
    subject = mini_kandinsky(add)
    read = motion(add, subject)
    moved = follow(add, subject, read.rotation)
    noise = drifting_noise(add, subject, read.rotation, 1.0)
    attending = attend(add, subject, "first and own")
    plain = sample(add, subject, moved, noise["noise"], noise["latent"])
    subject = subject._replace(model=Output(attending, 0))
    looking = sample(add, subject, moved, noise["noise"], noise["latent"])
    both = add("ImageStitch", image1=plain.decoded, image2=looking.decoded, spacing_width=4)
    larger = enlarge(add, both, 2 * SHOWN)
    fold = add.fold(
        "Draw Twice",
        row(
            subject.canvas,
            column(plain.columns[0], looking.columns[0]),
            noise,
            column(plain.columns[1], looking.columns[1]),
            column(plain.decoded, looking.decoded),
            both,
            larger,
        ),
        shows=[(noise, "noise_seed", "noise_seed"), (noise, "strength", "noise_strength")],
        gives=[(larger, "images")],
    )
    shown = add.titled(
        "The result",
        "SaveAnimatedWEBP",
        images=larger,
        filename_prefix="clip-drift/side-by-side",
        fps=FPS,
        lossless=False,
        quality=90,
    )
    shown.least_size = (0, SHOWN + 150)
    drawing = Group("3 Draw it twice", GOLD, column(row(moved, attending, fold), shown))
    return page(text, subject, read, drawing, first=subject.says)


def attend(add: Graph, subject: Subject, mode: str) -> Node:
    return add("ClipDriftAttendFirst", model=subject.model, mode=mode)


def guide(add: Graph, subject: Subject, model: Node | Output, positive: Node | Output) -> Node:
    cfg = subject.sampling.cfg
    return add("CFGGuider", model=model, positive=positive, negative=subject.negative, cfg=cfg)


class Begun(NamedTuple):
    """Where all frames begin, and how they go on."""

    latent: Output
    sigmas: Output
    sampler: Node
    place: Node


def first_frame(add: Graph, subject: Subject, moved: Node, read: Motion) -> Begun:
    """The first frame drawn a little, drawn a little more, and shifted along the clip's path."""
    once = add("ClipDriftFrames", conditioning=moved, latent=subject.canvas, start=0, count=1)
    guider = guide(add, subject, subject.model, once["conditioning"])
    sampler = add("KSamplerSelect", sampler_name="ddim")
    sigmas = add("BasicScheduler", model=subject.model, scheduler="normal", steps=STEPS)
    before = add("SplitSigmas", sigmas=sigmas, step=FIRST)
    between = add("SplitSigmas", sigmas=before["low_sigmas"], step=SECOND)
    noise, no_noise = add("RandomNoise", noise_seed=SEED), add("DisableNoise")
    start = add(
        "SamplerCustomAdvanced",
        noise=noise,
        guider=guider,
        sampler=sampler,
        sigmas=before["high_sigmas"],
        latent_image=once["latent"],
    )
    drawn = add(
        "SamplerCustomAdvanced",
        noise=no_noise,
        guider=guider,
        sampler=sampler,
        sigmas=between["high_sigmas"],
        latent_image=start["output"],
    )
    warped = add(
        "ClipDriftWarpFirst",
        model=subject.model,
        start=start["output"],
        latent=drawn["output"],
        sigmas=between["high_sigmas"],
        drift=read.shaped,
        noise_seed=SEED,
    )
    place = add.fold(
        "First Frame, Shifted",
        row(
            column(subject.canvas, sigmas),
            once,
            column(noise, guider, sampler, before),
            column(no_noise, start, between),
            drawn,
            warped,
        ),
        shows=[
            (subject.canvas, "width", "width"),
            (subject.canvas, "height", "height"),
            (noise, "noise_seed", "noise_seed"),
            (sigmas, "steps", "steps"),
            (warped, "strength", "shift"),
        ],
    )
    return Begun(Output(warped, 0), before["low_sigmas"], sampler, place)
