// The widgets of the book on a page without Python. The modules are the widgets' own, the same files
// as in JupyterLab; here a stand-in takes the place of the model that would talk to Python.

const here = new URL(".", import.meta.url);

/** What anywidget's model offers to a module. `answer` is called when the module saves a change. */
class StandIn {
  constructor(state, answer = () => {}) {
    this.state = state;
    this.answer = answer;
    this.listeners = new Map();
  }
  get(name) { return this.state[name]; }
  set(name, value) { this.state[name] = value; }
  save_changes() { this.answer(this); }
  on(event, listener) {
    this.listeners.set(event, [...(this.listeners.get(event) ?? []), listener]);
  }
  off(event, listener) {
    this.listeners.set(event, (this.listeners.get(event) ?? []).filter((one) => one !== listener));
  }
  tell(event) { for (const listener of this.listeners.get(event) ?? []) listener(); }
}

const data = async (name) => (await fetch(new URL(`widgets/${name}`, here))).json();
const module = async (name) => (await import(new URL(`widgets/${name}`, here))).default;

/** A text of this file in the page's language, with values for {0}, {1} .. */
const english = document.documentElement.lang.startsWith("en");
const messages = english ? {} : await (await fetch(new URL("messages.json", here))).json();
const say = (text, ...values) => (messages[text] ?? text).replace(/\{(\d+)\}/g, (_, k) => values[k]);

function note(el, text) {
  el.append(Object.assign(document.createElement("p"), { className: "book-note", textContent: text }));
}

async function scheduleExplorer(el, { kind, T }) {
  const clouds = await data("schedule_explorer.json");
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const model = new StandIn({
    kind, T, first: 1e-4, last: 0.02, place: 0.3, zero_terminal: false, own: [], sampler: "ddim",
    steps: 20, request: 0, samples: new Uint8Array(0), figures: {},
    clean: bytes(clouds.clean), noise: bytes(clouds.noise), messages,
  });
  (await module("schedule_explorer.js")).render({ model, el });
  el.querySelector("select[name=sampler]").closest("div").remove(); // samples are drawn by Python
  el.querySelectorAll("canvas")[1].remove();
  el.querySelector(".figures").remove();
  note(el, say("Samples from such a schedule are drawn by Python: run this chapter to see them."));
}

const nearest = (values, wanted) =>
  values.reduce((best, v, i) => (Math.abs(v - wanted) < Math.abs(values[best] - wanted) ? i : best), 0);

/** The pixels of each file, drawn once. */
function reader() {
  const drawn = new Map();
  return async (file) => {
    if (!drawn.has(file)) {
      const image = Object.assign(new Image(), { src: new URL(`widgets/${file}`, here).href });
      await image.decode();
      const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
      const ctx = canvas.getContext("2d", { willReadFrequently: true });
      ctx.drawImage(image, 0, 0);
      drawn.set(file, ctx);
    }
    return drawn.get(file);
  };
}

/** A part of a picture, 3 bytes a pixel. */
function rgb(ctx, x, y, width, height) {
  const { data: rgba } = ctx.getImageData(x, y, width, height);
  return Uint8Array.from({ length: 3 * width * height }, (_, i) => rgba[4 * Math.floor(i / 3) + (i % 3)]);
}

async function latentWalk(el, { repair }) {
  const all = await data("latent_walk.json");
  const grid = all[repair ? "repair" : "plain"];
  const read = reader();
  async function answer(model) {
    const { pair, u, back, request } = model.get("wanted");
    const ctx = await read(grid.files[pair]);
    const [row, column] = [nearest(grid.u, u), nearest(grid.back, back)];
    const width = ctx.canvas.width / grid.back.length, height = ctx.canvas.height / grid.u.length;
    model.set("panels", rgb(ctx, column * width, row * height, width, height));
    // Where pixels are mixed, in the first panel, the walk begins and ends with the two pictures.
    const [first, last] = [0, grid.u.length - 1].map((k) => rgb(ctx, 0, k * height, height, height));
    model.set("ends", Uint8Array.of(...first, ...last));
    const words = grid.words[pair][row][column].map((text) => say(text));
    model.set("shown", { height, width, words, request });
    model.tell("change:shown");
  }
  const wanted = { pair: all.names[0], u: 0.5, back: repair ? 0.75 : 0, request: 0 };
  const model = new StandIn({ names: all.names, repair, wanted, shown: {}, panels: null, ends: null, messages }, answer);
  await answer(model);
  (await module("latent_walk.js")).render({ model, el });
  el.querySelector("input[name=u]").step = grid.u[1];
  if (repair) el.querySelector("input[name=back]").step = grid.back[1];
}

const TWINS = { "schedule-explorer": scheduleExplorer, "latent-walk": latentWalk };

for (const el of document.querySelectorAll(".book-widget")) {
  TWINS[el.dataset.widget](el, JSON.parse(el.dataset.options)).catch((error) => {
    note(el, say("This widget could not be loaded ({0}); the picture near it shows the same.", error.message));
  });
}

// What a keyboard must reach: boxes that scroll sideways.
for (const box of document.querySelectorAll("div.math, div.highlight pre, .pst-scrollable-table-container")) {
  if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
}
