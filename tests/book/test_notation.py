"""The notation table tells the truth about the package."""

import jupytext
import pytest
import torch
from book_rules import SOURCES

from book.ch00_start import notation
from book.ch00_start.notation import SYMBOLS, deviations, names_in, table
from minildm.schedule import DiscreteSchedule, cosine_betas, linear_betas, ramp_betas

SCHEDULES = {"linear": linear_betas(), "cosine": cosine_betas(), "ramp": ramp_betas()}
TABLES = ["alpha", "alpha_bar", "signal", "noise", "snr", "posterior_variance"]


@pytest.mark.parametrize("symbol", SYMBOLS, ids=lambda symbol: symbol.latex)
def test_each_name_lives_where_the_table_says(symbol):
    assert symbol.code in names_in(symbol.where)


def test_a_name_that_is_not_there_is_noticed():
    assert "alphas_cumprod" not in names_in("schedule.DiscreteSchedule")
    assert "epsilon" not in names_in("process.diffuse")
    for where in ("schedule.Nothing", "nothing", "process.diffuse.x"):
        with pytest.raises(ValueError, match="must name a place"):
            names_in(where)


@pytest.mark.parametrize("betas", SCHEDULES.values(), ids=SCHEDULES)
def test_tables_of_a_schedule_are_what_is_printed(betas):
    found = deviations(DiscreteSchedule(betas))
    assert list(found) == TABLES
    assert max(found.values()) < 1e-10, found


@pytest.mark.parametrize("betas", SCHEDULES.values(), ids=SCHEDULES)
def test_what_the_meanings_claim(betas):
    schedule = DiscreteSchedule(betas)
    signal, noise = schedule(torch.arange(schedule.T + 1))
    assert schedule.beta[0] == 0 and schedule.alpha_bar[0] == 1
    assert schedule.posterior_variance[0] == schedule.posterior_variance[1] == 0
    torch.testing.assert_close(signal**2 + noise**2, torch.ones_like(signal), rtol=0, atol=1e-14)
    torch.testing.assert_close(schedule.snr[1:], (signal / noise)[1:] ** 2, rtol=1e-12, atol=0)
    for symbol in SYMBOLS:
        if symbol.shape == notation.TABLE:
            value = getattr(schedule, symbol.code)
            assert value.shape == (schedule.T + 1,) and value.dtype == torch.float64


@pytest.mark.parametrize("name", [name for name in TABLES if name not in ("signal", "noise")])
def test_a_wrong_table_is_noticed(name):
    schedule = DiscreteSchedule(linear_betas())
    getattr(schedule, name)[300] *= 1 + 1e-6
    assert deviations(schedule)[name] > 1e-7


def test_wrong_betas_are_noticed_in_what_is_made_of_them():
    schedule = DiscreteSchedule(linear_betas())
    schedule.beta[300] *= 1 + 1e-3
    assert all(difference > 1e-8 for difference in deviations(schedule).values())


def test_the_definitions_are_independent_of_the_tables():
    beta = torch.tensor([0, 0.5, 0.2], dtype=torch.float64)  # with a pencil
    assert notation.alpha_bar(beta).tolist() == pytest.approx([1, 0.5, 0.4])
    assert notation.snr(beta)[1:].tolist() == pytest.approx([1, 0.4 / 0.6])
    assert notation.posterior_variance(beta).tolist() == pytest.approx([0, 0, 0.2 * 0.5 / 0.6])


def test_the_table_has_a_row_for_each_symbol():
    head, rule, *rows = table().splitlines()
    assert head.count("|") == rule.count("|") == 6
    assert len(rows) == len(SYMBOLS)
    for row, symbol in zip(rows, SYMBOLS, strict=True):
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells == [
            f"${symbol.latex}$", f"`{symbol.code}`", symbol.meaning, symbol.shape,
            f"`{symbol.where}`",
        ]  # fmt: skip


def test_chapter_0_shows_it():
    cells = jupytext.read(SOURCES / "00_start_here.md").cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    assert "notation.table()" in code and "notation.deviations(model.schedule)" in code
