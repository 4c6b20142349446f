"""Write `example_workflows/*.json` from their descriptions in `workflows/`.

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
from ..rig.paths import EXAMPLES
from ..rig.server import ComfyServer
from .ui_graph import Graph
from .workflows import WORKFLOWS


def build(object_info: dict[str, Info]) -> dict[str, str]:
    """The text of every workflow file, by file name."""
    files = {}
    for name, describe in WORKFLOWS.items():
        graph = Graph(object_info)
        workflow = graph.as_json(name, describe(graph))
        files[f"{name}.json"] = json.dumps(workflow, indent=1, ensure_ascii=False) + "\n"
    return files


def main(folder: Path):
    with tempfile.TemporaryDirectory() as work_dir, ComfyServer(Path(work_dir)) as server:
        files = build(server.object_info())
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
        print(folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else EXAMPLES)
