"""The text tower's tokens: byte pairs merged until every word of the captions is one token.

The file is of the kind that CLIP's own tokenizer reads, whose 49408 tokens would take more room
than all the models of the toy world together. Words that no caption has are spelt in pieces.
"""

import gzip
from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path

from .captions import all_words

_END = "</w>"
_BYTES = 256  # each twice: within a word, and at its end
_SPECIAL = 2  # start and end of the text


@cache
def merges() -> tuple[tuple[str, str], ...]:
    """Pairs in the order of merging: the most frequent first, and the first of equals by name."""
    words = [(*word[:-1], word[-1] + _END) for word in sorted(all_words())]
    found = []
    while True:
        pairs = Counter(pair for word in words for pair in pairwise(word))
        if not pairs:
            return tuple(found)
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        found.append(best)
        words = [_merge(word, best) for word in words]


def vocabulary_size() -> int:
    return 2 * _BYTES + len(merges()) + _SPECIAL


def write_merges(path: Path) -> None:
    """The same bytes each time."""
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges())]
    path.write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))


def _merge(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    merged, at = [], 0
    while at < len(word):
        if word[at : at + 2] == pair:
            merged.append(word[at] + word[at + 1])
            at += 2
        else:
            merged.append(word[at])
            at += 1
    return tuple(merged)
