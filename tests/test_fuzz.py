"""A slice of the fuzz, and that it sees faults; `python -m pack.workshop.fuzz` is all of it."""

import pytest
from pack.workshop.fuzz import targets
from pack.workshop.fuzz.run import run_case, run_cases

SEED = 20
CASES = {"drift": 60, "video": 60, "workflow": 60, "config": 24}


@pytest.fixture(scope="module")
def corpus(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    targets.make_corpus(folder, server.object_info())
    return folder


@pytest.mark.parametrize("kind", CASES)
def test_broken_input_is_refused_or_read(kind, corpus):
    faults = run_cases(kind, SEED, range(CASES[kind]), corpus, limit=60)
    assert [fault for fault in faults if fault] == []


def test_every_kind_of_container_is_there(corpus):
    there = {path.name for path in corpus.iterdir()}
    assert {"h264.mp4", "h264.mkv", "vp9.webm", "mjpeg.avi", "picture.gif"} <= there


def test_another_error_than_a_refusal_is_a_fault(monkeypatch, tmp_path):
    monkeypatch.setitem(targets.TARGETS, "drift", lambda *_: [][0])
    assert "IndexError" in run_case("drift", SEED, 0, tmp_path)


def test_a_case_can_be_run_again(corpus, monkeypatch):
    """The same kind, seed and number give the same file."""
    seen = []
    drift = targets.load_drift(corpus / "drift.safetensors")
    monkeypatch.setattr(targets, "load_drift", lambda path: seen.append(path.read_bytes()) or drift)
    for number in (3, 3, 4):
        run_case("drift", SEED, number, corpus)
    assert seen[0] == seen[1] != seen[2]
