"""The help pages and the Russian texts: complete, and true to the nodes as they are.

A page lists an input or output as

    - **name** = `default` (`lowest … highest`, `TYPE`). What it is for.

without what it has not; the Russian page puts the name that the node shows there, «in quotes»,
after the first.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import NamedTuple

import pytest
from pack.farm.ui_to_api import inputs_of
from pack.workshop.rig.paths import REPO
from PIL import Image

PAGES = REPO / "web" / "docs"
LANGUAGES = {
    "en": ("Inputs", "Outputs", "What goes wrong", "Good: "),
    "ru": ("Входы", "Выходы", "Что может пойти не так", "Обычно: "),
}
ENTRY = re.compile(r"- \*\*(?P<name>\w+)\*\*(?P<shown> «[^»]+»)?(?P<facts>(?:[^.]|\.\d)*)\. \S")
LARGEST_PICTURE = 60_000
FOLDERS = ("clip_drift", "kandinsky22", "nodes")  # whose code speaks to users

every_language = pytest.mark.parametrize("language", LANGUAGES)


class Entry(NamedTuple):
    """One line of a page: what it says of an input or output."""

    shown: str
    facts: str
    text: str


@pytest.fixture(scope="module")
def infos(server) -> dict[str, dict]:
    """What the server says of each of our nodes that a user can place."""
    return {
        node_id: info
        for node_id, info in server.object_info().items()
        if info["python_module"] == "custom_nodes.clip-drift" and not info.get("dev_only")
    }


@pytest.fixture(scope="module")
def russian() -> dict:
    return json.loads((REPO / "locales" / "ru" / "nodeDefs.json").read_text(encoding="utf-8"))


def path_of(node_id: str, language: str) -> Path:
    return PAGES / (f"{node_id}.md" if language == "en" else f"{node_id}/{language}.md")


def sections(node_id: str, language: str) -> dict[str, str]:
    """A page's text by heading; what stands before the first is under "title" and "intro"."""
    text = path_of(node_id, language).read_text(encoding="utf-8")
    first, *rest = re.split(r"^## ", text, flags=re.M)
    title, intro = first.removeprefix("# ").split("\n", 1)
    return {"title": title, "intro": intro} | dict(part.split("\n", 1) for part in rest)


def entries(section: str) -> dict[str, Entry]:
    found = {}
    for line in section.strip().splitlines():
        match = ENTRY.match(line)
        assert match, f"not an entry: {line}"
        shown = (match["shown"] or "").strip(" «»")
        found[match["name"]] = Entry(shown, match["facts"].strip(), line)
    return found


def facts_of(spec) -> str:
    """How a page has to write an input's default, range, choices and types."""
    options, types = spec.options, spec.type.split(",")
    kind = options.get("widgetType", spec.type)
    if kind in ("INT", "FLOAT"):
        others = [name for name in types if name not in ("INT", "FLOAT")]
        ends = f"{number(options['min'])} … {number(options['max'])}"
        return f"= `{number(options['default'])}` ({quoted([ends, *others])})"
    if kind == "BOOLEAN":
        return f"= `{str(options['default']).lower()}`"
    if kind == "COMBO" and "default" in options:
        return f"= `{options['default']}` ({quoted(options['options'])})"
    if kind == "STRING" and options.get("default"):
        return f"= `{options['default']}` (`STRING`)"
    return f"({quoted(types)})"


def number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def quoted(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def test_no_page_is_for_a_node_that_is_not_there(infos):
    pages = {path.stem for path in PAGES.glob("*.md")}
    assert pages == {path.parent.name for path in PAGES.glob("*/ru.md")} == set(infos)


@every_language
def test_the_page_and_the_schema_agree(infos, language):
    inputs_title, outputs_title, _, good = LANGUAGES[language]
    for node_id, info in infos.items():
        page = sections(node_id, language)
        described = entries(page[inputs_title])
        declared = {each.name: each for each in inputs_of(info)}
        assert described.keys() == declared.keys(), node_id
        for name, spec in declared.items():
            where = f"{node_id}.{name}"
            assert described[name].facts == facts_of(spec), where
            if spec.options.get("widgetType", spec.type) in ("INT", "FLOAT"):
                assert "seed" in name or good in described[name].text, where
        outputs = zip(info["output_name"], info["output"], strict=True)
        assert {name: each.facts for name, each in entries(page[outputs_title]).items()} == {
            name: f"(`{kind}`)" for name, kind in outputs
        }, node_id


@every_language
def test_titles_and_names_are_those_on_the_node(infos, russian, language):
    inputs_title, outputs_title, *_ = LANGUAGES[language]
    for node_id, info in infos.items():
        page, texts = sections(node_id, language), russian[node_id]
        if language == "en":
            assert page["title"] == info["display_name"]
            continue
        assert page["title"] == texts["display_name"]
        for name, entry in entries(page[inputs_title]).items():
            assert entry.shown == texts["inputs"][name]["name"], f"{node_id}.{name}"
        shown = [entry.shown for entry in entries(page[outputs_title]).values()]
        assert shown == [texts["outputs"][str(i)]["name"] for i in range(len(shown))]


@every_language
def test_pictures_are_there_and_small(infos, language):
    for node_id in infos:
        names = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", sections(node_id, language)["intro"])
        assert names, f"{node_id} has no picture"
        for name in names:
            assert (PAGES / name).stat().st_size < LARGEST_PICTURE
            with Image.open(PAGES / name) as picture:
                assert min(picture.size) >= 100


def test_no_picture_is_left_over():
    named = {
        name
        for page in PAGES.rglob("*.md")
        for name in re.findall(r"\(pictures/([^)]+)\)", page.read_text(encoding="utf-8"))
    }
    assert {path.name for path in (PAGES / "pictures").iterdir()} == named


@every_language
def test_links_lead_somewhere(infos, language):
    """To a heading of the page itself or to another site; the panel knows no other pages."""
    for node_id in infos:
        text = path_of(node_id, language).read_text(encoding="utf-8")
        headings = {
            re.sub(r"[^\w -]", "", line.strip("# ")).lower().replace(" ", "-")
            for line in text.splitlines()
            if line.startswith("#")
        }
        for target in re.findall(r"(?<!!)\[[^\]]+\]\(([^)]+)\)", text):
            assert target.startswith("https://") or target.removeprefix("#") in headings, target


@every_language
def test_the_errors_explained_are_those_that_nodes_raise(infos, language):
    raised = "\n".join(texts_in_code())
    for node_id in infos:
        section = sections(node_id, language).get(LANGUAGES[language][2], "")
        for line in section.strip().splitlines():
            match = re.match(r"- `([^`]+)`: \S", line)
            assert match, line
            assert match[1] in raised, f"{node_id}: no error says {match[1]!r}"


def texts_in_code() -> set[str]:
    """Every piece of text in the pack's code, strings written in parts joined."""
    files = [path for folder in FOLDERS for path in (REPO / folder).rglob("*.py")]
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in files]
    nodes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return {node.value for node in nodes if isinstance(node.value, str)}


def test_both_languages_explain_the_same(infos):
    for node_id in infos:
        explained = [
            re.findall(r"- `([^`]+)`: ", sections(node_id, language).get(titles[2], ""))
            for language, titles in LANGUAGES.items()
        ]
        assert explained[0] == explained[1], node_id


def test_the_nodes_speak_russian(infos, russian):
    assert russian.keys() == infos.keys()
    for node_id, info in infos.items():
        texts = russian[node_id]
        assert texts["inputs"].keys() == {each.name for each in inputs_of(info)}, node_id
        assert texts["outputs"].keys() == {str(i) for i in range(len(info["output"]))}, node_id
        named = [*texts["inputs"].values(), *texts["outputs"].values()]
        assert all(each["name"] for each in named)
        for text in [texts["description"], *(each["tooltip"] for each in named)]:
            assert re.search("[а-яё]", text), f"{node_id}: not in Russian: {text}"


def test_tooltips_are_there(infos):
    for node_id, info in infos.items():
        assert all(info["output_tooltips"]), node_id
        for each in inputs_of(info):
            assert each.options.get("tooltip"), f"{node_id}.{each.name}"


def test_a_changed_default_is_noticed(infos):
    """What these tests are for: the schema moves, the page stays behind."""
    (spec,) = (each for each in inputs_of(infos["ClipDriftShape"]) if each.name == "smooth")
    described = entries(sections("ClipDriftShape", "en")["Inputs"])["smooth"].facts
    assert described == facts_of(spec)
    for change in ({"default": 1.0}, {"max": 5.0}):
        changed = spec._replace(options=spec.options | change)
        assert described != facts_of(changed)
