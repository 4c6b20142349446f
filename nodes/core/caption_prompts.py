"""The captions way: of many texts that keep the prompt, the ones nearest to each frame's target.

For encoders that no gradient leads through to pictures (T5, Qwen), and wherever plain words are
wanted. CLIP's joint text tower reads each text once per session; the model's own encoder reads the
chosen ones alone.
"""

from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

import torch
from comfy.model_management import throw_exception_if_processing_interrupted
from torch import Tensor

from ...clip_drift.through.captions import CaptionPath
from ...clip_drift.through.tower import TextTower
from .prompt_frames import Prompt, encode_frames, end_of, input_embeddings

AT_ONCE = 32

_KNOWN: WeakKeyDictionary = WeakKeyDictionary()
"""Model → (patches, encoder, text) → its text vector on the CPU."""


def tower_vectors(
    clip,
    key: str,
    tower: TextTower,
    texts: Sequence[str],
    on_texts: Callable[[int, int], None] | None = None,
) -> Tensor:
    """(C, N) text vectors by one of a CLIP's own towers. Load the CLIP before.

    A text that is longer than the window counts by its first window.

    Args:
        on_texts: called as (texts done, texts).
    """
    known = _KNOWN.setdefault(clip.cond_stage_model, {})
    state = (clip.patcher.patches_uuid, key)
    new = [text for text in dict.fromkeys(texts) if (*state, text) not in known]
    for begin in range(0, len(new), AT_ONCE):
        throw_exception_if_processing_interrupted()
        part = new[begin : begin + AT_ONCE]
        windows = [clip.tokenize(text, return_word_ids=True)[key][0] for text in part]
        ends = torch.tensor([end_of(window) for window in windows])
        longest = int(ends.max()) + 1
        rows = torch.cat(
            [input_embeddings(window[:longest], tower.embed) for window in windows]
        ).to(clip.patcher.load_device)
        with torch.no_grad():
            vectors = tower.text_vector(rows, ends.to(rows.device)).cpu()
        known.update({(*state, text): row for text, row in zip(part, vectors, strict=True)})
        if on_texts is not None:
            on_texts(begin + len(part), len(new))
    return torch.stack([known[(*state, text)] for text in texts])


def encode_captions(clip, texts: Sequence[str], path: CaptionPath):
    """The chosen captions as one CONDITIONING of F frames, mixed where a frame has several.

    Args:
        texts: of the bank.
        path: which of them each frame says.
    """
    chosen = sorted(set(path.indices.flatten().tolist()))
    prompts = _equally_long(clip, [texts[index] for index in chosen])
    entries = encode_frames(clip, prompts)
    place = {index: row for row, index in enumerate(chosen)}
    rows = torch.tensor([[place[index] for index in frame] for frame in path.indices.tolist()])
    return [
        [
            _mix(tokens, rows, path.weights),
            {key: _mix(value, rows, path.weights, len(chosen)) for key, value in extra.items()},
        ]
        for tokens, extra in entries
    ]


def _mix(values, rows: Tensor, weights: Tensor, count: int | None = None):
    """(F, …) weighted sums of rows of (C, …); what has no row per caption stays."""
    if not isinstance(values, Tensor) or values.ndim < 2:
        return values
    if rows.shape[1] == 1 or not values.is_floating_point():
        return values[rows[:, 0].to(values.device)]
    shape = (*weights.shape, *(1,) * (values.ndim - 1))
    return (values[rows.to(values.device)] * weights.to(values).reshape(shape)).sum(1)


def _equally_long(clip, texts: Sequence[str]) -> list[Prompt]:
    """Prompts whose windows fit into one batch: encoders without a fixed window are padded."""
    prompts = [clip.tokenize(text, return_word_ids=True) for text in texts]
    longest = {
        f"{key}_min_length": max(max(map(len, prompt[key])) for prompt in prompts)
        for key in prompts[0]
        if len({len(window) for prompt in prompts for window in prompt[key]}) > 1
    }
    if not longest:
        return prompts
    return [clip.tokenize(text, return_word_ids=True, tokenizer_options=longest) for text in texts]
