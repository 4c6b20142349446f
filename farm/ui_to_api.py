"""Turn a workflow as the user interface saves it into the prompt that the server runs.

    python -m pack.farm.ui_to_api WORKFLOW.json OBJECT_INFO.json

The front end does this in the browser; here it is done by a server's `/object_info` alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .ui_links import ALWAYS, FRONT_END_ONLY, NOTHING, LinkError, Links
from .ui_shape import is_workflow
from .ui_subgraphs import SubgraphError, flattened

NOTES = ("Note", "MarkdownNote")
"""What stands on the canvas only."""

WIDGET_TYPES = {"COMBO", "INT", "FLOAT", "STRING", "BOOLEAN", "COMFY_DYNAMICCOMBO_V3"}
DYNAMIC_COMBO = "COMFY_DYNAMICCOMBO_V3"
UPLOAD_OPTIONS = ("image_upload", "video_upload", "audio_upload", "file_upload")
UPLOAD_VALUE = "image"
"""What the front end stores for a button that uploads."""

_MISSING = object()

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
    def default(self) -> Any:
        """The value of a widget that the node had not yet when the workflow was saved.

        Raises:
            WorkflowError: it has none.
        """
        choices = self.options.get("options") or []
        first = [one["key"] if isinstance(one, dict) else one for one in choices[:1]]
        if "default" not in self.options and not first:
            raise WorkflowError("has too few values")
        return self.options["default"] if "default" in self.options else first[0]

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
    stored = node.get("widgets_values") or []
    if isinstance(stored, dict):  # some packs store them by name
        names = {each.name for each in inputs_of(info)}
        return {name: value for name, value in stored.items() if name in names}
    values = iter(stored)
    try:
        return dict(_named(inputs_of(info), values))
    except WorkflowError as error:
        raise WorkflowError(f"node {node['id']} ({node['type']}) {error}") from None


def _named(inputs: list[Input], values: Iterator, prefix: str = "") -> list[tuple[str, Any]]:
    named = []
    for each in inputs:
        if not each.is_widget:
            continue
        value = next(values, _MISSING)
        if value is _MISSING:
            value = each.default
        named.append((prefix + each.name, value))
        for _ in range(each.has_control + each.has_upload):
            next(values, None)
        if each.type == DYNAMIC_COMBO:  # the choice decides which widgets follow
            choices = {one["key"]: one for one in each.options["options"]}
            chosen = choices.get(value) if isinstance(value, str) else None
            if chosen is None:
                raise WorkflowError(
                    f"has {value!r} for {prefix}{each.name}, which is no choice of it"
                )
            named += _named(inputs_of({"input": chosen["inputs"]}), values, f"{each.name}.")
    return named


def ui_to_api(workflow: dict, object_info: dict[str, Info]) -> dict[str, dict[str, Any]]:
    """Convert a workflow in UI format (version 0.4) to an API prompt.

    What subgraphs hold gets ids like "10:3", node 3 within node 10.

    Raises:
        WorkflowError: it is none, or a node is unknown, has too few widget values or a bad link.
    """
    if not is_workflow(workflow):
        raise WorkflowError("this is no workflow that the user interface saves (version 0.4)")
    try:
        flat = flattened(workflow)
    except SubgraphError as error:
        raise WorkflowError(str(error)) from error
    links = Links(flat)
    prompt = {}
    for node in flat["nodes"]:
        if node["type"] in (*NOTES, *FRONT_END_ONLY) or node.get("mode", ALWAYS) != ALWAYS:
            continue
        what = f"node {node['id']} ({node['type']})"
        if node["type"] not in object_info:
            raise WorkflowError(f"{what} is not known to the server")
        try:
            linked = _linked(node, links)
        except LinkError as error:
            raise WorkflowError(f"{what} {error}") from error
        values = widget_values(node, object_info[node["type"]])
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": {**values, **linked}}
    return prompt


def _linked(node: dict, links: Links) -> dict[str, Any]:
    """The linked inputs of a node, by name."""
    linked = [socket for socket in node.get("inputs", []) if socket.get("link") is not None]
    origins = {socket["name"]: links.origin(socket["link"]) for socket in linked}
    return {name: origin for name, origin in origins.items() if origin is not NOTHING}


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
