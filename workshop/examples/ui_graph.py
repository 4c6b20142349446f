"""Workflows as the user interface saves them (litegraph, version 0.4), described in Python.

    add = Graph(object_info)
    clip = add("LoadVideo", file="video.mp4")
    drift = add("ClipDriftFromVideo", frames=clip, ...)
    workflow = add.as_json("name", row(clip, drift))

Sockets, widgets and their order are those of `/object_info`. The layout is computed: nodes in rows
and columns, in groups.
"""

from __future__ import annotations

import uuid
from typing import Any, NamedTuple

from ...farm.ui_to_api import DYNAMIC_COMBO, UPLOAD_VALUE, Info, Input, inputs_of

WIDTH, WIDE, NOTE_SIZE = 290, 330, (400, 1000)
GAP, TITLE, GROUP_TITLE, PADDING = 30, 30, 50, 20
SLOT, WIDGET_ROW, TEXT_ROW, WIDGET_MARGIN, NODE_MARGIN = 20, 24, 54, 8, 6
FOOTER = 36
"""The front end's new nodes (Vue) end in a badge and a button where a pack brings them."""
SIZES = {  # (width, least height) of what shows a text, a picture or a file's name
    "CheckpointLoaderSimple": (WIDE, 0),
    "CLIPVisionLoader": (WIDE, 0),
    "CLIPTextEncode": (WIDE, 150),
    "PrimitiveStringMultiline": (WIDE, 110),
    "ClipDriftFromVideo": (WIDE, 490),
    "ClipDriftSelectWords": (WIDE, 0),
    "CLIPLoader": (WIDE, 0),
    "Kandinsky22LoadDecoder": (WIDE, 0),
    "Kandinsky22LoadPrior": (WIDE, 0),
    "Kandinsky22Encode": (WIDE, 0),
    "ClipDriftLoadOpenCLIP": (WIDE, 0),
    "unCLIPCheckpointLoader": (WIDE, 0),
    "LoadImage": (WIDE, 340),
    "ClipDriftReport": (440, 800),
    "ClipDriftCompare": (440, 1250),
    "EmptyLatentImage": (WIDE, 0),
    "LoadVideo": (WIDE, 340),
    "SaveVideo": (440, 580),
    "PreviewImage": (WIDTH, 330),
    "PreviewAny": (WIDE, 130),
}


class Output(NamedTuple):
    """One output of a node, for another node's input."""

    node: Node
    index: int


class Node:
    """A node of a graph. Inputs not given keep their defaults; `node["noise"]` is an output."""

    title: str | None = None
    """Shown instead of the node's own name."""

    def __init__(self, number: int, kind: str, info: Info, inputs: dict[str, Any]):
        self.number, self.kind, self.info = number, kind, info
        self.slots = inputs_of(info)
        self.inputs = {name: _as_output(value) for name, value in inputs.items()}
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
        if any(each.is_long_text and _is_link(self.inputs.get(each.name)) for each in widgets):
            height = 0  # the text stands elsewhere
        return width, max(height, needed)

    @property
    def is_ours(self) -> bool:
        """Whether a custom node pack brings it."""
        return self.info["python_module"].startswith("custom_nodes.")

    def place(self, x: int, y: int) -> tuple[int, int]:
        """Put the node, title included, at a point; return the room that it takes."""
        self.position = (x, y + TITLE)
        return self.size[0], self.size[1] + TITLE + (FOOTER if self.is_ours else 0)

    def values(self) -> list:
        """The values of the widgets in order, with those that the front end adds."""
        values = []
        for each in self.slots:
            if each.is_widget:
                given = self.inputs.get(each.name)
                values.append(_default(each) if given is None or _is_link(given) else given)
                values += ["fixed"] * each.has_control + [UPLOAD_VALUE] * each.has_upload
        return values


class Note(Node):
    """A text on the canvas, in Markdown."""

    title = "Start here"

    def __init__(self, number: int, text: str):
        super().__init__(number, "MarkdownNote", {"input": {}, "output": [], "output_name": []}, {})
        self.text = text

    @property
    def size(self) -> tuple[int, int]:
        """Nothing is computed: a note scrolls."""
        return NOTE_SIZE

    @property
    def is_ours(self) -> bool:
        """The front end brings it."""
        return False

    def values(self) -> list:
        """The text."""
        return [self.text]


def _as_output(value: Any) -> Any:
    return Output(value, 0) if isinstance(value, Node) else value


def _is_link(value: Any) -> bool:
    return isinstance(value, Output)


def _default(widget: Input) -> Any:
    if "default" in widget.options:
        return widget.options["default"]
    if widget.type == "STRING":
        return ""
    choice = widget.options["options"][0]
    return choice["key"] if widget.type == DYNAMIC_COMBO else choice


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

    def place(self, x: int, y: int) -> tuple[int, int]:
        """Put the box at a point; return the room that it takes."""
        width, height = self.content.place(x + PADDING, y + GROUP_TITLE)
        self.bounding = (x, y, width + 2 * PADDING, height + GROUP_TITLE + PADDING)
        return self.bounding[2:]


class Graph:
    """A workflow under construction."""

    def __init__(self, object_info: dict[str, Info]):
        self._info = object_info
        self._nodes: list[Node] = []

    def __call__(self, kind: str, /, *model_files: dict, **inputs) -> Node:
        """Add a node; a loader's `model_files` say where to get what it loads."""
        node = Node(len(self._nodes) + 1, kind, self._info[kind], inputs)
        node.models = list(model_files)
        self._nodes.append(node)
        return node

    def titled(self, title: str, kind: str, **inputs) -> Node:
        """Add a node under a title of its own."""
        node = self(kind, **inputs)
        node.title = title
        return node

    def note(self, text: str) -> Note:
        """Add a note in Markdown."""
        note = Note(len(self._nodes) + 1, text.strip() + "\n")
        self._nodes.append(note)
        return note

    def as_json(self, name: str, layout: Stack) -> dict:
        """The whole workflow, laid out."""
        layout.place(0, 0)
        links = self._links()
        return {
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"clip-drift/{name}")),
            "revision": 0,
            "last_node_id": len(self._nodes),
            "last_link_id": len(links),
            "nodes": [self._node_json(node, links) for node in self._nodes],
            "links": [link for link, _ in links.values()],
            "groups": [
                {
                    "id": number,
                    "title": group.title,
                    "bounding": list(group.bounding),
                    "color": group.color,
                    "font_size": 24,
                    "flags": {},
                }
                for number, group in enumerate(_groups_in(layout), 1)
            ],
            "config": {},
            "extra": {"workflowRendererVersion": "LG"},
            "version": 0.4,
        }

    def _links(self) -> dict[tuple[int, str], tuple[list, Output]]:
        """(target's number, input's name) -> the link as the front end writes it, its source."""
        links = {}
        for target in self._nodes:
            for index, slot in enumerate(target.slots):
                source = target.inputs.get(slot.name)
                if _is_link(source):
                    kind = source.node.info["output"][source.index]
                    ends = [source.node.number, source.index, target.number, index]
                    links[target.number, slot.name] = ([len(links) + 1, *ends, kind], source)
        return links

    def _node_json(self, node: Node, links: dict) -> dict:
        saved = {
            "id": node.number,
            "type": node.kind,
            "pos": list(node.position),
            "size": list(node.size),
            "flags": {},
            "order": node.number - 1,  # a node is described after those it takes from
            "mode": 0,
            "inputs": [
                _input_json(slot, links.get((node.number, slot.name))) for slot in node.slots
            ],
            "outputs": _outputs_json(node, links),
            "properties": _properties(node),
            "widgets_values": node.values(),
        }
        if node.title:
            saved["title"] = node.title
        if isinstance(node, Note):
            saved |= {"color": "#432", "bgcolor": "#000"}
        return saved


def _input_json(slot: Input, link: tuple[list, Output] | None) -> dict:
    saved = {"name": slot.name, "type": slot.type}
    if not slot.required:
        saved["shape"] = 7  # drawn hollow: optional
    if slot.is_widget:
        saved["widget"] = {"name": slot.name}
    return {**saved, "link": link[0][0] if link else None}


def _outputs_json(node: Node, links: dict) -> list[dict]:
    names = zip(node.info["output_name"], node.info["output"], strict=True)
    taken = {index: [] for index in range(len(node.info["output"]))}
    for link, source in links.values():
        if source.node is node:
            taken[source.index].append(link[0])
    return [
        {"name": name, "type": kind, "links": taken[index] or None}
        for index, (name, kind) in enumerate(names)
    ]


def _properties(node: Node) -> dict:
    if isinstance(node, Note):
        return {}
    properties = {
        "Node name for S&R": node.kind,
        "cnr_id": "clip-drift" if node.is_ours else "comfy-core",
    }
    return {**properties, "models": node.models} if node.models else properties


def _groups_in(part) -> list[Group]:
    if isinstance(part, Group):
        return [part, *_groups_in(part.content)]
    return [group for one in getattr(part, "parts", ()) for group in _groups_in(one)]
