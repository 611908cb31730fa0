"""How long a slider's move takes, in Python and in the browser."""

import itertools
import shutil
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import Options, Row, interleaved, scaled
from book.ch02_concepts.walk_widget import LatentWalk
from book.ch04_4_schedule_lab import explorer, widget
from minildm.latent import LatentDiffusion

NAME = "widgets"
QUESTION = "How long does a reader wait for what a slider's move changes?"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
MOVES = 100  # of the slider, in the browser
SCRIPT = Path(explorer.__file__).with_name("schedule_explorer.js")
# The explorer as a notebook shows it, with a model that keeps its values in the page. Each move
# waits until the frame with its picture is on its way to the screen.
DRAG = """async ([source, values, moves]) => {
    const url = URL.createObjectURL(new Blob([source], {type: "text/javascript"}));
    const points = list => new DataView(new Float32Array(list).buffer);
    const state = {...values, clean: points(values.clean), noise: points(values.noise),
                   samples: points([])};
    const model = {get: key => state[key], set: (key, value) => { state[key] = value; },
                   save_changes() {}, on() {}, off() {}};
    (await import(url)).default.render({model, el: document.body});
    const slider = document.querySelector("input[name=T]");
    const frame = () => new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)));
    const seconds = [];
    await frame();
    for (let i = 1; i <= moves; i++) {
        const start = performance.now();
        slider.value = slider.max - i;
        slider.dispatchEvent(new Event("input"));
        await frame();
        seconds.push((performance.now() - start) / 1000);
    }
    return {seconds, latencies: document.body.explorer.latencies.map(ms => ms / 1000)};
}"""


def run(options: Options) -> dict:
    model = LatentDiffusion.load("shapes")
    walk, lead = LatentWalk(model), LatentWalk(model, repair=True)
    lab = widget.ScheduleExplorer()
    moves = itertools.count(1)

    def slide(walk: LatentWalk, back: float) -> None:
        i = next(moves)
        walk.wanted = {**walk.wanted, "u": i % 100 / 100, "back": back, "request": i}

    def press() -> None:
        lab.request = next(moves)

    calls = {
        "chapter 2: a stop of the walk": lambda: slide(walk, 0.0),
        "chapter 2: a stop, led back by the denoiser": lambda: slide(lead, 0.7),
        "chapter 4.4: 1,000 samples at a press of the button": press,
    }
    seconds = interleaved(calls, options)
    if not options.browser:
        return {"seconds": seconds, "notes": ["the browser was not asked for"]}
    found, note = in_browser(lab)
    return {"seconds": seconds, "browser": found, "notes": [note] if note else []}


def in_browser(lab: widget.ScheduleExplorer) -> tuple[dict[str, list[float]], str]:
    """Seconds from one picture of the schedule explorer to the next while a slider is dragged, and
    those that it notes itself from a move to its picture; or nothing, and why.
    """
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return {}, "frames per second were not measured: playwright is not installed"
    if path is None:
        return {}, "frames per second were not measured: there is no Chromium here"
    names = ("kind", "T", "first", "last", "zero_terminal", "own", "place", "sampler", "steps")
    values: dict[str, Any] = {name: getattr(lab, name) for name in (*names, "request", "figures")}
    for name in ("clean", "noise"):
        values[name] = torch.frombuffer(bytearray(getattr(lab, name)), dtype=torch.float32).tolist()
    with sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=path, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        found = page.evaluate(DRAG, [SCRIPT.read_text(encoding="utf-8"), values, MOVES])
        browser.close()
    return found, ""


def rows(result: dict) -> list[Row]:
    table = [Row(what, "ms", scaled(each, 1e3)) for what, each in result["seconds"].items()]
    found = result.get("browser")
    if found:
        rate = [1 / seconds for seconds in found["seconds"]]
        table += [
            Row("chapter 4.4 in Chromium, dragged", "frames/s", rate),
            Row("from a move to its picture", "ms", scaled(found["latencies"], 1e3)),
        ]
    return table
