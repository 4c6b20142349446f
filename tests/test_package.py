"""What the Manager installs and the registry publishes."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

from pack.workshop.rig.install import comfy
from pack.workshop.rig.paths import REPO

if sys.version_info >= (3, 11):
    import tomllib
else:
    from pip._vendor import tomli as tomllib

PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))

# The registry flags packs that hold these anywhere.
FLAGGED = re.compile(r"\bsubprocess\b|\beval\(|\bexec\(|\b__import__\b")


def published(folder: Path = REPO) -> list[Path]:
    """Files that git tracks, less what .comfyignore names."""
    command = ["git", "-C", str(folder), "ls-files"]
    tracked = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
    ignored = (folder / ".comfyignore").read_text(encoding="utf-8").split()
    assert all(line.startswith("/") for line in ignored)
    kept = [
        name
        for name in filter(None, tracked)
        if not any(f"/{name}".startswith(entry) for entry in ignored)
    ]
    return [folder / name for name in kept]


def test_the_manager_installs_what_pyproject_names():
    lines = (REPO / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert lines == PROJECT["project"]["dependencies"]


def test_the_registry_gets_what_it_needs():
    name = PROJECT["project"]["name"]
    assert re.fullmatch(r"[a-z][a-z-]*", name)
    assert "comfyui" not in name
    assert PROJECT["tool"]["comfy"]["requires-comfyui"] == ">=0.30.0"


def test_the_version_has_an_entry_in_the_changelog():
    version = PROJECT["project"]["version"]
    assert f"## {version}\n" in (REPO / "CHANGELOG.md").read_text(encoding="utf-8")


def test_only_what_a_user_needs_is_published():
    names = {path.name for path in published() if path.parent == REPO}
    about = {"README.md", "CHANGELOG.md", "LICENSE"}
    assert names == about | {"__init__.py", "extension.py", "pyproject.toml", "requirements.txt"}
    folders = {path.relative_to(REPO).parts[0] for path in published() if path.parent != REPO}
    code = {"clip_drift", "kandinsky22", "nodes"}
    assert folders <= code | {"example_workflows", "locales", "models", "subgraphs", "web"}


def test_a_download_stays_small():
    weights = [path for path in published() if path.suffix == ".safetensors"]
    assert {path.relative_to(REPO).parts[0] for path in weights} == {"models"}
    assert sum(path.stat().st_size for path in weights) <= 24_000_000
    others = set(published()) - set(weights)
    assert sum(path.stat().st_size for path in others) < 2_000_000


def test_comfy_cli_finds_no_fault_and_packs_what_is_expected(tmp_path):
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(REPO), str(clone)], check=True)
    assert "All validation checks passed" in comfy(clone, "node", "validate")
    comfy(clone, "node", "pack")
    with zipfile.ZipFile(clone / "node.zip") as packed:
        names = {clone / name for name in packed.namelist()}
    assert names == set(published(clone))


def test_nothing_the_registry_flags_is_published():
    for path in published():
        if path.suffix == ".py":
            assert not FLAGGED.search(path.read_text(encoding="utf-8")), path


def test_the_library_never_imports_comfyui():
    for path in (REPO / "clip_drift").rglob("*.py"):
        imports = re.findall(r"^\s*(?:from|import) ([\w.]+)", path.read_text("utf-8"), re.M)
        roots = {name.split(".")[0] for name in imports}
        assert not roots & {"comfy", "comfy_api", "comfy_execution", "folder_paths", "nodes"}, path
