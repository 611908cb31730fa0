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

const BLUE = "#0072B2", RED = "#D55E00", GREEN = "#009E73", SKY = "#56B4E9";
const GREY = "#6b6b6b", PALE = "#b4b4b4";
const WIDTH = 760, HEIGHT = 250, PAD = 34, LEFT = 30; // LEFT: room for the numbers of an axis
const REACH = 3.2; // a cloud is shown from -REACH to REACH

/** Numbers along the left side and the bottom: [[value as text, place from 0 to 1], ...]. */
function ticks(ctx, x, y, w, h, sides, bottoms) {
  ctx.fillStyle = "#505050";
  ctx.font = "11px sans-serif";
  ctx.textAlign = "right";
  for (const [text, u] of sides) {
    ctx.fillRect(x - 4, y + h * (1 - u) - 0.5, 4, 1);
    ctx.fillText(text, x - 6, y + h * (1 - u) + 4);
  }
  ctx.textAlign = "center";
  for (const [text, u] of bottoms) {
    ctx.fillRect(x + w * u - 0.5, y + h, 1, 4);
    ctx.fillText(text, x + w * u, y + h + 15);
  }
}

const steps = (T) => [0, Math.round(T / 2), T].map((t) => [`${t}`, t / T]);
const units = [-3, 0, 3].map((v) => [`${v}`, (v / REACH + 1) / 2]);

function frame(ctx, x, y, w, h, title, bottom) {
  ctx.strokeStyle = "#c8c8c8";
  ctx.strokeRect(x, y, w, h);
  ctx.fillStyle = "#303030";
  ctx.font = "12px sans-serif";
  ctx.textAlign = "left";
  ctx.fillText(title, x, y - 7);
  ctx.textAlign = "center";
  ctx.fillText(bottom, x + w / 2, y + h + 29);
}

function curve(ctx, x, y, w, h, values, toUnit, colour, dash = []) {
  const T = values.length - 1;
  ctx.strokeStyle = colour;
  ctx.lineWidth = colour === PALE ? 1.4 : 1.8;
  ctx.setLineDash(dash);
  ctx.beginPath();
  ctx.save();
  ctx.rect(x, y, w, h); // what lies outside is not drawn: a floor would look like a value
  ctx.clip();
  ctx.beginPath();
  const stride = Math.max(1, T / (2 * w)); // two points per pixel are enough
  for (let k = 0; ; k++) {
    const t = Math.min(T, Math.round(k * stride));
    const u = Math.min(9, Math.max(-9, toUnit(values[t])));
    ctx.lineTo(x + (w * t) / T, y + h * (1 - u));
    if (t === T) break;
  }
  ctx.stroke();
  ctx.restore();
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
  ctx.fillStyle = GREY;
  for (let v = 0; v < h; v += 5) ctx.fillRect(x - 0.5, y + v, 1, 2);
}
/** The upper picture: two panels of curves, and the cloud at time t. `old`: curves to compare with. */
export function paint(ctx, table, old, t, clean, noise, buffer, say) {
  ctx.fillStyle = "#ffffff";
  ctx.fillRect(0, 0, WIDTH, HEIGHT);
  const w = 200, h = HEIGHT - 2 * PAD - 4, side = h;
  const first = LEFT, second = first + w + 46, third = second + w + 46;
  frame(ctx, first, PAD, w, h, "", say("step t"));
  ticks(ctx, first, PAD, w, h, [["0", 0], ["0.5", 0.5], ["1", 1]], steps(table.T));
  ctx.textAlign = "left";
  [[say("{0}, solid", "\u1FB1"), BLUE], [say("{0}, dashed", "\u03C3\u00B2/\u03B2"), RED]].forEach(([name, colour], k) => {
    ctx.fillStyle = colour;
    ctx.fillText(name, first + 90 * k, PAD - 7);
  });
  const same = (v) => v, decades = (v) => (Math.log10(v) + 6) / 12;
  if (old) {
    curve(ctx, first, PAD, w, h, old.alphaBar, same, PALE);
    curve(ctx, first, PAD, w, h, old.share, same, PALE, [6, 3]);
  }
  curve(ctx, first, PAD, w, h, table.alphaBar, same, BLUE);
  curve(ctx, first, PAD, w, h, table.share, same, RED, [6, 3]);
  marker(ctx, first + (w * t) / table.T, PAD, h);
  frame(ctx, second, PAD, w, h, say("SNR; grey: from 0.1 to 10"), say("step t"));
  const powers = [["10\u207B\u2076", 0], ["10\u207B\u00B3", 0.25], ["1", 0.5], ["10\u00B3", 0.75], ["10\u2076", 1]];
  ticks(ctx, second, PAD, w, h, powers, steps(table.T));
  ctx.fillStyle = "#ececec";
  ctx.fillRect(second + 1, PAD + (h * 5) / 12, w - 2, h / 6);
  if (old) curve(ctx, second, PAD, w, h, old.snr, decades, PALE, [8, 3, 2, 3]);
  curve(ctx, second, PAD, w, h, table.snr, decades, GREEN, [8, 3, 2, 3]);
  marker(ctx, second + (w * t) / table.T, PAD, h);
  const a = Math.sqrt(table.alphaBar[t]), b = Math.sqrt(table.noise2[t]);
  for (let i = 0; i < clean.length; i++) buffer[i] = a * clean[i] + b * noise[i];
  frame(ctx, third, PAD, side, side, say("z_t at t = {0}", t), say("signal {0}, noise {1}", a.toFixed(3), b.toFixed(3)));
  ticks(ctx, third, PAD, side, side, units, units);
  dots(ctx, third, PAD, side, buffer, SKY, REACH);
}

/** The data, and samples beside it; `stale`: of other settings than those above, so they turn pale. */
function paintSamples(ctx, truth, samples, title, say, stale = false) {
  ctx.fillStyle = "#ffffff";
  ctx.fillRect(0, 0, WIDTH, HEIGHT);
  const side = HEIGHT - 2 * PAD - 4, second = LEFT + side + 46;
  frame(ctx, LEFT, PAD, side, side, say("data"), "");
  ticks(ctx, LEFT, PAD, side, side, units, units);
  dots(ctx, LEFT, PAD, side, truth, GREY, REACH);
  frame(ctx, second, PAD, side, side, title, "");
  ticks(ctx, second, PAD, side, side, units, units);
  dots(ctx, second, PAD, side, samples, stale ? PALE : BLUE, REACH);
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
  const sharp = window.devicePixelRatio || 1; // as many points as the screen has
  for (const c of [canvas, lower]) {
    c.width = WIDTH * sharp;
    c.height = HEIGHT * sharp;
    c.setAttribute("role", "img");
    c.style.cssText = `width: ${WIDTH}px; max-width: 100%; display: block`;
    c.getContext("2d").scale(sharp, sharp);
  }
  const ctx = canvas.getContext("2d"), lowerCtx = lower.getContext("2d");
  const [gauge, pale, told] = ["gauges", "pale", "figures"].map((name) => {
    const line = Object.assign(document.createElement("p"), { className: name });
    line.style.cssText = "font:13px sans-serif;margin:4px 0;min-height:1.3em";
    return line;
  });
  const outputs = {};
  const start = { ...state }; // where the sliders stood at first
  let kept = { ...state }; // what the pale curves belong to
  function computed(settings) {
    const raw = betas(settings.kind, settings.T, settings.first, settings.last, model.get("own"));
    return tables(settings.zero_terminal ? zeroTerminal(raw) : raw);
  }
  function draw() {
    const table = computed(state);
    const t = Math.round(state.place * table.T), g = gauges(table);
    const other = schedule(kept) !== schedule();
    paint(ctx, table, other ? computed(kept) : null, t, clean, noise, buffer, say);
    pale.textContent = other ? say("Pale curves, along t / T: {0}", schedule(kept)) : "";
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
    if (drawn && (schedule() !== drawn) !== stale) {
      stale = !stale;
      shown();
    }
  }

  // Samples belong to the schedule that they were drawn with.
  let drawn = null, asking = null, stale = false;
  function schedule(settings = state) {
    const { kind, first, last, zero_terminal } = settings;
    const ends = ["cosine", "ramp", "your own"].includes(kind) ? "" :
      `, ${say("{0} to {1}", first.toPrecision(3), last.toPrecision(3))}`;
    const T = kind === "your own" ? model.get("own").length : settings.T;
    const zero = zero_terminal ? `, ${say("zero SNR at T")}` : "";
    return `${say(kind)}, T = ${T}${ends}${zero}`;
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
    asking = schedule();
    model.set("request", model.get("request") + 1);
    model.save_changes();
  }

  const controls = document.createElement("div"), inputs = {};
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
    [outputs[key], inputs[key]] = [value, input];
    controls.append(line);
  }
  const zero = Object.assign(document.createElement("input"), { type: "checkbox", name: "zero_terminal" });
  zero.checked = state.zero_terminal;
  zero.addEventListener("change", (e) => { state.zero_terminal = zero.checked; moved(e); tell(); });
  controls.append(control(say("zero SNR at T"), zero)[0]);

  function press(name, text, action) {
    const button = Object.assign(document.createElement("button"), { name, textContent: text });
    button.style.marginRight = "8px";
    button.addEventListener("click", action);
    return button;
  }
  const keep = press("keep", say("keep these curves"), (e) => { kept = { ...state }; moved(e); });
  const reset = press("reset", say("back to the start"), (e) => {
    Object.assign(state, start);
    kept = { ...start };
    [kind.value, zero.checked] = [state.kind, state.zero_terminal];
    for (const [key, [, , back]] of Object.entries(SLIDERS)) inputs[key].value = back(state[key]);
    moved(e);
    tell();
  });
  controls.append(keep, reset);

  const lowerControls = document.createElement("div");
  for (const [name, options] of [["sampler", ["ddpm", "ddim", "heun", "dpmpp_2m"]], ["steps", [1, 2, 5, 10, 20, 50]]]) {
    const input = choice(model, name, options, say);
    input.addEventListener("change", () => { model.set(name, name === "steps" ? +input.value : input.value); model.save_changes(); });
    lowerControls.append(control(say(name), input)[0]);
  }
  lowerControls.append(press("samples", say("draw samples"), () => { tell(); asked(); }));

  function shown() {
    const samples = floats(model.get("samples"));
    if (samples.length === 0) return;
    const f = model.get("figures");
    const title = `${say("{0} samples: {1}, {2} steps", f.samples, f.sampler, f.steps)}; ${drawn}`;
    paintSamples(lowerCtx, clean, samples, title, say, stale);
    const old = stale ? say("Drawn with another schedule ({0}): draw again for the one above.", drawn) : "";
    told.textContent = `${old} ${f.text}`.trim();
    lower.setAttribute("aria-label", `${title}. ${told.textContent}`);
  }
  function arrived() {
    drawn = asking ?? schedule(); // there from the start: of the settings that it started with
    stale = schedule() !== drawn;
    shown();
  }
  model.on("change:figures", arrived);
  model.on("change:request", () => { told.textContent = say("sampling ..."); });
  // The arrow keys belong to the sliders, not to JupyterLab's notebook.
  el.dataset.lmSuppressShortcuts = "true";
  el.addEventListener("keydown", (event) => event.stopPropagation());
  el.append(controls, canvas, gauge, pale, lowerControls, lower, told);
  el.explorer = { latencies };
  draw();
  paintSamples(lowerCtx, clean, [], say("no samples yet"), say);
  lower.setAttribute("aria-label", say("The data; no samples yet"));
  arrived();
}

export default { render };
