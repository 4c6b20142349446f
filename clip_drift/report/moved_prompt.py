"""A prompt moved through its text encoder, drawn: how far, by which words, along what path."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from ..said import Said
from ..through.report import Reading
from .page import CLIP_COLOUR, LEFT, MARGIN, MUTED, PIXEL_COLOUR, RIGHT, TEXT, Page, Say, stacked
from .text import percent, tick

TALL = 320  # px
MOST_WORDS, LEAST_ROOM = 12, 6
PATH_WIDE, MOST_CAPTIONS = 640, 8


def moved_prompt_report(
    reading: Reading, targets: Tensor, words: Sequence[str], say: Say = str
) -> Tensor:
    """What `Reading` holds, drawn.

    Args:
        reading: of F frames and T tokens.
        targets: (F, N) unit rows, where each frame's text should stand.
        words: T tokens as a reader knows them.
        say: puts each text into another language.

    Returns:
        (H, W, 3) float32 in 0..1.
    """
    return stacked(
        (90, lambda page: page.title(66, _title(reading))),
        (TALL + 130, partial(_draw_reached, reading=reading)),
        (TALL + 110, partial(_draw_words, reading=reading, words=words)),
        (TALL + 130, partial(_draw_path, reading=reading, targets=targets)),
        say=say,
    )


def _title(reading: Reading) -> Said:
    share = percent(float(reading.reached.mean()))
    return Said("The prompt goes {share} of the way, on average", share=share)


def _draw_reached(page: Page, reading: Reading) -> None:
    words = ((Said("before ‐ ‐"), MUTED), (Said("after —"), CLIP_COLOUR))
    page.heading(LEFT, 34, Said("Cosine to where it should stand"), *words)
    axes = page.axes(LEFT, 50, RIGHT - LEFT, TALL)
    axes.grid(True)
    frames = range(len(reading.after))
    axes.plot(frames, reading.before.numpy(), color=MUTED, linestyle="--", linewidth=4)
    axes.plot(frames, reading.after.numpy(), color=CLIP_COLOUR, linewidth=5, marker="o")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.yaxis.set_major_formatter(tick)
    axes.set_xlabel(page.say(Said("frame")))


def _draw_words(page: Page, reading: Reading, words: Sequence[str]) -> None:
    page.heading(
        LEFT, 34, Said("Which words moved, how far"), (Said("mean length over the frames"), MUTED)
    )
    far = reading.per_token[: len(words)]
    most = far.topk(min(MOST_WORDS, len(far))).indices.sort().values
    most = most[far[most] > 0]
    if not len(most):
        page.notice(LEFT, 50, RIGHT - LEFT, TALL, Said("No word moved."))
        return
    axes = page.axes(LEFT, 50, RIGHT - LEFT, TALL)
    axes.bar(range(len(most)), far[most].numpy(), color=PIXEL_COLOUR, width=0.7)
    axes.set_xlim(-0.6, max(len(most), LEAST_ROOM) - 0.4)
    axes.set_xticks(range(len(most)), [words[i] for i in most.tolist()])
    axes.yaxis.set_major_formatter(tick)


def _draw_path(page: Page, reading: Reading, targets: Tensor) -> None:
    page.heading(
        LEFT, 34, Said("The path in words"), (Said("the nearest caption of each frame"), MUTED)
    )
    rows = targets.double()
    rows = rows - rows.mean(0)
    *_, directions = torch.linalg.svd(rows, full_matrices=False)
    points = (rows @ directions[:2].T).float()
    axes = page.axes(LEFT, 50, PATH_WIDE, TALL)
    axes.grid(True)
    axes.plot(*points.T.numpy(), color=MUTED, linewidth=3)
    sizes = 40 + 260 * reading.reached.clamp(0, 1)
    axes.scatter(*points.T.numpy(), s=sizes.numpy(), color=CLIP_COLOUR, zorder=3)
    # Captions can be long, and neighbours on the path: a list beside it, numbers at its points.
    left, pitch = LEFT + PATH_WIDE + 50, TALL / MOST_CAPTIONS
    for line, (first, last, caption) in enumerate(_spread(_runs(reading.captions))):
        frames = f"{first}" if first == last else f"{first}–{last}"
        said = f"{frames}: {caption}"
        page.text(left, 50 + (line + 0.7) * pitch, said, page.width - MARGIN - left, color=TEXT)
        place = {"xytext": (12, 12), "textcoords": "offset pixels"}
        axes.annotate(f"{first}", points[first].tolist(), color=TEXT, **place)
    axes.margins(0.12, 0.2)
    # One scale: of a motion along one line, the other direction is round-off.
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel(
        page.say(Said("first and second direction of the targets; large dots got there")),
        loc="left",
    )


def _runs(captions: Sequence[str]) -> list[tuple[int, int, str]]:
    """First and last frame of each stretch that has one caption."""
    starts = [i for i, said in enumerate(captions) if i == 0 or said != captions[i - 1]]
    ends = [*(start - 1 for start in starts[1:]), len(captions) - 1]
    return [(i, j, captions[i]) for i, j in zip(starts, ends, strict=True)]


def _spread(runs: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """As many as there is room for, the first and the last among them."""
    count = min(MOST_CAPTIONS, len(runs))
    return [runs[round(i * (len(runs) - 1) / max(1, count - 1))] for i in range(count)]
