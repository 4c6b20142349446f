"""Nodes of a workflow under construction: what they take, their size and their widgets' values."""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

from ....farm.ui_to_api import DYNAMIC_COMBO, UPLOAD_VALUE, Info, Input, inputs_of
from .layout import GROUP_TITLE

WIDTH, WIDE = 290, 330
TITLE = 30
SLOT, WIDGET_ROW, TEXT_ROW, WIDGET_MARGIN, NODE_MARGIN = 20, 24, 54, 8, 6
FOOTER = 36
"""The front end's new nodes (Vue) end in a badge and a button where a pack brings them, or where
they open."""
SIZES = {  # (width, least height) of what shows a text, a picture or a file's name
    "CheckpointLoaderSimple": (WIDE, 0),
    "CLIPVisionLoader": (WIDE, 0),
    "CLIPTextEncode": (WIDE, 150),
    "ClipDriftFromVideo": (WIDE, 550),
    "CLIPLoader": (WIDE, 0),
    "Kandinsky22LoadDecoder": (WIDE, 0),
    "Kandinsky22LoadPrior": (WIDE, 0),
    "Kandinsky22Encode": (WIDE, 0),
    "ClipDriftLoadOpenCLIP": (WIDE, 0),
    "unCLIPCheckpointLoader": (WIDE, 0),
    "LoadImage": (WIDE, 340),
    "EmptyLatentImage": (WIDE, 0),
    "LoadVideo": (WIDE, 410),
    "SaveAnimatedWEBP": (700, 530),
    "SaveVideo": (440, 480),
    "PreviewImage": (WIDTH, 330),
}


class Output(NamedTuple):
    """One output of a node, for another node's input."""

    node: Node
    index: int


class Node:
    """A node of a graph. Inputs not given keep their defaults; `node["noise"]` is an output."""

    title: str | None = None
    """Shown instead of the node's own name."""
    share: float = 1
    """Of the width of its row."""

    def __init__(self, number: int, kind: str, info: Info, inputs: dict[str, Any]):
        self.number, self.kind, self.info = number, kind, info
        self.slots = inputs_of(info)
        self.inputs = {name: as_output(value) for name, value in inputs.items()}
        self.least_size = SIZES.get(kind, (WIDTH, 0))
        self.position = (0, 0)
        self.models: list[dict] = []
        unknown = set(inputs) - {each.name for each in self.slots}
        if unknown:
            raise KeyError(f"{kind} has no input {unknown}")

    def __getitem__(self, output: str) -> Output:
        return Output(self, self.info["output_name"].index(output))

    @property
    def size(self) -> tuple[int, int]:
        """As the front end would make it, or larger where SIZES says so."""
        rows = max(sum(not each.is_widget for each in self.slots), len(self.info["output"]))
        needed = rows * SLOT + NODE_MARGIN
        widgets = [each for each in self.slots if each.is_widget]
        for each in widgets:
            extra = each.has_control + each.has_upload
            needed += (TEXT_ROW if each.is_long_text else WIDGET_ROW) + extra * WIDGET_ROW
        if widgets:
            needed += WIDGET_MARGIN
        width, height = self.least_size
        if any(each.is_long_text and is_link(self.inputs.get(each.name)) for each in widgets):
            height = 0  # the text stands elsewhere
        return width, max(height, needed)

    @property
    def is_ours(self) -> bool:
        """Whether a custom node pack brings it."""
        return self.info["python_module"].startswith("custom_nodes.")

    @property
    def has_footer(self) -> bool:
        """Whether the front end's new nodes draw one."""
        return self.is_ours

    def widen(self, width: int):
        """Make the node so wide."""
        self.least_size = width, self.least_size[1]

    def place(self, x: int, y: int) -> tuple[int, int]:
        """Put the node, title included, at a point; return the room that it takes."""
        self.position = (x, y + TITLE)
        return self.size[0], self.size[1] + TITLE + (FOOTER if self.has_footer else 0)

    def value(self, widget: Input) -> Any:
        """A widget's value; what a link gives instead is not stored."""
        given = self.inputs.get(widget.name)
        return default_of(widget) if given is None or is_link(given) else given

    def values(self) -> list:
        """The values of the widgets in order, with those that the front end adds."""
        values = []
        for each in self.slots:
            if each.is_widget:
                values.append(self.value(each))
                values += ["fixed"] * each.has_control + [UPLOAD_VALUE] * each.has_upload
        return values


NOTE_WIDTH, NOTE_LETTERS, NOTE_LINE, NOTE_GAP = 320, 52, 12, 14
"""Of a note: about so many letters per line, so high; what stands between two paragraphs."""


class Note(Node):
    """A text on the canvas, in Markdown, as high as its text."""

    title = "Start here"

    def __init__(self, number: int, text: str):
        super().__init__(number, "MarkdownNote", {"input": {}, "output": [], "output_name": []}, {})
        self.text, self.least_size = text, (NOTE_WIDTH, _height_of(text))

    @property
    def size(self) -> tuple[int, int]:
        """As high as its text, or what it was given."""
        return self.least_size

    def place(self, x: int, y: int) -> tuple[int, int]:
        """Level with the nodes in the groups beside it."""
        width, height = super().place(x, y + GROUP_TITLE)
        return width, height + GROUP_TITLE

    @property
    def is_ours(self) -> bool:
        """The front end brings it."""
        return False

    def values(self) -> list:
        """The text."""
        return [self.text]


def _height_of(text: str) -> int:
    """About how high the front end draws a Markdown text."""
    paragraphs = re.split(r"\n(?=\s*(?:- |\d+\. |\n))", re.sub(r"\]\([^)]*\)", "]", text.strip()))
    lines = [math.ceil(len(" ".join(each.split())) / NOTE_LETTERS) for each in paragraphs]
    return sum(each * NOTE_LINE + NOTE_GAP for each in lines if each) + 2 * TITLE


def as_output(value: Any) -> Any:
    return Output(value, 0) if isinstance(value, Node) else value


def is_link(value: Any) -> bool:
    return isinstance(value, Output)


def default_of(widget: Input) -> Any:
    if "default" in widget.options:
        return widget.options["default"]
    if widget.type == "STRING":
        return ""
    choice = widget.options["options"][0]
    return choice["key"] if widget.type == DYNAMIC_COMBO else choice
