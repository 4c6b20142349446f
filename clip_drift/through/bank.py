"""The bank of captions: short phrases that may follow a prompt, in groups of what they change."""

import json
from pathlib import Path

from ..errors import DriftError

BANK: dict[str, list[str]] = json.loads(
    Path(__file__).with_name("bank.json").read_text(encoding="utf-8")
)
"""Group ("place", "size", "view", "light", …) → its phrases."""


def read_bank(text: str = "") -> list[str]:
    """A user's own phrases, or all of the pack's where there are none.

    Args:
        text: one phrase per line; lines that begin with # are remarks.

    Raises:
        DriftError: there are lines, but no phrase among them.
    """
    if not text.strip():
        return [phrase for group in BANK.values() for phrase in group]
    lines = [line.strip() for line in text.splitlines()]
    phrases = [line for line in lines if line and not line.startswith("#")]
    if not phrases:
        raise DriftError("captions holds no text: type one per line, or leave it empty.")
    return list(dict.fromkeys(phrases))


def behind(prompt: str, phrase: str) -> str:
    """The prompt with a phrase behind it; a comma between them is the phrase's to bring."""
    return f"{prompt.rstrip()}{'' if phrase.startswith(',') else ' '}{phrase}".strip()
