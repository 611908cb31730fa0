"""How long the tests take, file by file, and the order that keeps every worker busy to the end.

    make test PYTEST_ARGS=--times           print the times of files and tests, and who waited
    make test PYTEST_ARGS=--times=write     and keep the files' times in tests/costs.json

Each file's tests run on one worker (its models are loaded once). Files that take long start first,
so that only short ones are left when a worker runs out of work.
"""

import json
from collections import defaultdict
from pathlib import Path

COSTS = Path(__file__).resolve().parent.parent / "tests" / "costs.json"
UNKNOWN = 5.0  # seconds to expect of a new file
SHOWN = 30  # tests in the table


def file_of(nodeid: str) -> str:
    return nodeid.split("::")[0]


def known_costs() -> dict[str, float]:
    """{file: seconds} of a former run."""
    return json.loads(COSTS.read_text(encoding="utf-8")) if COSTS.exists() else {}


def longest_first(items: list, costs: dict[str, float]) -> None:
    """Order tests by what their file costs, those of one file as they are (a notebook's cells)."""
    items.sort(key=lambda item: (-costs.get(f := file_of(item.nodeid), UNKNOWN), f))


class Times:
    """A plugin of pytest that adds up the seconds of each file, test and worker."""

    def __init__(self, keep: bool) -> None:
        self.keep = keep
        self.files: dict[str, float] = defaultdict(float)
        self.tests: dict[str, float] = defaultdict(float)
        self.ends: dict[str, float] = {}

    def pytest_runtest_logreport(self, report) -> None:
        self.files[file_of(report.nodeid)] += report.duration
        self.tests[report.nodeid] += report.duration
        node = getattr(report, "node", None)
        worker = node.gateway.id if node else "one"
        self.ends[worker] = max(self.ends.get(worker, 0.0), report.stop)

    def pytest_terminal_summary(self, terminalreporter) -> None:
        write = terminalreporter.write_line
        total = sum(self.files.values())
        terminalreporter.section("times")
        for table in (self.files, dict(sorted(self.tests.items(), key=lambda p: -p[1])[:SHOWN])):
            for name, seconds in sorted(table.items(), key=lambda pair: -pair[1]):
                write(f"{seconds:7.1f} s  {name}")
            write("")
        last = max(self.ends.values(), default=0.0)
        waited = ", ".join(f"{worker} {last - end:.1f} s" for worker, end in self.ends.items())
        write(f"{total:.0f} s in all; at the end waited: {waited}")
        if self.keep:
            kept = {name: round(self.files[name], 1) for name in sorted(self.files)}
            COSTS.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
