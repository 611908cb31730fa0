// The schedule explorer of chapter 4.4, drawn in the browser: no call to Python while a slider moves.
//
// betas, zeroTerminal and tables are those of minildm/schedule.py; tests/book/test_explorer.py compares
// them number by number. Sampling is not done here: Python does it with the book's own samplers.

export const KINDS = ["linear", "scaled linear", "cosine", "sigmoid", "ramp", "your own"];

// --- mathematics -------------------------------------------------------------------------------

const between = (first, last, i, T) => (T === 1 ? first : first + ((last - first) * i) / (T - 1));

/** beta_1 .. beta_T of a kind. `own`: the betas of "your own". */
export function betas(kind, T, first, last, own = []) {
  if (kind === "your own") return Float64Array.from(own);
  const make = {
    linear: (i) => between(first, last, i, T),
    "scaled linear": (i) => between(Math.sqrt(first), Math.sqrt(last), i, T) ** 2,
    sigmoid: (i) => first + (last - first) / (1 + Math.exp(-between(-6, 6, i, T))),
    ramp: (i) => (i + 1) / T,
    cosine: (i) => {
      const step = Math.PI / 2 / (T * 1.008); // s = 0.008, as in schedule.py
      const left = step * (T - i);
      const right = step * (T - i - 1);
      return Math.min((Math.sin(step) * Math.sin(left + right)) / Math.sin(left) ** 2, 0.999);
    },
  }[kind];
  return Float64Array.from({ length: T }, (_, i) => make(i));
}

/** Rescaled so that no signal is left at T (Lin et al. 2023, algorithm 1). */
export function zeroTerminal(b) {
  const T = b.length;
  const lost = b.map((x) => x / (1 + Math.sqrt(1 - x)));
  const above = new Float64Array(T + 1);
  for (let i = T - 1; i >= 0; i--) above[i] = lost[i] + Math.sqrt(1 - b[i]) * above[i + 1];
  const out = lost.map((x, i) => Math.min((x / above[i]) * (2 - x / above[i]), 1 - 2 ** -53));
  out[0] = b[0];
  out[T - 1] = 1;
  return out;
}

/** Tables of T + 1 entries, entry 0 is clean data: alphaBar, snr, share = sigma_t^2 / beta_t. */
export function tables(b) {
  const T = b.length;
  const alphaBar = new Float64Array(T + 1);
  const noise2 = new Float64Array(T + 1);
  const snr = new Float64Array(T + 1);
  const share = new Float64Array(T + 1);
  let log = 0;
  for (let t = 0; t <= T; t++) {
    if (t > 0) log += Math.log1p(-b[t - 1]);
    alphaBar[t] = Math.exp(log);
    noise2[t] = -Math.expm1(log);
    snr[t] = alphaBar[t] / noise2[t];
    share[t] = t > 0 ? noise2[t - 1] / noise2[t] : 0;
  }
  return { T, alphaBar, noise2, snr, share };
}

/** The three gauges: amplitude left at T, SNR_T, share of steps with SNR between 0.1 and 10. */
export function gauges({ T, alphaBar, snr }) {
  let useful = 0;
  for (let t = 1; t <= T; t++) if (snr[t] >= 0.1 && snr[t] <= 10) useful += 1;
  return { left: Math.sqrt(alphaBar[T]), last: snr[T], useful: useful / T };
}

// --- drawing -----------------------------------------------------------------------------------

const BLUE = "#0072B2", RED = "#D55E00", GREEN = "#009E73", SKY = "#56B4E9", GREY = "#6b6b6b";
const WIDTH = 760, HEIGHT = 250, PAD = 34;

function frame(ctx, x, y, w, h, title, bottom) {
  ctx.strokeStyle = "#c8c8c8";
  ctx.strokeRect(x, y, w, h);
  ctx.fillStyle = "#303030";
  ctx.font = "12px sans-serif";
  ctx.textAlign = "left";
  ctx.fillText(title, x, y - 7);
  ctx.textAlign = "center";
  ctx.fillText(bottom, x + w / 2, y + h + 15);
}

function curve(ctx, x, y, w, h, values, toUnit, colour, dash = []) {
  const T = values.length - 1;
  ctx.strokeStyle = colour;
  ctx.lineWidth = 1.8;
  ctx.setLineDash(dash);
  ctx.beginPath();
  const stride = Math.max(1, T / (2 * w)); // two points per pixel are enough
  for (let k = 0; ; k++) {
    const t = Math.min(T, Math.round(k * stride));
    const u = Math.min(1, Math.max(0, toUnit(values[t])));
    ctx.lineTo(x + (w * t) / T, y + h * (1 - u));
    if (t === T) break;
  }
  ctx.stroke();
  ctx.setLineDash([]);
  ctx.lineWidth = 1;
}

function dots(ctx, x, y, w, points, colour, reach) {
  ctx.fillStyle = colour;
  for (let i = 0; i + 1 < points.length; i += 2) {
    const u = (points[i] / reach + 1) / 2, v = (1 - points[i + 1] / reach) / 2;
    if (u > 0 && u < 1 && v > 0 && v < 1) ctx.fillRect(x + w * u - 1, y + w * v - 1, 2, 2);
  }
}

function marker(ctx, x, y, h) {
  ctx.strokeStyle = GREY;
  ctx.setLineDash([2, 3]);
  ctx.beginPath();
  ctx.moveTo(x, y);
  ctx.lineTo(x, y + h);
  ctx.stroke();
  ctx.setLineDash([]);
}

/** The whole upper picture: two panels of curves, and the cloud at time t. */
export function paint(ctx, table, t, clean, noise, buffer, say) {
  ctx.fillStyle = "#ffffff";
  ctx.fillRect(0, 0, WIDTH, HEIGHT);
  const w = 240, h = HEIGHT - 2 * PAD, side = h;
  const first = 12, second = first + w + 28, third = second + w + 34;
  frame(ctx, first, PAD, w, h, "", `t = 0 .. ${table.T}`);
  ctx.textAlign = "left";
  [["alpha_bar", BLUE], ["\u03C3\u00B2/\u03B2", RED]].forEach(([name, colour], k) => {
    ctx.fillStyle = colour;
    ctx.fillText(name, first + 90 * k, PAD - 7);
  });
  curve(ctx, first, PAD, w, h, table.alphaBar, (v) => v, BLUE);
  curve(ctx, first, PAD, w, h, table.share, (v) => v, RED, [6, 3]);
  marker(ctx, first + (w * t) / table.T, PAD, h);
  frame(ctx, second, PAD, w, h, say("log10 SNR, from -6 to 6; grey: 0.1 to 10"), `t = 0 .. ${table.T}`);
  ctx.fillStyle = "#ececec";
  ctx.fillRect(second + 1, PAD + (h * 5) / 12, w - 2, h / 6);
  curve(ctx, second, PAD, w, h, table.snr, (v) => (Math.log10(v) + 6) / 12, GREEN, [8, 3, 2, 3]);
  marker(ctx, second + (w * t) / table.T, PAD, h);
  const a = Math.sqrt(table.alphaBar[t]), b = Math.sqrt(table.noise2[t]);
  for (let i = 0; i < clean.length; i++) buffer[i] = a * clean[i] + b * noise[i];
  frame(ctx, third, PAD, side, side, say("z_t at t = {0}", t), say("signal {0}, noise {1}", a.toFixed(3), b.toFixed(3)));
  dots(ctx, third, PAD, side, buffer, SKY, 3.2);
}

function paintSamples(ctx, truth, samples, title, say) {
  ctx.fillStyle = "#ffffff";
  ctx.fillRect(0, 0, WIDTH, HEIGHT);
  const side = HEIGHT - 2 * PAD;
  frame(ctx, 12, PAD, side, side, say("data"), "");
  dots(ctx, 12, PAD, side, truth, GREY, 3.2);
  frame(ctx, 40 + side, PAD, side, side, title, "");
  dots(ctx, 40 + side, PAD, side, samples, BLUE, 3.2);
}

// --- the widget --------------------------------------------------------------------------------

/** A text in the reader's language, if Python (or the page) has given words for it. */
const speaker = (model) => (text, ...values) =>
  ((model.get("messages") ?? {})[text] ?? text).replace(/\{(\d+)\}/g, (_, k) => values[k]);

const floats = (view) => new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
const SLIDERS = {
  // name: [label, from slider position 0..1000 to value, back]
  T: ["T", (u) => Math.round(10 ** (1 + (2 * u) / 1000)), (v) => 500 * (Math.log10(v) - 1)],
  first: ["first beta", (u) => 10 ** (-5 + (4 * u) / 1000), (v) => 250 * (Math.log10(v) + 5)],
  last: ["last beta", (u) => 10 ** (-3 + (2.9957 * u) / 1000), (v) => (1000 / 2.9957) * (Math.log10(v) + 3)],
  place: ["t / T", (u) => u / 1000, (v) => 1000 * v],
};

// What stands in tables here is looked up, too: say("first beta"), say("last beta"), say("sampler"),
// say("steps"), say("linear"), say("scaled linear"), say("cosine"), say("sigmoid"), say("ramp"),
// say("your own").

function control(label, input) {
  const line = document.createElement("label");
  line.style.cssText = "display:flex;gap:8px;align-items:center;margin:2px 0;font:13px sans-serif";
  const name = document.createElement("span");
  name.style.width = "90px";
  name.textContent = label;
  const value = document.createElement("output");
  value.style.width = "90px";
  line.append(name, input, value);
  return [line, value];
}

function choice(model, name, options, say) {
  const input = document.createElement("select");
  input.name = name;
  options.forEach((o) => input.add(new Option(say(`${o}`), o)));
  input.value = model.get(name);
  return input;
}

function render({ model, el }) {
  const clean = floats(model.get("clean")), noise = floats(model.get("noise"));
  const buffer = new Float32Array(clean.length), say = speaker(model);
  const state = Object.fromEntries(
    ["kind", "T", "first", "last", "place", "zero_terminal"].map((k) => [k, model.get(k)]));
  const kinds = KINDS.filter((k) => k !== "your own" || model.get("own").length > 0);
  const canvas = document.createElement("canvas"), lower = document.createElement("canvas");
  for (const c of [canvas, lower]) {
    c.width = WIDTH;
    c.height = HEIGHT;
    c.setAttribute("role", "img");
    c.style.maxWidth = "100%";
  }
  const ctx = canvas.getContext("2d"), lowerCtx = lower.getContext("2d");
  const gauge = document.createElement("p"), told = document.createElement("p");
  gauge.className = "gauges";
  told.className = "figures";
  for (const p of [gauge, told]) p.style.cssText = "font:13px sans-serif;margin:4px 0";
  const outputs = {};

  function draw() {
    const raw = betas(state.kind, state.T, state.first, state.last, model.get("own"));
    const table = tables(state.zero_terminal ? zeroTerminal(raw) : raw);
    const t = Math.round(state.place * table.T), g = gauges(table);
    paint(ctx, table, t, clean, noise, buffer, say);
    outputs.T.textContent = table.T;
    outputs.first.textContent = state.first.toPrecision(3);
    outputs.last.textContent = state.last.toPrecision(3);
    outputs.place.textContent = `t = ${t}`;
    gauge.textContent = [
      say("signal left at T: {0}", g.left.toPrecision(3)), say("SNR at T: {0}", g.last.toPrecision(3)),
      say("steps with SNR between 0.1 and 10: {0} %", Math.round(100 * g.useful)),
    ].join(" \u00B7 ");
    canvas.setAttribute("aria-label", say("Schedule {0}, {1} steps. {2}. Cloud at t = {3}.",
      say(state.kind), table.T, gauge.textContent, t));
  }

  // One paint per animation frame, whatever the number of events; times are kept for the tests.
  const latencies = [];
  let since = null;
  function moved(event) {
    if (since === null) {
      since = event ? event.timeStamp : performance.now();
      requestAnimationFrame(() => {
        draw();
        const began = since;
        since = null;
        const after = new MessageChannel(); // runs when the frame is on its way to the screen
        after.port1.onmessage = () => latencies.push(performance.now() - began);
        after.port2.postMessage(0);
      });
    }
  }
  function tell() {
    for (const [key, value] of Object.entries(state)) model.set(key, value);
    model.save_changes();
  }
  function asked() {
    told.textContent = say("sampling ...");
    model.set("request", model.get("request") + 1);
    model.save_changes();
  }

  const controls = document.createElement("div");
  const kind = choice(model, "kind", kinds, say);
  kind.addEventListener("change", (e) => { state.kind = kind.value; moved(e); tell(); });
  controls.append(control(say("kind"), kind)[0]);
  for (const [key, [label, toValue, back]] of Object.entries(SLIDERS)) {
    const input = Object.assign(document.createElement("input"), { type: "range", min: 0, max: 1000, name: key });
    input.style.width = "320px";
    input.value = back(state[key]);
    input.addEventListener("input", (e) => { state[key] = toValue(+input.value); moved(e); });
    input.addEventListener("change", tell);
    const [line, value] = control(say(label), input);
    outputs[key] = value;
    controls.append(line);
  }
  const zero = Object.assign(document.createElement("input"), { type: "checkbox", name: "zero_terminal" });
  zero.checked = state.zero_terminal;
  zero.addEventListener("change", (e) => { state.zero_terminal = zero.checked; moved(e); tell(); });
  controls.append(control(say("zero SNR at T"), zero)[0]);

  const lowerControls = document.createElement("div");
  for (const [name, options] of [["sampler", ["ddpm", "ddim", "heun", "dpmpp_2m"]], ["steps", [1, 2, 5, 10, 20, 50]]]) {
    const input = choice(model, name, options, say);
    input.addEventListener("change", () => { model.set(name, name === "steps" ? +input.value : input.value); model.save_changes(); });
    lowerControls.append(control(say(name), input)[0]);
  }
  const button = document.createElement("button");
  button.textContent = say("draw samples");
  button.addEventListener("click", () => { tell(); asked(); });
  lowerControls.append(button);

  function shown() {
    const samples = floats(model.get("samples"));
    if (samples.length === 0) return;
    const f = model.get("figures");
    const title = say("{0} samples: {1}, {2} steps", f.samples, f.sampler, f.steps);
    paintSamples(lowerCtx, clean, samples, title, say);
    told.textContent = f.text;
    lower.setAttribute("aria-label", `${title}. ${f.text}`);
  }
  model.on("change:figures", shown);
  model.on("change:request", () => { told.textContent = say("sampling ..."); });
  // The arrow keys belong to the sliders, not to JupyterLab's notebook.
  el.dataset.lmSuppressShortcuts = "true";
  el.addEventListener("keydown", (event) => event.stopPropagation());
  el.append(controls, canvas, gauge, lowerControls, lower, told);
  el.explorer = { latencies };
  draw();
  paintSamples(lowerCtx, clean, [], say("no samples yet"), say);
  shown();
}

export default { render };
