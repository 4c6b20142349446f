// What the front end needs to know of this pack: the colours of its sockets, the size of its reports,
// the order of its templates, and that a node's text output is shown on the node.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

// Far from each other and from those of the front end's own types, in CIE Lab.
const COLOURS = {
  CLIP_DRIFT: "#CC33FF",
  ROTATION: "#00CC00",
  OPENCLIP: "#0066FF",
  TOKEN_MASK: "#669900",
  CLIP_DRIFT_LOOP: "#FF2200",
  FLOATS: "#009999",
  KANDINSKY22_PRIOR: "#FF0099",
};

// What a picture needs to be read, of nodes placed by hand: a loaded workflow brings its own sizes.
const SIZES = {
  ClipDriftReport: [440, 800],
  ClipDriftCompare: [440, 1000],
};

// Themes write "" for every type they do not know, whenever one is loaded: ours shows through.
function lendColour(table, type, colour) {
  let chosen = table[type];
  Object.defineProperty(table, type, {
    get: () => chosen || colour,
    set: (value) => (chosen = value),
    enumerable: true,
    configurable: true,
  });
}

// Vue nodes take their colours from CSS; a theme's own stands on the element and wins.
function addStyles() {
  const rules = Object.entries(COLOURS).map(([type, c]) => `--color-datatype-${type}: ${c};`);
  const style = document.createElement("style");
  style.textContent = `:root { ${rules.join(" ")} }`;
  document.head.append(style);
}

// The server lists templates as its disk does; ours are numbered.
function sortTemplates() {
  const ask = api.getWorkflowTemplates;
  api.getWorkflowTemplates = async function () {
    const found = await ask.apply(this, arguments);
    found[decodeURIComponent(folder)]?.sort();
    return found;
  };
}

// An animated picture is put in its place when the canvas is drawn after it has come, which nothing
// asks for as long as the mouse rests: till then it covers the window.
function redrawAfterRuns() {
  const redraw = () => app.canvas?.setDirty(true, true);
  api.addEventListener("execution_success", () => {
    for (let ms = 250; ms <= 10000; ms += 250) setTimeout(redraw, ms);
  });
}

const folder = new URL(import.meta.url).pathname.split("/").at(-2);

app.registerExtension({
  name: "ClipDrift",
  init() {
    sortTemplates();
    redrawAfterRuns();
  },
  setup() {
    addStyles();
    const tables = [app.canvas?.default_connection_color_byType, window.LGraphCanvas?.link_type_colors];
    for (const table of tables.filter(Boolean))
      for (const [type, colour] of Object.entries(COLOURS)) lendColour(table, type, colour);
  },
  beforeRegisterNodeDef(nodeType, { name, python_module }) {
    if (python_module !== `custom_nodes.${decodeURIComponent(folder)}`) return;
    const onNodeCreated = nodeType.prototype.onNodeCreated;
    nodeType.prototype.onNodeCreated = function () {
      onNodeCreated?.apply(this, arguments);
      if (SIZES[name]) this.setSize(SIZES[name]);
    };
    const onExecuted = nodeType.prototype.onExecuted;
    nodeType.prototype.onExecuted = function (output) {
      onExecuted?.apply(this, arguments);
      // The front end has a place for texts of running nodes; a finished one's stays there. Nodes
      // are looked up in the graph on view.
      if (output?.text && this.graph === app.canvas?.graph)
        api.dispatchCustomEvent("progress_text", {
          nodeId: String(this.id),
          text: output.text.join("\n"),
        });
    };
  },
});
