"""What is still missing before a release; the publishing workflow stops where there is any.

    python workshop/release.py [TAG]

Standard library only: it runs where nothing is installed.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    from pip._vendor import tomli as tomllib

REPO = Path(__file__).resolve().parents[1]


def project() -> dict:
    """pyproject.toml."""
    return tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))


def missing(config: dict, changes: str, tag: str | None = None) -> list[str]:
    """What whoever publishes has to put right, a sentence each.

    Args:
        config: pyproject.toml.
        changes: CHANGELOG.md.
        tag: what was pushed, such as v0.4.0.
    """
    version, comfy = config["project"]["version"], config["tool"]["comfy"]
    repository = config["project"]["urls"].get("Repository", "")
    problems = []
    if tag is not None and tag != f"v{version}":
        problems.append(f"The tag is {tag}, but pyproject.toml says {version}.")
    if not re.search(rf"^## {re.escape(version)}$", changes, flags=re.M):
        problems.append(f"CHANGELOG.md has no entry {version}.")
    for name, value in (
        ("Repository, the address of the repository,", repository),
        ("Icon, the address of docs/pictures/icon.svg there,", comfy["Icon"]),
    ):
        if not value.startswith("https://"):
            problems.append(f"pyproject.toml needs {name} which begins with https://.")
    if not comfy["PublisherId"]:
        problems.append("pyproject.toml needs PublisherId, your publisher's name in the registry.")
    return problems


if __name__ == "__main__":
    found = missing(project(), (REPO / "CHANGELOG.md").read_text(encoding="utf-8"), *sys.argv[1:2])
    sys.exit("\n".join(found) or 0)
