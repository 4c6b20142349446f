"""The workflow that asks whether the result moves like the clip."""

from __future__ import annotations

from ..ui_graph import Graph, Group, Output, Space, Stack, column, row
from .parts import (
    BLUE,
    LOW,
    Motion,
    Subject,
    draw_batch,
    group,
    motion,
    page,
    rotate,
    save,
    stable_diffusion,
)


def score_motion(add: Graph) -> Stack:
    """Rendered frames are encoded again and compared with the drift that they followed."""
    text = add.note("""
# Score the motion

Frames are drawn as in *rotate the prompt*, looked at by CLIP **again**, and compared with the drift
that they were to follow.

## First

Models, clip and prompt as in *rotate the prompt*. Run.

## Read it

**Compare Drifts** puts each score beside two controls: a *frozen* clip (the first frame, repeated)
and the same frames *shuffled*. A score that a control reaches too says nothing.

- `angle_spearman`: does it move when the clip moves?
- `gram_correlation`: does it come back to where the clip comes back to?
- `motion_ratio`: 1 moves as far as the clip, 0 is a still, much more than 1 flickers.

## Then

- Change one thing, such as `strength` or `method` of **Rotate Conditioning**, and score again.
- The scores are outputs as well, for other nodes to take.
- Your own clip instead of drawn frames: connect it to the second *Video → CLIP Drift*.
- More frames tell better from chance: 16 or more.
""")
    subject = stable_diffusion(add, "a lighthouse on a cliff above a stormy sea, oil painting")
    read = motion(add, subject)
    moved = rotate(add, subject, read)
    drawn = draw_batch(add, subject, read, moved, 0.0)
    scored = score(add, subject, read, drawn.images)
    results = column(save(add, drawn.images, "scored"), scored)
    return page(text, subject, read, group("Move it and draw", drawn), results)


def score(add: Graph, subject: Subject, read: Motion, images: Output) -> Group:
    """Frames are looked at again and compared with the motion that they were to follow."""
    again = add.titled(
        "Look at the result", "ClipDriftFromVideo", frames=images, encoder=subject.encoder
    )
    compared = add("ClipDriftCompare", reference=read.drift, result=again["drift"])
    verdict = add.titled("Verdict", "PreviewAny", source=compared["verdict"])
    return Group("6 Score it", BLUE, row(column(Space(0, LOW), again), compared, verdict))
