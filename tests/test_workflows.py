"""The example workflows: valid, complete, and run to their end on a real server."""

from __future__ import annotations

import io
import itertools
import json
import shutil
from pathlib import Path

import av
import pytest
from pack.farm.client import Prompt
from pack.farm.ui_to_api import (
    NOTES,
    WorkflowError,
    ids_of,
    inputs_of,
    replace_values,
    ui_to_api,
)
from pack.tests.graph_layout import (
    behind_nodes,
    box_of,
    box_of_group,
    crossings,
    is_inside,
    overlaps,
    wires,
)
from pack.workshop.examples.build import build
from pack.workshop.examples.workflows.models import STAND_INS, use_stand_ins
from pack.workshop.examples.workflows.parts import IMAGE, VIDEO
from pack.workshop.rig.server import ComfyServer
from PIL import Image

FOLDER = Path(__file__).resolve().parent.parent / "example_workflows"
FILES = sorted(FOLDER.glob("*.json"), key=lambda file: int(file.stem.partition("-")[0]))
IN_THE_PACK = {file.name for file in (FOLDER.parent / "models").rglob("*.safetensors")}
FRAMES, SIZE, STEPS = 4, 64, 1
CROSSINGS, BEHIND = 17, 7
"""The most wires that cross and that run behind a node, as straight lines. None is not possible:
SamplerCustomAdvanced takes from one node above and below what three others give, and a checkpoint's
VAE is needed at the far end."""

every_workflow = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


@pytest.fixture(scope="module")
def object_info(server: ComfyServer) -> dict:
    return server.object_info()


def load(file: Path) -> dict:
    return json.loads(file.read_text(encoding="utf-8"))


def real_nodes(workflow: dict) -> list[dict]:
    return [node for node in workflow["nodes"] if node["type"] not in NOTES]


def small(prompt: Prompt) -> Prompt:
    """The same prompt with the models at hand, few steps and small pictures."""
    overrides = {
        ("ClipDriftFromVideo", "max_frames"): FRAMES,
        ("ClipDriftShape", "frames"): FRAMES,
        ("EmptyLatentImage", "width"): SIZE,
        ("EmptyLatentImage", "height"): SIZE,
        ("Kandinsky22Encode", "steps"): STEPS,
        ("BasicScheduler", "steps"): STEPS,
        ("KSampler", "steps"): STEPS,
    }
    replace_values(prompt, overrides)
    use_stand_ins(prompt)
    return prompt


def results(entry: dict, prompt: Prompt, class_type: str) -> list[dict]:
    """The files that the nodes of one type have put out."""
    return [
        file for number in ids_of(prompt, class_type) for file in entry["outputs"][number]["images"]
    ]


# --- As files -------------------------------------------------------------------------------------


def test_they_are_numbered():
    assert [int(file.stem.partition("-")[0]) for file in FILES] == list(range(1, 14))


def test_files_are_what_the_builder_writes(object_info):
    built = build(object_info)

    assert set(built) == {file.name for file in FILES}
    for file in FILES:
        assert file.read_text(encoding="utf-8") == built[file.name], "run workshop.examples.build"


@every_workflow
def test_names_are_safe_in_a_url(file):
    assert set(file.stem) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_")


@every_workflow
def test_thumbnail(file):
    thumbnail = file.with_suffix(".jpg")

    assert thumbnail.stat().st_size < 60_000
    with Image.open(thumbnail) as picture:
        assert picture.format == "JPEG"
        assert 300 <= min(picture.size) <= max(picture.size) <= 800


@every_workflow
def test_only_native_nodes_and_ours(file, object_info):
    for node in real_nodes(load(file)):
        module = object_info[node["type"]]["python_module"]
        assert (
            module.split(".")[0] in ("nodes", "comfy_extras") or module == "custom_nodes.clip-drift"
        )


@every_workflow
def test_links_fit_on_both_ends(file, object_info):
    workflow = load(file)
    nodes = {node["id"]: node for node in workflow["nodes"]}
    for number, source, output, target, index, kind in workflow["links"]:
        given = object_info[nodes[source]["type"]]["output"][output]
        taken = nodes[target]["inputs"][index]
        assert number in nodes[source]["outputs"][output]["links"]
        assert taken["link"] == number
        assert kind == given
        assert taken["type"] == "*" or given in taken["type"].split(",")


@every_workflow
def test_every_required_input_is_there(file, object_info):
    prompt = ui_to_api(load(file), object_info)
    for node in prompt.values():
        inputs = inputs_of(object_info[node["class_type"]])
        assert {each.name for each in inputs if each.required} <= set(node["inputs"])


@every_workflow
def test_loaders_say_where_their_models_are(file, object_info):
    """Each widget that names a model has its download beside it, unless the pack brings it."""
    for node in real_nodes(load(file)):
        models = {model["name"]: model for model in node["properties"].get("models", [])}
        values = [value for value in node["widgets_values"] if str(value).endswith(".safetensors")]
        assert sorted(models) == sorted(value for value in values if value not in IN_THE_PACK)
        assert set(models) <= set(STAND_INS)
        for model in models.values():
            assert model["url"].startswith("https://huggingface.co/")
            assert model["url"].endswith(".safetensors")


@every_workflow
def test_stand_ins_lie_in_the_folders_that_the_workflows_name(file, models_dir):
    for node in real_nodes(load(file)):
        for model in node["properties"].get("models", []):
            assert (models_dir / model["directory"] / STAND_INS[model["name"]]).is_file()


# --- As a picture ---------------------------------------------------------------------------------


@every_workflow
def test_a_note_says_what_to_do_first(file):
    (note,) = (node for node in load(file)["nodes"] if node["type"] in NOTES)

    (text,) = note["widgets_values"]
    assert text.startswith("# ")
    assert note["pos"][0] == min(node["pos"][0] for node in load(file)["nodes"])
    assert "1. " in text or "## First" in text


@every_workflow
def test_nodes_lie_in_their_groups_and_on_nothing_else(file):
    workflow = load(file)
    nodes = workflow["nodes"]
    groups = [box_of_group(group) for group in workflow["groups"]]
    for a, b in itertools.combinations(nodes, 2):
        assert not overlaps(box_of(a), box_of(b)), (a["type"], b["type"])
    for a, b in itertools.combinations(groups, 2):
        assert not overlaps(a, b)
    for node in nodes:
        inside = [group for group in groups if overlaps(box_of(node), group)]
        assert len(inside) == (node["type"] not in NOTES), node["type"]
        assert all(is_inside(box_of(node), group) for group in inside), node["type"]


@every_workflow
def test_it_reads_from_left_to_right(file):
    workflow = load(file)

    found = wires(workflow)

    assert all(wire.start[0] < wire.end[0] for wire in found)
    assert len(crossings(found)) <= CROSSINGS
    assert len(behind_nodes(workflow)) <= BEHIND


@every_workflow
def test_reports_are_seen_whole(file):
    """Their pages are 1600 wide; 2724 and about 2450 high."""
    for node in load(file)["nodes"]:
        ratio = {"ClipDriftReport": 2724 / 1600, "ClipDriftCompare": 2450 / 1600}.get(node["type"])
        if ratio:
            width, height = node["size"]
            slots = 20 * max(len(node["inputs"]), len(node["outputs"]))
            assert width >= 400
            assert height - slots >= ratio * width


# --- On the server --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def picture(tmp_path_factory) -> Path:
    """A photograph's stand-in: colours that run into each other."""
    path = tmp_path_factory.mktemp("picture") / "picture.png"
    Image.radial_gradient("L").resize((320, 240)).convert("RGB").save(path)
    return path


@every_workflow
def test_runs_to_its_output(file, server, object_info, sample_clip, picture):
    shutil.copy(sample_clip, server.input_dir / VIDEO)
    shutil.copy(picture, server.input_dir / IMAGE)
    prompt = small(ui_to_api(load(file), object_info))

    entry = server.run(prompt)

    shown = results(entry, prompt, "ClipDriftReport")
    shown += results(entry, prompt, "ClipDriftCompare") + results(entry, prompt, "PreviewImage")
    for each in shown:
        assert Image.open(io.BytesIO(server.view(**each))).format == "PNG"
    for kind in ("ClipDriftReport", "ClipDriftCompare", "PreviewImage"):
        assert len(results(entry, prompt, kind)) == len(ids_of(prompt, kind))
    # Beside the whole of the clip, the last frame stays to the end.
    beside = ids_of(prompt, "ImageStitch")
    size, count = ((520, 256), 16) if beside else ((SIZE, SIZE), FRAMES)
    for video in results(entry, prompt, "SaveVideo"):
        assert decoded(server.view(**video)) == [size] * count
    assert ids_of(prompt, "SaveVideo") or ids_of(prompt, "PreviewImage")


def decoded(video: bytes) -> list[tuple[int, int]]:
    """The size of every frame of a video file."""
    with av.open(io.BytesIO(video)) as container:
        return [(frame.width, frame.height) for frame in container.decode(video=0)]


# --- From the front end's format to the server's --------------------------------------------------


INFO = {
    "Sampler": {
        "input": {
            "required": {
                "seed": ["INT", {"default": 0}],
                "model": ["MODEL"],
                "mode": ["COMFY_DYNAMICCOMBO_V3", {"options": [
                    {"key": "plain", "inputs": {"required": {}}},
                    {"key": "tuned", "inputs": {"required": {"crf": ["FLOAT", {}]}}},
                ]}],
                "strength": ["FLOAT,FLOATS", {"widgetType": "FLOAT"}],
            },
            "optional": {"name": [["a", "b"]]},
            "hidden": {"prompt": "PROMPT"},
        },
    },
    "Source": {"input": {}},
}  # fmt: skip


def one_node(**changes) -> dict:
    node = {"id": 3, "type": "Sampler", "mode": 0, "inputs": [], "widgets_values": []}
    return {"nodes": [{**node, **changes}], "links": [[5, 1, 2, 3, 1, "FLOATS"]]}


def test_values_are_named_in_order_and_links_replace_them():
    note = {"id": 9, "type": "MarkdownNote", "widgets_values": ["text"]}
    workflow = one_node(
        inputs=[{"name": "model", "link": None}, {"name": "strength", "link": 5}],
        widgets_values=[7, "fixed", "tuned", 23.0, 1.0, "b"],
    )
    workflow["nodes"] += [note, {"id": 1, "type": "Source"}]

    inputs = {"seed": 7, "mode": "tuned", "mode.crf": 23.0, "strength": ["1", 2], "name": "b"}
    sampler = {"class_type": "Sampler", "inputs": inputs}
    source = {"class_type": "Source", "inputs": {}}
    assert ui_to_api(workflow, INFO) == {"3": sampler, "1": source}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"type": "Unknown"}, "not known"),
        ({"inputs": [{"name": "model", "link": 6}]}, "link that is missing"),
        (
            {"inputs": [{"name": "model", "link": 5}], "widgets_values": [7, "f", "plain", 1, "a"]},
            "from node 1, which is missing",
        ),
        ({"widgets_values": [7, "fixed"]}, "too few values"),
    ],
)
def test_what_cannot_be_converted_is_refused(changes, problem):
    with pytest.raises(WorkflowError, match=problem):
        ui_to_api(one_node(**changes), INFO)
