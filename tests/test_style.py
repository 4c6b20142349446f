"""Style: ruff's rules and format everywhere, the types of the library, and plain words."""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest
from pack.workshop.rig.paths import REPO


@pytest.mark.parametrize(
    "command", ["ruff check .", "ruff format --check --diff .", "mypy --no-error-summary"]
)
def test_nothing_to_complain_about(command):
    program, *arguments = command.split()
    path = Path(sys.executable).parent / program
    done = subprocess.run([str(path), *arguments], cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


PROSE = {
    r"``": "one backtick on each side is enough",
    r":(class|func|meth|mod|attr|data):`": "nothing here reads Sphinx's roles",
    r"\b(one|once|twice) a (frame|clip|batch|state|block|scene|token|step)\b|"
    r"\b(frames|blocks|pixels|modules) a (second|batch|level|resolution|cell)\b": "per, not a",
    r"[,:] else [a-z]|\bElse\b": "otherwise, not else",
    r", less (the|its|a|one|two)\b": "minus, not less",
}


def prose(file: Path) -> Iterator[tuple[int, str]]:
    """A Python file's lines of docstrings and comments, with their numbers."""
    text = file.read_text(encoding="utf-8")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(text)):
        alone = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if alone and isinstance(node.value.value, str):
            yield from enumerate(node.value.value.splitlines(), node.lineno)


def test_docstrings_and_comments_are_written_in_one_way():
    files = [*REPO.glob("*.py")]
    for folder in ("clip_drift", "kandinsky22", "nodes", "farm", "workshop", "tests"):
        files += (REPO / folder).rglob("*.py")
    found = [
        f"{file.relative_to(REPO)}:{number}: {line.strip()} ({advice})"
        for file in files
        for number, line in prose(file)
        for pattern, advice in PROSE.items()
        if re.search(pattern, line)
    ]
    assert not found, "\n".join(found)


def test_errors_of_the_library_name_no_node():
    """It states what is wrong; the node that called adds where to put it right."""
    nodes = [*(REPO / "nodes").rglob("*.py"), *(REPO / "kandinsky22" / "nodes").rglob("*.py")]
    names = {"Split Sigmas", "Load Video", "KSampler"}  # and others of core
    for file in nodes:
        names |= set(re.findall('display_name="(.+)"', file.read_text(encoding="utf-8")))
    assert len(names) > 20
    for file in [*(REPO / "clip_drift").rglob("*.py"), *(REPO / "kandinsky22").glob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise):
                said = " ".join(
                    part.value
                    for part in ast.walk(node)
                    if isinstance(part, ast.Constant) and isinstance(part.value, str)
                )
                assert not [name for name in names if name in said], said


def test_the_maps_name_every_room():
    """What CONTRIBUTING and docs/layout.md draw, room by room."""
    whole = (REPO / "CONTRIBUTING.md").read_text(encoding="utf-8").split("```")[3]
    method = (REPO / "docs" / "layout.md").read_text(encoding="utf-8")
    command = ["git", "ls-files"]
    tracked = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True).stdout
    for path in map(Path, tracked.splitlines()):
        top, *rest = path.parts
        if rest and not top.startswith("."):
            assert re.search(rf"^{top}/", whole, re.M), path
        if top == "workshop" and len(rest) > 1:
            assert re.search(rf"^  {rest[0]}/", whole, re.M), path
        if top in ("clip_drift", "kandinsky22") and path.suffix == ".py" and "__" not in rest[0]:
            assert re.search(rf"(^|  ){rest[0]}(/?  |$|/?\b)", method, re.M), path
