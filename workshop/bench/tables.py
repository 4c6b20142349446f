"""The semantic benches' tables, each between two marks in a page."""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ..rig.paths import REPO

PAGE = REPO / "docs" / "figures.md"

COLUMNS = {
    ("said", "path: r"): "place said: r",
    ("said", "path: reach"): "reach",
    ("said", "path: kept"): "kept",
    ("unsaid", "path: r"): "no place said: r",
    ("unsaid", "path: r above 0.9"): "r > 0.9",
    ("unsaid", "path: reach"): "reach",
    ("unsaid", "path: kept"): "kept",
    ("unsaid", "size: r"): "size: r",
    ("unsaid", "tilt: r"): "tilt: r",
    ("unsaid", "colour: r"): "colour: r",
    ("unsaid", "path and size: r"): "path and size: r",
}
"""The prompt's wording and a figure → its column's head."""
STEADY = {
    "path: r": "r",
    "path: reach": "reach",
    "path: kept": "kept",
    "ground": "ground",
    "colour": "colour",
    "size": "size",
    "tilt": "tilt",
    "flicker": "flickering",
    "background": "background",
    "changed": "changed",
}
"""A figure of `consistency` → its column's head."""

SHARES = ("r above 0.9", "kept")
DIGITS = {"ground": 1, "colour": 1, "size": 3, "tilt": 1, "flicker": 3, "background": 3}
ABOUT_OTHERS = "Prompts that say no size, tilt or course of colour, 12 pairs of each:"


def semantics(measured: dict) -> str:
    """A row per way, both wordings side by side."""
    rows = (
        [row["name"], _strength(row)]
        + [_cell(row.get(start, {}), figure) for start, figure in COLUMNS]
        for row in measured["rows"]
    )
    return _table(["", "strength", *COLUMNS.values()], rows)


def confirm(measured: dict) -> str:
    """Paths, and a second table of what else moves."""
    figures = ("r", "r above 0.9", "reach", "kept")
    aspects, short = ("size", "tilt", "colour"), ("r", "reach", "kept")
    of_paths: dict[tuple, dict] = {}
    of_others: dict[tuple, dict] = {}
    for row in measured["rows"]:
        group, name = row["name"].split(": ", 1)
        moves, told = group.split(", ")
        found = of_paths if moves == "path" else of_others
        found.setdefault((told, name, _strength(row)), {}).update(row.get("unsaid") or row["said"])
    head = ["told by", "", "strength"]
    paths = _table(
        [*head, "r", "r > 0.9", "reach", "kept"],
        (
            [*key, *(_cell(found, f"path: {figure}") for figure in figures)]
            for key, found in of_paths.items()
        ),
    )
    asked = [f"{aspect}: {figure}" for aspect in aspects for figure in short]
    others = _table(
        [*head, *asked],
        (
            [*key, *(_cell(found, figure) for figure in asked)]
            for key, found in sorted(of_others.items(), key=lambda item: item[0][0], reverse=True)
        ),
    )
    return f"{paths}\n\n{ABOUT_OTHERS}\n\n{others}"


def consistency(measured: dict) -> str:
    """How still, beside how far."""
    rows = (
        [row["prompts"], row["noise"], row["attention"], _strength(row)]
        + [_cell(row, figure) for figure in STEADY]
        for row in measured["rows"]
    )
    return _table(["", "noise", "attention", "strength", *STEADY.values()], rows)


TABLES: dict[str, Callable[[dict], str]] = {
    "semantics": semantics,
    "text_semantics": semantics,
    "confirm": confirm,
    "consistency": consistency,
}
"""A bench → what it saved as Markdown."""


def marks(bench: str) -> tuple[str, str]:
    """What stands before and after a bench's table in the page."""
    return f"<!-- {bench}: written by workshop/bench/{bench}.py -->", f"<!-- /{bench} -->"


def between_marks(measured: dict, bench: str) -> str:
    """A bench's part of the page, its marks included."""
    begin, end = marks(bench)
    return f"{begin}\n{TABLES[bench](measured)}\n{end}"


def write_table(measured: dict, bench: str, page: Path = PAGE) -> None:
    """Put the table into the page.

    Raises:
        SystemExit: the page has no place for it.
    """
    begin, end = marks(bench)
    text = page.read_text(encoding="utf-8")
    found = re.search(f"{re.escape(begin)}.*?{re.escape(end)}", text, re.DOTALL)
    if not found:
        raise SystemExit(f"{page.name} has no {begin} ... {end} to write the table between")
    page.write_text(text.replace(found[0], between_marks(measured, bench)), encoding="utf-8")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |".replace("|  |", "| |"), "|---" * len(head) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _strength(row: dict) -> str:
    return "" if row["strength"] is None else f"{row['strength']:g}"


def _cell(figures: dict, name: str) -> str:
    value = figures.get(name)
    if value is None:
        return "–"
    return f"{value:.0%}" if name.endswith(SHARES) else _number(value, DIGITS.get(name, 2))


def _number(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")
