"""Conversions between dialects: there and back, against the package, against diffusers' tables."""

import math

import pytest
import torch

from book.ch07_tools import rosetta
from book.ch07_tools.rosetta import QUANTITIES, VARIABLES, convert, rescaled, spaced
from minildm.denoise import gaussian_denoiser, guided, network_denoiser
from minildm.predict import EPS, FLOW
from minildm.process import diffuse
from minildm.schedule import DiscreteSchedule, FlowSchedule, linear_betas, scaled_linear_betas

STABLE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
DIALECTS = [(q, d) for q, entry in QUANTITIES.items() for d in entry.dialects]


@pytest.fixture(scope="module")
def stable():
    return rosetta.schedule_from_config(STABLE)


@pytest.mark.parametrize(("quantity", "dialect"), DIALECTS)
def test_there_and_back_is_the_identity(quantity, dialect):
    for value in QUANTITIES[quantity].examples:
        there = convert(quantity, value, "book", dialect)
        assert math.isclose(float(convert(quantity, there, dialect, "book")), value, abs_tol=1e-14)
    foreign = convert(quantity, QUANTITIES[quantity].examples[1], "book", dialect)
    back = convert(quantity, convert(quantity, foreign, dialect, "book"), "book", dialect)
    assert math.isclose(float(back), float(foreign), abs_tol=1e-14)


def test_noise_levels_are_those_of_the_schedule(stable):
    t = torch.arange(1, stable.T + 1)
    (signal, noise), alpha_bar = stable(t), stable.alpha_bar[t]
    expected = {
        "k-diffusion": noise / signal,
        "DPM-Solver": stable.half_log_snr(t),
        "log SNR": stable.snr[t].log(),
        "DDIM paper": signal**2,
    }
    for dialect, values in expected.items():
        got = convert("noise level", alpha_bar, "book", dialect)
        torch.testing.assert_close(got, values, rtol=1e-10, atol=1e-10)


def test_flow_time_is_the_time_at_which_a_flow_has_the_same_ratio(stable):
    time = convert("noise level", stable.alpha_bar[1:], "book", "flow (SD3)")
    signal, noise = FlowSchedule()(time)
    torch.testing.assert_close((signal / noise) ** 2, stable.snr[1:], rtol=1e-10, atol=0)


def test_guidance_of_the_paper_is_its_formula():
    schedule = DiscreteSchedule(linear_betas())
    one, two = (
        gaussian_denoiser(schedule, torch.tensor([m, 0.0]).double(), torch.eye(2).double())
        for m in (-1.0, 2.0)
    )
    z, w = torch.tensor([[0.3, -0.2]], dtype=torch.float64), 3.0
    paper = (1 + w) * one(z, 400).eps - w * two(z, 400).eps
    ours = guided(one, two, convert("guidance", w, "guidance paper", "book"))(z, 400).eps
    torch.testing.assert_close(ours, paper)


def test_latents_are_what_each_dialect_says_they_are(stable):
    z0, eps = (torch.randn(5, 3, dtype=torch.float64) for _ in range(2))
    alpha_bar = float(stable.alpha_bar[300])
    z = diffuse(stable, z0, torch.tensor(300), eps)
    sigma = convert("noise level", alpha_bar, "book", "k-diffusion")
    torch.testing.assert_close(rescaled(z, alpha_bar, "book", "k-diffusion"), z0 + sigma * eps)
    time = convert("noise level", alpha_bar, "book", "flow (SD3)")
    flow = diffuse(FlowSchedule(), z0, torch.tensor(time, dtype=torch.float64), eps)
    torch.testing.assert_close(rescaled(z, alpha_bar, "book", "flow (SD3)"), flow)
    for a in VARIABLES:
        for b in VARIABLES:
            back = rescaled(rescaled(z, alpha_bar, a, b), alpha_bar, b, a)
            torch.testing.assert_close(back, z, rtol=1e-14, atol=0)


def test_shift_multiplies_sigma_and_can_be_undone():
    time = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    moved = rosetta.shifted(time, 3.0)
    torch.testing.assert_close(moved / (1 - moved), 3 * time / (1 - time))
    torch.testing.assert_close(rosetta.shifted(moved, 1 / 3.0), time)
    with pytest.raises(ValueError, match="above 0"):
        rosetta.shifted(time, 0.0)


def test_spacings_start_and_end_where_their_names_say():
    assert spaced(1000, 50, "leading", offset=1)[:2].tolist() == [982, 962]
    assert spaced(1000, 50, "leading")[-2:].tolist() == [1, 0]
    assert spaced(1000, 50, "linspace")[[0, -2]].tolist() == [1000, 1]
    assert spaced(1000, 50, "trailing")[[0, -2]].tolist() == [1000, 20]
    for steps in (1, 7, 20, 30, 61, 333, 1000):
        for spacing in ("linspace", "trailing", "leading"):
            grid = spaced(1000, steps, spacing)
            assert len(grid) == steps + 1 and (grid.diff() < 0).all()
    with pytest.raises(ValueError, match="spacing must be"):
        spaced(1000, 5, "karras")
    with pytest.raises(ValueError, match="steps"):
        spaced(1000, 1001, "leading")


def test_trailing_is_our_uniform_grid(stable):
    for steps in (1, 10, 30, 64, 999):
        ours, theirs = stable.times(steps), spaced(1000, steps, "trailing")
        assert (ours - theirs).abs().max() <= 1  # halves are rounded differently
    assert torch.equal(stable.times(50), spaced(1000, 50, "trailing"))


def test_a_network_with_another_first_time_gets_the_noise_level_it_was_trained_for(stable):
    """A network that reads its 0-based table gives exactly the oracle, wrapped, and not unwrapped.

    A mean far from 0 makes every noise level visible.
    """
    oracle = gaussian_denoiser(stable, torch.tensor([4.0, -3.0]), torch.eye(2).double())

    def net(z, t, condition):  # as trained: t = 0 is the first noise level
        return torch.cat([oracle(row[None], int(k) + 1).eps for row, k in zip(z, t, strict=True)])

    z, t = torch.randn(3, 2, dtype=torch.float64), torch.tensor([1, 500, 1000])
    wrapped = network_denoiser(rosetta.zero_based(net), stable, EPS)(z, t)
    exact = torch.cat([oracle(row[None], int(k)).z0 for row, k in zip(z, t, strict=True)])
    torch.testing.assert_close(wrapped.z0, exact, rtol=1e-9, atol=1e-9)


def test_config_names_stand_for_our_schedules():
    assert torch.equal(
        rosetta.schedule_from_config(STABLE).beta[1:], scaled_linear_betas(1000, 0.00085, 0.012)
    )
    assert torch.equal(rosetta.schedule_from_config({}).beta[1:], linear_betas())
    zero = rosetta.schedule_from_config(STABLE | {"rescale_betas_zero_snr": True})
    assert zero.alpha_bar[-1] == 0
    with pytest.raises(ValueError, match="beta_schedule"):
        rosetta.schedule_from_config({"beta_schedule": "laplace"})


def test_prediction_names_reach_every_parameterization_once():
    assert len(set(rosetta.PREDICTIONS.values())) == len(rosetta.PREDICTIONS) == 4
    assert rosetta.PREDICTIONS["flow_prediction"] is FLOW


def test_the_table_holds_every_dialect_and_what_convert_says():
    table = rosetta.table()
    for quantity, dialect in DIALECTS:
        entry = QUANTITIES[quantity]
        assert f"| {dialect} | {entry.dialects[dialect].symbol} |" in table
    assert len(table.splitlines()) == 2 + len(QUANTITIES) + len(DIALECTS)
    assert "| guidance paper | w - 1, also called w | -1, 0, 6.5 |" in rosetta.table("guidance")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: convert("colour", 1, "book", "diffusers"), "quantity must be"),
        (lambda: convert("guidance", 1, "k-diffusion", "book"), "source must be one of book, gui"),
        (lambda: convert("guidance", 1, "book", "DPM-Solver"), "target must be"),
        (lambda: rescaled(torch.ones(1), 0.5, "book", "paper"), "target must be one of book"),
    ],
)
def test_errors_name_what_exists(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- against diffusers ---------------------------------------------------------------------------


def test_alpha_bar_and_sigma_are_their_tables(stable):
    pytest.importorskip("diffusers")
    from book.ch07_tools.beside_diffusers import scheduler

    ddim, euler = (scheduler(name, double=True, **STABLE) for name in ("ddim", "euler"))
    ours = stable.alpha_bar[convert("time", torch.arange(1000), "diffusers", "book")]
    torch.testing.assert_close(ours, ddim.alphas_cumprod, rtol=1e-12, atol=0)
    sigmas = convert("noise level", ours, "book", "k-diffusion")
    torch.testing.assert_close(sigmas, euler.sigmas[:-1].flip(0), rtol=1e-12, atol=0)


@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
def test_spaced_is_their_grid(spacing):
    pytest.importorskip("diffusers")
    from book.ch07_tools.beside_diffusers import grid, scheduler

    for steps in (1, 2, 7, 10, 30, 50, 64, 333, 1000):
        for name in ("ddim", "ddpm"):
            theirs = scheduler(name, timestep_spacing=spacing, steps_offset=int(steps == 50))
            theirs.set_timesteps(steps)
            offset = int(steps == 50)
            assert torch.equal(grid(theirs), spaced(1000, steps, spacing, offset)), steps


@pytest.mark.parametrize("name", ["fixed_small", "fixed_large"])
def test_variances_are_theirs(name, stable):
    pytest.importorskip("diffusers")
    from book.ch07_tools.beside_diffusers import scheduler

    theirs = scheduler("ddpm", double=True, variance_type=name, **STABLE)
    got = torch.stack([theirs._get_variance(t) for t in range(1000)]).double()
    ours = rosetta.VARIANCES[name](stable)[1:]
    torch.testing.assert_close(ours, got, rtol=1e-8, atol=2e-20)  # they clamp at 1e-20
