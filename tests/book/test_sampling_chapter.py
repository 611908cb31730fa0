"""The samplers that chapter 5.4 writes, cell by cell, are the library's: steps, walks, grids.

The cells are run as they stand in the source. Everything is compared in float64, where the same
sums in another order differ by about 1e-15 of their size, and any other formula by far more.
"""

import re
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import jupytext
import pytest
import torch
from awake import points
from book_rules import SOURCES

from book.ablations.engine import outcomes
from book.ch05_4_sampling import measure, spacing
from book.ch05_4_sampling.measure import SAMPLERS
from book.results import read_results
from minildm import LatentDiffusion, samplers
from minildm.denoise import clipped, gaussian_denoiser, mixture_denoiser, network_denoiser
from minildm.interfaces import Denoised
from minildm.predict import V
from minildm.samplers import sample
from minildm.schedule import (
    CosineSchedule,
    DiscreteSchedule,
    FlowSchedule,
    cosine_betas,
    scaled_linear_betas,
    zero_terminal_snr,
)
from minildm.shapes.captions import asked_texts
from minildm.shapes.scenes import splits
from minildm.shapes.training import GUIDANCE

CHAPTER = jupytext.read(SOURCES / "05_4_sampling.md")
CELLS = {cell.metadata["name"]: cell.source for cell in CHAPTER.cells if cell.cell_type == "code"}
WRITTEN = (
    "write-denoiser", "even-times", "walk", "one-line", "write-ddim", "write-heun", "write-2m",
    "write-ddpm", "write-ddim-eta", "spacings",
)  # fmt: skip
STEPS = ("ddpm", "ddim", "heun", "dpmpp_2m")
MEAN = torch.tensor([1.0, 2.0], dtype=torch.float64)
COV = torch.tensor([[1.0, 0.6], [0.6, 2.0]], dtype=torch.float64)
COSINE = DiscreteSchedule(cosine_betas(1000))
WORLDS = {  # schedule, and times that go down to clean data
    "cosine": (COSINE, COSINE.times(7)),
    "Stable Diffusion": (DiscreteSchedule(scaled_linear_betas(1000)), COSINE.times(4)),
    "no signal at T": (DiscreteSchedule(zero_terminal_snr(scaled_linear_betas(50))),
                       torch.tensor([50, 49, 20, 1, 0])),
    "flow": (FlowSchedule(), FlowSchedule().times(5)),
    "trigonometric": (CosineSchedule(), CosineSchedule().times(5)),
}  # fmt: skip
world = pytest.mark.parametrize("world", WORLDS)
each = pytest.mark.parametrize("name", STEPS)


@pytest.fixture(scope="module")
def written():
    """What the cells define; their asserts run too."""
    names = {
        "torch": torch, "partial": partial, "pairwise": pairwise, "schedule": COSINE,
        "spacing": spacing, "NamedTuple": NamedTuple, "LatentDiffusion": LatentDiffusion,
        "network_denoiser": network_denoiser, "V": V,
    }  # fmt: skip
    for name in WRITTEN:
        exec(compile(CELLS[name], f"<cell {name}>", "exec"), names)
    return names


def bent(schedule):
    """An exact denoiser whose guess is not linear in z: two clusters in the plane."""
    means = torch.tensor([[1.0, 2.0], [-1.0, 0.5]], dtype=torch.float64)
    return mixture_denoiser(schedule, torch.tensor([0.3, 0.7]).double(), means, COV.expand(2, 2, 2))


def the_step(step, name, **options):
    """With fresh noise, where it takes some, that only depends on how often it was asked for."""
    if name not in ("ddpm", "between"):
        return step
    seeds = iter(range(10**6))
    return partial(step, draw=lambda z: points(*z.shape, seed=next(seeds)), **options)


@world
def test_the_denoiser_is_the_librarys(written, world):
    """The two answers to v, at each noise level that the world has; v depends on all it is told."""
    schedule, times = WORLDS[world]
    if world == "flow":
        return  # v solves for both parts where signal and noise are the sides of a right angle
    net = lambda z, t, c: torch.sin(3 * z + t[:, None]) + c  # noqa: E731
    condition, z = points(9, 2, seed=4), points(9, 2)
    for t in times[:-1]:
        mine = written["make_denoiser"](net, schedule, condition)(z, t)
        theirs = network_denoiser(net, schedule, V, condition)(z, t)
        assert type(mine)._fields == type(theirs)._fields
        close(mine.z0, theirs.z0)
        close(mine.eps, theirs.eps)


@world
@each
def test_each_step_is_the_librarys(written, world, name):
    """One step between all pairs of times: where it ends, the guess, what it remembers."""
    schedule, times = WORLDS[world]
    denoise, z = bent(schedule), 2 * points(9, 2)
    for t, s in pairwise(times):
        before = None
        if name == "dpmpp_2m" and t < times[0]:
            before = (points(9, 2, seed=3), torch.tensor(0.8, dtype=torch.float64))
        mine = the_step(written[name], name)(z, t, s, denoise, schedule, before)
        theirs = the_step(SAMPLERS[name], name)(z, t, s, denoise, schedule, before)
        assert len(mine) == len(theirs) == 3
        close(mine[0], theirs[0])
        close(mine[1], denoise(z, t).z0 if name != "heun" else theirs[1])
        assert (mine[2] is None) == (theirs[2] is None) == (name != "dpmpp_2m" or s == 0)
        if mine[2] is not None:
            close(mine[2][0], theirs[2][0])
            close(torch.as_tensor(mine[2][1]), torch.tensor(theirs[2][1], dtype=torch.float64))


@world
@each
def test_each_walk_is_the_librarys(written, world, name):
    schedule, times = WORLDS[world]
    denoise, z_T = bent(schedule), points(9, 2)
    mine = written["walk"](the_step(written[name], name), z_T, times, denoise, schedule)
    *_, last = sample(denoise, schedule, z_T, times, the_step(SAMPLERS[name], name))
    close(mine, last.z)
    *_, again = sample(denoise, schedule, z_T, times, the_step(written[name], name))
    assert torch.equal(again.z, mine)  # the library's loop runs the reader's step


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_the_knob(written, eta):
    schedule, times = WORLDS["cosine"]
    denoise, z_T = bent(schedule), points(9, 2)
    walk = partial(written["walk"], z=z_T, times=times, denoise=denoise, schedule=schedule)
    mine = walk(the_step(written["between"], "between", eta=eta))
    theirs = the_step(samplers.ddim, "between", eta=eta)
    *_, last = sample(denoise, schedule, z_T, times, theirs)
    close(mine, last.z)
    if eta == 1:
        close(mine, walk(the_step(written["ddpm"], "ddpm")))
    if eta == 0:
        close(mine, walk(written["ddim"]))


def test_the_line_is_the_exact_solution_for_a_fixed_guess(written):
    """d(z/b) = D d(a/b), integrated in many small steps of Euler's, ends where the line does."""
    schedule, D, z = CosineSchedule(), points(4, 2), points(4, 2, seed=2)
    times = torch.linspace(0.8, 0.3, 2001, dtype=torch.float64)
    a, b = schedule(times)
    ratio = z / b[0]
    for change in (a / b).diff():
        ratio = ratio + D * change
    close(written["line"](z, times[0], times[-1], D, schedule), ratio * b[-1], 1e-9)
    velocity = torch.autograd.functional.jvp  # z' = a' D + b' eps: the unscaled equation agrees
    t = torch.tensor(0.5, dtype=torch.float64)
    _, (da, db) = velocity(lambda t: tuple(schedule(t)), t, torch.ones_like(t))
    (a_t, b_t), small = schedule(t), 1e-6
    moved = (written["line"](z, t, t - small, D, schedule) - z) / -small
    close(moved, da * D + db * (z - a_t * D) / b_t, 1e-5)


@pytest.mark.parametrize(("name", "order"), [("ddim", 1), ("heun", 2), ("dpmpp_2m", 2)])
def test_the_orders_in_the_table(written, name, order):
    """Twice the steps, 1/2^p of the error, against the known walk of a normal cloud."""
    schedule, errors = CosineSchedule(), []
    denoise, z = gaussian_denoiser(schedule, 0 * MEAN, torch.diag(MEAN)), points(20, 2)
    width = [
        (a**2 * MEAN + b**2).sqrt()
        for a, b in map(schedule, (torch.tensor(0.9).double(), torch.tensor(0.3).double()))
    ]
    for n in (40, 80):
        times = torch.linspace(0.9, 0.3, n + 1, dtype=torch.float64)
        end = written["walk"](written[name], z, times, denoise, schedule)
        errors.append(float((end - z * width[1] / width[0]).abs().max()))
    assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.12)


def test_ddpm_draws_what_the_forward_process_would_have_left(written):
    """From z_t of clean z0, and with z0 known, z_s has the spread of q(z_s): 200,000 draws."""
    schedule, t, s = COSINE, torch.tensor(700), torch.tensor(400)
    (a_s, b_s), (a_t, b_t) = schedule(s), schedule(t)
    eps = points(200_000, 1)
    known = lambda z, t: Denoised(torch.ones_like(z), (z - a_t) / b_t)  # noqa: E731
    draw = lambda z: points(*z.shape, seed=5)  # noqa: E731
    z_s, *_ = written["ddpm"](a_t + b_t * eps, t, s, known, schedule, draw=draw)
    assert float(z_s.mean()) == pytest.approx(float(a_s), abs=0.01)
    assert float(z_s.std()) == pytest.approx(float(b_s), rel=0.01)
    # and old and new noise are correlated as one forward step would correlate them
    rho = float((((z_s - a_s) / b_s) * eps).mean())
    assert rho == pytest.approx(float(a_t * b_s / (a_s * b_t)), abs=0.01)


# --- times ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 7, 12, 50, 333, 999, 1000])
def test_even_times_are_the_librarys(written, n):
    assert torch.equal(written["even_times"](n), COSINE.times(n))


@pytest.mark.parametrize("n", [1, 4, 6, 8, 12])
def test_spacings_are_those_that_were_measured(written, n):
    for name, rule in written["rules"].items():
        assert torch.equal(rule(n), spacing.SPACINGS[name](COSINE, n)), name
    assert torch.equal(written["power_times"](n, 1.0), COSINE.times(n))


# --- by pencil ------------------------------------------------------------------------------------


def test_the_numbers_of_the_pencil(written):
    """All numbers that the text calculates, from the library's steps."""
    flow, cov = FlowSchedule(), torch.diag(torch.tensor([1, 1 / 3], dtype=torch.float64))
    denoise = gaussian_denoiser(flow, torch.zeros(2).double(), cov)
    start = torch.tensor([[2.5, 2.8]], dtype=torch.float64)
    stops = torch.tensor([3 / 4, 1 / 2, 1 / 4], dtype=torch.float64)
    close(denoise(start, stops[0]).z0, torch.tensor([[1, 0.4]], dtype=torch.float64))
    ends = {
        "ddim": [(2, 2), (2, 1.5)],
        "dpmpp_2m": [(2, 2), (2.25, 1.65)],
        "heun": [(13 / 6, 2.1), (2.275, 1.70625)],
    }
    for name, wanted in ends.items():
        walked = [x.z for x in sample(denoise, flow, start, stops, SAMPLERS[name])]
        close(torch.cat(walked), torch.tensor(wanted, dtype=torch.float64))
    lambdas = flow.half_log_snr(stops)
    close(lambdas, torch.tensor([-1, 0, 1]) * torch.tensor(3.0).double().log())


# --- the text -------------------------------------------------------------------------------------


def test_each_cell_fits_on_a_screen_and_each_step_is_compared():
    for name in WRITTEN:
        assert len(CELLS[name].splitlines()) <= 35, name
    for name in STEPS:
        assert f"def {name}(" in "\n".join(CELLS[cell] for cell in WRITTEN), name
    assert "for what, (mine, theirs) in pairs.items()" in CELLS["same"]
    assert "assert off < 1e-7" in CELLS["same"]


def test_the_formulas_of_the_text_are_those_of_the_code():
    """(5.4.4) and the correlation stand in the text as the cells have them."""
    text = " ".join(c.source for c in CHAPTER.cells if c.cell_type == "markdown")
    assert re.search(r"\\rho = \\frac\{a_t\\, b_s\}\{a_s\\, b_t\}", text)
    assert r"f = \eta\,\sqrt{1 - \rho^2}" in text
    assert "rho = a_t / a_s * b_s / b_t" in CELLS["write-ddim-eta"]


def close(got, wanted, tolerance=1e-10):
    torch.testing.assert_close(got, wanted, rtol=tolerance, atol=tolerance)


# --- the measurement beside it --------------------------------------------------------------------


def test_spacings_go_down_to_clean_data_and_refuse_equal_times():
    for name, rule in spacing.SPACINGS.items():
        times = rule(COSINE, 12)
        assert times.dtype == torch.int64 and len(times) == 13 and times[-1] == 0, name
        assert (times.diff() < 0).all(), name
    even, few_noisy = spacing.power(COSINE, 12, 1.0), spacing.power(COSINE, 12, 2.0)
    assert (spacing.power(COSINE, 12, 0.5)[1:-1] > even[1:-1]).all()
    assert (few_noisy[1:-1] < even[1:-1]).all()
    signal, noise = COSINE(spacing.by_sigma(COSINE, 12)[:-1])
    root = (noise / signal) ** (1 / 7)
    assert float(root[0]) == pytest.approx(80 ** (1 / 7), rel=0.01)
    assert float(root[:8].diff().std() / root[:8].diff().mean().abs()) < 0.05  # evenly spaced
    for call in (lambda: spacing.power(COSINE, 500, 3.0), lambda: spacing.by_sigma(COSINE, 400)):
        with pytest.raises(ValueError, match="two times are equal"):
            call()


def test_a_small_measurement_of_spacings(monkeypatch, tmp_path):
    model = LatentDiffusion.load("shapes")
    monkeypatch.setattr(spacing, "EVALUATIONS", (1, 2))
    monkeypatch.setattr(spacing, "SPACINGS", {"uneven": partial(spacing.power, p=2.0)})
    fine = torch.zeros(2, 4, 8, 8)
    monkeypatch.setattr(measure, "fine_end", lambda *given: fine)
    found = spacing.measure_spacing(model, (0, 1), 2, tmp_path, lambda line: None)
    one, two = found["spacings"]["uneven"]
    assert (one["times"], two["times"]) == ([1000, 0], [1000, 250, 0])
    assert [run["seed"] for run in two["runs"]] == [0, 1]
    options = {"sampler": samplers.dpmpp_2m, "guidance": GUIDANCE, "seed": 1}
    times = torch.tensor([1000, 250, 0])
    *_, last = model.walk(asked_texts(splits().test[:2]), times=times, **options)
    assert two["runs"][1]["distance"] == pytest.approx(
        float(last.z.square().mean().sqrt()), abs=0.01
    )
    assert list(tmp_path.iterdir()) == []  # nothing is kept of what is complete


def test_the_clipped_guess_is_the_librarys():
    names = {"torch": torch, "Denoised": Denoised}
    exec(compile(CELLS["clip"].split("\n\n\n")[0], "<cell clip>", "exec"), names)
    denoise, z = bent(COSINE), 4 * points(9, 2)
    for t in (torch.tensor(900), torch.tensor(30)):
        mine = names["clip"](denoise, COSINE, 1.0)(z, t)
        theirs = clipped(denoise, COSINE, -1.0, 1.0)(z, t)
        close(mine.z0, theirs.z0)
        close(mine.eps, theirs.eps)
        assert float(mine.z0.abs().max()) == 1.0  # it had to be clipped


def test_what_the_chapter_says_of_the_targets():
    """Between the ranges of the seeds there is room: v, then the remedies, then nothing."""
    asked = {name: outcomes("targets", name, "plain", "as_asked") for name in (
        "v", "eps, clipped", "eps, Stable Diffusion's", "v, Stable Diffusion's")}  # fmt: skip
    remedies = asked["eps, clipped"] + asked["eps, Stable Diffusion's"]
    assert max(remedies) < min(asked["v"] + asked["v, Stable Diffusion's"])
    assert min(remedies) > max(outcomes("digits", "eps, uniform", "plain", "as_asked")) + 0.2


def test_what_the_chapter_says_of_the_spacings():
    """Each of at least five seeds; even times are never far behind the best of the five rules."""
    found = read_results("spacing")["spacings"]
    assert set(found) == set(spacing.SPACINGS)
    for table in found.values():
        assert all(len(p["runs"]) >= 5 for p in table)
    means = {rule: [p["joint"]["mean"] for p in points] for rule, points in found.items()}
    for k in range(len(spacing.EVALUATIONS)):
        assert means["p = 1"][k] >= max(mean[k] for mean in means.values()) - 0.05
    assert means["p = 1/2"][0] < means["p = 1"][0] and means["by sigma"][0] < 0.5
    near = {rule: points[0]["distance"] for rule, points in found.items()}
    assert near["p = 1/2"] < near["p = 1"] < near["p = 2"]
