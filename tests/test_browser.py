"""The pack in a real browser: the front end as a user sees and clicks it.

Needs a Chromium (see workshop/rig/browser.py); without one these tests are skipped, unless the
environment variable CLIP_DRIFT_BROWSER is "required". Screenshots are kept in `.run/screenshots/`.
"""

from __future__ import annotations

import base64
import itertools
import json
import math
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from pack.tests.graph_layout import graphs_of
from pack.workshop.examples.workflows.models import OPENAI, STAND_INS
from pack.workshop.rig import browser
from pack.workshop.rig.browser import FrontEnd, chromium
from pack.workshop.rig.clips import write_clip
from pack.workshop.rig.paths import BASE_DIR, EXAMPLES, REPO, RUN_DIR
from pack.workshop.rig.server import ComfyServer
from PIL import Image

WORKFLOWS = sorted(EXAMPLES.glob("*.json"))
SCREENSHOTS = RUN_DIR / "screenshots"
FIRST = "01-mini_kandinsky"
"""Its models and its clip are in the pack, so it runs as it is opened."""
MOST, FEW = 14, 10
"""Nodes seen as a workflow opens, and as the first does."""
READABLE = 8 / 14
"""Below this zoom the front end draws no texts: its 14 pixels would be less than 8."""
UPRIGHT = (320, 180)
"""Height and width of a clip as phones make them."""
FRAMES = 4
SMALL = {
    ("ClipDriftFromVideo", "max_frames"): FRAMES,
    ("ClipDriftShape", "frames"): FRAMES,
    ("EmptyLatentImage", "width"): 64,
    ("EmptyLatentImage", "height"): 64,
    ("EmptySD3LatentImage", "width"): 64,
    ("EmptySD3LatentImage", "height"): 64,
    ("ClipDriftRotatePrompt", "steps"): 1,
    ("ClipDriftRotatePrompt", "captions"): "on the left\non the right",
    ("ContextWindowsManual", "context_length"): FRAMES // 2,
    ("ContextWindowsManual", "context_overlap"): FRAMES // 4,
    ("BasicScheduler", "steps"): 1,
    ("KSampler", "steps"): 1,
    ("Kandinsky22Encode", "steps"): 1,
}
"""What makes a workflow short enough for a test, turned on its widgets."""
TYPES = [
    "CLIP_DRIFT",
    "ROTATION",
    "OPENCLIP",
    "TOKEN_MASK",
    "CLIP_DRIFT_LOOP",
    "FLOATS",
    "KANDINSKY22_PRIOR",
]

if not browser.find_chromium() and os.environ.get("CLIP_DRIFT_BROWSER") != "required":
    pytest.skip(browser.HOW_TO_GET_IT, allow_module_level=True)


@pytest.fixture(scope="module")
def studio(models_dir, tmp_path_factory):
    """A server that has models under the very names that the other workflows ask for."""
    folder, paths = tmp_path_factory.mktemp("studio"), {}
    for workflow in WORKFLOWS:
        graphs = graphs_of(json.loads(workflow.read_text(encoding="utf-8")))
        for node in itertools.chain.from_iterable(graph["nodes"] for graph in graphs):
            for model in node.get("properties", {}).get("models", []):
                kind, name = model["directory"], model["name"]
                paths[kind] = folder / "models" / kind
                paths[kind].mkdir(parents=True, exist_ok=True)
                if not (paths[kind] / name).exists():
                    (paths[kind] / name).symlink_to(models_dir / kind / STAND_INS[name])
    with ComfyServer(folder, base_dir=BASE_DIR, model_paths=paths) as running:
        frames = np.zeros((8, *UPRIGHT, 3), np.uint8)
        write_clip(running.input_dir / "upright.mp4", frames, 8)
        Image.radial_gradient("L").convert("RGB").save(running.input_dir / "example.png")
        yield running


@pytest.fixture(scope="module")
def chrome():
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def shared(chrome, studio):
    """A page that several tests use one after another."""
    with FrontEnd(chrome, studio.url) as page:
        yield page


@pytest.fixture
def front(shared):
    """The shared page, which must not have printed an error by the end of the test."""
    shared.problems.clear()
    yield shared
    assert shared.problems == []


def workflow(start: str) -> dict:
    (file,) = (file for file in WORKFLOWS if file.name.startswith(f"{start}-"))
    return json.loads(file.read_text(encoding="utf-8"))


def open_template(front: FrontEnd, name: str, opened: bool = False):
    """Templates, where they have not opened by themselves → clip-drift → the workflow's card."""
    if not opened:
        front.page.get_by_role("button", name="Templates").first.click()
    front.page.get_by_text("clip-drift", exact=True).first.click()
    front.page.get_by_test_id(f"template-workflow-{name}").first.click()
    front.page.wait_for_function(
        "name => app.extensionManager.workflow.activeWorkflow?.filename === name", arg=name
    )
    front.settle()


STAND_IN = """([name, other]) => {
    const boxes = app.graph.nodes.filter(n => n.isSubgraphNode?.());
    for (const node of [...boxes.flatMap(b => b.subgraph.nodes), ...app.graph.nodes])
        for (const widget of (node.widgets ?? []).filter(w => w.value === name)) {
            widget.value = other; widget.callback?.(other); } }"""
"""Chooses another model wherever one is chosen."""


def ids_of(front: FrontEnd, node_type: str) -> list[int]:
    return [node["id"] for node in front.nodes() if node["type"] == node_type]


# --- Workflows ------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_a_template_opens_runs_and_shows_its_report(front, file):
    open_template(front, file.stem)
    opened = front.nodes()
    saved = json.loads(file.read_text(encoding="utf-8"))["nodes"]
    assert sorted(node["type"] for node in opened) == sorted(node["type"] for node in saved)
    assert not [node["type"] for node in opened if node["missing"] or node["red"]]
    assert not [node["type"] for node in opened if node["unlinked"]]
    as_it_is = file.stem == FIRST
    assert len(opened) <= (FEW if as_it_is else MOST)

    front.fit()
    front.screenshot(SCREENSHOTS / f"{file.stem}-opened.png")
    if "sdxl" in file.stem:  # no file of random weights reads bigG's 1280 dimensions as its does
        return
    if not as_it_is:
        front.set_values(SMALL)
        if "SplitSigmas" in file.read_text(encoding="utf-8"):  # a step before each cut, one behind
            front.set_values({("BasicScheduler", "steps"): 3, ("SplitSigmas", "step"): 1})
        front.js(STAND_IN, [OPENAI, STAND_INS[OPENAI]])
    # What the server still knows from the workflow before is not run, and says nothing again.
    front.js(
        """() => app.api.fetchApi('/free', { method: 'POST', body: '{"free_memory": true}',
            headers: { 'Content-Type': 'application/json' } })"""
    )
    front.settle()
    assert front.run() == "execution_success"
    front.page.wait_for_function(
        """types => app.graph.nodes.filter(node => types.includes(node.type))
            .every(node => node.imgs?.length)""",
        arg=["ClipDriftReport", "PreviewImage"],
    )
    front.page.wait_for_function(  # the front end puts it there as it draws
        """() => app.graph.nodes.filter(node => node.type === "ClipDriftFromVideo").every(node =>
            node.widgets.some(({ name, value }) => name === "$$node-text-preview" && value))"""
    )
    front.fit()
    front.screenshot(SCREENSHOTS / f"{file.stem}.png")

    done = front.nodes()
    assert not [node["type"] for node in done if node["red"]]
    for node in done:
        if node["type"] == "ClipDriftReport":
            ((width, height),) = node["images"]
            assert min(width, height) > 500
        if node["type"] == "ClipDriftFromVideo":
            (text,) = node["texts"]
            count = 16 if as_it_is else FRAMES
            line, *_warnings = text.splitlines()
            assert re.fullmatch(rf"{count} frames · [\d.]+ s · .+ · path [\d.]+ rad", line)


def test_three_clicks_to_a_moving_picture(chrome, studio):
    """Of a newcomer, to whom ComfyUI opens its templates: ours, the first card, Run.

    It is readable as it opens, and what was drawn plays unasked, in its place and in view.
    """
    size, settings = (1400, 850), {"Comfy.TutorialCompleted": False}
    with FrontEnd(chrome, studio.url, size=size, settings=settings) as front:
        count = (
            "() => { window.clicks = 0; addEventListener('click', () => window.clicks++, true); }"
        )
        front.js(count)
        open_template(front, FIRST, opened=True)
        assert front.js("() => app.canvas.ds.scale") >= READABLE
        front.screenshot(SCREENSHOTS / "first-opened.png")
        assert front.run() == "execution_success"
        assert front.js("() => window.clicks") == 3
        front.page.wait_for_function(
            """() => { const picture = document.querySelector(".dom-widget img[src*='first_']");
                return picture && picture.getBoundingClientRect().width < innerWidth / 2; }"""
        )
        box = front.page.locator(".dom-widget img[src*='first_']").bounding_box()
        left, top = round(box["x"]), round(box["y"])
        right, bottom = round(left + box["width"]), round(top + box["height"])
        assert min(left, top) > 0
        assert right < size[0]
        assert bottom < size[1]
        assert right - left > 350
        halves = []
        for name in ("first-run", "first-later"):
            shown = Image.open(front.screenshot(SCREENSHOTS / f"{name}.png")).convert("L")
            pixels = np.asarray(shown.crop((left, top, right, bottom)), int)
            halves.append(np.array_split(pixels, 2, axis=1))
            front.page.wait_for_timeout(700)
        for before, after in zip(*halves, strict=True):  # the clip, and what was drawn
            assert np.abs(before - after).max() > 100


def test_a_prompt_that_the_small_model_cannot_draw_warns_on_its_node(front):
    front.load(workflow("01"))
    said = {("Kandinsky22Encode", "text"): "a cat sitting on a sofa, oil painting"}
    front.set_values(said | {("BasicScheduler", "steps"): 1})
    assert front.run() == "execution_success"
    (prior,) = (node for node in front.nodes() if node["type"] == "Kandinsky22Encode")
    assert "never learnt: cat, sitting, sofa" in "".join(prior["texts"])
    front.fit()
    front.screenshot(SCREENSHOTS / "warning.png")


def test_templates_are_listed_by_number(front):
    front.page.get_by_role("button", name="Templates").first.click()
    front.page.get_by_text("clip-drift", exact=True).first.click()
    front.page.get_by_test_id(f"template-workflow-{FIRST}").wait_for()
    cards = front.page.locator("[data-testid^='template-workflow-']").all()
    names = [card.get_attribute("data-testid") for card in cards]
    assert len(names) > 3
    assert names == [f"template-workflow-{file.stem}" for file in WORKFLOWS][: len(names)]
    front.page.keyboard.press("Escape")


@pytest.mark.parametrize("vue", [False, True], ids=["canvas", "vue"])
def test_a_clip_of_any_shape_covers_nothing(chrome, studio, vue):
    """Load Video grows with its clip; a node lies on another in neither renderer."""
    with FrontEnd(chrome, studio.url, settings={"Comfy.VueNodes.Enabled": vue}) as front:
        for file in WORKFLOWS:
            front.load(json.loads(file.read_text(encoding="utf-8")))
            front.set_values({("LoadVideo", "file"): "upright.mp4"})
            front.page.wait_for_timeout(1000)
            assert front.js(OVERLAPS, vue) == [], file.stem
            assert front.js(HALF_INSIDE, vue) == [], file.stem


@pytest.mark.parametrize("vue", [False, True], ids=["canvas", "vue"])
def test_every_title_can_be_read_as_a_workflow_opens(chrome, studio, vue):
    """In a window of a small notebook; below READABLE the canvas draws none."""
    settings = {"Comfy.VueNodes.Enabled": vue}
    with FrontEnd(chrome, studio.url, size=(1400, 850), settings=settings) as front:
        for file in WORKFLOWS:
            front.load(json.loads(file.read_text(encoding="utf-8")))
            assert front.js("() => app.canvas.ds.scale") >= READABLE, file.stem


OVERLAPS = """vue => {
    const name = id => app.graph.getNodeById(id)?.title;
    const seen = [...document.querySelectorAll('[data-node-id]')].map(e =>
        [name(e.dataset.nodeId), e.getBoundingClientRect()])
        .map(([n, r]) => [n, r.left, r.top, r.right, r.bottom]);
    const drawn = app.graph.nodes.map(n => [n.title, n.pos[0], n.pos[1] - 30,
        n.pos[0] + n.size[0], n.pos[1] + n.size[1]]);
    const boxes = vue ? seen : drawn;
    if (boxes.length !== app.graph.nodes.length) return `${boxes.length} nodes are seen`;
    return boxes.flatMap((a, i) => boxes.slice(i + 1).filter(b => a[1] < b[3] && b[1] < a[3]
        && a[2] < b[4] && b[2] < a[4]).map(b => [a[0], b[0]])); }"""

HALF_INSIDE = """vue => {
    const canvas = document.querySelector('#graph-canvas').getBoundingClientRect();
    const {scale, offset} = app.canvas.ds;
    const seen = id => document.querySelector(`[data-node-id="${id}"]`)?.getBoundingClientRect();
    const bottom = n => vue ? (seen(n.id).bottom - canvas.top) / scale - offset[1]
        : n.pos[1] + n.size[1];
    return app.graph.nodes.flatMap(n => app.graph.groups.filter(g =>
        n.pos[0] < g.pos[0] + g.size[0] && g.pos[0] < n.pos[0] + n.size[0]
        && n.pos[1] < g.pos[1] + g.size[1] && g.pos[1] < bottom(n)
        && !(g.pos[1] < n.pos[1] - 30 && bottom(n) <= g.pos[1] + g.size[1])
        ).map(g => [n.title, g.title, bottom(n) - g.pos[1] - g.size[1]])); }"""
"""Nodes that reach over a group's title or below its end."""


@pytest.mark.parametrize(
    ("query", "wanted", "within"),
    [
        ("clip drift", "Video → CLIP Drift", 1),
        ("video motion", "Video → CLIP Drift", 3),
        ("deforum", "Rotate Conditioning", 5),
        ("animate", "Rotate Conditioning", 25),  # core has many nodes of that name
    ],
)
def test_the_search_for_nodes_finds_ours(front, query, wanted, within):
    front.load(workflow("02"))
    front.js("() => app.graph.clear()")
    front.page.keyboard.press("Escape")
    # Not by a double click: on a busy machine its two halves are two single ones.
    front.js("() => app.extensionManager.command.execute('Workspace.SearchBox.Toggle')")
    front.page.get_by_role("combobox").last.wait_for()
    front.page.keyboard.type(query)
    found = front.page.get_by_role("option")
    found.filter(has_text=wanted).first.wait_for()
    front.settle()
    titles = [text.partition("\n")[0] for text in found.all_inner_texts()]
    assert wanted in titles[:within]
    front.page.keyboard.press("Escape")


# --- What a node shows ----------------------------------------------------------------------------


@pytest.mark.parametrize("vue", [False, True], ids=["canvas", "vue"])
def test_a_drift_shows_how_it_goes_and_what_it_is(chrome, studio, vue):
    """Picture and step angle while it is read; afterwards one line, which outlives a reload."""
    prompt = read_only()
    with FrontEnd(chrome, studio.url, settings={"Comfy.VueNodes.Enabled": vue}) as front:
        front.load(prompt)
        front.set_values({("ClipDriftFromVideo", "max_frames"): 5 + vue})
        front.js(
            """() => { window.seen = [];
                for (const kind of ['progress_text', 'b_preview_with_metadata'])
                    app.api.addEventListener(kind, ({ detail }) =>
                        window.seen.push([kind, detail.text ?? detail.blob.size])); }"""
        )
        assert front.run() == "execution_success"
        texts = [value for kind, value in front.js("() => window.seen") if kind == "progress_text"]
        sizes = [value for kind, value in front.js("() => window.seen") if kind != "progress_text"]
        assert sizes
        assert min(sizes) > 500
        # One frame per batch: the first has no step yet.
        assert re.fullmatch(rf"frame 1 of {5 + vue}", texts[0])
        shown = summary(front)
        assert texts[-1] == shown
        assert shown.startswith(f"{5 + vue} frames · ")
        front.fit()
        front.screenshot(SCREENSHOTS / f"drift-{'vue' if vue else 'canvas'}.png")
    with FrontEnd(chrome, studio.url, settings={"Comfy.VueNodes.Enabled": vue}) as front:
        front.load(prompt)
        front.set_values({("ClipDriftFromVideo", "max_frames"): 5 + vue})
        assert front.run() == "execution_success"  # from the cache
        assert summary(front) == shown


def summary(front: FrontEnd) -> str:
    """The text on the node that reads the video, as the page shows it."""
    (text,) = (node["texts"][0] for node in front.nodes() if node["type"] == "ClipDriftFromVideo")
    # DOM elements in both renderers; the canvas' one breaks lines without a space.
    for line in text.splitlines():
        front.page.get_by_text(line).first.wait_for(state="visible")
    return text


def read_only() -> dict:
    """Workflow 2 without what hangs on the rotation, one frame per batch, by the small encoder."""
    graph = workflow("02")
    for node in graph["nodes"]:
        if node["type"] == "CLIPVisionLoader":
            node.update(
                type="ClipDriftLoadOpenCLIP",
                widgets_values=["random_small.safetensors", "auto", False],
                inputs=[],
                properties={},
            )
            node["outputs"][0].update(name="encoder", type="OPENCLIP")
        if node["type"] == "ClipDriftFromVideo":
            node["widgets_values"][3] = 1
    gone = [n["id"] for n in graph["nodes"] if n["type"] in ("ClipDriftRotation", "PreviewImage")]
    graph["nodes"] = [node for node in graph["nodes"] if node["id"] not in gone]
    lost = [link[0] for link in graph["links"] if link[1] in gone or link[3] in gone]
    graph["links"] = [link for link in graph["links"] if link[0] not in lost]
    for node in graph["nodes"]:
        for output in node.get("outputs", []):
            output["links"] = [link for link in output["links"] or [] if link not in lost]
    return graph


def test_a_bad_input_shows_its_message_on_the_right_node(front):
    front.load(workflow("02"))
    front.set_values({("ClipDriftFromVideo", "max_frames"): 1})
    assert front.run() == "execution_error"
    (bad,) = ids_of(front, "ClipDriftFromVideo")
    _, detail = front.js("() => window.ended")
    assert str(detail["node_id"]) == str(bad)
    assert front.js("() => String(app.lastExecutionError?.node_id)") == str(bad)
    message = front.page.get_by_text("but a drift needs two or more").first
    if not message.is_visible():
        front.page.get_by_test_id("error-overlay-see-errors").first.click()
    message.wait_for(state="visible")
    front.screenshot(SCREENSHOTS / "error.png")


def test_sockets_have_colours_of_their_own(front):
    """On the canvas and in Vue nodes, still so after a change of theme, and told apart."""
    for theme in ("dark", "light", "dark"):
        front.js("theme => app.extensionManager.setting.set('Comfy.ColorPalette', theme)", theme)
        front.settle()
        tables = front.js(
            """() => { const style = getComputedStyle(document.documentElement);
                const vue = Object.fromEntries([...Object.keys(app.canvas
                    .default_connection_color_byType)].map(t => [t,
                    style.getPropertyValue('--color-datatype-' + t).trim()]));
                return [app.canvas.default_connection_color_byType, LGraphCanvas.link_type_colors,
                    vue].map(t => Object.fromEntries(
                        Object.entries(t).filter(([, c]) => /^#[0-9a-f]{6}$/i.test(c)))); }"""
        )
        for table in tables:
            assert set(TYPES) <= table.keys(), theme
            ours = [table[name] for name in TYPES]
            native = {colour for name, colour in table.items() if name not in TYPES}
            pairs = [*itertools.combinations(ours, 2), *itertools.product(ours, native)]
            # 2.3 is a just noticeable difference; ten of those are plain to see.
            assert min(difference(*pair) for pair in pairs) > 23, theme


def difference(a: str, b: str) -> float:
    """Of two #rrggbb colours, in CIE Lab (1976)."""
    return math.dist(lab(a), lab(b))


def lab(colour: str) -> tuple[float, float, float]:
    linear = []
    for start in (1, 3, 5):
        value = int(colour[start : start + 2], 16) / 255
        linear.append(value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4)
    red, green, blue = linear
    x, y, z = (
        cube_root_or_line(value)
        for value in (
            (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505,
            0.2126 * red + 0.7152 * green + 0.0722 * blue,
            (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089,
        )
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def cube_root_or_line(value: float) -> float:
    return value ** (1 / 3) if value > 0.008856 else 7.787 * value + 16 / 116


# --- Help and Russian -----------------------------------------------------------------------------


def open_help(front: FrontEnd, node_type: str) -> str:
    """Select a node, press its Info button; return the text that appears."""
    front.js(
        """type => { app.canvas.deselectAll();
            app.canvas.selectNode(app.graph.nodes.find(n => n.type === type)); }""",
        node_type,
    )
    front.fit([node_type], margin=250)
    front.page.get_by_test_id("info-button").first.click()
    panel = front.page.locator(".node-help-content")
    panel.wait_for(state="visible")
    panel.locator("img").first.wait_for(state="attached")
    front.page.wait_for_function(
        "() => [...document.querySelectorAll('.node-help-content img')].every(i => i.complete)"
    )
    return panel.inner_text()


def test_help_opens_with_its_picture(chrome, studio):
    with FrontEnd(chrome, studio.url, size=(1280, 800)) as front:
        front.load(workflow("02"))
        text = open_help(front, "ClipDriftReport")
        assert text.startswith("Drift Report")
        assert "Inputs" in text
        picture = front.page.locator(".node-help-content img").first
        assert picture.evaluate("image => image.naturalWidth") > 100
        front.screenshot(SCREENSHOTS / "help.png")


def test_russian(chrome, studio):
    texts = json.loads((REPO / "locales" / "ru" / "nodeDefs.json").read_text(encoding="utf-8"))
    with FrontEnd(chrome, studio.url, settings={"Comfy.Locale": "ru"}) as front:
        front.load(workflow("02"))
        shown = texts["ClipDriftFromVideo"]
        page = open_help(front, "ClipDriftFromVideo")
        assert page.startswith(shown["display_name"])
        assert "Входы" in page
        slots = front.js(
            """() => { const n = app.graph.nodes.find(n => n.type === 'ClipDriftFromVideo');
                return [n.inputs.map(i => i.label ?? i.localized_name), n.outputs.map(
                    o => o.label ?? o.localized_name), (n.widgets ?? []).map(w => w.label)]; }"""
        )
        for kind, names in zip(("inputs", "outputs"), slots, strict=False):
            assert set(names) <= {each["name"] for each in shown[kind].values()}
        definition = front.js(
            "() => LiteGraph.registered_node_types.ClipDriftFromVideo.nodeData.display_name"
        )
        assert definition == shown["display_name"]
        front.screenshot(SCREENSHOTS / "russian.png")


# --- The blueprint --------------------------------------------------------------------------------


def test_the_blueprint_is_added_from_the_library_and_runs(front):
    name = "Video Drift to Conditioning"
    front.load(workflow("02"))
    front.js("() => app.graph.clear()")
    front.page.keyboard.press("Escape")
    front.page.locator("#graph-canvas").dblclick(position={"x": 900, "y": 500})
    search = front.page.get_by_role("combobox").or_(front.page.get_by_role("textbox")).last
    search.fill(name)
    front.page.get_by_text(name).last.wait_for(state="visible")
    front.settle()
    front.page.keyboard.press("Enter")
    front.page.wait_for_function("() => app.graph.nodes.length === 1")
    front.page.mouse.click(900, 500)  # until then the new node follows the pointer
    front.js(
        """values => { const box = app.graph.nodes[0];
            for (const w of box.widgets) if (w.name in values) w.value = values[w.name];
            const make = (type, x) => { const n = LiteGraph.createNode(type);
                n.pos = [box.pos[0] + x, box.pos[1]]; app.graph.add(n); return n; };
            const model = make('CLIPLoader', -900), text = make('CLIPTextEncode', -500);
            const shown = make('PreviewAny', 500), report = make('ClipDriftReport', 900);
            const loader = make('CheckpointLoaderSimple', -900);
            app.graph.remove(model);
            loader.connect(1, text, 'clip');
            const out = name => box.outputs.findIndex(o => o.name === name);
            text.connect(0, box, 'conditioning');
            box.connect(out('frame_count'), shown, 0);
            box.connect(out('drift'), report, 'drift');
            make('PreviewAny', 500).pos[1] += 250;
            box.connect(out('conditioning'), app.graph.nodes.at(-1), 0); }""",
        {"max_frames": FRAMES},
    )
    assert front.run() == "execution_success"
    front.fit()
    front.screenshot(SCREENSHOTS / "blueprint.png")
    texts = front.js(
        """() => app.graph.nodes.find(n => n.type === 'PreviewAny').widgets.map(w => w.value)"""
    )
    assert str(FRAMES) in texts
    (report,) = (node for node in front.nodes() if node["type"] == "ClipDriftReport")
    assert report["images"]


# --- Saved outputs --------------------------------------------------------------------------------


def test_a_saved_picture_and_a_saved_video_bring_their_workflow_back(front, studio, tmp_path):
    """Dropped on the canvas, as a user would drop the file."""
    graph = read_only()
    front.load(graph)
    front.set_values({("ClipDriftFromVideo", "max_frames"): FRAMES})
    front.js(
        """() => { const report = app.graph.nodes.find(n => n.type === 'ClipDriftReport');
            const make = (type, y) => { const n = LiteGraph.createNode(type);
                n.pos = [report.pos[0] + 700, y]; app.graph.add(n); return n; };
            const save = make('SaveImage', 100), video = make('CreateVideo', 500);
            const file = make('SaveVideo', 800);
            report.connect(0, save, 0);
            report.connect(0, video, 0);
            video.connect(0, file, 0); }"""
    )
    assert front.run() == "execution_success"
    wanted = sorted(node["type"] for node in front.nodes())
    outputs = [path for path in studio.output_dir.rglob("*") if path.suffix in (".png", ".mp4")]
    newest = {path.suffix: path for path in sorted(outputs, key=lambda each: each.stat().st_mtime)}
    assert newest.keys() == {".png", ".mp4"}
    for suffix, path in newest.items():
        front.js("() => app.graph.clear()")
        drop(front, shutil.copy(path, tmp_path / f"dropped{suffix}"))
        front.page.wait_for_function("count => app.graph.nodes.length === count", arg=len(wanted))
        assert sorted(node["type"] for node in front.nodes()) == wanted


def drop(front: FrontEnd, file: Path):
    """Let a file fall on the canvas."""
    kind = {".png": "image/png", ".mp4": "video/mp4"}[Path(file).suffix]
    front.js(
        """([name, type, bytes]) => {
            const data = new DataTransfer();
            const content = Uint8Array.from(atob(bytes), c => c.charCodeAt(0));
            data.items.add(new File([content], name, { type }));
            const at = { bubbles: true, cancelable: true, dataTransfer: data, clientX: 900,
                clientY: 900 };
            const canvas = document.querySelector('#graph-canvas');
            for (const event of ['dragenter', 'dragover', 'drop'])
                canvas.dispatchEvent(new DragEvent(event, at)); }""",
        [Path(file).name, kind, base64.b64encode(Path(file).read_bytes()).decode()],
    )
