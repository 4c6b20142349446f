"""Workflows as the user interface saves them (litegraph, version 0.4), described in Python.

    add = Graph(object_info)
    clip = add("LoadVideo", file="video.mp4")
    drift = add("ClipDriftFromVideo", frames=clip, ...)
    rotation = add("ClipDriftRotation", start=drift)
    workflow = add.as_json("name", row(clip, add.fold("Motion", row(drift, rotation))))

Sockets, widgets and their order are those of `/object_info`. The layout is computed: nodes in rows
and columns, in groups. What is folded becomes a subgraph, one node that opens; its sockets follow
from the links that are cut.
"""

from .fold import Fold, Shown
from .graph import Graph
from .layout import PADDING, Group, Stack, column, row
from .nodes import WIDE, Node, Output

__all__ = [
    "PADDING",
    "WIDE",
    "Fold",
    "Graph",
    "Group",
    "Node",
    "Output",
    "Shown",
    "Stack",
    "column",
    "row",
]
