"""A bench's file of figures: what was measured before, so that a run can go on."""

import json
from collections.abc import Sequence
from pathlib import Path

Key = tuple[str, float | None]
"""A row's name and strength."""


class Results:
    """Rows of a bench, in its table's order; saved whenever one is added.

    Args:
        file: JSON.
        about: whose figures they are; those of other weights or settings are not known.
        order: every row that the table has.
        saving: write at all. anew: take nothing from before.
    """

    def __init__(
        self,
        file: Path,
        about: dict,
        order: Sequence[Key],
        saving: bool = False,
        anew: bool = False,
    ):
        saved = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        same = about.items() <= saved.items() and not anew
        self._rows = {key_of(row): row for row in saved.get("rows", [])} if same else {}
        self._file, self._about, self._order, self._saving = file, about, order, saving

    def known(self, key: Key) -> dict:
        """What is known of a row, {} if nothing."""
        return self._rows.get(key, {})

    def add(self, row: dict) -> None:
        self._rows[key_of(row)] = row
        if self._saving:
            text = json.dumps(self.whole, indent=1) + "\n"
            self._file.write_text(text, encoding="utf-8")

    @property
    def whole(self) -> dict:
        """The file's content, for a table."""
        rows = [self._rows[key] for key in self._order if key in self._rows]
        return self._about | {"rows": rows}


def key_of(row: dict) -> Key:
    return row["name"], row["strength"]
