"""The semantic bench's table, between two marks in the README."""

import re

from ..rig.paths import REPO

README = REPO / "README.md"
BEGIN, END = "<!-- semantics: written by workshop/bench/semantics.py -->", "<!-- /semantics -->"

COLUMNS = {
    "path: r": "path: r",
    "path: r above 0.9": "r > 0.9",
    "path: reach": "reach",
    "path: kept": "shape and colour kept",
    "size: r": "size: r",
    "tilt: r": "tilt: r",
    "colour: r": "colour: r",
    "path and size: r": "path and size: r",
}
"""A row's figure -> its column's head."""
SHARES = ("path: r above 0.9", "path: kept")


def table(measured: dict) -> str:
    """What semantics.json holds, as Markdown."""
    lines = [
        f"| | strength | {' | '.join(COLUMNS.values())} |",
        "|---" * (2 + len(COLUMNS)) + "|",
    ]
    for row in measured["rows"]:
        cells = [f"{row[name]:.0%}" if name in SHARES else _number(row[name]) for name in COLUMNS]
        strength = "" if row["strength"] is None else f"{row['strength']:g}"
        lines.append(f"| {row['name']} | {strength} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write_readme(measured: dict) -> None:
    """Put the table into the README."""
    text = README.read_text(encoding="utf-8")
    found = re.search(f"{re.escape(BEGIN)}.*?{re.escape(END)}", text, re.DOTALL)
    if not found:
        raise SystemExit(f"README.md has no {BEGIN} ... {END} to write the table between")
    text = text.replace(found[0], f"{BEGIN}\n{table(measured)}\n{END}")
    README.write_text(text, encoding="utf-8")


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-", "−").replace("−0.00", "0.00")
