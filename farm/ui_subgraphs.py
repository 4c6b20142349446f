"""A saved workflow without its subgraphs: each is replaced by the nodes that it holds.

What crosses a subgraph's edge passes a node of its own there, a reroute or a primitive, as a user
would put one; `ui_links` then follows links through it as through any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .ui_links import ALWAYS, PRIMITIVE, REROUTE

INSIDE, OUTSIDE = -10, -20
"""The ids of a subgraph's own edges, which its inner links come from and go to."""
LINK_PARTS = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
DEEPEST, MOST = 50, 10_000
"""How deep subgraphs nest, and how many there are: one may hold another one twice, that one a third
one twice, and so on."""


class SubgraphError(ValueError):
    """A subgraph holds itself, or far too much."""


def as_lists(links: Any) -> Any:
    """Links as lists; within subgraphs their parts are named."""
    if not isinstance(links, list):
        return links
    return [
        [link.get(part) for part in LINK_PARTS] if isinstance(link, dict) else link
        for link in links
    ]


def flattened(workflow: dict[str, Any]) -> dict[str, list]:
    """The nodes and links of a workflow; node 3 within node 10 is called "10:3".

    Args:
        workflow: in UI format 0.4, whose graphs are known to be well formed.

    Raises:
        SubgraphError: there is no end to it.
    """
    flat = _Flat({each["id"]: each for each in subgraphs_of(workflow)})
    flat.add(workflow, "", ())
    return {"nodes": flat.nodes, "links": flat.links}


def subgraphs_of(workflow: dict[str, Any]) -> list[Any]:
    """The definitions of a workflow's subgraphs."""
    definitions = workflow.get("definitions")
    found = definitions.get("subgraphs") if isinstance(definitions, dict) else None
    return found if isinstance(found, list) else []


class _Flat:
    def __init__(self, subgraphs: dict[str, dict]):
        self._subgraphs = subgraphs
        self.nodes: list[dict] = []
        self.links: list[list] = []
        self._expanded = 0

    def add(self, graph: dict, path: str, within: tuple[str, ...]) -> dict[int, int]:
        """Add what a graph holds; the numbers of the links to its outputs, by their place."""
        expanded = {str(node["id"]) for node in graph["nodes"] if self._is_expanded(node)}
        numbers: dict[Any, int] = {}
        leaving: dict[int, int] = {}
        for number, source, slot, target, target_slot, *kind in as_lists(graph["links"]):
            numbers[number] = len(self.links)
            if target == OUTSIDE:
                leaving[target_slot] = numbers[number]
            if source == INSIDE:
                source, slot = _edge(path, "input", slot), 0
            elif str(source) in expanded:
                source, slot = _edge(f"{path}{source}:", "output", slot), 0
            else:
                source = f"{path}{source}"
            self.links.append([numbers[number], source, slot, target, target_slot, *kind])
        for node in graph["nodes"]:
            whole = {
                **node,
                "id": f"{path}{node['id']}",
                "inputs": [_renumbered(socket, numbers) for socket in node.get("inputs") or []],
            }
            if str(node["id"]) in expanded:
                self._expand(whole, within)
            else:
                self.nodes.append(whole)
        return leaving

    def _is_expanded(self, node: dict) -> bool:
        return node["type"] in self._subgraphs and node.get("mode", ALWAYS) == ALWAYS

    def _expand(self, node: dict, within: tuple[str, ...]) -> None:
        """Add a subgraph's nodes in place of the one that stands for it."""
        self._expanded += 1
        if node["type"] in within:
            raise SubgraphError(f"node {node['id']} is a subgraph that holds itself")
        if len(within) == DEEPEST or self._expanded > MOST:
            raise SubgraphError("the workflow holds too many subgraphs, or nests them too deep")
        graph, path = self._subgraphs[node["type"]], f"{node['id']}:"
        for place, given in enumerate(self._given(node, graph)):
            self.nodes.append({"id": _edge(path, "input", place), **given})
        for place, link in self.add(graph, path, (*within, node["type"])).items():
            edge = {"type": REROUTE, "inputs": [{"link": link}]}
            self.nodes.append({"id": _edge(path, "output", place), **edge})

    def _given(self, node: dict, graph: dict) -> Iterator[dict]:
        """What brings each of a subgraph's inputs: a link, a widget's value, or nothing, so that
        the inner widget's own value stands."""
        sockets = {socket["name"]: socket for socket in node["inputs"]}
        declared = graph.get("inputs") or []
        widgets = [self._is_widget(graph, place) for place in range(len(declared))]
        stored = node.get("widgets_values")
        stored = stored if isinstance(stored, list) else []
        whole, values = len(stored) == sum(widgets), iter(stored)
        for each, is_widget in zip(declared, widgets, strict=True):
            value = [next(values)] if whole and is_widget else []
            link = sockets.get(each["name"], {}).get("link")
            if link is None and value:
                yield {"type": PRIMITIVE, "widgets_values": value}
            else:
                yield {"type": REROUTE, "inputs": [{"link": link}]}

    def _is_widget(self, graph: dict, place: int, deep: int = 0) -> bool:
        """Whether a subgraph's input goes to a widget, in it or in a subgraph that it holds."""
        nodes = {node["id"]: node for node in graph["nodes"]}
        for _, source, slot, target, target_slot, *_ in as_lists(graph["links"]):
            sockets = nodes.get(target, {}).get("inputs") or []
            if source != INSIDE or slot != place or not 0 <= target_slot < len(sockets):
                continue
            socket, inner = sockets[target_slot], self._subgraphs.get(nodes[target]["type"], {})
            if "widget" in socket:
                return True
            names = [each["name"] for each in inner.get("inputs") or []]
            if socket["name"] in names and deep < len(self._subgraphs):
                return self._is_widget(inner, names.index(socket["name"]), deep + 1)
        return False


def _edge(path: str, side: str, place: int) -> str:
    return f"{path}{side} {place}"


def _renumbered(socket: dict, numbers: dict[Any, int]) -> dict:
    link = socket.get("link")
    return socket if link is None else {**socket, "link": numbers.get(link, -1)}
