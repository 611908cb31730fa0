"""The benchmarks run, their table says what was measured, and their rivals are as large as ours.

No figure is judged here: a test must not depend on how fast a machine is.
"""

import json
import math
import statistics
import sys
from dataclasses import replace
from unittest.mock import MagicMock

import build_book
import pytest
from book_rules import SOURCES
from torch import nn

from benchmarks import CASES, LONG, case, measure, rivals, run, training
from benchmarks.measure import Options, Row
from book.ch05_2_unet.cost import flops, parameters
from minildm.unet import UNet

TINY = Options(repeats=2, warmup=0, threads=1, batch=2, steps=2, sizes=(16, 32), browser=False)
SLOW = ("startup",)  # starts PyTorch several times
UNITS = {"ms", "s", "µs/step", "% of peak", "GFLOP/s", "MB", "frames/s", "minutes"}


def test_a_ratio_is_taken_round_by_round():
    row = Row("a step", "ms", [1.0, 100.0, 2.0], [3.0, 200.0, 8.0], "another")
    assert run.cells("training", row) == (
        "training", "a step", "ms", "1 / 2 / 100", "3 / 8 / 200", "another", "3.00 (2.00 to 4.00)",
    )  # fmt: skip
    assert run.cells("x", Row("minutes", "s", [12345.6]))[3:] == ("12,346", "", "", "")


def test_rounds_are_interleaved_and_turn_round():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "abc"}
    seconds = measure.interleaved(calls, Options(repeats=2, warmup=1))
    assert "".join(order) == "cbaabccba"
    assert {name: len(each) for name, each in seconds.items()} == dict.fromkeys("abc", 2)


def test_operations_are_counted_forwards_and_backwards():
    net, (z, *_) = nn.Conv2d(4, 8, 3, padding=1), rivals.inputs(2)
    z.requires_grad_()
    forward = 2 * 2 * (8 * 8) * (8 * 4 * 3 * 3)  # samples, pixels, weights; two operations each
    assert flops(lambda: net(z)) == forward
    assert flops(lambda: net(z).sum().backward()) == 3 * forward  # to input, to weights


@pytest.mark.parametrize("name", list(rivals.RIVALS))
def test_a_rival_has_as_many_parameters_as_ours(name):
    """Within 10 %, and none of the sizes that it could have is nearer."""
    if note := rivals.why_not(name):
        pytest.skip(note)
    rival = rivals.RIVALS[name]
    wanted, found = parameters(UNet(rivals.ours(rival.told))), parameters(rivals.network(name))
    assert abs(found / wanted - 1) <= 0.1
    stand_in = isinstance(sys.modules.get("torchvision"), MagicMock)
    assert not stand_in, "only while a rival is imported"


def test_a_rival_that_is_missing_is_left_out_and_said_to_be(monkeypatch):
    for name in rivals.RIVALS:
        monkeypatch.setitem(sys.modules, name, None)
    rivals.package.cache_clear()
    for name in ("training", "sampling", "loops"):
        result = case(name).run(TINY)
        assert any("diffusers is left out" in note for note in result["notes"])
        assert rivals.INSTALL in result["notes"][0]
        assert not any(row.rival for row in case(name).rows(result))
    assert set(training.run(TINY)["seconds"]) == {*training.OURS, training.WHOLE}


def test_chapters_are_run_where_that_is_asked_for(monkeypatch):
    run_now = []

    def timed(notebook, folder, threads):
        run_now.append(notebook)
        return {"seconds": float(len(run_now)), "threads": threads}

    monkeypatch.setattr(build_book, "timed", timed)
    result = case("chapters").run(replace(TINY, chapters=True))
    assert list(result["seconds"].values()) == [float(i + 1) for i in range(len(run_now))]
    assert set(result["seconds"]) == {path.stem for path in SOURCES.glob("*.md")}
    assert result["threads"] == [1]
    assert case("chapters").rows(result)[1].what == f"slowest: {list(result['seconds'])[-1]}"


def test_the_rivals_can_be_installed_as_the_page_says():
    page = run.PAGE.read_text(encoding="utf-8")
    assert f"\n{rivals.INSTALL}\n" in page
    lines = (run.PAGE.parent / "requirements.txt").read_text(encoding="utf-8").splitlines()
    named = {line.split("==")[0].replace("-", "_") for line in lines if not line.startswith("#")}
    assert set(rivals.RIVALS) - {"diffusers"} <= named
    for name in CASES + LONG:
        assert f"| `{name}` |" in page, "every case is explained"


def test_the_figures_of_the_page_are_those_that_are_stored():
    text = run.PAGE.read_text(encoding="utf-8")
    assert run.page(text, run.read(run.STORED)) == text, "python benchmarks/run.py --page"


def test_a_case_that_there_is_not_is_named(capsys):
    with pytest.raises(SystemExit):
        run.main(["trainings"])
    assert "no case is called trainings: there are training, " in capsys.readouterr().err


def test_the_table_has_the_figures_of_the_file_and_what_they_are_worth(tmp_path, capsys):
    out = tmp_path / "benchmarks.json"
    words = ["--repeats", "2", "--warmup", "0", "--threads", "1", "--batch", "2", "--steps", "2"]
    assert run.main(["loops", *words, "--out", str(out)]) == 0
    assert run.main(["training", *words, "--out", str(out)]) == 0
    said, stored = capsys.readouterr().out, json.loads(out.read_text(encoding="utf-8"))
    assert list(stored) == ["training", "loops"], "one case does not write over the others"
    assert stored["training"]["machine"]["threads"] == 1
    assert len(stored["training"]["load"]) == len(stored["loops"]["gflops_of_product"]) == 2
    seconds = stored["training"]["result"]["seconds"]
    ours = run.spread([1e3 * each for each in seconds["ours"]])
    assert ours in said
    if "diffusers" in seconds:
        pairs = zip(seconds["ours"], seconds["diffusers"], strict=True)
        assert f"{statistics.median([b / a for a, b in pairs]):.2f} (" in said
    made = run.page(f"before\n{run.START}\nold\n{run.END}\nafter\n", stored)
    assert "old" not in made
    assert made.startswith(f"before\n{run.START}\n| case |")
    assert made.endswith(f"{run.END}\nafter\n")
    assert f" {ours} " in made
    for line in run.table(stored):
        assert f"| {' | '.join(line)} |" in made


def numbers(value):
    """All numbers in what JSON can hold."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from numbers(each)
    elif isinstance(value, int | float):
        yield value


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in CASES]
)
def test_a_case_runs_and_gives_finite_figures_in_the_form_that_is_promised(name):
    module = case(name)
    assert (module.NAME, bool(module.QUESTION)) == (name, True)
    result = module.run(replace(TINY, repeats=1) if name in SLOW else TINY)
    stored = json.loads(json.dumps(result, allow_nan=False))
    assert all(math.isfinite(number) for number in numbers(stored))
    rows = module.rows(stored)
    assert rows == module.rows(result), "a table from a file is that of the run"
    assert rows
    for row in rows:
        assert isinstance(row, Row)
        assert row.unit in UNITS
        assert row.ours
        assert all(figure > 0 for figure in (*row.ours, *row.rival))
        assert len(row.rival) in (0, len(row.ours)), "a ratio is of two figures of one round"
        assert bool(row.rival) == bool(row.against)
