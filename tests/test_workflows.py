"""The example workflows: valid, complete, and run to their end on a real server."""

from __future__ import annotations

import io
import json
from pathlib import Path

import av
import pytest
from build_workflows import build
from comfy_server import ComfyServer, Prompt
from PIL import Image
from ui_to_api import NOTES, WorkflowError, ids_of, inputs_of, replace_values, ui_to_api

FOLDER = Path(__file__).resolve().parent.parent / "example_workflows"
FILES = sorted(FOLDER.glob("*.json"))
FRAMES, SIZE, STEPS = 4, 64, 2

every_workflow = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


@pytest.fixture(scope="module")
def object_info(server: ComfyServer) -> dict:
    return server.object_info()


def load(file: Path) -> dict:
    return json.loads(file.read_text(encoding="utf-8"))


def real_nodes(workflow: dict) -> list[dict]:
    return [node for node in workflow["nodes"] if node["type"] not in NOTES]


def small(prompt: Prompt, clip_name: str) -> Prompt:
    """The same prompt with the models and the clip at hand, few steps and small pictures."""
    overrides = {
        ("CheckpointLoaderSimple", "ckpt_name"): "random_sd15.safetensors",
        ("CLIPVisionLoader", "clip_name"): "random_vit_l.safetensors",
        ("LoadVideo", "file"): clip_name,
        ("ClipDriftFromVideo", "max_frames"): FRAMES,
        ("ClipDriftShape", "frames"): FRAMES,
        ("EmptyLatentImage", "width"): SIZE,
        ("EmptyLatentImage", "height"): SIZE,
        ("BasicScheduler", "steps"): STEPS,
        ("KSampler", "steps"): STEPS,
    }
    replace_values(prompt, overrides)
    return prompt


def results(entry: dict, prompt: Prompt, class_type: str) -> list[dict]:
    """The files that the nodes of one type have put out."""
    return [
        file for number in ids_of(prompt, class_type) for file in entry["outputs"][number]["images"]
    ]


# --- As files -------------------------------------------------------------------------------------


def test_there_is_a_workflow_for_each_of_the_articles_experiments():
    assert len(FILES) == 6


def test_files_are_what_the_builder_writes(object_info):
    built = build(object_info)

    assert set(built) == {file.name for file in FILES}
    for file in FILES:
        assert file.read_text(encoding="utf-8") == built[file.name], "run tools/build_workflows.py"


@every_workflow
def test_names_are_safe_in_a_url(file):
    assert set(file.stem) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_")


@every_workflow
def test_thumbnail(file):
    thumbnail = file.with_suffix(".jpg")

    assert thumbnail.stat().st_size < 200_000
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
def test_loaders_say_where_their_models_are(file):
    loaders = {"CheckpointLoaderSimple": "checkpoints", "CLIPVisionLoader": "clip_vision"}
    for node in load(file)["nodes"]:
        if node["type"] in loaders:
            (model,) = node["properties"]["models"]
            assert [model["name"]] == node["widgets_values"]
            assert model["directory"] == loaders[node["type"]]
            assert model["url"].startswith("https://huggingface.co/")


@every_workflow
def test_no_node_lies_on_another(file):
    nodes = load(file)["nodes"]
    for node in nodes:
        for other in nodes:
            assert node is other or not overlap(node, other)


def overlap(a: dict, b: dict, title: int = 30) -> bool:
    (ax, ay), (aw, ah), (bx, by), (bw, bh) = a["pos"], a["size"], b["pos"], b["size"]
    return ax < bx + bw and bx < ax + aw and ay - title < by + bh and by - title < ay + ah


# --- On the server --------------------------------------------------------------------------------


@every_workflow
def test_runs_to_its_output(file, server, object_info, sample_clip):
    prompt = small(ui_to_api(load(file), object_info), server.upload(sample_clip))

    entry = server.run(prompt)

    (report,) = results(entry, prompt, "ClipDriftReport")
    with Image.open(io.BytesIO(server.view(**report))) as picture:
        assert picture.format == "PNG"
    if any(node["class_type"] == "SaveVideo" for node in prompt.values()):
        (video,) = results(entry, prompt, "SaveVideo")
        assert decoded(server.view(**video)) == [(SIZE, SIZE)] * FRAMES
    else:
        (matrix,) = results(entry, prompt, "PreviewImage")
        assert Image.open(io.BytesIO(server.view(**matrix))).format == "PNG"


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
    workflow["nodes"].append(note)

    inputs = {"seed": 7, "mode": "tuned", "mode.crf": 23.0, "strength": ["1", 2], "name": "b"}
    assert ui_to_api(workflow, INFO) == {"3": {"class_type": "Sampler", "inputs": inputs}}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"mode": 2}, "muted or bypassed"),
        ({"mode": 4}, "muted or bypassed"),
        ({"type": "Unknown"}, "not known"),
        ({"type": "Reroute"}, "front end only"),
        ({"widgets_values": [7, "fixed"]}, "too few values"),
    ],
)
def test_what_cannot_be_converted_is_refused(changes, problem):
    with pytest.raises(WorkflowError, match=problem):
        ui_to_api(one_node(**changes), INFO)
