"""A subgraph: one node that stands for a laid-out graph of its own, and opens."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

from ....farm.ui_subgraphs import INSIDE, OUTSIDE
from ....farm.ui_to_api import Input
from .layout import GAP, Group, Stack, parts_of
from .nodes import SLOT, WIDTH, Node, Output, as_output, is_link
from .saved import (
    Link,
    group_json,
    in_order,
    links_between,
    node_json,
    unique_id,
)

END = 150
"""The width of what stands inside for the subgraph's inputs, and for its outputs."""

Shown = tuple[Node, str, str]
"""A node, its input, and what that is called outside."""
Given = tuple[Node | Output, str]
"""An output, or a node's first, and what that is called outside."""


class Fold(Node):
    """A subgraph. Until it is closed, it is a part of a layout like any other."""

    def __init__(
        self, title: str, content: Node | Stack, shows: Sequence[Shown], gives: Sequence[Given]
    ):
        self.title, self.content = title, content
        self.least_size, self.models = (WIDTH, 0), []
        self.is_closed = False
        self._shows, self._gives = shows, gives

    @property
    def parts(self) -> tuple:
        """What is inside, for whoever walks through a layout."""
        return (self.content,)

    def close(self, name: str, number: int, everything: Iterable[Node]):
        """Find the sockets: what is shown, and the links from and to the nodes outside."""
        self.is_closed, self.number = True, number
        self.nodes = list(parts_of(self.content, Node))
        self.kind = unique_id(f"{name}/{self.title}")
        self.slots, self.inputs = [], {}
        self._takers: dict[str, list[tuple[Node, Input]]] = {}
        self._find_inputs()
        self._find_outputs(everything)

    def _find_inputs(self):
        labels = {(node, name): label for node, name, label in self._shows}
        shown = [(node, name) for node, name, _ in self._shows]
        cut = [
            (node, slot.name)
            for node in self.nodes
            for slot in node.slots
            if is_link(source := node.inputs.get(slot.name)) and source.node not in self.nodes
        ]
        for node, name in dict.fromkeys(cut + shown):
            slot = next(each for each in node.slots if each.name == name)
            self._take(node, slot, labels.get((node, name), name))
        self.slots.sort(key=lambda each: each.is_widget)

    def _take(self, node: Node, slot: Input, label: str):
        """Let an inner input take from outside; one socket serves all that take the same."""
        value = node.inputs.get(slot.name)
        same = [name for name in self._takers if is_link(value) and self.inputs.get(name) == value]
        if same:
            self._takers[same[0]].append((node, slot))
            return
        name = _unused(label, self._takers)
        kind = slot.type
        if is_link(value) and not slot.is_widget:
            kind = value.node.info["output"][value.index]
        self.slots.append(slot._replace(name=name, type=kind))
        self._takers[name] = [(node, slot)]
        if value is not None:
            self.inputs[name] = value

    def sort_inputs(self, given: Mapping[Output, Output]):
        """Put sockets in the order, top to bottom, of what they take from, once that is placed."""

        def height(slot: Input) -> tuple:
            source = self.inputs.get(slot.name)
            if slot.is_widget or not is_link(source):
                return slot.is_widget, 0, 0
            outside = given.get(source, source)
            return False, outside.node.position[1], outside.index

        self.slots.sort(key=height)

    def _find_outputs(self, everything: Iterable[Node]):
        taken = [
            source
            for node in everything
            if node not in self.nodes
            for source in node.inputs.values()
            if is_link(source) and source.node in self.nodes
        ]
        labels = {as_output(output): label for output, label in self._gives}
        outputs = list(dict.fromkeys([*labels, *taken]))
        names: list[str] = []
        for output in outputs:
            name = labels.get(output) or output.node.info["output_name"][output.index]
            names.append(_unused(name, names))
        kinds = [output.node.info["output"][output.index] for output in outputs]
        self.info = {"output": kinds, "output_name": names, "python_module": "subgraph"}
        self.given = {output: Output(self, index) for index, output in enumerate(outputs)}

    @property
    def has_footer(self) -> bool:
        """It has the button that opens it."""
        return True

    def place(self, x: int, y: int) -> tuple[int, int]:
        """Put the node, or what it stands for while it is not closed, at a point."""
        return super().place(x, y) if self.is_closed else self.content.place(x, y)

    def values(self) -> list:
        """The values of the widgets that are shown; the buttons beside them stay inside."""
        return [self.value(each) for each in self.slots if each.is_widget]

    def definition(self) -> dict:
        """The subgraph as the front end saves it."""
        width, _ = self.content.place(0, 0)
        groups = [group_json(*each) for each in enumerate(parts_of(self.content, Group), 1)]
        links = links_between(self.nodes)
        entering, leaving = self._entering(len(links)), []
        for old, new in self.given.items():
            number = len(links) + len(entering) + len(leaving) + 1
            kind = self.info["output"][new.index]
            leaving.append(Link(number, old.node.number, old.index, OUTSIDE, new.index, kind))
        links += entering + leaving
        return {
            "id": self.kind,
            "version": 1,
            "state": {
                "lastGroupId": len(groups),
                "lastNodeId": self.number,
                "lastLinkId": len(links),
                "lastRerouteId": 0,
            },
            "revision": 0,
            "config": {},
            "name": self.title,
            "inputNode": {
                "id": INSIDE,
                "bounding": [-END - 2 * GAP, 0, END, (len(self.slots) + 2) * SLOT],
            },
            "outputNode": {
                "id": OUTSIDE,
                "bounding": [width + 2 * GAP, 0, END, (len(self.given) + 2) * SLOT],
            },
            "inputs": [
                self._end(slot.name, slot.type, [x.id for x in entering if x.output == index])
                for index, slot in enumerate(self.slots)
            ],
            "outputs": [
                self._end(self.info["output_name"][link.input], link.kind, [link.id])
                for link in leaving
            ],
            "widgets": [],
            "nodes": [node_json(*each, links) for each in in_order(self.nodes, links)],
            "groups": groups,
            "links": [link.inside_json() for link in links],
            "extra": {},
        }

    def _entering(self, before: int) -> list[Link]:
        ends = [
            (index, node, inner)
            for index, slot in enumerate(self.slots)
            for node, inner in self._takers[slot.name]
        ]
        return [
            Link(
                number, INSIDE, index, node.number, node.slots.index(inner), self.slots[index].type
            )
            for number, (index, node, inner) in enumerate(ends, before + 1)
        ]

    def _end(self, name: str, kind: str, links: list[int]) -> dict:
        number = unique_id(f"{self.kind}/{kind}/{name}")
        return {"id": number, "name": name, "type": kind, "linkIds": links}


def _unused(name: str, names: Iterable[str]) -> str:
    """The name, numbered where it is taken."""
    spare = itertools.chain([name], (f"{name}_{number}" for number in itertools.count(2)))
    return next(each for each in spare if each not in names)
