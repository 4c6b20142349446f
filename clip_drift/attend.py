"""Frames that look at one another: self-attention with keys and values of other frames.

Pure tensor work on rows as a sampler calls a model: B = chunks · F rows, chunk after chunk
(one for the prompt, one for the negative), F frames in each.

Reference: Khachatryan et al., "Text2Video-Zero: Text-to-Image Diffusion Models are Zero-Shot
Video Generators", 2023 (mode `first`).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .errors import DriftError

MODES = ("first", "first and own", "first and previous")

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(q, k, v) → out: softmax attention over all keys that it is given."""


def source_rows(frames: Sequence[int], chunks: int, mode: str) -> list[Tensor]:
    """Whose keys and values each row takes.

    Frame 0 attends to itself alone in every mode: keys that are given twice weigh as given once.

    Args:
        frames: the numbers of a chunk's rows, frame 0 among them.
        chunks: how many chunks of those rows the call holds.
        mode: `first`, frame 0's alone; `first and own`; `first and previous`, frame 0's where the
            frame before is not among the rows.

    Returns:
        One or two (chunks · F,) tensors of row numbers, to be put one behind the other.

    Raises:
        DriftError: an unknown mode, or frame 0 is missing.
    """
    if mode not in MODES:
        raise DriftError(f"mode is {mode!r}: choose one of {', '.join(MODES)}.")
    row_of = {number: row for row, number in enumerate(frames)}
    if 0 not in row_of:
        raise DriftError(
            f"frame {frames[0]} is sampled without frame 0, which it should attend to: turn on "
            "anchor where the frames are split."
        )
    first = [row_of[0]] * len(frames)
    others = {
        "first": [],
        "first and own": [list(range(len(frames)))],
        "first and previous": [[row_of.get(number - 1, first[0]) for number in frames]],
    }
    starts = torch.arange(chunks)[:, None] * len(frames)
    return [(starts + torch.tensor(rows)).flatten() for rows in (first, *others[mode])]


def from_rows(x: Tensor, rows: Sequence[Tensor], own: int = 0, dim: int = 1) -> Tensor:
    """Keys, or values, of other rows.

    Args:
        x: (B, ...), the tokens in dimension `dim`.
        rows: of `source_rows`.
        own: how many tokens, from the first, stay each row's own (a prompt's, in models that
            join them with the picture's). They come once for each of `rows`, so that against
            more pixels they weigh no less.

    Returns:
        Like x, with len(rows) times as many tokens.
    """
    picture = x.narrow(dim, own, x.shape[dim] - own)
    prompt = [x.narrow(dim, 0, own)] if own else []
    parts = [part for row in rows for part in (*prompt, picture[row.to(x.device)])]
    return torch.cat(parts, dim) if len(parts) > 1 else parts[0]


def attend(
    attention: Attention,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    rows: Sequence[Tensor],
    strength: float = 1.0,
    own: int = 0,
    dim: int = 1,
) -> Tensor:
    """Attention to other rows' tokens, mixed with the attention to one's own.

    Args:
        attention: the model's own.
        q, k, v: as `attention` takes them, the tokens of k and v in dimension `dim`.
        rows: of `source_rows`.
        strength: s; the result is (1 − s) · own attention + s · attention to the rows.
        own: see `from_rows`.

    Returns:
        What `attention` returns.
    """
    there = attention(q, from_rows(k, rows, own, dim), from_rows(v, rows, own, dim))
    if strength == 1:
        return there
    return torch.lerp(attention(q, k, v), there, strength)
