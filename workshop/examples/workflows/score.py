"""The workflow that asks whether the result moves like the clip."""

from __future__ import annotations

from ..ui_graph import WIDE, Graph, Group, Space, Stack, column, row
from .mini import follow, mini_kandinsky
from .parts import BLUE, GOLD, GREEN, MODELS, OVER, draw, motion, save


def score_motion(add: Graph) -> Stack:
    """What was drawn is encoded again and compared with the drift that it followed."""
    text = add.note("""
# Score the motion

The first workflow again, and then the question: does the result move as the clip does? What was
drawn is looked at by CLIP **again** and compared with the drift that it was to follow.

## First

Everything is in the box. Run.

## Read it

**Compare Drifts** puts each score beside two controls: a *frozen* clip (the first frame, repeated)
and the same frames *shuffled*. A score that a control reaches too says nothing. The **Verdict**
says what follows.

- `angle_spearman`: does it move when the clip moves?
- `gram_correlation`: does it come back to where the clip comes back to?
- `motion_ratio`: 1 moves as far as the clip, 0 is a still, much more than 1 flickers.

**Drift Report** shows what was read from the clip, in pixels and in CLIP space.

## Then

- Change one thing, such as `strength` or `method` of **Rotate Conditioning**, and score again.
- The scores are outputs as well, for other nodes to take.
- Frames of your own instead of drawn ones: connect them to **Look at the result**.
- More frames tell better from chance: 16 or more.
""")
    subject = mini_kandinsky(add)
    read = motion(add, subject, report=True)
    moved = follow(add, subject, read.rotation)
    drawn = draw(add, subject, read, moved)
    again = add.titled(
        "Look at the result",
        "ClipDriftFromVideo",
        frames=drawn.images,
        encoder=subject.encoder,
        fps=read.fps,
    )
    compared = add("ClipDriftCompare", reference=read.drift, result=again["drift"])
    verdict = add.titled("Verdict", "PreviewAny", source=compared["verdict"])
    box = subject.group.content
    box.least_size = (WIDE, 0)
    said = Group(MODELS, GREEN, row(box, column(Space(0, OVER), subject.said)))
    drawing = Group("3 Move it and draw", GOLD, drawn.place)
    scored = row(again, column(Space(0, OVER), compared), verdict)
    results = column(save(add, drawn.video, "scored"), Group("5 Score it", BLUE, scored))
    return row(text, column(said, read.place), drawing, results)
