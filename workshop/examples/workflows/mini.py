"""The workflow to begin with: its models and its clip are in the pack."""

from __future__ import annotations

from ..ui_graph import Graph, Group, Output, Space, Stack, column
from . import models
from .kandinsky import imagined
from .parts import (
    FPS,
    LOW,
    Motion,
    Sampling,
    Subject,
    draw_batch,
    group,
    motion,
    page,
    rotate,
    save,
)
from .score import score

CLIP, CLIP_SIZE = "clip-drift-round.mp4", 256
PROMPT = "a large yellow star, upright, far left and at middle height on navy"
SIZE, SAMPLING = 64, Sampling(25, 2.0, "ddim", "normal")


def first(add: Graph) -> Stack:
    """A tiny Kandinsky's prompt is moved by a clip, shown beside it and scored."""
    text = add.note(f"""
# Start here: press Run

**Everything is in the box**, nothing to download. *Mini Kandinsky* is a whole Kandinsky 2.2, tiny:
it draws one coloured shape, {SIZE} × {SIZE} pixels.

The clip shows a white ball that goes round. The prompt asks for a yellow star. The ball's motion
moves the **image embedding** that the prior draws for the prompt.

## Look at

1. **Save Video**: the clip on the left, what was drawn on the right.
2. **Drift Report**: what was read from the clip, in pixels and in CLIP space.
3. **Compare Drifts**: the result, looked at again, scored against the clip, beside a *frozen* and a
   *shuffled* one. The **Verdict** says what follows.

## Then change

- The prompt, in **Kandinsky 2.2 Prior**. Its words: *tiny* to *huge*; *red, orange, yellow, green,
  cyan, blue, pink, white*; *circle, square, triangle, star*; *upright, tilted to the left*; *in the
  middle, at the top left, far right*; *on black, navy, maroon, dark green, dark grey*. Let it begin
  where the clip begins.
- **Rotate Conditioning** `strength`: 1 is the clip's own motion, 0 a still. And `method`: *tangent*
  follows the clip and keeps the prompt; *carry* brings more of the clip's look along.
- **Load Video**: another clip. Side by side, it is shown in step if it has {FPS} frames a second.

Next: *8-kandinsky_text_loop*, the same with the real model.
""")
    subject = mini_kandinsky(add)
    read = motion(add, subject, CLIP, frames=True)
    moved = rotate(add, subject, read, method="tangent")
    drawn = draw_batch(add, subject, read, moved, 0.0)
    shown = side_by_side(add, read, drawn.images)
    scored = score(add, subject, read, drawn.images)
    return page(
        text, subject, read, group("Move it and draw", drawn), column(Space(0, LOW), shown, scored)
    )


def mini_kandinsky(add: Graph) -> Subject:
    """The pack's own models. One CLIP reads the clip, the prompt, and the result."""
    decoder = add(
        "Kandinsky22LoadDecoder", unet_name=models.MINI_DECODER, movq_name=models.MINI_MOVQ
    )
    prior = add("Kandinsky22LoadPrior", prior_name=models.MINI_PRIOR)
    clip = add("ClipDriftLoadOpenCLIP", model=models.MINI_CLIP)
    return imagined(add, [decoder, prior, clip, clip], SAMPLING, SIZE, text=PROMPT)


def side_by_side(add: Graph, read: Motion, images: Output) -> Group:
    """The clip's own frames, and beside them what was drawn."""
    larger = add(
        "ImageScale", image=images, upscale_method="lanczos", width=CLIP_SIZE, height=CLIP_SIZE
    )
    both = add("ImageStitch", image1=read.frames, image2=larger, spacing_width=8)
    return save(
        add, both, "mini-kandinsky", larger, column(Space(0, LOW), both), title="Show both and save"
    )
