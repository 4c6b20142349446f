"""Turn a workflow as the user interface saves it into the prompt that the server runs.

    python -m pack.workshop.rig.ui_to_api WORKFLOW.json OBJECT_INFO.json

The front end does this in the browser; here it is done by a server's `/object_info` alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

ALWAYS = 0
"""The `mode` of a node that is neither muted nor bypassed."""
NOTES = ("Note", "MarkdownNote")
"""What stands on the canvas only."""
FRONT_END_ONLY = ("Reroute", "PrimitiveNode")

INSIDE, OUTSIDE = -10, -20
"""The ids of a subgraph's own ends, which its inner links come from and go to."""

WIDGET_TYPES = {"COMBO", "INT", "FLOAT", "STRING", "BOOLEAN", "COMFY_DYNAMICCOMBO_V3"}
DYNAMIC_COMBO = "COMFY_DYNAMICCOMBO_V3"
UPLOAD_OPTIONS = ("image_upload", "video_upload", "audio_upload", "file_upload")
UPLOAD_VALUE = "image"
"""What the front end stores for a button that uploads."""

Info = dict[str, Any]
"""What `/object_info` says of one node."""


class WorkflowError(ValueError):
    """The workflow does not fit the server's nodes."""


class Input(NamedTuple):
    """An input of a node, as the front end sees it."""

    name: str
    type: str
    options: dict[str, Any]
    required: bool

    @property
    def is_widget(self) -> bool:
        """Whether the front end draws a widget for it, so that its value is stored by position."""
        kind = self.options.get("widgetType", self.type)
        return kind in WIDGET_TYPES and not self.options.get("forceInput")

    @property
    def is_long_text(self) -> bool:
        """Whether its widget is a text of several lines."""
        return bool(self.options.get("multiline"))

    @property
    def has_control(self) -> bool:
        """Whether the front end adds a widget that says how the value changes after a run."""
        seeds = self.type == "INT" and self.name in ("seed", "noise_seed")
        return seeds or bool(self.options.get("control_after_generate"))

    @property
    def has_upload(self) -> bool:
        """Whether the front end adds a button that uploads."""
        return any(self.options.get(option) for option in UPLOAD_OPTIONS)


def inputs_of(info: Info) -> list[Input]:
    """A node's inputs in the front end's order: sockets first, then widgets."""
    groups = info["input"].items()
    declared = [
        Input(name, *_type_and_options(spec), required=group == "required")
        for group, specs in groups
        if group != "hidden"
        for name, spec in specs.items()
    ]
    return sorted(declared, key=lambda each: each.is_widget)


def _type_and_options(spec: list) -> tuple[str, dict[str, Any]]:
    kind, options = spec[0], spec[1] if len(spec) > 1 else {}
    if isinstance(kind, list):  # the old way to write a combo: its choices in place of its type
        return "COMBO", {**options, "options": kind}
    return kind, options


def widget_values(node: dict, info: Info) -> dict[str, Any]:
    """The values of a saved node's widgets by name, without what only the front end knows."""
    values = iter(node.get("widgets_values") or [])
    try:
        return dict(_named(inputs_of(info), values))
    except StopIteration:
        raise WorkflowError(f"node {node['id']} ({node['type']}) has too few values") from None


def _named(inputs: list[Input], values: Iterator, prefix: str = "") -> list[tuple[str, Any]]:
    named = []
    for each in inputs:
        if not each.is_widget:
            continue
        value = next(values)
        named.append((prefix + each.name, value))
        if each.has_control:
            next(values)
        if each.has_upload:
            next(values)
        if each.type == DYNAMIC_COMBO:  # the choice decides which widgets follow
            chosen = next(one for one in each.options["options"] if one["key"] == value)
            named += _named(inputs_of({"input": chosen["inputs"]}), values, f"{each.name}.")
    return named


def ui_to_api(workflow: dict, object_info: dict[str, Info]) -> dict[str, dict[str, Any]]:
    """Convert a workflow in UI format (version 0.4) to an API prompt.

    What subgraphs hold gets ids like "10:3", node 3 inside node 10.

    Raises:
        WorkflowError: a node is unknown, muted, bypassed or the front end's own, or its widget
            values are too few.
    """
    subgraphs = {each["id"]: each for each in workflow.get("definitions", {}).get("subgraphs", [])}
    return _Scope(workflow, subgraphs, object_info).prompt()


class _Scope:
    """A graph, or a subgraph as one of the nodes that stand for it."""

    def __init__(self, graph: dict, subgraphs: dict, object_info: dict, prefix="", given=list):
        self._object_info = object_info
        self._prefix = prefix
        self._given: Callable[[], list[list]] = given
        self._links = {link[0]: link for link in map(_as_list, graph["links"])}
        self._nodes = [node for node in graph["nodes"] if node["type"] not in NOTES]
        self._inner = {}
        for node in self._nodes:
            if node["type"] in subgraphs:
                _require_active(node)
                inner = subgraphs[node["type"]]
                path = f"{prefix}{node['id']}:"
                taken = partial(self._taken, node)
                self._inner[node["id"]] = _Scope(inner, subgraphs, object_info, path, taken)
        self._ends = {link[4]: link for link in self._links.values() if link[3] == OUTSIDE}

    def prompt(self) -> dict[str, dict[str, Any]]:
        """All nodes that run."""
        found = {}
        for node in self._nodes:
            if node["id"] in self._inner:
                found |= self._inner[node["id"]].prompt()
                continue
            _require_runnable(node, self._object_info)
            inputs = widget_values(node, self._object_info[node["type"]])
            for socket in node.get("inputs", []):  # a link to a widget replaces its value
                if linked := self._linked(socket):
                    inputs[socket["name"]] = linked[0]
            found[f"{self._prefix}{node['id']}"] = {"class_type": node["type"], "inputs": inputs}
        return found

    def _taken(self, node: dict) -> list[list]:
        """What a node's sockets take, as a list of one or none each: links, or widgets' values."""
        values = iter(node.get("widgets_values") or [])
        taken = []
        for socket in node.get("inputs", []):
            value = [next(values)] if "widget" in socket else []
            taken.append(self._linked(socket) or value)
        return taken

    def _linked(self, socket: dict) -> list:
        if socket.get("link") is None:
            return []
        _, source, output, *_ = self._links[socket["link"]]
        return self._given()[output] if source == INSIDE else [self._origin(source, output)]

    def _origin(self, source: int, output: int) -> list:
        """The node, by its whole id, that an output comes from."""
        if source not in self._inner:
            return [f"{self._prefix}{source}", output]
        inner = self._inner[source]
        _, node, slot, *_ = inner._ends[output]
        return inner._origin(node, slot)


def _as_list(link: list | dict) -> list:
    """A link; in subgraphs its parts are named, in the same order."""
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    return [link[name] for name in names] if isinstance(link, dict) else link


def _require_runnable(node: dict, object_info: dict[str, Info]):
    what = f"node {node['id']} ({node['type']})"
    if node["type"] in FRONT_END_ONLY:
        raise WorkflowError(f"{what} exists in the front end only: link its ends directly")
    if node["type"] not in object_info:
        raise WorkflowError(f"{what} is not known to the server")
    _require_active(node)


def _require_active(node: dict):
    if node.get("mode", ALWAYS) != ALWAYS:
        raise WorkflowError(f"node {node['id']} ({node['type']}) is muted or bypassed")


def replace_values(prompt: dict, values: dict[tuple[str, str], Any]):
    """Put other values into a prompt, by node type and input name; inputs not there stay so."""
    for node in prompt.values():
        for name in node["inputs"]:
            key = (node["class_type"], name)
            if key in values:
                node["inputs"][name] = values[key]


def ids_of(prompt: dict, class_type: str) -> list[str]:
    """The ids of a prompt's nodes of one type."""
    return [number for number, node in prompt.items() if node["class_type"] == class_type]


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__.splitlines()[2].strip())
    files = [json.loads(Path(name).read_text(encoding="utf-8")) for name in sys.argv[1:]]
    print(json.dumps(ui_to_api(*files), indent=2))
