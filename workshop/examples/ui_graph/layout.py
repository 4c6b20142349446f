"""Parts of a layout: rows, columns, and groups around them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

GAP, GROUP_TITLE, PADDING = 30, 50, 20


class Space(NamedTuple):
    """Room left free."""

    width: int
    height: int

    def place(self, _x: int, _y: int) -> tuple[int, int]:
        """Return the room that it takes."""
        return self


class Stack(NamedTuple):
    """Parts beside or below each other."""

    parts: tuple
    downwards: bool

    def place(self, x: int, y: int) -> tuple[int, int]:
        """Put all parts, the first at a point; return the room that they take."""
        along, across = 0, 0
        for part in self.parts:
            width, height = part.place(*((x, y + along) if self.downwards else (x + along, y)))
            along += (height if self.downwards else width) + GAP
            across = max(across, width if self.downwards else height)
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

    def place(self, x: int, y: int) -> tuple[int, int]:
        """Put the box at a point; return the room that it takes."""
        width, height = self.content.place(x + PADDING, y + GROUP_TITLE)
        self.bounding = (x, y, width + 2 * PADDING, height + GROUP_TITLE + PADDING)
        return self.bounding[2:]


def parts_of(part, kind: type, outside: bool = False) -> Iterator:
    """A layout's parts of a kind, those in subgraphs too unless only the `outside` counts."""
    if isinstance(part, kind):
        yield part
    if not (outside and getattr(part, "is_closed", False)):
        for one in getattr(part, "parts", ()):
            yield from parts_of(one, kind, outside)
