"""Opening a notebook in a real browser and running it: what the tests in this folder share."""

import shutil
import socket
import time
import urllib.request

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},  # all cells in the page, for counting
}
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
