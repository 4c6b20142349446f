"""A tokenised prompt, changed per frame, through a CLIP's own encode: one CONDITIONING of F frames.

Core's tokenised prompts may hold embeddings in place of token numbers (textual inversion's road).
So emphasis, long prompts of several windows, clip skip, several encoders, pooled vectors and hooks
come out as for any prompt.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from comfy.model_management import throw_exception_if_processing_interrupted
from torch import Tensor

from ...clip_drift.errors import DriftError
from ...clip_drift.words import Token

Windows = list[list[tuple]]
"""One encoder's tokens: per window, (number or embedding, emphasis, word number or 0)."""

Prompt = dict[str, Windows]
"""A prompt as `clip.tokenize(text, return_word_ids=True)` gives it: encoder → windows."""


def as_tokens(windows: Windows) -> list[Token]:
    """All windows' tokens in order, for `select_words`."""
    return [
        # A textual inversion embedding is a tensor: equal to itself alone.
        Token(id(key) if isinstance(key, Tensor) else key, weight, word > 0)
        for window in windows
        for key, weight, word in window
    ]


def as_words(clip, key: str, window: Sequence[tuple]) -> list[str]:
    """A window's tokens as a reader knows them, for one of a CLIP's encoders."""
    tokenizer = getattr(clip.tokenizer, f"clip_{key}", None) or getattr(clip.tokenizer, key)
    known = getattr(tokenizer, "inv_vocab", {})
    return [
        "embedding" if isinstance(token, Tensor) else _spelt(known.get(token, str(token)))
        for token, *_ in window
    ]


def _spelt(token: object) -> str:
    return (
        str(token).replace("</w>", "").replace("<|startoftext|>", "^").replace("<|endoftext|>", "$")
    )


def words_behind(windows: Windows, text: Windows) -> list[Tensor]:
    """Which tokens of a prompt come after those of the text that it begins with.

    Args:
        windows: of the prompt.
        text: of its beginning alone.

    Returns:
        Per window (T,) float32, 1 at the words behind the text.
    """
    before = sum(token.is_word for token in as_tokens(text))
    masks = []
    for window in windows:
        words = torch.tensor([word > 0 for _, _, word in window])
        masks.append((words & (words.cumsum(0) > before)).float())
        before -= int(words.sum())
    return masks


def input_embeddings(window: Sequence[tuple], embed: Callable[[Tensor], Tensor]) -> Tensor:
    """(1, T, W) float32 input embeddings of a window, which may hold embeddings already.

    Args:
        embed: looks (1, T) token numbers up.

    Raises:
        DriftError: an embedding of another model's width, which core would leave out.
    """
    numbers = [0 if isinstance(key, Tensor) else int(key) for key, *_ in window]
    rows = embed(torch.tensor([numbers])).float()
    for place, (key, *_) in enumerate(window):
        if isinstance(key, Tensor):
            if key.shape[-1] != rows.shape[-1]:
                raise DriftError(
                    f"the text holds an embedding of {key.shape[-1]} numbers, but this model's "
                    f"have {rows.shape[-1]}: take it out of the text."
                )
            rows[0, place] = key.to(rows)
    return rows


def end_of(window: Sequence[tuple]) -> int:
    """The place of a window's end token: right behind its last word, or behind the start."""
    return 1 + max((place for place, (_, _, word) in enumerate(window) if word > 0), default=0)


def moved_frames(
    prompt: Prompt, deltas: Mapping[str, Sequence[Tensor | None]], embed: Mapping[str, Callable]
) -> list[Prompt]:
    """The prompt in every frame, with moved embeddings where a token moved.

    Args:
        deltas: encoder → per window (F, T, W), or None where nothing moves.
        embed: encoder → looks token numbers up.

    Returns:
        F prompts; frames where nothing moved are the given one itself.
    """
    frames = {len(d) for windows in deltas.values() for d in windows if d is not None}
    if len(frames) != 1:
        raise DriftError(f"the encoders' motions have different lengths: {sorted(frames)}.")
    moved = []
    still = {
        key: [
            None if d is None else input_embeddings(window, embed[key])
            for window, d in zip(prompt[key], windows, strict=True)
        ]
        for key, windows in deltas.items()
    }
    for i in range(frames.pop()):
        changed = {
            key: [
                window if d is None else _moved_window(window, d[i], rows[0])
                for window, d, rows in zip(prompt[key], windows, still[key], strict=True)
            ]
            for key, windows in deltas.items()
        }
        same = all(
            new is old
            for key, new_ones in changed.items()
            for new, old in zip(new_ones, prompt[key], strict=True)
        )
        moved.append(prompt if same else {**prompt, **changed})
    return moved


def _moved_window(window: list[tuple], delta: Tensor, rows: Tensor) -> list[tuple]:
    places = delta.any(dim=-1).nonzero().flatten().tolist()
    if not places:
        return window
    window = list(window)
    for place in places:
        window[place] = (rows[place] + delta[place].to(rows), *window[place][1:])
    return window


def encode_frames(
    clip, prompts: Sequence[Prompt], on_frame: Callable[[int, int], None] | None = None
):
    """Encode a prompt per frame, one after another, and stack them to one CONDITIONING.

    Args:
        prompts: F of them; one that is the frame before's itself is not encoded again.
        on_frame: called as (frames done, frames).

    Returns:
        CONDITIONING of batch F with every key that the CLIP gives. As many entries as for a
        single prompt: several where a LoRA is scheduled over the sampling steps.

    Raises:
        DriftError: the frames come out in different lengths.
    """
    encoded: list = []
    known: dict[int, list] = {}
    for done, prompt in enumerate(prompts):
        throw_exception_if_processing_interrupted()
        if id(prompt) not in known:
            pairs = {
                key: [[token[:2] for token in window] for window in windows]
                for key, windows in prompt.items()
            }
            known[id(prompt)] = clip.encode_from_tokens_scheduled(pairs, show_pbar=False)
        encoded.append(known[id(prompt)])
        if on_frame is not None:
            on_frame(done + 1, len(prompts))
    return [_stack(list(entries)) for entries in zip(*encoded, strict=True)]


def _stack(entries: list):
    """F entries of one as one entry of F."""
    lengths = {tokens.shape[1] for tokens, _ in entries}
    if len(lengths) > 1:
        raise DriftError(
            f"the frames' texts come out {min(lengths)} to {max(lengths)} tokens long: use "
            "captions of about one length."
        )
    first = entries[0][1]
    extra = {
        key: torch.cat([values[key] for _, values in entries])
        if isinstance(value, Tensor) and value.ndim > 1
        else value
        for key, value in first.items()
    }
    return [torch.cat([tokens for tokens, _ in entries]), extra]
