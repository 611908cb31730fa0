// The walk between two pictures of chapter 2. Python computes every stop (concepts.py); this file
// moves sliders, asks, and draws. It asks again only after an answer: see `waiting`.

const ZOOM = 3, SMALL = 2; // of the panels, and of the two pictures at the ends of the slider
const LENGTH = "22em"; // of a slider

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
  input.style.width = LENGTH;
  const text = document.createElement("span");
  text.textContent = label(value);
  input.addEventListener("input", () => (text.textContent = label(Number(input.value))));
  row.append(input, text);
  return { row, input };
}

/** A canvas for pixels, and how to put an image of 3 bytes a pixel on it. */
function screen(zoom) {
  const canvas = document.createElement("canvas");
  canvas.style.cssText = "image-rendering: pixelated; max-width: 100%; display: block";
  canvas.setAttribute("role", "img");
  const put = (view, height, width) => {
    const rgb = new Uint8Array(view.buffer, view.byteOffset);
    if (rgb.length < 3 * height * width) return false;
    const image = new ImageData(width, height);
    for (let i = 0; i < height * width; i++) {
      image.data.set([rgb[3 * i], rgb[3 * i + 1], rgb[3 * i + 2], 255], 4 * i);
    }
    Object.assign(canvas, { width, height });
    canvas.style.width = `${zoom * width}px`;
    canvas.getContext("2d").putImageData(image, 0, 0);
    return true;
  };
  return { canvas, put };
}

/** A picture with a line below it. */
function figure(canvas, text) {
  const box = document.createElement("figure"), line = document.createElement("figcaption");
  box.style.cssText = "margin: 0; font-size: 0.85em; text-align: center";
  line.textContent = text;
  box.append(canvas, line);
  return box;
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
  const { canvas, put } = screen(ZOOM), first = screen(SMALL), second = screen(SMALL);
  canvas.className = "panels";
  first.canvas.setAttribute("aria-label", say("the picture at the start of the walk"));
  second.canvas.setAttribute("aria-label", say("the picture at its end"));
  const words = document.createElement("div");
  words.className = "words";
  words.style.cssText = "display: flex; max-width: 100%; font-size: 0.85em; line-height: 1.3";

  const draw = () => {
    const { height, width, words: said } = model.get("shown");
    if (!put(model.get("panels"), height, width)) return;
    words.style.width = `${ZOOM * width}px`;
    const side = height, ends = model.get("ends"); // the two pictures, one after the other
    first.put(ends, side, side);
    second.put(new Uint8Array(ends.buffer, ends.byteOffset + 3 * side * side), side, side);
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
  const ends = document.createElement("div"); // the pictures, above the ends of the slider
  ends.style.cssText = `display: flex; justify-content: space-between; margin-top: 0.4em; max-width: ${LENGTH}`;
  ends.append(figure(first.canvas, "u = 0"), figure(second.canvas, "u = 1"));
  el.append(pair, ends, place.row, ...(model.get("repair") ? [back.row] : []), canvas, words);
  draw();
  return () => model.off("change:shown", answered);
}

export default { render };
