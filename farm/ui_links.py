"""Where the links of a saved workflow really begin: behind reroutes, primitives, and nodes that are
muted or bypassed, none of which the server knows."""

from __future__ import annotations

from typing import Any

ALWAYS, MUTED, BYPASSED = 0, 2, 4
"""A node's `mode`."""
REROUTE, PRIMITIVE = "Reroute", "PrimitiveNode"
FRONT_END_ONLY = (REROUTE, PRIMITIVE)
NOTHING = object()
"""What a link from a muted node brings: the input is left out, as the front end does."""


class LinkError(ValueError):
    """A link leads nowhere."""


class Links:
    """The links of a workflow in UI format, by number."""

    def __init__(self, workflow: dict[str, Any]):
        self._nodes = {str(node["id"]): node for node in workflow["nodes"]}
        self._links = {link[0]: (str(link[1]), link[2]) for link in workflow["links"]}

    def origin(self, number: int) -> Any:
        """What an input with this link gets: [node, output], a primitive's value, or NOTHING.

        Raises:
            LinkError: the link is missing, or goes round in a circle.
        """
        for _ in range(len(self._links) + 1):
            if number not in self._links:
                raise LinkError("has a link that is missing")
            source, slot = self._links[number]
            node = self._nodes.get(source)
            if node is None:
                raise LinkError(f"has a link from node {source}, which is missing")
            if node.get("mode", ALWAYS) == MUTED:
                return NOTHING
            if node["type"] == PRIMITIVE:
                values = node.get("widgets_values")
                return values[0] if isinstance(values, list) and values else NOTHING
            if not is_passed_by(node):
                return [source, slot]
            before = _passes_on(node, slot)
            if before is None:
                return NOTHING
            number = before
        raise LinkError("has a link that goes round in a circle")


def is_passed_by(node: dict[str, Any]) -> bool:
    """Whether what goes into a node comes out of it as it is."""
    return node["type"] == REROUTE or node.get("mode", ALWAYS) == BYPASSED


def _passes_on(node: dict[str, Any], slot: int) -> int | None:
    """The link that such a node passes on to an output: of its first input of that type, if there
    is none of the same number."""
    sockets = node.get("inputs", [])
    if node["type"] == REROUTE:
        return sockets[0].get("link") if sockets else None
    outputs = node.get("outputs") or []
    kind = outputs[slot].get("type") if 0 <= slot < len(outputs) else None
    same = [socket for socket in sockets if socket.get("type") in (kind, "*")]
    if 0 <= slot < len(sockets) and sockets[slot] in same:
        same.insert(0, sockets[slot])
    return same[0].get("link") if same else None
