"""README and the pages that it leads to: complete, short, and true to what is in the repository."""

import re
from pathlib import Path

import pytest
from pack.workshop.bench.tables import PAGE, TABLES, marks
from pack.workshop.rig.paths import EXAMPLES, REPO
from PIL import Image

PAGES = [REPO / "README.md", REPO / "CONTRIBUTING.md", *sorted((REPO / "docs").glob("*.md"))]
README = PAGES[0].read_text(encoding="utf-8")
MOST_LINES = 170


def first_cells(heading: str) -> list[str]:
    """The first column of the table under a heading of the README, without its head."""
    section = README.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| (.+?) \|", section, flags=re.M)
    return rows[1:]


def test_it_is_short_and_begins_with_a_moving_picture():
    assert len(README.splitlines()) <= MOST_LINES
    (name, *_) = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)
    assert README.index(name) < README.index("**Bring")
    with Image.open(REPO / name) as picture:
        assert picture.n_frames == 16
        assert picture.info["loop"] == 0
    assert (REPO / name).stat().st_size <= 300_000


def test_its_headings_are_in_the_order_that_a_newcomer_needs():
    assert re.findall(r"^## (.+)$", README, flags=re.M) == [
        "Install",
        "First workflow in five steps",
        "Workflows",
        "Nodes",
        "What works with which model",
        "Limits",
        "Read on",
    ]


def test_every_workflow_has_a_row():
    assert sorted(first_cells("Workflows")) == sorted(path.stem for path in EXAMPLES.glob("*.json"))


def test_every_node_has_a_row():
    titles = {
        page.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ")
        for page in (REPO / "web" / "docs").glob("*.md")
    }
    named = [name for cell in first_cells("Nodes") for name in cell.split(", ")]
    assert sorted(named) == sorted(titles)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith("https://"):
            assert (page.parent / target.split("#")[0]).is_file(), target


def test_every_page_is_linked():
    """From the README, or from a page that it links."""
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    for page in (REPO / "docs").glob("*.md"):
        assert any(f"{page.name})" in text for text in texts), page.name


@pytest.mark.parametrize("bench", TABLES)
def test_the_page_of_figures_has_a_place_for_each_table(bench):
    begin, end = marks(bench)
    text = PAGE.read_text(encoding="utf-8")
    assert text.count(begin) == text.count(end) == 1
    assert text.index(begin) < text.index(end)
