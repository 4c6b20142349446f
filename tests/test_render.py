"""Long renders on real servers: the same frames, whatever happened on the way."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from pack.farm.cli import main
from pack.farm.errors import FarmError
from pack.farm.folder import RenderFolder, frame_name
from pack.farm.plan import make_plan
from pack.farm.workflow import read_workflow, to_prompt
from pack.tests.ray_cluster import two_cores
from pack.workshop.rig import prompts
from pack.workshop.rig.paths import EXAMPLES
from PIL import Image

FRAMES = 7


@pytest.fixture(scope="module")
def infos(server) -> dict:
    return server.object_info()


@pytest.fixture(scope="module")
def workflow(tmp_path_factory) -> Path:
    return saved(tmp_path_factory.mktemp("workflow"), prompts.mini_frames(FRAMES))


def saved(folder: Path, prompt: dict) -> Path:
    path = folder / "workflow.json"
    path.write_text(json.dumps(prompt), encoding="utf-8")
    return path


def command(workflow: Path, out: Path, *options: str) -> int:
    return main(["render", str(workflow), "--out", str(out), *options])


def frames(out: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(out.glob("frame_*.png"))]


def manifest(out: Path) -> dict:
    return json.loads((out / "manifest.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def whole(server, workflow, tmp_path_factory) -> Path:
    """The frames of one call, by one prompt."""
    out = tmp_path_factory.mktemp("whole")
    assert command(workflow, out, "--server", server.url, "--chunk", "100") == 0
    return out


# --- On a real server -----------------------------------------------------------------------------


def test_the_frames_are_those_that_comfyui_gives_by_itself(server, whole):
    prompt = prompts.mini_frames(FRAMES)
    prompt["shown"] = {"class_type": "PreviewImage", "inputs": {"images": ["pictures", 0]}}
    shown = server.run(prompt)["outputs"]["shown"]["images"]
    assert len(frames(whole)) == len(shown) == FRAMES
    for ours, theirs in zip(frames(whole), shown, strict=True):
        assert np.array_equal(pixels(ours), pixels(server.view(**theirs)))
    assert len(set(frames(whole))) == FRAMES


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_chunks_give_the_same_frames(server, workflow, whole, tmp_path):
    assert command(workflow, tmp_path, "--server", server.url, "--chunk", "3") == 0
    assert frames(tmp_path) == frames(whole)


def test_chunks_carry_the_anchor_of_attend_to_first_frame(server, tmp_path, whole):
    """Every frame looks at frame 0, which is in another chunk."""
    prompt = prompts.mini_frames(FRAMES)
    prompt["attend"] = {"class_type": "ClipDriftAttendFirst", "inputs": {
        "model": ["decoder", 0], "mode": "first and own", "strength": 1.0, "start_percent": 0.0,
        "end_percent": 1.0, "blocks": "all",
    }}  # fmt: skip
    prompt["guider"]["inputs"]["model"] = ["attend", 0]
    prompt["own"] = {"class_type": "LatentFromBatch", "inputs": {
        "samples": ["sample", 0], "batch_index": -1, "length": 1,
    }}  # fmt: skip
    prompt["pictures"]["inputs"]["samples"] = ["own", 0]
    prompt["frames"]["inputs"]["anchor"] = True
    path = saved(tmp_path, prompt)
    options = ("--server", server.url, "--no-video", "--chunk")
    assert command(path, tmp_path / "whole", *options, "100") == 0
    assert command(path, tmp_path / "chunks", *options, "3") == 0
    assert len(frames(tmp_path / "whole")) == FRAMES
    assert frames(tmp_path / "chunks") == frames(tmp_path / "whole") != frames(whole)


def test_the_video_has_every_frame_at_the_workflows_rate(whole):
    with av.open(whole / "video.mp4") as container:
        stream = container.streams.video[0]
        assert float(stream.average_rate) == 8.0
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(shown) == FRAMES
    for seen, frame in zip(shown, frames(whole), strict=True):
        # Half the colour resolution and rounding; another frame of this clip is off by more than 9.
        assert np.abs(seen.astype(float) - pixels(frame)).mean() < 4


def test_the_manifest_says_what_was_rendered(whole, workflow):
    found = manifest(whole)
    assert found["total"] == len(found["frames"]) == FRAMES
    assert set(found["seeds"].values()) == {7901}
    assert list(found["files"]) == ["clip-drift-round.mp4"]
    assert found["prompt"]["video"]["inputs"]["file"].startswith("sha256:")


def test_only_what_is_missing_is_rendered_again(server, workflow, whole, tmp_path, capsys):
    assert command(workflow, tmp_path, "--server", server.url, "--chunk", "3") == 0
    (tmp_path / frame_name(1)).unlink()
    cut = tmp_path / frame_name(4)
    cut.write_bytes(cut.read_bytes()[:-20])
    (tmp_path / f"{frame_name(5)}.part").write_bytes(b"half")
    capsys.readouterr()
    assert command(workflow, tmp_path, "--server", server.url) == 0
    assert "rendered 2 frames" in capsys.readouterr().out
    assert frames(tmp_path) == frames(whole)
    assert not list(tmp_path.glob("*.part"))


def test_a_finished_folder_needs_no_server(workflow, whole, capsys):
    assert command(workflow, whole, "--server", "http://127.0.0.1:9") == 0
    assert "all frames are done" in capsys.readouterr().out


def test_a_changed_workflow_is_refused_until_told_again(server, whole, workflow, tmp_path, capsys):
    options = ("--server", server.url)
    first = saved(tmp_path, prompts.mini_frames(2))
    out = tmp_path / "out"
    assert command(first, out, *options) == 0
    before = frames(out)
    other = prompts.mini_frames(2)
    other["walk"]["inputs"]["strength"] = 0.5
    saved(tmp_path, other)
    assert command(first, out, *options) == 1
    error = capsys.readouterr().err
    assert "walk (ClipDriftRotateConditioning) strength: 1.0 → 0.5" in error
    assert frames(out) == before
    assert command(first, out, *options, "--again") == 0
    assert frames(out) != before


def test_the_clip_is_sent_and_another_clip_is_noticed(server, sample_clip, tmp_path, capsys):
    (tmp_path / "mine.mp4").write_bytes(sample_clip.read_bytes())
    path = saved(tmp_path, prompts.mini_frames(2, clip="mine.mp4"))
    out = tmp_path / "out"
    assert not (server.input_dir / "mine.mp4").exists()
    assert command(path, out, "--server", server.url) == 0
    (tmp_path / "mine.mp4").write_bytes((EXAMPLES / "clip-drift-round.mp4").read_bytes())
    assert command(path, out, "--server", server.url) == 1
    assert "video (LoadVideo) file" in capsys.readouterr().err


def test_a_slice_that_the_workflow_asks_for(server, whole, tmp_path):
    prompt = prompts.mini_frames(FRAMES)
    prompt["frames"]["inputs"] |= {"start": 2, "count": 3}
    out = tmp_path / "out"
    assert command(saved(tmp_path, prompt), out, "--server", server.url, "--chunk", "2") == 0
    assert [path.name for path in sorted(out.glob("*.png"))] == [frame_name(i) for i in (2, 3, 4)]
    assert frames(out) == frames(whole)[2:5]


def test_a_node_that_fails_is_named_and_what_is_done_is_kept(server, tmp_path, capsys):
    prompt = prompts.mini_frames(FRAMES)
    prompt["shape"]["inputs"]["frames"] = 1
    assert command(saved(tmp_path, prompt), tmp_path / "out", "--server", server.url) == 1
    assert "error: ClipDriftShape failed" in capsys.readouterr().err


def test_a_killed_command_goes_on(server, workflow, whole, tmp_path):
    """Killed as soon as a frame is there; a frame that the manifest has not yet counts."""
    program = [sys.executable, "-m", "pack.farm", "render", str(workflow), "--out", str(tmp_path)]
    with subprocess.Popen([*program, "--server", server.url, "--chunk", "1"]) as process:
        await_frames(tmp_path, 2)
        process.send_signal(signal.SIGKILL)
    done = {path.name for path in tmp_path.glob("frame_*.png")}
    assert 2 <= len(done) < FRAMES
    made = {name: (tmp_path / name).stat().st_mtime_ns for name in done}
    assert command(workflow, tmp_path, "--server", server.url) == 0
    assert frames(tmp_path) == frames(whole)
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in done} == made


def await_frames(out: Path, count: int):
    deadline = time.monotonic() + 240
    while len(list(out.glob("frame_*.png"))) < count:
        assert time.monotonic() < deadline, "no frames came"
        time.sleep(0.02)


def test_example_workflows_are_cut_or_refused_with_the_reason(infos):
    reasons = {}
    for path in sorted(EXAMPLES.glob("*.json")):
        workflow, _ = read_workflow(path)
        try:
            make_plan(to_prompt(workflow, infos), infos)
            reasons[path.stem] = ""
        except FarmError as error:
            reasons[path.stem] = str(error)
    assert reasons["06-text_and_noise_frame_by_frame"] == ""
    assert reasons["10-kandinsky_text_and_noise"] == ""
    assert "Frame Loop" in reasons["07-feedback_loop"]
    assert "no Frames to List" in reasons["01-mini_kandinsky"]


# --- Two local workers of Ray ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def local_ray():
    with pytest.MonkeyPatch.context() as patch, two_cores(patch):
        yield


def test_two_workers_one_of_them_killed(local_ray, workflow, whole, tmp_path, monkeypatch):
    from pack.farm import ray_workers

    opened = []
    monkeypatch.setattr(
        ray_workers,
        "open_ray_workers",
        lambda *given, make=ray_workers.open_ray_workers: opened.extend(make(*given)) or opened,
    )
    kept = RenderFolder.keep
    killed = []

    def keep_then_kill(self, pictures):
        kept(self, pictures)
        if not killed:
            actor, _ = opened[0].pids()
            killed.append(actor)
            os.kill(actor, signal.SIGKILL)

    monkeypatch.setattr(RenderFolder, "keep", keep_then_kill)
    assert command(workflow, tmp_path, "--ray", "--workers", "2", "--chunk", "1") == 0
    assert killed
    # A worker has one thread per core that it was given, the whole server all: sums end otherwise.
    for ours, theirs in zip(frames(tmp_path), frames(whole), strict=True):
        assert np.abs(pixels(ours).astype(int) - pixels(theirs)).max() <= 1


def test_more_workers_than_there_is_room_for(local_ray, workflow, tmp_path, capsys):
    assert command(workflow, tmp_path, "--ray", "--workers", "3") == 1
    assert "room for 2 workers" in capsys.readouterr().err
