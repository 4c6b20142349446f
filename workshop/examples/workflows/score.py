"""The workflow that asks whether the result moves like the clip."""

from __future__ import annotations

from ..ui_graph import Graph, Group, Output, Stack, column, row
from .mini import SHOWN, enlarge, follow_clip, mini_kandinsky
from .parts import BLUE, GOLD, GREEN, MODELS, PAGE_WIDTH, TEAL, read_clip, save


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
and the same frames *shuffled*. A score that a control reaches too says nothing. The verdict above
the picture says what follows.

- `angle_spearman`: does it move when the clip moves?
- `gram_correlation`: does it come back to where the clip comes back to?
- `motion_ratio`: 1 moves as far as the clip, 0 is a still, much more than 1 flickers.

What was read from the clip? *02-look_at_a_clip_first* shows it.

## Then

- Change one thing, such as `strength` or `method` of **Follow the Clip**, and score again.
- The scores are outputs as well, for other nodes to take.
- Frames of your own instead of drawn ones: connect them to **Look at the result**.
- More frames tell better from chance: 16 or more.
""")
    subject = mini_kandinsky(add)
    video, drift = read_clip(add, subject)
    drawn = follow_clip(add, subject, drift)
    larger = enlarge(add, drawn.images, SHOWN)
    created = add("CreateVideo", images=larger, fps=drift["fps"])
    following = add.fold(
        "Follow the Clip",
        row(*drawn.columns, larger, created),
        drawn.shows,
        gives=[(created, "video"), (drawn.images, "images")],
    )
    again = add.titled(
        "Look at the result",
        "ClipDriftFromVideo",
        frames=drawn.images,
        encoder=subject.encoder,
        fps=drift["fps"],
    )
    compared = add("ClipDriftCompare", reference=drift["drift"], result=again["drift"])
    compared.share, compared.least_size, again.least_size = 1.4, (0, 1000), (0, 490)
    return row(
        text,
        Group(MODELS, GREEN, column(*subject.loaders, *subject.says, video)),
        Group("2 Move the prompt", GOLD, column(drift, following)),
        Group("3 Draw, look again", TEAL, column(save(add, Output(created, 0), "scored"), again)),
        Group("4 Score it", BLUE, column(compared)),
    ).widen(PAGE_WIDTH)
