"""What the front end saves of nodes, links and groups."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from graphlib import TopologicalSorter
from typing import NamedTuple

from ....farm.ui_to_api import Input
from .layout import Group
from .nodes import Node, Output, is_link


class Link(NamedTuple):
    """A link, its fields in the front end's order."""

    id: int
    source: int
    output: int
    target: int
    input: int
    kind: str

    def inside_json(self) -> dict:
        """As it is written in a subgraph; outside, it is a list."""
        names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
        return dict(zip(names, self, strict=True))


def unique_id(name: str) -> str:
    """Always the same for a name."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"clip-drift/{name}"))


def links_between(
    nodes: Sequence[Node], given: Mapping[Output, Output] | None = None
) -> list[Link]:
    """The links between nodes; `given` says which outputs a subgraph gives as its own."""
    links = []
    for target in nodes:
        for index, slot in enumerate(target.slots):
            source = target.inputs.get(slot.name)
            source = (given or {}).get(source, source) if is_link(source) else None
            if source and source.node in nodes:
                kind = source.node.info["output"][source.index]
                ends = (source.node.number, source.index, target.number, index)
                links.append(Link(len(links) + 1, *ends, kind))
    return links


def in_order(nodes: Sequence[Node], links: Sequence[Link]) -> list[tuple[int, Node]]:
    """Nodes after all that they take from, numbered."""
    numbers = {node.number: node for node in nodes}
    before: dict[int, list[int]] = {number: [] for number in numbers}
    for link in links:
        if {link.source, link.target} <= before.keys():
            before[link.target].append(link.source)
    return list(enumerate(numbers[number] for number in TopologicalSorter(before).static_order()))


def node_json(order: int, node: Node, links: Sequence[Link]) -> dict:
    """A node among the links of its graph."""
    saved = {
        "id": node.number,
        "type": node.kind,
        "pos": list(node.position),
        "size": list(node.size),
        "flags": {},
        "order": order,
        "mode": 0,
        "inputs": [
            _input_json(slot, [x.id for x in links if (x.target, x.input) == (node.number, index)])
            for index, slot in enumerate(node.slots)
        ],
        "outputs": [
            {"name": name, "type": kind, "links": found or None}
            for index, (name, kind) in enumerate(
                zip(node.info["output_name"], node.info["output"], strict=True)
            )
            for found in [[x.id for x in links if (x.source, x.output) == (node.number, index)]]
        ],
        "properties": _properties(node),
        "widgets_values": node.values(),
    }
    if node.title:
        saved["title"] = node.title
    return saved


def _input_json(slot: Input, links: list[int]) -> dict:
    saved = {"name": slot.name, "type": slot.type}
    if not slot.required:
        saved["shape"] = 7  # drawn hollow: optional
    if slot.is_widget:
        saved["widget"] = {"name": slot.name}
    return {**saved, "link": links[0] if links else None}


def group_json(number: int, group: Group) -> dict:
    """A group."""
    return {
        "id": number,
        "title": group.title,
        "bounding": list(group.bounding),
        "color": group.color,
        "font_size": 24,
        "flags": {},
    }


def _properties(node: Node) -> dict:
    if node.info.get("python_module") in (None, "subgraph"):
        return {}
    properties = {
        "Node name for S&R": node.kind,
        "cnr_id": "clip-drift" if node.is_ours else "comfy-core",
    }
    return {**properties, "models": node.models} if node.models else properties
