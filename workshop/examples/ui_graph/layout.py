"""Parts of a layout: rows, columns, and groups around them.

A part has a `share` of the width that `widen` hands out, and `place` returns the room it takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

GAP, GROUP_TITLE, PADDING = 24, 46, 16


class Stack(NamedTuple):
    """Parts beside or below each other."""

    parts: tuple
    downwards: bool

    @property
    def share(self) -> float:
        """Of a row the sum, of a column the largest."""
        shares = [part.share for part in self.parts]
        return max(shares) if self.downwards else sum(shares)

    def widen(self, width: int) -> Stack:
        """Make all parts of a column so wide, or those of a row together, by their shares."""
        free = width if self.downwards else width - self._between
        for part in self.parts:
            part.widen(int(free if self.downwards else free * part.share / self.share))
        return self

    @property
    def _between(self) -> int:
        """What the gaps of a row take, and the padding of groups in it."""
        groups = sum(isinstance(part, Group) for part in self.parts)
        return (len(self.parts) - 1) * GAP + groups * 2 * PADDING

    def place(self, x: int, y: int) -> tuple[int, int]:
        """Put all parts, the first at a point; return the room that they take."""
        along, across = 0, 0
        for part in self.parts:
            width, height = part.place(*((x, y + along) if self.downwards else (x + along, y)))
            along += (height if self.downwards else width) + GAP
            across = max(across, width if self.downwards else height)
        if not self.downwards:
            for part in self.parts:
                if isinstance(part, Group):
                    part.stretch(across)
        return (across, along - GAP) if self.downwards else (along - GAP, across)


def row(*parts) -> Stack:
    """Parts from left to right."""
    return Stack(parts, downwards=False)


def column(*parts) -> Stack:
    """Parts from top to bottom."""
    return Stack(parts, downwards=True)


class Group:
    """A coloured box with a title around parts."""

    def __init__(self, title: str, color: str, content: Stack):
        self.title, self.color, self.content = title, color, content
        self.bounding = (0, 0, 0, 0)

    @property
    def parts(self) -> tuple:
        """What is inside, for whoever walks through a layout."""
        return (self.content,)

    @property
    def share(self) -> float:
        """That of what is inside."""
        return self.content.share

    def widen(self, width: int):
        """Make what is inside so wide."""
        self.content.widen(width)

    def stretch(self, height: int):
        """Let the box end where those beside it do."""
        x, y, width, _ = self.bounding
        self.bounding = (x, y, width, height)

    def place(self, x: int, y: int) -> tuple[int, int]:
        """Put the box at a point; return the room that it takes."""
        width, height = self.content.place(x + PADDING, y + GROUP_TITLE)
        self.bounding = (x, y, width + 2 * PADDING, height + GROUP_TITLE + PADDING + GAP)
        return self.bounding[2:]


def parts_of(part, kind: type, outside: bool = False) -> Iterator:
    """A layout's parts of a kind, those in subgraphs too unless only the `outside` counts."""
    if isinstance(part, kind):
        yield part
    if not (outside and getattr(part, "is_closed", False)):
        for one in getattr(part, "parts", ()):
            yield from parts_of(one, kind, outside)
