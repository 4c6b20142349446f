"""Word-level motion: which tokens of a prompt move, and by how much."""

import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .errors import DriftError


@dataclass(frozen=True, eq=False)
class TokenMask:
    """Weights in 0..1 per token, with the words they stand for. Immutable.

    Attributes:
        weights: (T,) float32.
        words: one readable line per match.
    """

    weights: Tensor
    words: tuple[str, ...]


@dataclass(frozen=True)
class Token:
    """A token of a text: what it is, its emphasis, and whether it belongs to a word."""

    key: Hashable
    weight: float
    is_word: bool


def select_words(
    text: Sequence[Token], words: str, tokenize: Callable[[str], Sequence[Token]]
) -> TokenMask:
    """Find words or phrases in a tokenised text.

    Args:
        text: the prompt's tokens, as the text encoder sees them.
        words: words or phrases, separated by commas or line breaks; `(word:0.5)` gives its
            tokens half of the strength. Parentheses that are the text's own may be escaped, as
            there, or not.
        tokenize: the tokenizer that made text.

    Raises:
        DriftError: no words are given, or one is not in the text.
    """
    phrases = [phrase for line in words.splitlines() for phrase in _split(line)]
    if not phrases:
        raise DriftError("words is empty: type one or more words of the text, separated by commas.")
    places = [i for i, token in enumerate(text) if token.is_word]
    weights = torch.zeros(len(text))
    found = []
    for phrase in phrases:
        found_as = (_hits(text, places, form, tokenize) for form in _spellings(phrase))
        hits = next(filter(None, found_as), [])
        if not hits:
            raise DriftError(
                f"'{phrase}' is not in the text: words must be spelled as they are there, "
                "whole and separated by commas."
            )
        for hit in hits:
            for place, token in hit:
                weights[place] = min(max(token.weight, 0.0), 1.0)
        positions = sorted({place for hit in hits for place, _ in hit})
        found.append(f"{phrase}: token {', '.join(map(str, positions))}")
    return TokenMask(weights, tuple(found))


def _split(line: str) -> list[str]:
    """At commas, but not within the parentheses of an emphasis."""
    return [p for part in re.split(r",(?![^()]*\))", line) if (p := part.strip())]


def _spellings(phrase: str) -> list[str]:
    """A prompt that means its parentheses escapes them; whoever names its words may not, or may
    where they are an emphasis."""
    plain = re.sub(r"\\([()])", r"\1", phrase)
    return [phrase, re.sub(r"[()]", r"\\\g<0>", plain), plain]


def _hits(text: Sequence[Token], places: list[int], phrase: str, tokenize: Callable) -> list:
    """Every place of a phrase; some tokenizers glue the space before a word to it."""
    wanted = [[t for t in tokenize(form) if t.is_word] for form in (phrase, " " + phrase)]
    return [hit for tokens in wanted for hit in _occurrences(text, places, tokens)]


def _occurrences(text: Sequence[Token], places: list[int], wanted: list[Token]):
    """Every place where the wanted tokens follow one another, as (place, wanted token) pairs."""
    if not wanted:
        return []
    windows = (places[i : i + len(wanted)] for i in range(len(places) - len(wanted) + 1))
    return [
        list(zip(window, wanted, strict=True))
        for window in windows
        if all(text[p].key == token.key for p, token in zip(window, wanted, strict=True))
    ]
