"""Who may import whom: the method knows nobody, nodes build on it, and nothing points back.

    clip_drift <- nodes.core <- nodes
    clip_drift <- kandinsky22 <- kandinsky22.nodes -> nodes.core
    all of these <- extension <- workshop, tests -> run
    farm <- workshop, tests

Files are read, not run. Modules are named within the pack: "nodes.core.sockets"; "" is its root.
"""

import ast
import sys
from functools import cache
from pathlib import Path

import pytest
from pack.workshop.rig.paths import REPO

ALL = (
    "clip_drift",
    "kandinsky22",
    "kandinsky22.nodes",
    "nodes",
    "nodes.core",
    "extension",
    "farm",
    "workshop",
    "run",
)
# The first rule whose folder holds the importing module says what else that may import.
MAY_IMPORT = {
    "clip_drift": (),
    "kandinsky22.nodes": ("nodes.core", "kandinsky22", "clip_drift"),
    "kandinsky22": ("clip_drift",),
    "nodes.core": ("clip_drift",),
    "nodes": ("nodes.core", "clip_drift"),
    "extension": ("nodes", "nodes.core", "kandinsky22.nodes", "kandinsky22", "clip_drift"),
    "farm": (),
    "run": (),
    "workshop": ("extension", "nodes", "nodes.core", "farm", "kandinsky22", "clip_drift", "run"),
    "tests": tuple(ALL),
    "": ("extension",),
}
OWN = ("clip_drift", "kandinsky22", "nodes", "extension", "farm", "workshop", "tests")
PUBLISHED = ("clip_drift", "kandinsky22", "nodes", "extension", "farm", "__init__")
COMFYUI = {
    *("comfy", "comfy_api", "comfy_execution", "comfy_extras", "execution", "folder_paths"),
    *("latent_preview", "node_helpers", "nodes", "server"),
}


def within(module: str, folder: str) -> bool:
    return module == folder or module.startswith(f"{folder}.")


def files_of(root: Path) -> dict[str, Path]:
    """The pack's modules; a package is named by its folder."""
    paths = [*root.glob("*.py"), *(path for name in OWN for path in (root / name).rglob("*.py"))]
    found = {}
    for path in paths:
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports_of(root: Path) -> dict[str, list[tuple[str, bool, bool]]]:
    """Module -> what it imports: the name, whether relatively, whether when it is loaded.

    `from .errors import DriftError` in clip_drift/drift.py is "clip_drift.errors"; where the name
    after `import` is a module itself, it is that one.
    """
    files = files_of(root)
    found = {}
    for module, path in files.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        late = {
            id(inner)
            for outer in ast.walk(tree)
            if isinstance(outer, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            for inner in ast.walk(outer)
        }
        package = module.split(".") if module else []
        if path.name != "__init__.py":
            package = package[:-1]
        found[module] = []
        for each in ast.walk(tree):
            if isinstance(each, ast.Import):
                names = [(alias.name, False) for alias in each.names]
            elif isinstance(each, ast.ImportFrom):
                kept = package[: len(package) - each.level + 1] if each.level else []
                base = ".".join([*kept, *filter(None, [each.module])])
                inner = [f"{base}.{alias.name}".lstrip(".") for alias in each.names]
                names = [(name if name in files else base, each.level > 0) for name in inner]
            else:
                continue
            found[module] += [(name, own, id(each) not in late) for name, own in names]
    return found


def ours(name: str, relative: bool) -> str | None:
    """The module of the pack that an import names, or None where it is somebody else's."""
    if relative:
        return name
    return name.removeprefix("pack.") if within(name, "pack") and name != "pack" else None


def wrong_arrows(root: Path) -> list[str]:
    """Imports that MAY_IMPORT forbids."""
    wrong = []
    for module, imports in imports_of(root).items():
        folder = next((each for each in MAY_IMPORT if within(module, each)), "")
        for name, relative, _ in imports:
            target = ours(name, relative)
            if target is None or (folder and within(target, folder)):
                continue
            home = next((each for each in MAY_IMPORT if within(target, each)), "")
            if home not in MAY_IMPORT[folder]:
                wrong.append(f"{module} -> {target}")
    return wrong


def absolute_imports(root: Path) -> list[str]:
    """Published imports of the pack itself by an absolute name.

    ComfyUI's own module is called `nodes`: a file that imports that one means it.
    """
    return [
        f"{module} -> {name}"
        for module, imports in imports_of(root).items()
        if not module or module.split(".")[0] in PUBLISHED
        for name, relative, _ in imports
        if not relative and name.split(".")[0] in {"pack", *OWN} - {"nodes"}
    ]


def of_comfyui(root: Path) -> list[str]:
    """Imports of ComfyUI's modules where it must not be needed."""
    return [
        f"{module} -> {name}"
        for module, imports in imports_of(root).items()
        if within(module, "clip_drift")
        or (within(module, "kandinsky22") and not within(module, "kandinsky22.nodes"))
        for name, relative, _ in imports
        if not relative and name.split(".")[0] in COMFYUI
    ]


def cycles(root: Path) -> list[str]:
    """Files that import each other, on the way round, when they are loaded."""
    graph = {
        module: {
            target
            for name, relative, at_once in imports
            if at_once and (target := ours(name, relative)) is not None and target != module
        }
        for module, imports in imports_of(root).items()
    }
    while leaves := [module for module, targets in graph.items() if not targets & graph.keys()]:
        for module in leaves:
            del graph[module]
    return sorted(graph)


CHECKS = {
    wrong_arrows: "clip_drift.bad -> nodes",
    absolute_imports: "clip_drift.bad -> pack.clip_drift.good",
    of_comfyui: "clip_drift.bad -> comfy.utils",
    cycles: "clip_drift.bad",
}
MADE_UP = {
    "__init__.py": "",
    "clip_drift/__init__.py": "",
    "clip_drift/good.py": "import torch\nfrom . import other\n",
    "clip_drift/other.py": "def late():\n    from .good import x\n",
    "clip_drift/worse.py": "from .bad import y\n",
    "clip_drift/bad.py": (
        "from ..nodes import Node\nfrom .worse import z\nimport comfy.utils\n"
        "from pack.clip_drift.good import x\n"
    ),
    "nodes/__init__.py": "import nodes\nfrom .core import sockets\nfrom ..clip_drift import good\n",
    "nodes/core/__init__.py": "",
    "nodes/core/sockets.py": "from ...clip_drift.good import x\n",
    "extension.py": "from .nodes import NODES\n",
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_all_arrows_point_one_way(check):
    assert len(files_of(REPO)) > 200
    assert check(REPO) == []


@pytest.mark.parametrize(("check", "found"), CHECKS.items(), ids=lambda each: str(each)[:20])
def test_the_checks_find_what_they_are_for(check, found, tmp_path):
    for name, text in MADE_UP.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    faults = [each for each in check(tmp_path) if not each.startswith("clip_drift.worse")]
    assert faults == [found]


def test_the_client_needs_only_pythons_own_library():
    names = {name for name, *_ in imports_of(REPO)["farm.client"]}
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names - {"subprocess"}
