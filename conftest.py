"""What all tests share: no network, rules for comparing notebooks, the order of the files."""

import importlib.util
import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples every time, and no deadline: a busy machine is no bug.
settings.register_profile("book", deadline=None, derandomize=True)
settings.load_profile("book")

ROOT = Path(__file__).parent
OFFLINE = ROOT / "tools" / "offline"


def pytest_addoption(parser: pytest.Parser) -> None:
    """--times: see tools/suite_costs.py."""
    text = "print what the tests took, file by file; with =write, keep it in tests/costs.json"
    parser.addoption("--times", nargs="?", const="print", choices=("print", "write"), help=text)


def pytest_configure(config: pytest.Config) -> None:
    """Block the network: here, and in every kernel and process that the tests start."""
    os.environ["PYTHONPATH"] = os.pathsep.join(
        part
        for part in (str(OFFLINE), str(ROOT / "chapters"), os.environ.get("PYTHONPATH", "")) if part
    )
    spec = importlib.util.spec_from_file_location("offline", OFFLINE / "sitecustomize.py")
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    if config.getoption("times") and not hasattr(config, "workerinput"):
        import suite_costs  # in tools/, which pytest puts on the path only after this file

        config.pluginmanager.register(suite_costs.Times(config.getoption("times") == "write"))


def pytest_collection_modifyitems(config: pytest.Config, items: list) -> None:
    """Where workers share the files, those that take long come first."""
    if hasattr(config, "workerinput"):
        import suite_costs

        suite_costs.longest_first(items, suite_costs.known_costs())


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Let nbval overlook what is shown live but not stored: stderr, HTML copies of figures."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr", "text/html")
