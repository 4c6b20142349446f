"""Write `example_workflows/*.json` and the blueprint from their descriptions in `workflows/`.

    python -m pack.workshop.examples.build [FOLDER]

Sockets, widgets and their order are asked of a running server, so that the files always fit the
nodes.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from ...farm.ui_to_api import Info
from ..rig.paths import REPO
from ..rig.server import ComfyServer
from .ui_graph import Graph
from .workflows import BLUEPRINTS, WORKFLOWS


def workflow(name: str, object_info: dict[str, Info], folded: bool = True) -> dict:
    """A workflow or blueprint, with its subgraphs or with their nodes instead."""
    graph = Graph(object_info)
    return graph.as_json(name, {**WORKFLOWS, **BLUEPRINTS}[name](graph), folded)


def build(object_info: dict[str, Info]) -> dict[str, str]:
    """The text of every file, by its path in the pack."""
    paths = {name: f"example_workflows/{name}.json" for name in WORKFLOWS}
    paths |= {name: f"subgraphs/{name}.json" for name in BLUEPRINTS}
    return {
        path: json.dumps(workflow(name, object_info), ensure_ascii=False, separators=(",", ":"))
        + "\n"
        for name, path in paths.items()
    }


def main(folder: Path):
    with tempfile.TemporaryDirectory() as work_dir, ComfyServer(Path(work_dir)) as server:
        files = build(server.object_info())
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
        print(folder / path)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else REPO)
