"""The example workflows: valid, complete, and run to their end on a real server."""

from __future__ import annotations

import io
import itertools
import json
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from pack.farm.client import Prompt
from pack.farm.ui_subgraphs import INSIDE, OUTSIDE
from pack.farm.ui_to_api import (
    NOTES,
    WorkflowError,
    ids_of,
    inputs_of,
    replace_values,
    ui_to_api,
    widget_values,
)
from pack.tests.graph_layout import (
    behind_nodes,
    box_of,
    box_of_group,
    crossings,
    graphs_of,
    is_inside,
    overlaps,
    wires,
)
from pack.workshop.examples.build import build
from pack.workshop.examples.workflows.models import STAND_INS, use_stand_ins
from pack.workshop.examples.workflows.parts import IMAGE
from pack.workshop.rig.server import ComfyServer
from PIL import Image, ImageSequence

REPO = Path(__file__).resolve().parent.parent
FOLDER = REPO / "example_workflows"
FILES = sorted(FOLDER.glob("*.json"), key=lambda file: int(file.stem.partition("-")[0]))
IN_THE_PACK = {file.name for file in (REPO / "models").rglob("*.safetensors")}
FRAMES, SIZE, STEPS = 4, 64, 1
FEW, MOST = 10, 14
"""How many nodes are seen as it opens: in the first workflow, and in any other."""
CROSSINGS, BEHIND = (41, 19), (15, 7)
"""The most wires that cross and that run behind a node, as straight lines: in what is seen as a
workflow opens, whose nodes stand close, so that their texts are read, and in its subgraphs. None is
not possible: SamplerCustomAdvanced takes from one node above and below what three others give, and
a checkpoint's VAE and a drift's rate are needed at the far end."""
GROWN = 16 / 9 + 0.1
"""Height to width of Load Video's player with a clip as upright as phones make them, and a bit."""

every_workflow = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


@pytest.fixture(scope="module")
def object_info(server: ComfyServer) -> dict:
    return server.object_info()


def load(file: Path) -> dict:
    return json.loads(file.read_text(encoding="utf-8"))


def real_nodes(workflow: dict) -> list[dict]:
    """All nodes that run, those in subgraphs too."""
    graphs = graphs_of(workflow)
    without = {*NOTES, *(graph["id"] for graph in graphs)}
    return [node for graph in graphs for node in graph["nodes"] if node["type"] not in without]


def small(prompt: Prompt) -> Prompt:
    """The same prompt with the models at hand, few steps and small pictures."""
    overrides = {
        ("ClipDriftFromVideo", "max_frames"): FRAMES,
        ("ClipDriftShape", "frames"): FRAMES,
        ("EmptyLatentImage", "width"): SIZE,
        ("EmptyLatentImage", "height"): SIZE,
        ("EmptySD3LatentImage", "width"): SIZE,
        ("EmptySD3LatentImage", "height"): SIZE,
        ("ClipDriftRotatePrompt", "steps"): STEPS,
        ("ClipDriftRotatePrompt", "captions"): "on the left\non the right",
        ("Kandinsky22Encode", "steps"): STEPS,
        ("BasicScheduler", "steps"): STEPS,
        ("KSampler", "steps"): STEPS,
        ("ContextWindowsManual", "context_length"): FRAMES // 2,
        ("ContextWindowsManual", "context_overlap"): FRAMES // 4,
    }
    if ids_of(prompt, "SplitSigmas"):  # one step before each cut, and one behind
        overrides |= {("BasicScheduler", "steps"): 3, ("SplitSigmas", "step"): 1}
    replace_values(prompt, overrides)
    use_stand_ins(prompt)
    return prompt


def results(entry: dict, prompt: Prompt, class_type: str) -> list[dict]:
    """The files that the nodes of one type have put out."""
    return [
        file for number in ids_of(prompt, class_type) for file in entry["outputs"][number]["images"]
    ]


# --- As files -------------------------------------------------------------------------------------


def test_they_are_numbered_so_that_names_sort():
    assert [file.stem.partition("-")[0] for file in FILES] == [f"{n:02}" for n in range(1, 19)]
    assert sorted(FILES) == FILES


@every_workflow
def test_few_nodes_are_seen_as_it_opens(file):
    assert len(load(file)["nodes"]) <= (FEW if file == FILES[0] else MOST)


def test_files_are_what_the_builder_writes(object_info):
    built = build(object_info)

    there = [*FILES, *(REPO / "subgraphs").glob("*.json")]
    assert set(built) == {str(file.relative_to(REPO)) for file in there}
    for file in there:
        text = built[str(file.relative_to(REPO))]
        assert file.read_text(encoding="utf-8") == text, "run workshop.examples.build"


@every_workflow
def test_names_are_safe_in_a_url(file):
    assert set(file.stem) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_")


@every_workflow
def test_the_thumbnail_moves(file):
    thumbnail = file.with_suffix(".jpg")

    assert thumbnail.stat().st_size <= 100_000
    with Image.open(thumbnail) as picture:
        assert (picture.format, picture.n_frames) == ("GIF", 16)
        assert picture.info["loop"] == 0  # for ever
        assert picture.info["duration"] == 120  # the clip's 8 frames per second, in hundredths
        assert 180 <= min(picture.size) <= max(picture.size) <= 800
        frames = [
            np.asarray(frame.convert("RGB"), int) for frame in ImageSequence.Iterator(picture)
        ]
    half = frames[0].shape[1] // 2
    clip, drawn = (
        np.abs(frames[0][side] - frames[8][side]).max()
        for side in (np.s_[:, :half], np.s_[:, half:])
    )
    assert clip > 100
    assert drawn > (0 if "noise_only" in file.stem or "noise_loop" in file.stem else 100)


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
    definitions = {graph["id"]: graph for graph in graphs_of(workflow)}
    for graph in graphs_of(workflow):
        nodes = {node["id"]: node for node in graph["nodes"]}
        for number, source, output, target, index, kind in graph["links"]:
            if source == INSIDE:
                assert number in graph["inputs"][output]["linkIds"]
                given = graph["inputs"][output]["type"]
            else:
                assert number in nodes[source]["outputs"][output]["links"]
                given = nodes[source]["outputs"][output]["type"]
            if target == OUTSIDE:
                assert number in graph["outputs"][index]["linkIds"]
                taken = graph["outputs"][index]["type"]
            else:
                assert nodes[target]["inputs"][index]["link"] == number
                taken = nodes[target]["inputs"][index]["type"]
            assert kind == given
            assert taken == "*" or set(given.split(",")) <= set(taken.split(","))
        for node in nodes.values():
            if node["type"] in definitions:
                for side in ("inputs", "outputs"):
                    inside = [
                        (each["name"], each["type"]) for each in definitions[node["type"]][side]
                    ]
                    assert [(each["name"], each["type"]) for each in node[side]] == inside
            elif node["type"] not in NOTES:
                kinds = object_info[node["type"]]["output"]
                assert [each["type"] for each in node["outputs"]] == kinds


@every_workflow
def test_widgets_shown_outside_have_the_values_that_they_have_inside(file, object_info):
    workflow = load(file)
    definitions = {graph["id"]: graph for graph in graphs_of(workflow)[1:]}
    for node in workflow["nodes"]:
        if node["type"] in definitions:
            inner = definitions[node["type"]]
            widgets = [index for index, each in enumerate(node["inputs"]) if "widget" in each]
            assert len(widgets) == len(node["widgets_values"])
            for index, shown in zip(widgets, node["widgets_values"], strict=True):
                (number,) = inner["inputs"][index]["linkIds"]
                ((end, slot),) = (each[3:5] for each in inner["links"] if each[0] == number)
                (target,) = (each for each in inner["nodes"] if each["id"] == end)
                values = widget_values(target, object_info[target["type"]])
                assert values[target["inputs"][slot]["name"]] == shown


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
    for graph in graphs_of(workflow):
        nodes = graph["nodes"]
        groups = [box_of_group(group) for group in graph["groups"]]
        for a, b in itertools.combinations(nodes, 2):
            assert not overlaps(box_of(a), box_of(b)), (a["type"], b["type"])
        for a, b in itertools.combinations(groups, 2):
            assert not overlaps(a, b)
        for node in nodes:
            inside = [group for group in groups if overlaps(box_of(node), group)]
            alone = node["type"] in NOTES or graph is not workflow  # a subgraph is a group itself
            assert len(inside) == (not alone), node["type"]
            assert all(is_inside(box_of(node), group) for group in inside), node["type"]


@every_workflow
def test_an_upright_clip_covers_nothing(file):
    """Load Video grows with its clip."""
    for graph in graphs_of(load(file)):
        for node in (each for each in graph["nodes"] if each["type"] == "LoadVideo"):
            left, top, right, bottom = box_of(node)
            grown = (left, top, right, bottom + GROWN * (right - left))
            others = [each for each in graph["nodes"] if each is not node]
            assert not [each["type"] for each in others if overlaps(box_of(each), grown)]


@every_workflow
def test_it_reads_from_left_to_right_and_down_its_columns(file):
    workflow = load(file)
    for graph in graphs_of(workflow):
        boxes = {node["id"]: box_of(node) for node in graph["nodes"]}
        found = wires(graph)

        for wire in found:
            (*_, bottom), (_, top, *_) = boxes[wire.source], boxes[wire.target]
            assert wire.start[0] < wire.end[0] or bottom < top
        opens = graph is not workflow
        assert len(crossings(found)) <= CROSSINGS[opens]
        assert len(behind_nodes(graph)) <= BEHIND[opens]


@every_workflow
def test_a_subgraphs_ends_stand_on_both_sides_of_its_nodes(file):
    for graph in graphs_of(load(file))[1:]:
        (x, _, width, _), (end, *_) = (
            graph[each]["bounding"] for each in ("inputNode", "outputNode")
        )
        assert x + width < min(node["pos"][0] for node in graph["nodes"])
        assert end > max(node["pos"][0] + node["size"][0] for node in graph["nodes"])


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
    shutil.copy(sample_clip, server.input_dir / "sample.mp4")
    shutil.copy(picture, server.input_dir / IMAGE)
    prompt = small(ui_to_api(load(file), object_info))
    replace_values(prompt, {("LoadVideo", "file"): "sample.mp4"})

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
    for larger in () if beside else ids_of(prompt, "ImageScale"):
        size = prompt[larger]["inputs"]["width"], prompt[larger]["inputs"]["height"]
    for video in results(entry, prompt, "SaveVideo"):
        assert decoded(server.view(**video)) == [size] * count
    for moving in results(entry, prompt, "SaveAnimatedWEBP"):
        assert Image.open(io.BytesIO(server.view(**moving))).n_frames == FRAMES
    kinds = ("SaveVideo", "PreviewImage", "SaveAnimatedWEBP")
    assert any(ids_of(prompt, kind) for kind in kinds)


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


def link(number, source, output, target, index) -> dict:
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    return dict(zip(names, (number, source, output, target, index, "X"), strict=True))


def nested() -> dict:
    """Make (1) → box (10) → Show (4); in it another box (7) → Mix (3), and in that one Mix (3) too.

    The outer box shows a widget of the Mix in the inner one and of its own.
    """
    widget = {"widget": {"name": "amount"}}
    mix = {
        "id": 3,
        "type": "Mix",
        "inputs": [{"name": "image", "link": 1}, {"name": "amount", "link": 2} | widget],
        "outputs": [{"links": [3]}],
        "widgets_values": [0.0],
    }
    core = {
        "id": "core",
        "inputs": [{"name": "image"}, {"name": "much"}],
        "nodes": [mix],
        "links": [link(1, -10, 0, 3, 0), link(2, -10, 1, 3, 1), link(3, 3, 0, -20, 0)],
    }
    sockets = [{"name": "image", "link": 1}, {"name": "much", "link": 2} | widget]
    inner = {"id": 7, "type": "core", "inputs": sockets, "widgets_values": [0.0]}
    second = {
        **mix,
        "inputs": [{"name": "image", "link": 4}, {"name": "amount", "link": 5} | widget],
    }
    box = {
        "id": "box",
        "inputs": [{"name": "image"}, {"name": "first"}, {"name": "then"}],
        "nodes": [second, inner],  # not in the order in which they take from each other
        "links": [
            link(1, -10, 0, 7, 0),
            link(2, -10, 1, 7, 1),
            link(4, 7, 0, 3, 0),
            link(5, -10, 2, 3, 1),
            link(6, 3, 0, -20, 0),
        ],
    }
    sockets = [{"name": "image", "link": 1}, {"name": "first"} | widget, {"name": "then"} | widget]
    return {
        "nodes": [
            {"id": 4, "type": "Show", "inputs": [{"name": "image", "link": 2}]},
            {"id": 10, "type": "box", "inputs": sockets, "widgets_values": [0.25, 0.5]},
            {"id": 1, "type": "Make"},
        ],
        "links": [[1, 1, 0, 10, 0, "IMAGE"], [2, 10, 0, 4, 0, "IMAGE"]],
        "definitions": {"subgraphs": [box, core]},
    }


NESTED_INFO = {
    "Make": {"input": {}},
    "Show": {"input": {"required": {"image": ["IMAGE"]}}},
    "Mix": {"input": {"required": {"image": ["IMAGE"], "amount": ["FLOAT", {}]}}},
}


def test_subgraphs_are_laid_flat_as_the_front_end_does_it():
    """Ids are paths; links lead through; a shown widget's value is the outermost one."""
    assert ui_to_api(nested(), NESTED_INFO) == {
        "4": {"class_type": "Show", "inputs": {"image": ["10:3", 0]}},
        "10:3": {"class_type": "Mix", "inputs": {"image": ["10:7:3", 0], "amount": 0.5}},
        "10:7:3": {"class_type": "Mix", "inputs": {"image": ["1", 0], "amount": 0.25}},
        "1": {"class_type": "Make", "inputs": {}},
    }


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
