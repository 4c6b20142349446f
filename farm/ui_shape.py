"""Whether JSON is a workflow as the user interface saves it, version 0.4."""

from __future__ import annotations

from .ui_subgraphs import as_lists, subgraphs_of


def is_workflow(workflow: dict) -> bool:
    """Whether all that is read of it, subgraphs included, has the type that it is read as."""
    return _is_graph(workflow) and all(map(_is_subgraph, subgraphs_of(workflow)))


def _is_subgraph(graph: object) -> bool:
    if not isinstance(graph, dict) or not isinstance(graph.get("id"), str):
        return False
    inputs = graph.get("inputs") or []
    whole = isinstance(inputs, list) and all(isinstance(each, dict) for each in inputs)
    return whole and all(isinstance(each.get("name"), str) for each in inputs) and _is_graph(graph)


def _is_graph(graph: dict) -> bool:
    nodes, links = graph.get("nodes"), as_lists(graph.get("links"))
    return (
        isinstance(nodes, list)
        and isinstance(links, list)
        and all(map(_is_node, nodes))
        and all(map(_is_link, links))
    )


def _is_node(node: object) -> bool:
    if not isinstance(node, dict) or not isinstance(node.get("type"), str):
        return False
    sockets: object = node.get("inputs", [])
    outputs: object = node.get("outputs") or []
    values = node.get("widgets_values")
    return (
        isinstance(node.get("id"), (int, str))
        and isinstance(outputs, list)
        and all(isinstance(output, dict) for output in outputs)
        and isinstance(sockets, list)
        and all(map(_is_socket, sockets))
        and (values is None or isinstance(values, (list, dict)))
    )


def _is_socket(socket: object) -> bool:
    if not isinstance(socket, dict) or not isinstance(socket.get("name"), str):
        return False
    return socket.get("link") is None or isinstance(socket["link"], int)


def _is_link(link: object) -> bool:
    """[id, from node, from output, to node, to input, type]"""
    if not isinstance(link, list) or len(link) < 5:
        return False
    ends, numbers = (link[1], link[3]), (link[0], link[2], link[4])
    return all(isinstance(each, (int, str)) for each in ends) and all(
        isinstance(each, int) for each in numbers
    )
