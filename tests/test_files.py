"""Drift files: what is written comes back, and nothing else is ever taken for a drift."""

import json
import math
import os
import pickle
import struct
import tempfile

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pack.clip_drift import files
from pack.clip_drift.drift import Drift
from pack.clip_drift.errors import DriftError
from pack.clip_drift.files import load_drift, save_drift
from safetensors.torch import load_file, save_file

SOME = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
META = {"format": "clip_drift", "version": "1", "encoder": "ViT-L-14", "source": "clip.mp4"}


def make(frames: int = 5, dim: int = 16, pictures: bool = True, source: str = "clip.mp4") -> Drift:
    generator = torch.Generator().manual_seed(frames)
    shots = torch.randint(0, 256, (frames, 4, 6, 3), generator=generator, dtype=torch.uint8)
    return Drift.from_embeddings(
        torch.randn(frames, dim, generator=generator),
        torch.rand(frames, generator=generator, dtype=torch.float64).add(0.01).cumsum(0),
        shots if pictures else None,
        "ViT-L-14 openai",
        source,
    )


def tensors(**changes) -> dict:
    """What a good file holds, with some of it changed or (None) left out."""
    drift = make()
    good = {"embeddings": drift.embeddings, "times": drift.times, "thumbnails": drift.thumbnails}
    return {key: value for key, value in {**good, **changes}.items() if value is not None}


def raw(header: dict | bytes, body: bytes = b"") -> bytes:
    """A safetensors file by hand: length of the header, header, numbers."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


@pytest.fixture
def path(tmp_path):
    return tmp_path / "stranger.safetensors"


# --- round trip -------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(frames=st.integers(2, 9), dim=st.integers(2, 40), pictures=st.booleans())
def test_what_is_saved_comes_back(tmp_path_factory, frames, dim, pictures):
    path = tmp_path_factory.mktemp("drifts") / "drift.safetensors"
    drift = make(frames, dim, pictures)
    save_drift(drift, path)
    back = load_drift(path)
    # Rows are scaled to length one again: a rounding or two of float32.
    assert torch.allclose(back.embeddings, drift.embeddings, atol=2e-7, rtol=0)
    assert torch.equal(back.times, drift.times)
    assert (back.thumbnails is None) == (not pictures)
    if pictures:
        assert torch.equal(back.thumbnails, drift.thumbnails)
    assert (back.encoder, back.source) == ("ViT-L-14 openai", "clip.mp4")


def test_the_file_holds_the_very_numbers_and_says_what_it_is(path):
    drift = make()
    save_drift(drift, path)
    stored = load_file(path)
    assert sorted(stored) == ["embeddings", "thumbnails", "times"]
    assert torch.equal(stored["embeddings"], drift.embeddings)
    assert stored["times"].dtype == torch.float64
    length = struct.unpack("<Q", path.read_bytes()[:8])[0]
    header = json.loads(path.read_bytes()[8 : 8 + length])
    assert header["__metadata__"] == {**META, "encoder": "ViT-L-14 openai"}


def test_views_and_transposes_are_saved_as_they_look(path):
    # Frames picked out of a longer clip are not contiguous.
    long = make(10)
    drift = Drift(
        long.embeddings.T.contiguous().T[::2], long.times[::2], long.thumbnails[::2], "e", "s"
    )
    save_drift(drift, path)
    assert torch.allclose(load_drift(path).embeddings, long.embeddings[::2], atol=2e-7)


@pytest.mark.parametrize(
    ("source", "kept"),
    [
        ("/home/anna/private/clip.mp4", "clip.mp4"),
        ("C:\\Users\\anna\\private\\clip.mp4", "clip.mp4"),
        ("private/sub\\anna/клип мой.mp4", "клип мой.mp4"),
        ("clip.mp4", "clip.mp4"),
        ("", ""),
    ],
)
def test_the_folder_of_the_source_is_not_told(path, source, kept):
    save_drift(make(source=source), path)
    content = path.read_bytes()
    assert b"private" not in content
    assert b"anna" not in content
    assert load_drift(path).source == kept


def test_an_older_file_is_replaced(path):
    save_drift(make(3), path)
    save_drift(make(7), path)
    assert len(load_drift(path)) == 7
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
def test_the_file_may_be_read_by_whom_the_umask_allows(path):
    before = os.umask(0o027)
    try:
        save_drift(make(), path)
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640


# --- writing fails ----------------------------------------------------------------------------


def test_no_half_written_file_is_left_when_the_last_step_fails(path, monkeypatch):
    save_drift(make(3), path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        save_drift(make(7), path)
    assert os.listdir(path.parent) == [path.name]
    assert path.read_bytes() == before


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's always full device")
def test_no_half_written_file_is_left_when_the_disk_is_full(path, monkeypatch):
    real = tempfile.NamedTemporaryFile

    def on_a_full_disk(**options):
        file = real(**options)
        os.dup2(os.open("/dev/full", os.O_WRONLY), file.fileno())
        return file

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", on_a_full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_drift(make(), path)
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, RuntimeError])
def test_no_half_written_file_is_left_when_it_is_interrupted(path, monkeypatch, error):
    def interrupted(*_):
        raise error

    monkeypatch.setattr(files, "save", interrupted)
    with pytest.raises(error):
        save_drift(make(), path)
    assert os.listdir(path.parent) == []


def test_a_folder_that_is_not_there_is_an_error_and_stays_away(tmp_path):
    with pytest.raises((OSError, DriftError)):
        save_drift(make(), tmp_path / "nowhere" / "drift.safetensors")
    assert os.listdir(tmp_path) == []


# --- bad files --------------------------------------------------------------------------------


def refused(path) -> str:
    """The message, which must name the file and not the folder it lies in."""
    with pytest.raises(DriftError) as error:
        load_drift(path)
    message = str(error.value)
    assert path.name in message
    assert str(path.parent) not in message
    return message


def loaded_or_refused(path) -> Drift | None:
    """The drift, or nothing where it is refused with a message that names the file."""
    try:
        return load_drift(path)
    except DriftError:
        refused(path)
        return None


def test_a_missing_file_and_a_folder(tmp_path):
    assert "does not exist" in refused(tmp_path / "gone.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    refused(tmp_path / "folder.safetensors")


class Bomb:
    """Unpickling it writes a file: proof that it ran."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (open, (str(self.target), "w"))


@pytest.mark.parametrize("writer", ["pickle", "torch"])
def test_a_renamed_pickle_is_refused_and_never_run(path, writer):
    target = path.parent / "ran"
    if writer == "pickle":
        path.write_bytes(pickle.dumps(Bomb(target)))
    else:
        torch.save({"embeddings": Bomb(target)}, path)
    assert "not a readable safetensors file" in refused(path)
    assert not target.exists()


def test_a_truncated_file_is_refused_wherever_it_ends(path):
    save_drift(make(), path)
    whole = path.read_bytes()
    for size in [0, 1, 7, 8, 9, 100, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:size])
        refused(path)


def test_trailing_bytes_are_refused(path):
    save_drift(make(), path)
    path.write_bytes(path.read_bytes() + b"more")
    refused(path)


@SOME
@given(content=st.binary(max_size=200))
def test_no_bytes_at_all_do_worse_than_a_clear_error(path, content):
    path.write_bytes(content)
    refused(path)


@SOME
@given(place=st.floats(0, 1), value=st.integers(0, 255))
def test_a_flipped_byte_is_refused_or_harmless(path, place, value):
    save_drift(make(), path)
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] = value
    path.write_bytes(content)
    drift = loaded_or_refused(path)
    if drift is not None:
        assert (len(drift), drift.dim) == (5, 16)
        assert bool(torch.isfinite(drift.embeddings).all())
        assert bool((drift.times.diff() > 0).all())


DTYPES = ["F8_E4M3", "F8_E5M2", "F8_E8M0", "F4", "F6_E2M3", "C64", "BOOL", "I8", "U64", "nonsense"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_exotic_numbers_are_refused_or_read(path, dtype):
    # 4 rows of 16 values in as many bytes as the type takes; all ones, so that no row is zero.
    bits = {"F4": 4, "F6_E2M3": 6, "C64": 64, "U64": 64}.get(dtype, 8)
    size = 4 * 16 * bits // 8
    times = torch.arange(4, dtype=torch.float64).numpy().tobytes()
    header = {
        "__metadata__": META,
        "times": {"dtype": "F64", "shape": [4], "data_offsets": [0, 32]},
        "embeddings": {"dtype": dtype, "shape": [4, 16], "data_offsets": [32, 32 + size]},
    }
    path.write_bytes(raw(header, times + b"\x01" * size))
    drift = loaded_or_refused(path)
    if drift is not None:  # eight-bit floats are floats
        assert dtype.startswith("F8")
        assert (len(drift), drift.dim) == (4, 16)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b"{" * 5000,
        b'{"__metadata__": 3}',
        b'{"__metadata__": {"format": 3}}',
        b"\xff\xfe{}",
    ],
)
def test_odd_headers_are_refused(path, header):
    path.write_bytes(raw(header))
    refused(path)


def test_a_header_that_claims_to_be_huge_is_refused(path):
    path.write_bytes(struct.pack("<Q", 2**63 - 1) + b"{}")
    refused(path)


@pytest.mark.parametrize("metadata", [None, {}, {"format": "pt"}, {"version": "1"}])
def test_another_safetensors_file_is_told_apart(path, metadata):
    save_file({"model.weight": torch.ones(3, 3)}, path, metadata)
    assert "not a CLIP drift" in refused(path)


@pytest.mark.parametrize("version", ["2", "1.1", "99"])
def test_a_newer_version_says_so(path, version):
    save_file(tensors(), path, {**META, "version": version})
    message = refused(path)
    assert version in message
    assert "update CLIP Drift" in message


@pytest.mark.parametrize("missing", ["embeddings", "times"])
def test_a_file_that_lacks_a_part_is_refused(path, missing):
    save_file(tensors(**{missing: None}), path, META)
    assert "damaged" in refused(path)


def test_a_file_without_pictures_is_whole(path):
    save_file(tensors(thumbnails=None), path, META)
    assert load_drift(path).thumbnails is None


def test_metadata_may_lack_the_names(path):
    save_file(tensors(), path, {"format": "clip_drift", "version": "1"})
    assert (load_drift(path).encoder, load_drift(path).source) == ("", "")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("embeddings", torch.ones(16)),
        ("embeddings", torch.ones(5, 4, 4)),
        ("embeddings", torch.ones(4, 16)),
        ("embeddings", torch.ones(1, 16)),
        ("embeddings", torch.ones(0, 16)),
        ("embeddings", torch.ones(5, 0)),
        ("embeddings", torch.ones(5, 16, dtype=torch.int32)),
        ("embeddings", torch.zeros(5, 16)),
        ("embeddings", torch.full((5, 16), math.nan)),
        ("embeddings", torch.full((5, 16), math.inf)),
        ("times", torch.arange(4.0)),
        ("times", torch.arange(5)),
        ("times", torch.arange(5.0).flip(0)),
        ("times", torch.zeros(5)),
        ("times", torch.full((5,), math.nan)),
        ("times", torch.tensor([0.0, 1, 2, 3, math.inf])),
        ("times", torch.arange(5.0).reshape(5, 1)),
        ("thumbnails", torch.zeros(5, 4, 6, 3)),
        ("thumbnails", torch.zeros(4, 4, 6, 3, dtype=torch.uint8)),
        ("thumbnails", torch.zeros(5, 4, 6, 1, dtype=torch.uint8)),
        ("thumbnails", torch.zeros(5, dtype=torch.uint8)),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{tuple(value.shape)} {value.dtype}",
)
def test_numbers_that_are_no_drift_are_refused(path, key, value):
    save_file(tensors(**{key: value}), path, META)
    refused(path)


def test_the_bad_frame_of_a_file_is_named(path):
    embeddings = make().embeddings.clone()
    embeddings[3, 2] = math.nan
    save_file(tensors(embeddings=embeddings), path, META)
    assert "frame 3 is not finite" in refused(path)
