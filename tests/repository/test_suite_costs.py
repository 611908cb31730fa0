"""The order in which workers get the test files, and the sums that it is made from."""

from types import SimpleNamespace

import suite_costs
from suite_costs import Times, known_costs, longest_first


def items(*names):
    return [SimpleNamespace(nodeid=name) for name in names]


def test_long_files_come_first_and_a_notebook_keeps_its_order() -> None:
    costs = {"a.py": 1.0, "b.ipynb": 60.0, "c.py": 20.0}
    cells = ["b.ipynb::Cell 1", "b.ipynb::Cell 0"]
    tests = items("a.py::x", "new.py::x", *cells, "c.py::y", "c.py::x")
    longest_first(tests, costs)
    assert [test.nodeid for test in tests] == [
        *cells, "c.py::y", "c.py::x", "new.py::x", "a.py::x",
    ]  # fmt: skip


def test_the_costs_are_of_files_that_exist() -> None:
    costs = known_costs()
    assert len(costs) > 60
    for name, seconds in costs.items():
        assert (suite_costs.COSTS.parents[1] / name).exists(), name
        assert seconds >= 0, name


def report(nodeid, duration, stop, worker):
    node = SimpleNamespace(gateway=SimpleNamespace(id=worker))
    return SimpleNamespace(nodeid=nodeid, duration=duration, stop=stop, node=node)


def test_times_are_added_up_and_waiting_is_seen(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(suite_costs, "COSTS", tmp_path / "costs.json")
    assert known_costs() == {}
    times, lines = Times(keep=True), []
    times.pytest_runtest_logreport(report("b.py::x", 3.0, 13.0, "gw0"))  # setup
    times.pytest_runtest_logreport(report("b.py::x", 1.0, 14.0, "gw0"))  # call
    times.pytest_runtest_logreport(report("a.py::y", 0.5, 11.5, "gw1"))
    times.pytest_terminal_summary(SimpleNamespace(section=lines.append, write_line=lines.append))
    assert lines[0] == "times"
    assert lines[1:3] == ["    4.0 s  b.py", "    0.5 s  a.py"]
    assert lines[-1] == "4 s in all; at the end waited: gw0 0.0 s, gw1 2.5 s"
    assert known_costs() == {"a.py": 0.5, "b.py": 4.0}
