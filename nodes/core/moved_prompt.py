"""A prompt moved through its own text encoders: which of them moves, where to, and back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import comfy.model_management
import torch
from torch import Tensor

from ...clip_drift.errors import DriftError
from ...clip_drift.through.bank import behind
from ...clip_drift.through.carriers import Candidate, choose_carrier
from ...clip_drift.through.end_token import end_token_shifts
from ...clip_drift.through.inversion import Moved, OnStep, invert
from ...clip_drift.through.tower import TextTower
from ...clip_drift.words import select_words
from .language import say
from .prompt_frames import (
    Prompt,
    Windows,
    as_tokens,
    end_of,
    input_embeddings,
    moved_frames,
    words_behind,
)
from .text_towers import NAMES, encoder_of, text_tower

Walk = Callable[[Tensor], Tensor]
"""From a text vector (1, N) to targets (F, N)."""


@dataclass
class MovedPrompt:
    """F frames of a tokenised prompt, and how they came about.

    Attributes:
        frames: F prompts, for `encode_frames`.
        moved: encoder → per window what was moved there; None where no word of it may move.
        targets: encoder → per window (F, N).
        notes: one line per encoder: what it did.
    """

    frames: list[Prompt]
    moved: dict[str, list[Moved | None]] = field(default_factory=dict)
    targets: dict[str, list[Tensor | None]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def towers_for(
    clip, prompt: Prompt, dim: int, space: str = "the clip", projection: Tensor | None = None
) -> dict[str, TextTower]:
    """The text towers of a CLIP that point into a motion's space.

    Args:
        dim: N, of the motion.
        space: what read the clip, for an error.
        projection: (N, W) of the encoder that read the clip, for towers without one of their own.

    Returns:
        Encoder → tower with a projection into R^N. Load the CLIP before.

    Raises:
        DriftError: there is none; the message says why.
    """
    found, others = {}, []
    for key in prompt:
        tower = text_tower(clip, key)
        if tower is None:
            others.append(f"{key} has no joint space with pictures")
            continue
        fits = projection is not None and projection.shape == (dim, tower.width)
        if tower.projection is None and fits:
            tower = tower.with_projection(projection.float())
        if tower.projection is None:
            others.append(f"{tower.name} comes without its text_projection")
        elif tower.dim == dim:
            found[key] = tower
        else:
            others.append(f"{tower.name} points into {tower.dim} dimensions")
    if not found:
        raise DriftError(
            f"{space} has {dim} dimensions, and no text encoder of this CLIP leads there "
            f"({'; '.join(others) or 'it has none'}): read the clip with the model's own CLIP, "
            "connect an OpenCLIP encoder that holds text_projection, or use through captions."
        )
    return found


def free_words(
    prompt: Prompt, tokenize: Callable[[str], Prompt], words: str, text: str = ""
) -> dict[str, list[Tensor]]:
    """Which tokens may move: encoder → per window (T,) 0..1.

    Args:
        prompt: the whole one, its carrier included.
        tokenize: `clip.tokenize(…, return_word_ids=True)`.
        words: as in Select Words; "" = what stands behind text, or all words where nothing does.
        text: the prompt without its carrier.

    Raises:
        DriftError: a word that is not in the text.
    """
    alone = tokenize(text)
    return {
        key: _free(
            windows, alone[key], words, lambda phrase, key=key: as_tokens(tokenize(phrase)[key])
        )
        for key, windows in prompt.items()
    }


def _free(windows: Windows, text: Windows, words: str, tokenize) -> list[Tensor]:
    if words.strip():
        weights = select_words(as_tokens(windows), words, tokenize).weights
        return list(weights.split([len(window) for window in windows]))
    masks = words_behind(windows, text)
    if any(mask.any() for mask in masks):
        return masks
    return [torch.tensor([float(word > 0) for *_, word in window]) for window in windows]


def pick_carrier(
    clip, key: str, tower: TextTower, text: str, carriers: Sequence[str], walk: Walk
) -> str:
    """Of phrases that may stand behind a text, the one that carries a motion furthest.

    Args:
        key: of the tower's tokens.
        carriers: phrases, see `clip_drift.through.carriers.CARRIERS`.
        walk: from a text vector to its targets.
    """
    before = clip.tokenize(text, return_word_ids=True)[key]
    candidates = []
    for phrase in carriers:
        windows = clip.tokenize(behind(text, phrase), return_word_ids=True)[key]
        count = end_of(windows[-1]) + 1
        rows = input_embeddings(windows[-1], tower.embed).to(clip.patcher.load_device)
        free = words_behind(windows, before)[-1]
        candidates.append(Candidate(rows[:, :count], free[:count]))
    return carriers[choose_carrier(tower, candidates, walk)]


def invert_prompt(
    clip,
    prompt: Prompt,
    towers: dict[str, TextTower],
    free: dict[str, list[Tensor]],
    walk: Walk,
    on_step: OnStep | None = None,
    **options,
) -> MovedPrompt:
    """Move a prompt's words, in every encoder that points into the motion's space.

    A long prompt's windows are moved one by one: each ends in a text vector of its own.

    Args:
        towers: from `towers_for`.
        free: from `free_words`.
        walk: from a text vector to its targets.
        options: of `clip_drift.through.inversion.invert`.
    """
    device = clip.patcher.load_device
    result = MovedPrompt([])
    deltas: dict[str, list[Tensor | None]] = {}

    def step(done: int, steps: int, cosine: float) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        if on_step is not None:
            on_step(done, steps, cosine)

    for key, tower in towers.items():
        result.moved[key], result.targets[key], deltas[key] = [], [], []
        for window, mask in zip(prompt[key], free[key], strict=True):
            if not mask.any():
                for each in (result.moved[key], result.targets[key], deltas[key]):
                    each.append(None)
                continue
            end = end_of(window)
            rows = input_embeddings(window, tower.embed).to(device)[:, : end + 1]
            with torch.no_grad():
                start = tower.text_vector(rows, end)
            targets = walk(start)
            moved = invert(tower, rows, targets, mask[: end + 1], end=end, on_step=step, **options)
            whole = moved.deltas.new_zeros(len(targets), len(window), tower.width)
            whole[:, : end + 1] = moved.deltas
            result.moved[key].append(moved)
            result.targets[key].append(targets)
            deltas[key].append(whole.cpu())
    result.frames = moved_frames(prompt, deltas, {key: towers[key].embed for key in towers})
    result.notes = [_note(key, towers, result.moved) for key in prompt]
    return result


def _note(key: str, towers: dict[str, TextTower], moved: dict[str, list[Moved | None]]) -> str:
    name = NAMES.get(key, key)
    if key not in towers:
        return say("{name} stayed", name=name)
    shares = [window.reached.mean() for window in moved[key] if window is not None]
    if not shares:
        return say("{name} stayed: none of its words may move", name=name)
    share = 100 * float(sum(shares) / len(shares))
    return say("{name} moved, {share:.0f} % of the way", name=name, share=share)


def shifted_end_token(clip, prompt: Prompt, conditioning, tower: TextTower, walk: Walk):
    """A conditioning of one whose end token's state moves: one of F frames, in closed form.

    Only where the model draws from the last layer's states after the final layer norm, and from
    one text encoder alone: SD 1.x without clip skip. Its pooled vector is the same state.

    Raises:
        DriftError: the model draws from something else.
    """
    (key, *more) = prompt
    encoder = encoder_of(clip, key)
    if more or encoder.layer != "last" or clip.layer_idx not in (None, -1):
        raise DriftError(
            "through end_token moves the last layer's state, but this CLIP draws from another "
            "layer or from several encoders (SDXL, SD 3, clip skip): use through inversion."
        )
    # The first window's: its end token is what core takes for the pooled vector, too.
    end = end_of(prompt[key][0])
    result = []
    for tokens, extra in conditioning:
        state = tokens[0, end].float()
        vector = tower.projection.cpu().float() @ state.cpu()
        shifts = end_token_shifts(
            tower.projection, state, walk(torch.nn.functional.normalize(vector, dim=0)[None])
        ).to(tokens)
        moved = tokens.repeat(len(shifts), 1, 1)
        moved[:, end] += shifts
        extra = dict(extra)
        if extra.get("pooled_output") is not None:
            pooled = extra["pooled_output"].repeat(len(shifts), 1)
            # Without a projection of its own, core's pooled vector is the end token's state.
            if torch.equal(pooled[0], tokens[0, end].to(pooled)):
                extra["pooled_output"] = pooled + shifts.to(pooled)
        result.append([moved, extra])
    return result
