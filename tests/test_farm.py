"""What a long render is made of: the folder, the plan, a worker's patience. Without any server."""

from __future__ import annotations

import errno
import io
import itertools
import json
import os
import re
import subprocess
import sys
import zipfile
from concurrent.futures import Future

import pytest
from pack.farm.cli import main
from pack.farm.client import NodeError, ServerError, UnreachableError
from pack.farm.drive import chunks, render_missing
from pack.farm.errors import FarmError
from pack.farm.files import find_local
from pack.farm.folder import Manifest, RenderFolder, frame_name
from pack.farm.plan import SHOWN, Plan, lacking, make_plan
from pack.farm.png import BrokenPictureError, is_whole, without_text
from pack.farm.render import differences
from pack.farm.renderer import Job, Renderer, WorkerLostError
from pack.farm.workers import Worker
from pack.farm.workflow import read_workflow, to_prompt
from pack.workshop.rig.paths import REPO
from PIL import Image, PngImagePlugin


def png(value: int = 0, **texts: str) -> bytes:
    info = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        info.add_text(name, text)
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (value, 0, 0)).save(file, "png", pnginfo=info)
    return file.getvalue()


# --- PNG files ------------------------------------------------------------------------------------


def test_a_frames_bytes_do_not_say_which_prompt_drew_it():
    assert without_text(png(1, prompt="start 0")) == without_text(png(1, prompt="start 8"))
    assert Image.open(io.BytesIO(without_text(png(9, prompt="x")))).getpixel((0, 0)) == (9, 0, 0)


def test_no_part_of_a_png_counts_as_one():
    data = png(3, prompt="text")
    assert is_whole(data)
    for end in range(len(data)):
        assert not is_whole(data[:end])
    with pytest.raises(BrokenPictureError, match="checksum"):
        without_text(data[:20] + b"x" + data[21:])


# --- The folder -----------------------------------------------------------------------------------


def new_manifest(total: int = 4) -> Manifest:
    return Manifest({}, {}, {}, {}, first=0, limit=0, total=total, rate=8.0)


def test_frames_are_kept_and_known_again(tmp_path):
    with RenderFolder(tmp_path) as folder:
        folder.begin(new_manifest())
        folder.keep({0: png(0), 2: png(2)})
    with RenderFolder(tmp_path) as folder:
        folder.check()
        assert folder.require_manifest().missing() == [1, 3]


def test_a_frame_written_before_the_manifest_could_say_so_is_done(tmp_path):
    with RenderFolder(tmp_path) as folder:
        folder.begin(new_manifest())
    (tmp_path / frame_name(1)).write_bytes(png(1))
    (tmp_path / frame_name(2)).write_bytes(png(2)[:-5])
    (tmp_path / frame_name(9)).write_bytes(png(9))
    with RenderFolder(tmp_path) as folder:
        folder.check()
        assert folder.require_manifest().missing() == [0, 2, 3]


def test_a_changed_frame_of_the_same_size_is_found_by_its_digest(tmp_path):
    with RenderFolder(tmp_path) as folder:
        folder.begin(new_manifest())
        folder.keep({0: png(1), 1: png(2)})
        (tmp_path / frame_name(0)).write_bytes(png(1)[:-1] + b"x")
        folder.check()
        assert folder.require_manifest().missing() == [2, 3]
        folder.check(digests=True)
        assert folder.require_manifest().missing() == [0, 2, 3]


def test_a_full_disk_leaves_what_is_done_and_nothing_half(tmp_path, monkeypatch):
    with RenderFolder(tmp_path) as folder:
        folder.begin(new_manifest())
        folder.keep({0: png(0)})
        calls = []

        def full(descriptor: int):
            calls.append(descriptor)
            if len(calls) > 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(FarmError, match="No space left on device"):
            folder.keep({1: png(1), 2: png(2)})
    monkeypatch.undo()
    assert not list(tmp_path.glob("*.part"))
    with RenderFolder(tmp_path) as folder:
        folder.check()
        missing = folder.require_manifest().missing()
        assert missing in ([1, 3], [2, 3])
        for index in {0, 1, 2} - set(missing):
            assert (tmp_path / frame_name(index)).read_bytes() == png(index)


def test_a_folder_is_rendered_into_by_one_command_at_a_time(tmp_path):
    with RenderFolder(tmp_path), pytest.raises(FarmError, match="another command is rendering"):
        RenderFolder(tmp_path).__enter__()
    with RenderFolder(tmp_path):
        pass


def test_strange_frames_are_not_touched_until_told(tmp_path):
    strange = tmp_path / frame_name(0)
    strange.write_bytes(b"mine")
    with pytest.raises(FarmError, match="holds frames but no manifest"):
        RenderFolder(tmp_path).__enter__()
    with RenderFolder(tmp_path, again=True) as folder:
        assert strange.exists()
        folder.begin(new_manifest())
    assert not strange.exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"version": 2, "frames": {}}', b"\xff", b'{"version": 1, "frames": 3}'],
)
def test_a_manifest_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(FarmError, match="is not a manifest"):
        RenderFolder(tmp_path).__enter__()
    with RenderFolder(tmp_path, again=True):
        pass


# --- What is rendered -----------------------------------------------------------------------------

IMAGE = {"input": {}, "output": ["IMAGE"]}
INFOS = {
    "ClipDriftFrames": {
        "input": {"required": {"start": ["INT", {}], "count": ["INT", {}]}},
        "output": ["CONDITIONING", "LATENT"],
        "output_is_list": [True, True],
    },
    "Walk": {"input": {"required": {"model": [["a", "b"]]}}, "output": ["CONDITIONING"]},
    "Sampler": IMAGE,
    "Scale": IMAGE,
    "Interpolate": IMAGE | {"is_input_list": True},
    "RebatchImages": IMAGE | {"is_input_list": True},
    "CreateVideo": {"input": {}, "output": ["VIDEO"]},
    "SaveImage": {"input": {}, "output": [], "output_node": True},
    "ClipDriftAttendFirst": {"input": {}, "output": ["MODEL"]},
    "ClipDriftLoopStart": {"input": {}, "output": ["LOOP"]},
    "PreviewImage": {"input": {}, "output": []},
}


def graph(**more) -> dict:
    nodes = {
        "walk": ("Walk", {"model": "a"}),
        "cut": ("ClipDriftFrames", {"conditioning": ["walk", 0], "start": 0, "count": 0}),
        "draw": ("Sampler", {"positive": ["cut", 0], "seed": 5}),
        "batch": ("RebatchImages", {"images": ["draw", 0]}),
        "film": ("CreateVideo", {"images": ["batch", 0], "fps": 12.0}),
        "elsewhere": ("Scale", {}),
    } | more
    return {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()}


def plan(**more) -> Plan:
    return make_plan(to_prompt(graph(**more), INFOS), INFOS)


def test_only_what_the_pictures_need_is_kept():
    found = plan()
    assert found.prompt.keys() == {"walk", "cut", "draw"}
    assert (found.sliced, found.pictures, found.rate) == ("cut", ("draw", 0), 12.0)
    chunk = found.chunk(8, 4)
    assert chunk["cut"]["inputs"] == {"conditioning": ["walk", 0], "start": 8, "count": 4}
    assert chunk[SHOWN]["inputs"] == {"images": ["draw", 0]}
    assert found.seeds() == {"draw (Sampler) seed": 5}
    assert found.counting().keys() == {"walk", "cut", SHOWN}


def test_chunks_carry_the_anchor_where_the_first_frame_is_attended_to():
    attend = {"attend": ("ClipDriftAttendFirst", {})}
    drawn = ("Sampler", {"positive": ["cut", 0], "model": ["attend", 0]})
    anchored = (
        "ClipDriftFrames",
        {"positive": ["walk", 0], "start": 0, "count": 0, "anchor": True},
    )
    found = make_plan(to_prompt(graph(draw=drawn, cut=anchored, **attend), INFOS), INFOS)
    assert found.chunk(4, 2)["cut"]["inputs"]["anchor"] is True


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"cut": ("Walk", {})}, "no Frames to List"),
        ({"second": ("ClipDriftFrames", {})}, "several Frames to List"),
        ({"film": ("Scale", {})}, "shows or saves no pictures"),
        ({"also": ("SaveImage", {"images": ["big", 0]}), "big": ("Scale", {"image": ["draw", 0]})},
         "several nodes: choose --images big:0, draw:0"),
        ({"draw": ("Sampler", {"positive": ["cut", 0], "loop": ["loop", 0]}),
          "loop": ("ClipDriftLoopStart", {})}, "Frame Loop"),
        ({"draw": ("Sampler", {"positive": ["cut", 0], "model": ["attend", 0]}),
          "attend": ("ClipDriftAttendFirst", {})}, "switch its anchor on"),
        ({"draw": ("Interpolate", {"positive": ["cut", 0]})}, "takes all frames at once"),
        ({"cut": ("ClipDriftFrames", {"start": ["walk", 0]})}, "without a link"),
        ({"draw": ("Sampler", {"positive": ["gone", 0]})}, "gone, which is not there"),
        ({"walk": ("Walk", {"again": ["draw", 0]})}, "depends on itself"),
    ],
)  # fmt: skip
def test_what_cannot_be_cut_is_refused_with_the_reason(more, reason):
    with pytest.raises(FarmError, match=re.escape(reason)):
        plan(**more)


def test_what_a_server_lacks_is_said_by_name():
    infos = {name: info for name, info in INFOS.items() if name != "Sampler"}
    prompt = graph(walk=("Walk", {"model": "mine"}))
    assert lacking(prompt, infos) == ["node Sampler", "mine (Walk, model)"]


def test_changes_are_told_in_words():
    changed = graph(walk=("Walk", {"model": "b"}), elsewhere=("Scale", {"to": 2}))
    del changed["film"]
    assert list(differences(graph(), changed)) == [
        "node elsewhere (Scale) to: None → 2",
        "node film (CreateVideo) is gone",
        "node walk (Walk) model: a → b",
    ]


@pytest.mark.parametrize(
    "content", ["", "[]", "3", "{", "[" * 100_000, "9" * 5000, '{"a": 1}', '{"nodes": 3}', "{}"]
)
def test_what_is_no_workflow_is_refused(tmp_path, content):
    path = tmp_path / "workflow.json"
    path.write_text(content)
    with pytest.raises(FarmError, match=r"workflow"):
        to_prompt(read_workflow(path)[0], INFOS)


UI_INFOS = {
    "Load": {"input": {}, "output": ["MODEL"]},
    "Patch": {"input": {"required": {"other": ["CLIP"], "model": ["MODEL"]}}, "output": ["MODEL"]},
    "Draw": {
        "input": {"required": {"model": ["MODEL"], "steps": ["INT", {}]}},
        "output": ["IMAGE"],
    },
}


def drawn(*between: dict, links: list[list]) -> dict:
    """The Draw node's inputs, where these nodes lie between it and Load."""
    load = {"id": 1, "type": "Load", "outputs": [{"type": "MODEL"}]}
    sockets = [{"name": "model", "type": "MODEL", "link": 10}, {"name": "steps", "link": 11}]
    linked = {number for number, *_ in links}
    sockets = [socket for socket in sockets if socket["link"] in linked]
    draw = {"id": 9, "type": "Draw", "inputs": sockets, "widgets_values": [7]}
    prompt = to_prompt({"nodes": [load, *between, draw], "links": links}, UI_INFOS)
    return prompt["9"]["inputs"]


def patch(mode: int) -> dict:
    sockets = [
        {"name": "other", "type": "CLIP", "link": None},
        {"name": "model", "type": "MODEL", "link": 12},
    ]
    return {
        "id": 5, "type": "Patch", "mode": mode, "inputs": sockets, "outputs": [{"type": "MODEL"}]
    }  # fmt: skip


def reroute(node_id: int, link: int) -> dict:
    return {"id": node_id, "type": "Reroute", "inputs": [{"name": "", "link": link}]}


THROUGH = [[12, 1, 0, 5, 1, "MODEL"], [10, 5, 0, 9, 0, "MODEL"]]


@pytest.mark.parametrize(
    ("between", "links", "inputs"),
    [
        ([patch(0)], THROUGH, {"model": ["5", 0], "steps": 7}),
        ([patch(4)], THROUGH, {"model": ["1", 0], "steps": 7}),
        ([patch(2)], THROUGH, {"steps": 7}),
        ([reroute(5, 12)], THROUGH, {"model": ["1", 0], "steps": 7}),
        ([{"id": 6, "type": "PrimitiveNode", "widgets_values": [30, "fixed"]}],
         [[10, 1, 0, 9, 0, "MODEL"], [11, 6, 0, 9, 1, "INT"]], {"model": ["1", 0], "steps": 30}),
    ],
    ids=["plain", "bypassed", "muted", "reroute", "primitive"],
)  # fmt: skip
def test_links_are_followed_as_the_front_end_does(between, links, inputs):
    assert drawn(*between, links=links) == inputs


def test_links_that_go_round_are_refused():
    links = [[10, 5, 0, 9, 0, "MODEL"], [12, 6, 0, 5, 0, "MODEL"], [13, 5, 0, 6, 0, "MODEL"]]
    with pytest.raises(FarmError, match="round in a circle"):
        drawn(reroute(5, 12), reroute(6, 13), links=links)


# --- Subgraphs ------------------------------------------------------------------------------------


def inner_link(number: int, source: int, slot: int, target: int, target_slot: int) -> dict:
    parts = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    return dict(zip(parts, (number, source, slot, target, target_slot, "*"), strict=True))


def drawing(name: str, holds: dict, sockets: list[dict]) -> dict:
    """A subgraph from a model and steps to a picture, by one node."""
    node = {"id": 3, "inputs": sockets, "outputs": [{"type": "IMAGE"}]} | holds
    links = [inner_link(1, -10, 0, 3, 0), inner_link(2, -10, 1, 3, 1), inner_link(3, 3, 0, -20, 0)]
    inputs = [{"name": "model"}, {"name": "how many"}]
    return {"id": name, "inputs": inputs, "nodes": [node], "links": links}


DRAW = {"type": "Draw", "widgets_values": [7]}
MODEL, STEPS = {"name": "model", "link": 1}, {"name": "steps", "link": 2, "widget": {}}
SMALL = drawing("small", DRAW, [MODEL, STEPS])
LARGE = drawing("large", {"type": "small"}, [MODEL, STEPS | {"name": "how many"}])


def with_subgraphs(instance: dict, *subgraphs: dict) -> dict:
    """Load, a subgraph's node with the id 5, and Scale, as a prompt."""
    infos = UI_INFOS | {"Scale": {"input": {"required": {"image": ["IMAGE"]}}, "output": []}}
    node = {"id": 5, "inputs": [{"name": "model", "link": 12}]} | instance
    scale = {"id": 9, "type": "Scale", "inputs": [{"name": "image", "link": 10}]}
    links = [[12, 1, 0, 5, 0, "MODEL"], [10, 5, 0, 9, 0, "IMAGE"]]
    nodes = [{"id": 1, "type": "Load"}, node, scale]
    definitions = {"definitions": {"subgraphs": list(subgraphs)}}
    return to_prompt({"nodes": nodes, "links": links, **definitions}, infos)


@pytest.mark.parametrize(
    ("instance", "name", "steps"),
    [
        ({"type": "small", "widgets_values": [30]}, "5:3", 30),
        ({"type": "large", "widgets_values": [30]}, "5:3:3", 30),
        ({"type": "small", "widgets_values": []}, "5:3", 7),
        ({"type": "small"}, "5:3", 7),
    ],
    ids=["shown outside", "twice", "only inside", "nothing stored"],
)
def test_what_subgraphs_hold_is_rendered(instance, name, steps):
    prompt = with_subgraphs(instance, SMALL, LARGE)
    assert prompt.keys() == {"1", name, "9"}
    assert prompt[name]["inputs"] == {"model": ["1", 0], "steps": steps}
    assert prompt["9"]["inputs"] == {"image": [name, 0]}


def test_a_muted_subgraph_gives_nothing():
    assert with_subgraphs({"type": "small", "mode": 2}, SMALL).keys() == {"1", "9"}


def test_subgraphs_without_end_are_refused():
    with pytest.raises(FarmError, match="holds itself"):
        with_subgraphs({"type": "small"}, SMALL | drawing("small", {"type": "small"}, [MODEL]))
    names = [f"level {i}" for i in range(40)]
    doubled = [drawing(a, {"type": b}, [MODEL]) for a, b in itertools.pairwise([*names, "small"])]
    for each in doubled:
        each["nodes"].append(each["nodes"][0] | {"id": 4})
    with pytest.raises(FarmError, match="too many subgraphs"):
        with_subgraphs({"type": "level 0"}, *doubled, SMALL)


def test_a_widget_that_came_later_has_its_default():
    infos = {
        "Film": {"input": {"required": {"fps": ["FLOAT", {"default": 30.0}], "kind": [["a"]]}}}
    }
    workflow = {"nodes": [{"id": 1, "type": "Film", "widgets_values": [8.0]}], "links": []}
    assert to_prompt(workflow, infos)["1"]["inputs"] == {"fps": 8.0, "kind": "a"}


def test_a_files_name_leads_nowhere_else(tmp_path):
    (tmp_path / "secret").write_text("x")
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "clip").write_text("x")
    names = ["../secret", str(tmp_path / "secret"), "clip", "a\0b", "x" * 9999]
    assert list(find_local(names, [inner])) == ["clip"]


# --- Workers --------------------------------------------------------------------------------------


class FakeClient:
    """A server that answers from a list: an exception is raised, another value returned."""

    url = "http://fake"

    def __init__(self, **answers: list):
        self.answers = answers
        self.asked: list[str] = []

    def _answer(self, name: str, otherwise):
        self.asked.append(name)
        given = self.answers.get(name)
        value = given.pop(0) if given else otherwise
        if isinstance(value, Exception):
            raise value
        return value

    def object_info(self):
        return self._answer("object_info", INFOS)

    def queue(self, prompt, prompt_id):
        self.prompt_id = prompt_id
        return self._answer("queue", prompt_id)

    def history(self, prompt_id):
        shown = {"images": [{"filename": "a"}]}
        entry = {"status": {"messages": []}, "outputs": {SHOWN: shown}}
        known = self._answer("history", True)
        return {prompt_id: entry} if known else {}

    def is_waiting(self, prompt_id):
        return self._answer("is_waiting", True)

    def view(self, **picture):
        return self._answer("view", png(1, prompt="x"))


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr("pack.farm.renderer.POLL_SECONDS", 0.001)
    monkeypatch.setattr("pack.farm.renderer.LOOK_SECONDS", 0.0)
    monkeypatch.setattr("pack.farm.renderer.AWAY_SECONDS", 0.001)


def rendered(client: FakeClient, patience: float = 30.0) -> list[bytes]:
    return Renderer(client, patience).render(Job(plan(), ()), 0, 1)


AWAY = UnreachableError("does not answer")


@pytest.mark.parametrize(
    "answers",
    [
        {"queue": [AWAY, AWAY]},
        {"history": [AWAY, False, AWAY, True]},
        {"history": [False, False], "is_waiting": [False]},
        {"view": [ServerError("404"), png(1)]},
        {"view": [png(1)[:-9], png(1)]},
    ],
    ids=["away", "away while it renders", "started again", "lost its pictures", "sent a half"],
)
def test_a_chunk_comes_through(answers):
    assert rendered(FakeClient(**answers)) == [without_text(png(1))]


def test_a_server_that_stays_away_is_lost():
    with pytest.raises(WorkerLostError, match="does not answer"):
        rendered(FakeClient(queue=[AWAY] * 1000), patience=0.02)


def test_a_server_that_always_forgets_is_given_up():
    with pytest.raises(FarmError, match="ended 5 times"):
        rendered(FakeClient(history=[False] * 99, is_waiting=[False] * 99))


def test_a_failing_node_is_no_reason_to_wait():
    with pytest.raises(FarmError, match="KSampler failed: out of memory"):
        rendered(FakeClient(queue=[NodeError("KSampler", "out of memory")]))


def test_pictures_of_another_number_are_refused():
    with pytest.raises(FarmError, match="gives 1 pictures for 2 frames"):
        Renderer(FakeClient()).render(Job(plan(), ()), 0, 2)


def test_frames_are_cut_into_runs_of_neighbours():
    assert list(chunks([0, 1, 2, 3, 4, 7, 9, 10], 3)) == [(0, 3), (3, 2), (7, 1), (9, 2)]
    assert list(chunks([], 3)) == []


class FakeWorker(Worker):
    """Renders at once, and is lost after so many chunks."""

    def __init__(self, name: str, lives: int = 1000):
        self.name = name
        self.lives = lives
        self.chunks: list[tuple[int, int]] = []

    def render(self, job, start, count):
        future: Future = Future()
        if len(self.chunks) >= self.lives:
            future.set_exception(WorkerLostError("gone"))
        else:
            self.chunks.append((start, count))
            future.set_result([png(start + i) for i in range(count)])
        return future

    infos = input_digest = prepare = count = close = None


def drive(tmp_path, workers: list[Worker]) -> list[str]:
    lost: list[str] = []
    with RenderFolder(tmp_path) as folder:
        folder.begin(new_manifest(10))
        render_missing(
            folder, Job(plan(), ()), workers, 2, lambda _: None, lambda w, _: lost.append(w.name)
        )
        assert folder.require_manifest().missing() == []
    for i in range(10):
        assert (tmp_path / frame_name(i)).read_bytes() == png(i)
    return lost


def test_a_lost_workers_chunks_go_to_the_others(tmp_path):
    first, second = FakeWorker("first", lives=1), FakeWorker("second")
    assert drive(tmp_path, [first, second]) == ["first"]
    assert sorted(first.chunks + second.chunks) == [(0, 2), (2, 2), (4, 2), (6, 2), (8, 2)]


def test_without_workers_the_render_ends_and_says_so(tmp_path):
    with pytest.raises(FarmError, match="no worker is left"):
        drive(tmp_path, [FakeWorker("only", lives=2)])
    with RenderFolder(tmp_path) as folder:
        assert len(folder.require_manifest().frames) == 4


# --- The command ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--server", "localhost:8188"], "is no server's address"),
        (["--server", "http://127.0.0.1:9"], "does not answer"),
        (["--server", "http://127.0.0.1:9", "--ray"], "exclude each other"),
        (["--workers", "2"], "--workers is for --ray"),
    ],
)
def test_wrong_options_are_one_sentence(tmp_path, capsys, options, message):
    path = tmp_path / "workflow.json"
    path.write_text(json.dumps(graph()))
    assert main(["render", str(path), "--out", str(tmp_path / "out"), *options]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize("option", ["--chunk=0", "--fps=-1", "--header=x", "--images=:"])
def test_wrong_values_are_refused(tmp_path, option):
    with pytest.raises(SystemExit, match="2"):
        main(["render", "workflow.json", "--out", str(tmp_path), option])


# --- The package ----------------------------------------------------------------------------------


def test_what_pip_installs_is_the_method_and_the_command(tmp_path):
    """Built as pip builds it; the command runs from the wheel alone."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(REPO), str(clone)], check=True)
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "pip", *build, str(clone)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    packages = {str(path.parent.relative_to(REPO)) for path in REPO.glob("clip_drift/**/*.py")}
    found = {name.rpartition("/")[0] for name in names if name.endswith(".py")}
    assert found == packages | {"clip_drift_farm"}
    data = {str(path.relative_to(REPO)) for path in REPO.glob("clip_drift/**/*.*")}
    assert {name for name in data if not name.endswith((".py", ".pyc"))} <= set(names)
    shown = subprocess.run(
        [sys.executable, "-c", "import clip_drift_farm.cli as c; c.main(['render', '--help'])"],
        env={**os.environ, "PYTHONPATH": str(wheel)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert "--out FOLDER" in shown.stdout, shown.stderr


def test_the_farm_imports_nothing_of_comfyui_or_of_the_workshop():
    allowed = {"PIL", "av", "tqdm", "ray", "torch"}
    for path in (REPO / "farm").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r"^\s*(?:from|import) ([\w.]+)", text, re.M):
            root = name.split(".")[0]
            assert not name.startswith(".."), path
            assert not root or root in allowed or root in sys.stdlib_module_names, (path, name)
