"""The front end in headless Chromium, for the tests and for the pictures of the help pages.

    with chromium() as browser, FrontEnd(browser, server.url) as front: ...

Playwright comes from PyPI, the browser from the system: Debian's and Ubuntu's package `chromium`,
or whatever the environment variable CHROMIUM names.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from ...farm.client import Client

NAMES = ("chromium", "chromium-browser", "google-chrome")
HOW_TO_GET_IT = (
    "no Chromium found: install the package chromium (Debian, Ubuntu), or name the program in the "
    "environment variable CHROMIUM"
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
]
SECONDS = 1000  # playwright counts milliseconds


def find_chromium() -> str | None:
    """The path of the browser, or None."""
    named = os.environ.get("CHROMIUM")
    return named or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser that talks to this machine only."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class FrontEnd:
    """ComfyUI's user interface in a page of its own.

    Attributes:
        page: playwright's page.
        problems: what the page has printed as errors so far.
    """

    def __init__(
        self,
        browser: Browser,
        url: str,
        size: tuple[int, int] = (1920, 1080),
        settings: dict[str, Any] | None = None,
    ):
        self.url = url
        self.problems: list[str] = []
        self._settings = {
            "Comfy.TutorialCompleted": True,  # or a first start opens the templates by itself
            "Comfy.Minimap.Visible": False,
            "Comfy.Locale": "en",
            "Comfy.VueNodes.Enabled": False,
        } | (settings or {})
        width, height = size
        self._context = browser.new_context(
            viewport={"width": width, "height": height}, locale="en-US", accept_downloads=True
        )
        # What the front end would ask of the internet is not what is tested here.
        self._context.route(
            lambda address: not address.startswith((url, "blob:", "data:")),
            lambda route: route.abort(),
        )
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(30 * SECONDS)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))

    def __enter__(self):
        self._store_settings()
        self.page.goto(self.url)
        self.page.wait_for_function(
            "() => window.app?.graph && window.app.extensionManager?.setting"
            " && Object.keys(window.LiteGraph?.registered_node_types ?? {}).length > 100",
            timeout=120 * SECONDS,
        )
        self.page.wait_for_selector("#graph-canvas", timeout=60 * SECONDS)
        self.page.wait_for_timeout(1500)  # the first workflow is loaded after the nodes
        return self

    def __exit__(self, *_):
        self._context.close()

    def _store_settings(self):
        """Put settings where the front end reads them when it starts."""
        Client(self.url).post("/settings", self._settings)

    # --- graphs -----------------------------------------------------------------------------------

    def js(self, script: str, argument: Any = None) -> Any:
        """What a function of the page's own language gives back."""
        return self.page.evaluate(script, argument)

    def load(self, workflow: dict):
        """Open a workflow, as a file would be."""
        self.js("workflow => app.loadGraphData(workflow)", workflow)
        self.settle()

    def settle(self):
        """Let the page draw."""
        self.page.wait_for_timeout(700)

    def nodes(self) -> list[dict]:
        """The nodes on the canvas: id, type, title, input and output types, errors."""
        return self.js(
            """() => app.graph.nodes.map(n => ({
                id: n.id, type: n.type, title: n.title, missing: !n.constructor.nodeData
                    && !['Note', 'MarkdownNote', 'Reroute', 'PrimitiveNode'].includes(n.type)
                    && !n.isSubgraphNode?.(),
                red: n.has_errors === true || (n.inputs ?? []).some(i => i.hasErrors),
                unlinked: (n.inputs ?? []).filter(i => i.link == null && !i.widget
                    && i.shape !== 7).map(i => i.name),
                images: (n.imgs ?? []).map(i => [i.naturalWidth, i.naturalHeight]),
                texts: (n.widgets ?? []).filter(w => w.name === '$$node-text-preview')
                    .map(w => w.value),
            }))"""
        )

    def set_values(self, values: dict[tuple[str, str], Any]):
        """Turn widgets, by node type and widget name; those not there stay.

        Those in subgraphs are turned where they are shown."""
        self.js(
            """values => {
                const boxes = app.graph.nodes.filter(n => n.isSubgraphNode?.());
                const shown = (box, node, name) => {
                    const link = node.inputs.find(i => i.widget?.name === name)?.link;
                    const slot = link != null && box?.subgraph.getLink(link)?.origin_slot;
                    return link == null ? null : box.inputs[slot].name; };
                const turn = (node, name, value) => {
                    for (const widget of (node.widgets ?? []).filter(w => w.name === name)) {
                        widget.value = value; widget.callback?.(value); } };
                for (const [type, name, value] of values)
                    for (const [box, nodes] of [[null, app.graph.nodes],
                            ...boxes.map(b => [b, b.subgraph.nodes])])
                        for (const node of nodes.filter(n => n.type === type)) {
                            const outside = box && shown(box, node, name);
                            if (outside) turn(box, outside, value);
                            else turn(node, name, value); } }""",
            [[*key, value] for key, value in values.items()],
        )

    def fit(self, types: list[str] | None = None, margin: int = 90):
        """Show the whole graph, or the nodes of some types as large as they fit."""
        self.js(
            """([types, margin]) => {
                const boxes = app.graph.nodes.filter(n => !types || types.includes(n.type))
                    .map(({ pos: [x, y], size: [w, h] }) => [x, y - 30, x + w, y + h]);
                if (!types) boxes.push(...app.graph.groups.map(g => [
                    g.pos[0], g.pos[1], g.pos[0] + g.size[0], g.pos[1] + g.size[1]]));
                const low = i => Math.min(...boxes.map(b => b[i]));
                const high = i => Math.max(...boxes.map(b => b[i]));
                const { clientWidth: w, clientHeight: h } = app.canvas.canvas;
                const scale = Math.min((w - 2 * margin) / (high(2) - low(0)),
                    (h - 2 * margin) / (high(3) - low(1)), 1.5);
                const ds = app.canvas.ds;
                ds.scale = scale;
                ds.offset[0] = w / 2 / scale - (low(0) + high(2)) / 2;
                ds.offset[1] = h / 2 / scale - (low(1) + high(3)) / 2;
                app.canvas.setDirty(true, true);
            }""",
            [types, margin],
        )
        self.settle()

    def screenshot(self, path: Path, **options) -> Path:
        """Keep a picture of the window."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(path), **options)
        return path

    # --- running ----------------------------------------------------------------------------------

    def queue(self):
        """Press the button that runs the workflow."""
        self.page.get_by_test_id("queue-button").first.click()

    def run(self, timeout: float = 300) -> str:
        """Run the workflow and wait for its end; return how it ended."""
        self.js(
            """() => { window.ended = null;
                const end = kind => ({ detail }) => (window.ended ??= [kind, detail]);
                for (const how of ['success', 'error', 'interrupted'])
                    app.api.addEventListener(`execution_${how}`, end(`execution_${how}`),
                        { once: true }); }"""
        )
        self.queue()
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if ended := self.js("() => window.ended && window.ended[0]"):
                self.settle()
                return ended
            if self.js("() => Object.keys(app.lastNodeErrors ?? {}).length > 0"):
                return "refused"
            self.page.wait_for_timeout(100)
        raise TimeoutError(f"the workflow did not end within {timeout:.0f} s")
