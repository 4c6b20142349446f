"""The blueprint subgraph: offered by the server, whole, and true to the nodes as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pack.farm.ui_subgraphs import INSIDE as INPUT
from pack.farm.ui_subgraphs import OUTSIDE as OUTPUT
from pack.farm.ui_to_api import inputs_of, widget_values

FILES = sorted((Path(__file__).resolve().parent.parent / "subgraphs").glob("*.json"))

every_blueprint = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def load(file: Path) -> tuple[dict, dict]:
    """The one node of a blueprint, and the subgraph that it stands for."""
    blueprint = json.loads(file.read_text(encoding="utf-8"))
    (node,) = blueprint["nodes"]  # the front end refuses any other number
    (subgraph,) = blueprint["definitions"]["subgraphs"]
    assert node["type"] == subgraph["id"]
    assert not blueprint["groups"]
    return node, subgraph


def test_there_is_one():
    assert [file.stem for file in FILES] == ["Video Drift to Conditioning"]


@every_blueprint
def test_the_server_offers_it(file, server):
    offered = {
        number: entry["name"]
        for number, entry in server.get("/global_subgraphs").items()
        if entry["info"]["node_pack"] == "custom_nodes.clip-drift"
    }
    (number,) = (number for number, name in offered.items() if name == file.stem)
    assert server.get(f"/global_subgraphs/{number}")["data"] == file.read_text(encoding="utf-8")


@every_blueprint
def test_only_native_nodes_and_ours(file, server):
    infos = server.object_info()
    for node in load(file)[1]["nodes"]:
        module = infos[node["type"]]["python_module"]
        assert module.startswith(("nodes", "comfy_extras")) or module == "custom_nodes.clip-drift"


@every_blueprint
def test_inputs_are_those_of_the_nodes(file, server):
    """A node that has got a new widget since shifts the stored values."""
    infos = server.object_info()
    for node in load(file)[1]["nodes"]:
        declared = {each.name for each in inputs_of(infos[node["type"]])}
        stored = {each["name"] for each in node["inputs"]}
        assert stored == declared, node["type"]
        values = widget_values(node, infos[node["type"]])
        for each in inputs_of(infos[node["type"]]):
            if each.is_widget and "default" in each.options and "options" in each.options:
                assert values[each.name] in each.options["options"]


@every_blueprint
def test_links_fit_on_both_ends(file, server):
    infos = server.object_info()
    outside, subgraph = load(file)
    nodes = {node["id"]: node for node in subgraph["nodes"]}
    linked = set()
    for link in subgraph["links"]:
        if link["origin_id"] == INPUT:
            given = subgraph["inputs"][link["origin_slot"]]["type"]
        else:
            outputs = infos[nodes[link["origin_id"]]["type"]]["output"]
            given = outputs[link["origin_slot"]]
        if link["target_id"] == OUTPUT:
            taken = subgraph["outputs"][link["target_slot"]]["type"]
        else:
            slot = nodes[link["target_id"]]["inputs"][link["target_slot"]]
            assert slot["link"] == link["id"]
            linked.add((link["target_id"], slot["name"]))
            taken = slot["type"]
        assert set(given.split(",")) <= set(taken.split(","))
    for node in subgraph["nodes"]:
        for each in inputs_of(infos[node["type"]]):
            wanted = each.required and not each.is_widget
            assert not wanted or (node["id"], each.name) in linked, f"{node['type']}.{each.name}"
    for side in ("inputs", "outputs"):
        inside = [(each["name"], each["type"]) for each in subgraph[side]]
        assert [(each["name"], each["type"]) for each in outside[side]] == inside
