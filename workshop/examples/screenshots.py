"""Draw the pictures of the help pages: every node in the real front end, after a real run.

    python -m pack.workshop.examples.screenshots [NODE_ID ...]

Needs a Chromium (see browser.py). The encoder has random weights (see weights.py), so what the
reports show is the sample clip as such an encoder sees it.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

from ..rig import weights
from ..rig.browser import FrontEnd, chromium
from ..rig.clips import sample_clip
from ..rig.paths import BASE_DIR, REPO
from ..rig.server import ComfyServer
from .build import workflow
from .workflows.models import OPENAI, STAND_INS
from .workflows.parts import VIDEO

PICTURES = REPO / "web" / "docs" / "pictures"
WORKFLOW = "04-move_one_word"
LARGEST, WIDEST, MARGIN = 60_000, 640, 14
FRAMES = 12
VALUES = {
    ("CLIPVisionLoader", "clip_name"): "random_vit_l.safetensors",
    ("CheckpointLoaderSimple", "ckpt_name"): "random_sd15.safetensors",
    ("ClipDriftLoadOpenCLIP", "model"): STAND_INS[OPENAI],
    ("ClipDriftShape", "frames"): FRAMES,
}
RENDERING = [
    "CFGGuider",
    "KSamplerSelect",
    "BasicScheduler",
    "SamplerCustomAdvanced",
    "VAEDecode",
    "CreateVideo",
    "SaveVideo",
]
"""What takes minutes on a CPU and is in no picture."""
LINKS = {
    "ClipDriftReport": {"drift": ("ClipDriftFromVideo", "drift")},
    "ClipDriftSave": {"drift": ("ClipDriftShape", "drift")},
    "ClipDriftSideBySide": {"drift": ("ClipDriftFromVideo", "drift")},
    "ClipDriftCompare": {
        "reference": ("ClipDriftFromVideo", "drift"),
        "result": ("ClipDriftShape", "drift"),
    },
}
"""What nodes that the workflow lacks are connected to, where they are to run."""

TRIM = """types => { for (const node of [...app.graph.nodes])
    if (types.includes(node.type)) app.graph.remove(node);
    for (const group of [...app.graph.groups]) app.graph.remove(group); }"""
ADD = """([type, links]) => {
    const node = LiteGraph.createNode(type);
    app.graph.add(node);
    node.size[0] = Math.max(node.size[0], 290); // or a long title is cut
    for (const [input, [source, output]] of Object.entries(links)) {
        const from = app.graph.nodes.find(n => n.type === source);
        from.connect(from.outputs.findIndex(o => o.name === output), node, input); } }"""
SPREAD = """() => app.graph.nodes.forEach((node, i) => {
    node.pos = [(i % 6) * 3000, Math.floor(i / 6) * 3000]; })"""
BOX = """type => {
    const n = app.graph.nodes.find(n => n.type === type), { ds, canvas } = app.canvas;
    const at = canvas.getBoundingClientRect();
    return [(n.pos[0] + ds.offset[0]) * ds.scale + at.left,
        (n.pos[1] - 30 + ds.offset[1]) * ds.scale + at.top, n.size[0] * ds.scale,
        (n.size[1] + 30) * ds.scale]; }"""


def our_nodes(server: ComfyServer) -> list[str]:
    """The ids of the nodes that a user can place."""
    return [
        node_id
        for node_id, info in server.object_info().items()
        if info["python_module"] == "custom_nodes.clip-drift" and not info.get("dev_only")
    ]


def stage(front: FrontEnd, server: ComfyServer, node_ids: list[str]):
    """Put one of each node on the canvas, run those that can, and set them apart."""
    front.load(workflow(WORKFLOW, server.object_info(), folded=False))
    front.js(TRIM, RENDERING)
    there = {node["type"] for node in front.nodes()}
    missing = [node_id for node_id in node_ids if node_id not in there]
    for node_id in missing:
        if node_id in LINKS:
            front.js(ADD, [node_id, LINKS[node_id]])
    front.set_values(VALUES)
    if front.run(timeout=1800) != "execution_success":
        sys.exit(f"error: {front.js('() => JSON.stringify(window.ended)')}")
    front.js("() => app.refreshComboInNodes()")  # the file just saved is now one to load
    for node_id in missing:
        if node_id not in LINKS:
            front.js(ADD, [node_id, {}])
    front.js(SPREAD)


def draw(front: FrontEnd, node_id: str, file: Path):
    """One node, as large as it fits the window, as a JPEG of bounded size."""
    front.fit([node_id])
    x, y, width, height = front.js(BOX, node_id)
    region = (x - MARGIN, y - MARGIN, width + 2 * MARGIN, height + 2 * MARGIN)
    clip = dict(zip(("x", "y", "width", "height"), region, strict=True))
    shot = Image.open(io.BytesIO(front.page.screenshot(clip=clip))).convert("RGB")
    shot.thumbnail((WIDEST, WIDEST * 2), Image.Resampling.LANCZOS)
    for quality in range(90, 30, -10):
        shot.save(file, quality=quality, optimize=True)
        if file.stat().st_size < LARGEST:
            return
    sys.exit(f"error: {file.name} is larger than {LARGEST} bytes")


def main(wanted: list[str]):
    """Draw the pictures of the nodes named, or of all."""
    weights.ensure(BASE_DIR / "models")
    PICTURES.mkdir(parents=True, exist_ok=True)
    settings = {"Comfy.LinkRenderMode": -1, "Comfy.NodeBadge.NodeSourceBadgeMode": "None"}
    with tempfile.TemporaryDirectory() as folder, ComfyServer(Path(folder)) as server:
        sample_clip(server.input_dir / VIDEO, seconds=FRAMES / 8)
        node_ids = our_nodes(server)
        with chromium() as browser, FrontEnd(browser, server.url, settings=settings) as front:
            stage(front, server, node_ids)
            for node_id in wanted or node_ids:
                draw(front, node_id, PICTURES / f"{node_id}.jpg")
                print(PICTURES / f"{node_id}.jpg")


if __name__ == "__main__":
    main(sys.argv[1:])
