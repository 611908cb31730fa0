"""The book in a real browser: JupyterLab as `make lab` starts it, opened and run in Chromium.

    make browser-test

Skipped where Chromium or playwright is missing. The notebooks are copied first, because JupyterLab
saves what it runs.
"""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request

import nbformat
import pytest
from book_rules import BOOK, KERNELSPEC
from lab import first_page, lab_command

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},  # all cells in the page, for counting
}
ALT = "A straight line rises from 0 to 1."
SMALL = f"""
from matplotlib import pyplot as plt
from minildm.display import show
fig, ax = plt.subplots(figsize=(3, 2))
ax.plot([0, 1])
show(fig, alt="{ALT}")
"""

READY = "window.jupyterapp.shell.currentWidget?.sessionContext?.kernelDisplayStatus === 'idle'"
START = """async () => {
    const run = name => window.jupyterapp.commands.execute('notebook:' + name);
    await run('clear-all-cell-outputs');
    run('run-all-cells');    // not awaited: the test looks in from time to time
}"""
PROGRESS = """() => {
    const panel = window.jupyterapp.shell.currentWidget;
    const code = panel.content.widgets.filter(
        cell => cell.model.type === 'code' && cell.model.sharedModel.getSource().trim());
    return {
        cells: code.length,
        done: code.filter(cell => cell.model.executionCount !== null).length,
        busy: panel.sessionContext.kernelDisplayStatus !== 'idle',
        errors: code.flatMap(cell => cell.model.outputs.toJSON())
            .filter(output => output.output_type === 'error')
            .map(output => `${output.ename}: ${output.evalue}`),
    };
}"""
PICTURES = """() => Array.from(document.querySelectorAll('.jp-OutputArea-output img'))
    .map(img => ({alt: img.getAttribute('alt'), width: img.naturalWidth}))"""


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def wait_for(condition, seconds, what):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.5)
    raise TimeoutError(f"{what}: not within {seconds} s")


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return reply.status == 200
    except OSError:
        return False


@pytest.fixture
def lab(tmp_path):
    """A function that starts JupyterLab on a folder like the book's and gives its address."""
    for name, values in SETTINGS.items():
        path = tmp_path / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    folders = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    }
    environment = os.environ | {name: str(tmp_path / folder) for name, folder in folders.items()}
    environment["OMP_NUM_THREADS"] = "1"  # the browser and the test need a core too
    servers = []

    def start(book):
        port = free_port()
        extra = ["--no-browser", "--expose-app-in-browser", f"--ServerApp.port={port}"]
        extra += ["--IdentityProvider.token=", "--ServerApp.port_retries=0"]
        log = (tmp_path / "lab.log").open("w")
        command = lab_command(book, extra)
        servers.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: answers(f"{url}/api"), 60, "JupyterLab starts")
        return url

    yield start
    for server in servers:
        server.terminate()
        server.wait(30)


@pytest.fixture
def page(tmp_path):
    with playwright.sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        yield page
        page.screenshot(path=tmp_path / "page.png")
        browser.close()


def open_and_run(page, url, seconds):
    """Open the address that `make lab` shows, run all cells there, and return what was drawn."""
    page.goto(url)  # the start page leads to the book's first page
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
    page.wait_for_function(READY, timeout=60_000)
    page.evaluate(START)

    def finished():
        state = page.evaluate(PROGRESS)
        if state["errors"]:
            return state
        return state if state["done"] == state["cells"] and not state["busy"] else None

    state = wait_for(finished, seconds, "all cells run")
    assert state["errors"] == []
    assert page.locator(".jp-mod-error").count() == 0
    assert state["cells"] > 0
    return page.evaluate(PICTURES)


def test_a_figure_shows_its_alternative_text_while_you_work(lab, page, tmp_path):
    (tmp_path / "book" / "chapters").mkdir(parents=True)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SMALL)])
    notebook.metadata.kernelspec = KERNELSPEC  # or JupyterLab would ask which kernel to use
    nbformat.write(notebook, tmp_path / "book" / "chapters" / "00_small.ipynb")
    [picture] = open_and_run(page, lab(tmp_path / "book"), seconds=60)
    assert picture["alt"] == ALT
    assert picture["width"] > 100, "the picture itself is there"


@pytest.mark.skipif(first_page() is None, reason="no chapter yet")
def test_the_first_chapter_opens_and_runs(lab, page, tmp_path):
    for folder in ("chapters", "data"):
        shutil.copytree(BOOK / folder, tmp_path / "book" / folder)
    pictures = open_and_run(page, lab(tmp_path / "book"), seconds=600)
    assert pictures, "a chapter has figures"
    for picture in pictures:
        assert len(picture["alt"] or "") >= 20
        assert picture["width"] > 100
