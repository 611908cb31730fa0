"""JupyterLab as `make lab` starts it, and a Chromium that opens it.

The notebooks are copied first, because JupyterLab saves what it runs. Everything here is skipped
where Chromium or playwright is missing.
"""

import json
import os
import subprocess

import pytest
from in_browser import CHROMIUM, FLAGS, SETTINGS, answers, free_port, wait_for
from lab import lab_command


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
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        yield page
        page.screenshot(path=tmp_path / "page.png")
        browser.close()
