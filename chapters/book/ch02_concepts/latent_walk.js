// The walk between two pictures of chapter 2. Python computes every stop (concepts.py); this file
// moves sliders, asks, and draws. It asks again only after an answer: see `waiting`.

const ZOOM = 3; // a whole number: each pixel as large as the next

/** A text in the reader's language, if Python (or the page) has given words for it. */
const speaker = (model) => (text, ...values) =>
  ((model.get("messages") ?? {})[text] ?? text).replace(/\{(\d+)\}/g, (_, k) => values[k]);

// The pairs, by the names that Python gives them: say("everything differs"), say("another colour"),
// say("another place").

function slider(name, label, value, max, step) {
  const row = document.createElement("label");
  row.style.cssText = "display: flex; gap: 0.6em; align-items: center; margin: 0.2em 0";
  const input = Object.assign(document.createElement("input"), { type: "range", name });
  Object.assign(input, { min: 0, max, step, value });
  input.style.width = "22em";
  const text = document.createElement("span");
  text.textContent = label(value);
  input.addEventListener("input", () => (text.textContent = label(Number(input.value))));
  row.append(input, text);
  return { row, input };
}

function render({ model, el }) {
  const start = model.get("wanted"), say = speaker(model);
  const pair = document.createElement("select");
  pair.name = "pair";
  pair.setAttribute("aria-label", say("which two pictures"));
  for (const name of model.get("names")) pair.add(new Option(say(name), name, false, name === start.pair));
  const place = slider("u", (u) => say("u = {0}, {1} % of the way", u.toFixed(2), Math.round(100 * u)), start.u, 1, 0.01);
  const back = slider(
    "back", (b) => (b > 0 ? say("noise up to {0} % of T, and back", (100 * b).toFixed(0)) : say("no noise")),
    start.back, 1, 0.05,
  );
  const canvas = document.createElement("canvas");
  canvas.style.cssText = "image-rendering: pixelated; max-width: 100%; display: block";
  const words = document.createElement("div");
  words.className = "words";
  words.style.cssText = "display: flex; max-width: 100%; font-size: 0.85em; line-height: 1.3";

  const draw = () => {
    const { height, width, words: said } = model.get("shown");
    const rgb = new Uint8Array(model.get("panels").buffer, model.get("panels").byteOffset);
    if (rgb.length < 3 * height * width) return;
    const image = new ImageData(width, height);
    for (let i = 0; i < height * width; i++) {
      image.data.set([rgb[3 * i], rgb[3 * i + 1], rgb[3 * i + 2], 255], 4 * i);
    }
    Object.assign(canvas, { width, height });
    canvas.style.width = words.style.width = `${ZOOM * width}px`;
    canvas.getContext("2d").putImageData(image, 0, 0);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `u = ${place.input.value}. ${said.join("; ")}`);
    words.replaceChildren(
      ...said.map((text) => {
        const span = Object.assign(document.createElement("span"), { textContent: text });
        span.style.cssText = `flex: 1; padding-right: 0.6em`;
        return span;
      }),
    );
  };

  let request = start.request;
  let waiting = false;
  let stale = false;
  const ask = () => {
    if (waiting) {
      stale = true;
      return;
    }
    waiting = true;
    request += 1;
    const [u, b] = [Number(place.input.value), Number(back.input.value)];
    model.set("wanted", { pair: pair.value, u, back: model.get("repair") ? b : 0, request });
    model.save_changes();
  };
  const answered = () => {
    draw();
    if (model.get("shown").request !== request) return;
    waiting = false;
    if (stale) {
      stale = false;
      ask();
    }
  };

  model.on("change:shown", answered);
  pair.addEventListener("change", ask);
  for (const { input } of [place, back]) input.addEventListener("input", ask);
  // JupyterLab takes arrow keys for itself, unless they end here
  el.addEventListener("keydown", (event) => event.stopPropagation());
  el.append(pair, place.row, ...(model.get("repair") ? [back.row] : []), canvas, words);
  draw();
  return () => model.off("change:shown", answered);
}

export default { render };
