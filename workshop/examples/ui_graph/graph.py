"""A workflow under construction."""

from __future__ import annotations

from collections.abc import Sequence

from ....farm.ui_to_api import Info
from .fold import Fold, Given, Shown
from .layout import Group, Stack, parts_of
from .nodes import Node, Note
from .saved import group_json, in_order, links_between, node_json, unique_id


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

    def fold(
        self,
        title: str,
        content: Node | Stack,
        shows: Sequence[Shown] = (),
        gives: Sequence[Given] = (),
    ) -> Fold:
        """Put nodes, laid out, into a subgraph whose sockets are the links that this cuts.

        Args:
            shows: other inputs to reach from outside.
            gives: other outputs to offer.
        """
        return Fold(title, content, shows, gives)

    def as_json(self, name: str, layout: Node | Stack, folded: bool = True) -> dict:
        """The whole workflow, laid out, with its subgraphs or with their nodes instead."""
        folds = list(parts_of(layout, Fold)) if folded else []
        for number, fold in enumerate(folds, len(self._nodes) + 1):
            fold.close(name, number, self._nodes)
        layout.place(0, 0)
        given = {old: new for fold in folds for old, new in fold.given.items()}
        for fold in folds:
            fold.sort_inputs(given)
        inside = [node for fold in folds for node in fold.nodes]
        outside = [node for node in self._nodes if node not in inside] + folds
        links = links_between(outside, given)
        workflow = {
            "id": unique_id(name),
            "revision": 0,
            "last_node_id": len(self._nodes) + len(folds),
            "last_link_id": len(links),
            "nodes": [node_json(*each, links) for each in in_order(outside, links)],
            "links": [list(link) for link in links],
            "groups": [
                group_json(*each) for each in enumerate(parts_of(layout, Group, outside=True), 1)
            ],
            "config": {},
            "extra": {"workflowRendererVersion": "LG"},
            "version": 0.4,
        }
        if folds:
            workflow["definitions"] = {"subgraphs": [fold.definition() for fold in folds]}
        return workflow
