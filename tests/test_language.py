"""What nodes say: translated wherever it is said, and in the language of ComfyUI's front end."""

import ast
import json
import re
import string
from pathlib import Path

import pytest
import torch
from pack.clip_drift import Drift
from pack.clip_drift.said import Said
from pack.tests.paths import randn, trajectory
from pack.workshop.rig.paths import REPO

LANGUAGES = ["ru"]
SAME = {"CLIP-F", "CLIP-T"}  # in every language
CODE = [
    path for name in ("clip_drift", "nodes", "kandinsky22") for path in (REPO / name).rglob("*.py")
]


def said_in(file: Path) -> set[str]:
    """English texts that a file's calls of `say` and `Said` begin with.

    A call takes the text itself, or the name of a constant of the same file; what else it takes is
    a `Said` that was made elsewhere.
    """
    tree = ast.parse(file.read_text(encoding="utf-8"))
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    texts = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
            first = node.args[0]
            if node.func.id in ("say", "Said"):
                if isinstance(first, ast.Constant):
                    texts.add(first.value)
                elif isinstance(first, ast.Name) and first.id in constants:
                    texts.add(constants[first.id])
    return texts


def places(text: str) -> list[tuple]:
    """Names and formats of the values that a text has room for."""
    return sorted(place[1:] for place in string.Formatter().parse(text) if place[1] is not None)


@pytest.mark.parametrize("language", LANGUAGES)
def test_everything_that_is_said_is_translated(language):
    file = REPO / "locales" / language / "messages.json"
    messages = json.loads(file.read_text(encoding="utf-8"))
    assert list(messages) == sorted(messages)
    assert set(messages) == set().union(*map(said_in, CODE))
    for english, theirs in messages.items():
        assert places(theirs) == places(english), english
        words = re.sub(r"{[^}]*}", "", theirs)  # the values keep their names
        assert not words.strip() or english in SAME or re.search("[а-яё]", words), english


def test_what_a_node_shows_is_said():
    """No node shows a text of its own past `say`."""
    for file in CODE:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            name = getattr(getattr(node, "func", None), "attr", getattr(node, "func", None))
            name = getattr(name, "id", name)
            if name in ("show_on_node", "warn_on_node", "PreviewText", "with_warnings"):
                for shown in node.args:
                    assert not isinstance(shown, (ast.JoinedStr, ast.Constant)), ast.unparse(node)


def test_a_text_remembers_what_it_was_made_of():
    far = Said("it moves {percent} % as far", percent="50")
    text = Said("{far} as the reference", far=far)
    assert text == "it moves 50 % as far as the reference"
    assert (text.template, text.values["far"].values) == (
        "{far} as the reference",
        {"percent": "50"},
    )


@pytest.fixture
def chosen(pack, tmp_path, monkeypatch):
    """Choose a language in ComfyUI's settings; None leaves none to read."""
    import folder_paths

    monkeypatch.setattr(folder_paths, "get_user_directory", lambda: str(tmp_path))

    def choose(settings: str | None):
        file = tmp_path / "default" / "comfy.settings.json"
        file.parent.mkdir(exist_ok=True)
        file.unlink(missing_ok=True)
        if settings is not None:
            file.write_text(settings, encoding="utf-8")
        return pack.nodes.core.language

    return choose


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ('{"Comfy.Locale": "ru"}', "кадр 1 из 2"),
        ('{"Comfy.Locale": "en"}', "frame 1 of 2"),
        ('{"Comfy.Locale": "de"}', "frame 1 of 2"),
        ('{"Comfy.Locale": "../ru"}', "frame 1 of 2"),
        ("{}", "frame 1 of 2"),
        ("not JSON", "frame 1 of 2"),
        ("[]", "frame 1 of 2"),
        (None, "frame 1 of 2"),
    ],
)
def test_the_settings_say_the_language(chosen, settings, says):
    assert chosen(settings).say("frame {done} of {total}", done=1, total=2) == says


def test_a_change_of_the_language_is_noticed(chosen):
    assert chosen('{"Comfy.Locale": "ru"}').language() == "ru"
    assert chosen('{"Comfy.Locale": "en"}').language() == "en"


def test_the_verdict_is_in_the_users_language(pack, chosen):
    clip = Drift.from_embeddings(trajectory(0, 24, 16))
    still = Drift.from_embeddings(clip.embeddings[:1] + 1e-4 * randn(1, 24, 16).float())
    node = pack.nodes.compare.ClipDriftCompare
    for settings, says in (
        ('{"Comfy.Locale": "ru"}', ("Движется как образец; ", "Почти неподвижно: ")),
        (None, ("Moves like the reference; ", "Nearly a still: ")),
    ):
        chosen(settings)
        for result, begins in zip((clip, still), says, strict=True):
            output = node.execute(clip, result)
            assert output.result[4].startswith(begins)
            assert output.ui["text"] == (output.result[4],)


def test_a_drift_in_one_line(pack, chosen):
    drift = Drift(torch.eye(4)[:3], torch.arange(3).double() / 8, encoder="ViT-L/14")
    chosen('{"Comfy.Locale": "ru"}')
    said = pack.nodes.core.progress.summary(drift)
    # three frames of 1/8 s; two right angles, π in all
    assert said == "кадров: 3 · 0.4 с · 8 в секунду · ViT-L/14 · путь 3.14 рад"
