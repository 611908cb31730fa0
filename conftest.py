"""What all tests share: no network, and the rules for comparing notebooks."""

import importlib.util
import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples every time, and no deadline: a busy machine is no bug.
settings.register_profile("book", deadline=None, derandomize=True)
settings.load_profile("book")

OFFLINE = Path(__file__).parent / "tools" / "offline"


def pytest_configure(config: pytest.Config) -> None:
    """Block the network: here, and in every kernel and process that the tests start."""
    os.environ["PYTHONPATH"] = os.pathsep.join(
        part for part in (str(OFFLINE), os.environ.get("PYTHONPATH", "")) if part
    )
    spec = importlib.util.spec_from_file_location("offline", OFFLINE / "sitecustomize.py")
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Let nbval overlook what is shown live but not stored: stderr, HTML copies of figures."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr", "text/html")
