"""A workflow in API format as a graph: who reads from whom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .errors import FarmError

Prompt = dict[str, dict[str, Any]]
"""Node id -> {"class_type": ..., "inputs": {...}}."""
Link = tuple[str, int]
"""A node's id and the number of one of its outputs."""


def as_link(value: object) -> Link | None:
    """The link that an input's value stands for, or None where it is a plain value."""
    if not isinstance(value, list) or len(value) != 2:
        return None
    source, slot = value
    whole = isinstance(slot, int) and not isinstance(slot, bool)
    return (source, slot) if isinstance(source, str) and whole else None


def links(prompt: Prompt, node_id: str) -> Iterator[tuple[str, Link]]:
    """A node's linked inputs with what they read from."""
    for name, value in prompt[node_id]["inputs"].items():
        link = as_link(value)
        if link:
            yield name, link


def ancestors(prompt: Prompt, *node_ids: str) -> set[str]:
    """The nodes given and all that they depend on."""
    found: set[str] = set()
    waiting = list(node_ids)
    while waiting:
        node_id = waiting.pop()
        if node_id in found:
            continue
        found.add(node_id)
        waiting += [source for _, (source, _) in links(prompt, node_id)]
    return found


def descendants(prompt: Prompt, node_id: str) -> set[str]:
    """The nodes that depend on the one given, without it."""
    readers: dict[str, list[str]] = {}
    for reader in prompt:
        for _, (source, _) in links(prompt, reader):
            readers.setdefault(source, []).append(reader)
    found: set[str] = set()
    waiting = list(readers.get(node_id, ()))
    while waiting:
        reader = waiting.pop()
        if reader not in found:
            found.add(reader)
            waiting += readers.get(reader, ())
    return found


def require_graph(prompt: object) -> Prompt:
    """The prompt, where it is one: every node with its type and inputs, every link to a node, and
    no circle.

    Raises:
        FarmError: it is not.
    """
    if not isinstance(prompt, dict) or not prompt:
        raise FarmError("the workflow holds no nodes: save it from ComfyUI again.")
    for node_id, node in prompt.items():
        if not isinstance(node, dict) or not isinstance(node.get("class_type"), str):
            raise FarmError(f"the workflow's node {node_id} has no type: save it again.")
        if not isinstance(node.get("inputs"), dict):
            raise FarmError(f"the workflow's node {node_id} has no inputs: save it again.")
    for node_id in prompt:
        for name, (source, _) in links(prompt, node_id):
            if source not in prompt:
                raise FarmError(
                    f"the workflow's node {node_id} reads {name} from node {source}, which is not "
                    "there: save it again."
                )
    _require_no_circle(prompt)
    return prompt


def _require_no_circle(prompt: Prompt) -> None:
    """Take away, again and again, the nodes that wait for nothing; a circle stays."""
    waits = {each: {source for _, (source, _) in links(prompt, each)} for each in prompt}
    readers: dict[str, list[str]] = {each: [] for each in prompt}
    for each, sources in waits.items():
        for source in sources:
            readers[source].append(each)
    ready = [each for each, sources in waits.items() if not sources]
    done = 0
    while ready:
        source = ready.pop()
        done += 1
        for reader in readers[source]:
            waits[reader].discard(source)
            if not waits[reader]:
                ready.append(reader)
    if done < len(prompt):
        circle = next(each for each, sources in waits.items() if sources)
        raise FarmError(
            f"the workflow's node {circle} depends on itself: break the circle of links."
        )
