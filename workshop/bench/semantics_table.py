"""The semantic bench's table, between two marks in a page."""

import re
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
SHARES = ("path: r above 0.9", "path: kept")


def table(measured: dict) -> str:
    """What a bench saved, as Markdown."""
    lines = [
        f"| | strength | {' | '.join(COLUMNS.values())} |",
        "|---" * (2 + len(COLUMNS)) + "|",
    ]
    for row in measured["rows"]:
        cells = [_cell(row, start, name) for start, name in COLUMNS]
        strength = "" if row["strength"] is None else f"{row['strength']:g}"
        lines.append(f"| {row['name']} | {strength} | {' | '.join(cells)} |")
    return "\n".join(lines)


def marks(bench: str) -> tuple[str, str]:
    """What stands before and after a bench's table: "semantics" or "text_semantics"."""
    return f"<!-- {bench}: written by workshop/bench/{bench}.py -->", f"<!-- /{bench} -->"


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
    page.write_text(text.replace(found[0], f"{begin}\n{table(measured)}\n{end}"), encoding="utf-8")


def _cell(row: dict, start: str, name: str) -> str:
    value = row.get(start, {}).get(name)
    if value is None:
        return "–"
    return f"{value:.0%}" if name in SHARES else _number(value)


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-", "−").replace("−0.00", "0.00")
