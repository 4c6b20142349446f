"""What nodes say, in the language that ComfyUI's front end is set to.

English stands in the code, where it is said; other languages in `locales/LANGUAGE/messages.json`,
by the English text.
"""

import json
from functools import cache
from pathlib import Path

import folder_paths

from ...clip_drift.said import Said

LOCALES = Path(__file__).resolve().parents[2] / "locales"
SETTINGS = "default/comfy.settings.json"  # of ComfyUI's only user, unless it has several


def say(text: str, /, **values: object) -> str:
    """A text in the user's language.

    Args:
        text: English, with named places where there are values, or a finished `Said` of the
            library.
    """
    messages = _messages(language())
    if not isinstance(text, Said):
        if not values:
            return messages.get(text, text)
        text = Said(text, **values)
    return _translated(text, messages)


def language() -> str:
    """The front end's language, such as "ru"; "en" where nobody chose one.

    Read anew each time: the user may change it between two runs.
    """
    try:
        settings = Path(folder_paths.get_user_directory(), SETTINGS).read_text(encoding="utf-8")
        return str(json.loads(settings).get("Comfy.Locale", "en"))
    except (OSError, ValueError, AttributeError):
        return "en"


@cache
def _messages(chosen: str) -> dict[str, str]:
    """English → that language; empty for one that we do not have."""
    there = {folder.name: folder / "messages.json" for folder in LOCALES.iterdir()}
    file = there.get(chosen)
    if file is None or not file.is_file():
        return {}
    return json.loads(file.read_text(encoding="utf-8"))


def _translated(said: Said, messages: dict[str, str]) -> str:
    values = {
        name: _translated(value, messages) if isinstance(value, Said) else value
        for name, value in said.values.items()
    }
    return messages.get(said.template, said.template).format(**values)
