"""A slice of the fuzz, and that it sees faults; `python -m pack.workshop.fuzz` is all of it."""

import gzip
import json
import shutil

import pytest
import torch
from pack.clip_drift.errors import DriftError
from pack.clip_drift.openclip import load_openclip_file
from pack.clip_drift.video import open_frames
from pack.clip_drift.weight_files import read_header
from pack.workshop.fuzz import targets
from pack.workshop.fuzz.run import run_case, run_cases
from pack.workshop.rig.paths import MODELS

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


# --- Faults that it found -------------------------------------------------------------------------


@pytest.fixture
def encoder(tmp_path):
    """Mini Kandinsky's CLIP with its config and its vocabulary, to be broken."""
    for path in (MODELS / "open_clip").glob("mini-kandinsky-clip.*"):
        shutil.copy(path, tmp_path)
    return tmp_path / "mini-kandinsky-clip.safetensors"


@pytest.mark.parametrize(
    ("group", "key", "value"),
    [
        ("model_cfg", "text_cfg", 1),
        ("model_cfg", "vision_cfg", "ViT"),
        ("preprocess_cfg", "mean", [0.5, 0.5]),
        ("preprocess_cfg", "std", ["a", "b", "c"]),
    ],
)
def test_a_config_of_the_wrong_types(encoder, group, key, value):
    beside = encoder.with_suffix(".json")
    content = json.loads(beside.read_text(encoding="utf-8"))
    content.setdefault(group, {})[key] = value
    beside.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DriftError):
        load_openclip_file(encoder)


def test_options_of_a_tokenizer_that_are_none(encoder):
    beside = encoder.with_suffix(".json")
    content = json.loads(beside.read_text(encoding="utf-8"))
    content["model_cfg"]["text_cfg"]["tokenizer_kwargs"] = "x"
    beside.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DriftError, match="tokenizer"):
        load_openclip_file(encoder).encode_text(["a star"])


def test_a_vocabulary_with_a_damaged_middle(encoder):
    words = encoder.parent / "mini-kandinsky-clip.txt.gz"
    packed = bytearray(gzip.compress(gzip.decompress(words.read_bytes())))
    packed[100:164] = bytes(64)
    words.write_bytes(packed)
    with pytest.raises(DriftError, match="tokenizer"):
        load_openclip_file(encoder).encode_text(["a star"])


def test_a_matroska_header_longer_than_any_file(tmp_path):
    """Its length is read as 2^56 - 2, where no file system lets anybody look."""
    path = tmp_path / "clip.mkv"
    path.write_bytes(bytes.fromhex("1a45dfa3 01fffffffffffffe") + bytes(64))
    with pytest.raises(DriftError, match=r"clip\.mkv"), open_frames(path, 32):
        pass


def test_a_pickle_that_is_cut_short(tmp_path):
    """In torch's old format this is an IndexError of its reader."""
    path = tmp_path / "weights.pt"
    torch.save({"weight": torch.zeros(3)}, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-177])
    with pytest.raises(DriftError, match="cannot be read"):
        read_header(path, pickles=True)
