"""Where a saved workflow's wires run, as straight lines between sockets."""

from __future__ import annotations

import itertools
from typing import NamedTuple

TITLE, SLOT = 30, 20

Point = tuple[float, float]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


class Wire(NamedTuple):
    """A link: the nodes at its ends, and where it starts and ends."""

    source: int
    target: int
    start: Point
    end: Point


def graphs_of(workflow: dict) -> list[dict]:
    """The graph that opens, and those of its subgraphs, their links written alike."""
    inner = workflow.get("definitions", {}).get("subgraphs", [])
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    return [workflow] + [
        {**graph, "links": [[link[name] for name in names] for link in graph["links"]]}
        for graph in inner
    ]


def box_of(node: dict) -> Box:
    """A node with its title."""
    (x, y), (width, height) = node["pos"], node["size"]
    return x, y - TITLE, x + width, y + height


def box_of_group(group: dict) -> Box:
    """A group with its title."""
    x, y, width, height = group["bounding"]
    return x, y, x + width, y + height


def is_inside(inner: Box, outer: Box) -> bool:
    """Whether all of a box lies in another."""
    return (
        outer[0] <= inner[0]
        and outer[1] <= inner[1]
        and inner[2] <= outer[2]
        and inner[3] <= outer[3]
    )


def overlaps(a: Box, b: Box) -> bool:
    """Whether two boxes share a point."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def wires(workflow: dict) -> list[Wire]:
    """The links of a graph between its nodes."""
    nodes = {node["id"]: node for node in workflow["nodes"]}
    found = []
    for _, source, output, target, index, _ in workflow["links"]:
        if not {source, target} <= nodes.keys():  # a subgraph's own ends
            continue
        out_of, into = nodes[source], nodes[target]
        start = out_of["pos"][0] + out_of["size"][0], out_of["pos"][1] + _slot(output)
        end = into["pos"][0], into["pos"][1] + _slot(_row(into, index))
        found.append(Wire(source, target, start, end))
    return found


def crossings(found: list[Wire]) -> list[tuple[Wire, Wire]]:
    """Pairs of wires that cross, other than in a socket that they share."""
    return [
        (a, b)
        for a, b in itertools.combinations(found, 2)
        if a.start != b.start and a.end != b.end and _cross(a, b)
    ]


def behind_nodes(workflow: dict) -> list[tuple[Wire, int]]:
    """Wires that run behind a node, and which."""
    return [
        (wire, node["id"])
        for wire in wires(workflow)
        for node in workflow["nodes"]
        if node["id"] not in (wire.source, wire.target) and _meets(wire, box_of(node))
    ]


def _slot(row: int) -> float:
    return (row + 0.7) * SLOT


def _row(node: dict, index: int) -> int:
    """Sockets without a widget come first, then those that widgets have."""
    sockets = [number for number, each in enumerate(node["inputs"]) if "widget" not in each]
    rows = max(len(sockets), len(node["outputs"]))
    return sockets.index(index) if index in sockets else rows


def _cross(a: Wire, b: Wire) -> bool:
    return _side(a, b.start) * _side(a, b.end) < 0 and _side(b, a.start) * _side(b, a.end) < 0


def _side(wire: Wire, point: Point) -> float:
    (ax, ay), (bx, by) = wire.start, wire.end
    return (bx - ax) * (point[1] - ay) - (by - ay) * (point[0] - ax)


def _meets(wire: Wire, box: Box) -> bool:
    """Whether a line that runs to the right meets a box."""
    (ax, ay), (bx, by) = wire.start, wire.end
    left, right = max(ax, box[0]), min(bx, box[2])
    if left >= right:
        return False
    heights = [ay + (by - ay) * (x - ax) / (bx - ax) for x in (left, right)]
    return min(heights) < box[3] and max(heights) > box[1]
