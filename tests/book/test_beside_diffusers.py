"""Our samplers beside diffusers', where it is there; where it is not, a sentence says so."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import jupytext
import pytest
import torch

from book.ch07_tools import beside_diffusers as compare_diffusers
from book.ch07_tools import beside_diffusers as extras

pytest.importorskip("diffusers")

from book.ch07_tools import beside_diffusers as compare
from book.ch07_tools.beside_diffusers import alpha_bar, deviation, grid, our_walk, scheduler, walk
from book.ch07_tools.rosetta import PREDICTIONS, schedule_from_config
from minildm.denoise import clipped, gaussian_denoiser, guided, mixture_denoiser
from minildm.predict import EPS, Z0, V
from minildm.samplers import ddim, ddpm, dpmpp_2m, heun

STABLE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
EQUAL = 1e-9  # float64: roundings of up to 100 steps, which guidance and clipping enlarge
NEAR = 3e-4  # float32, theirs and ours in different order


@pytest.fixture(scope="module")
def stable():
    return schedule_from_config(STABLE)


@pytest.fixture(scope="module")
def denoise(stable):
    weights = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    means = torch.tensor([[-1.0, 0.5], [0.4, 1.0], [1.5, -1.0]])
    covs = torch.tensor([[[0.1, 0.05], [0.05, 0.06]], [[0.3, 0], [0, 0.2]], [[0.1, 0], [0, 0.3]]])
    return mixture_denoiser(stable, weights / weights.sum(), means, covs)


@pytest.fixture(scope="module")
def z_T():
    return torch.randn(64, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def noise(seed):
    generator = torch.Generator().manual_seed(seed)
    return lambda z: torch.randn(z.shape, generator=generator, dtype=z.dtype)


# --- schedules -----------------------------------------------------------------------------------

CONFIGS = [
    {"beta_schedule": "linear"},
    STABLE,
    {"beta_schedule": "squaredcos_cap_v2"},
    {"beta_schedule": "sigmoid"},
]


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c["beta_schedule"])
def test_tables_are_theirs(config, zero):
    config = config | {"rescale_betas_zero_snr": zero}
    ours = schedule_from_config(config)
    double, single = (alpha_bar(scheduler("ddpm", d, **config)) for d in (True, False))
    # alpha_bar_t is a product of t factors, with zero SNR twice; each factor and each product may
    # be a unit in the last place off.
    roundings = 4 * torch.arange(1001) + 16
    for theirs, unit in ((double, 2.0**-52), (single, 2.0**-23)):
        assert ((ours.alpha_bar - theirs).abs() <= roundings * unit).all()
        assert ((ours.noise_variance - (1 - theirs)).abs() <= roundings * unit).all()
    assert ((1 - single) / ours.noise_variance - 1)[1:].abs().max() > 1e-5  # float32 loses that


# --- samplers ------------------------------------------------------------------------------------

SAME = [
    ("ddim", "ddim", ddim),
    ("euler", "euler", ddim),
    ("dpmpp_2m", "dpmpp_2m", dpmpp_2m),
    ("heun", "heun", compare.heun_over_sigma),
]


@pytest.mark.parametrize(("name", "theirs", "step"), SAME, ids=lambda x: x if str(x) == x else "")
@pytest.mark.parametrize("steps", [1, 4, 25])
def test_walks_are_theirs(name, theirs, step, steps, stable, denoise, z_T):
    times = stable.times(steps)
    ours = our_walk(denoise, stable, z_T, times, step)
    double = walk(scheduler(theirs, True, **STABLE), denoise, stable, z_T, times)
    assert deviation(ours, double) < EQUAL
    start = z_T.float()
    single = walk(scheduler(theirs, **STABLE), denoise, stable, start, times)
    assert deviation(our_walk(denoise, stable, start, times, step), single) < NEAR
    assert single[-1].dtype == torch.float32


@pytest.mark.parametrize("steps", [7, 30, 64])
def test_schedulers_that_read_their_grid_agree_on_uneven_ones(steps, stable, denoise, z_T):
    for times in (stable.times(steps), stable.times(steps, "karras")):
        for name, step in (("euler", ddim), ("dpmpp_2m", dpmpp_2m)):
            theirs = walk(scheduler(name, True, **STABLE), denoise, stable, z_T, times)
            assert deviation(our_walk(denoise, stable, z_T, times, step), theirs) < EQUAL


@pytest.mark.parametrize("steps", [10, 30])
def test_ddpm_draws_the_same_until_the_last_step(steps, stable, denoise, z_T):
    """Their variance is at least 1e-20: one last draw with a standard deviation of 1e-10."""
    times = stable.times(steps)
    generator = torch.Generator().manual_seed(3)
    theirs = scheduler("ddpm", True, **STABLE)
    theirs = walk(theirs, denoise, stable, z_T, times, generator=generator)
    drawn = noise(3)
    ours = our_walk(denoise, stable, z_T, times, partial(ddpm, draw=drawn))
    assert deviation(ours[:-1], theirs[:-1]) < EQUAL
    last = theirs[-1] - ours[-1]
    torch.testing.assert_close(last, 1e-10 * drawn(z_T), rtol=0, atol=1e-11)  # a tenth


def test_eta_scales_the_same_standard_deviation(stable, denoise, z_T):
    times = stable.times(20)
    generator = torch.Generator().manual_seed(5)
    theirs = scheduler("ddim", True, **STABLE)
    theirs = walk(theirs, denoise, stable, z_T, times, eta=0.3, generator=generator)
    ours = our_walk(denoise, stable, z_T, times, partial(ddim, eta=0.3, draw=noise(5)))
    assert deviation(ours, theirs) < EQUAL


@pytest.mark.parametrize("name", ["epsilon", "sample", "v_prediction"])
def test_prediction_types_are_our_parameterizations(name, stable, denoise, z_T):
    assert {EPS, Z0, V} == {PREDICTIONS[n] for n in ("epsilon", "sample", "v_prediction")}
    times = stable.times(10)
    theirs = scheduler("ddim", True, prediction_type=name, **STABLE)
    theirs = walk(theirs, denoise, stable, z_T, times, PREDICTIONS[name])
    assert deviation(our_walk(denoise, stable, z_T, times), theirs) < EQUAL


# --- where they part -----------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [30, 64])
def test_their_ddim_recomputes_the_next_time(steps, stable, denoise, z_T):
    times = stable.times(steps)
    theirs = walk(scheduler("ddim", True, **STABLE), denoise, stable, z_T, times)
    assert deviation(our_walk(denoise, stable, z_T, times), theirs) > 1e-3
    habit = partial(compare.recomputed, jump=1000 // steps)
    assert deviation(our_walk(denoise, stable, z_T, times, habit), theirs) < 1e-8


def test_our_uniform_grid_is_their_trailing_one(stable, denoise, z_T):
    theirs = scheduler("ddim", True, timestep_spacing="trailing", **STABLE)
    theirs = walk(theirs, denoise, stable, z_T, 40)
    assert deviation(our_walk(denoise, stable, z_T, stable.times(40)), theirs) < EQUAL


def test_stable_diffusions_ddim_ends_at_time_1(stable, denoise, z_T):
    """set_alpha_to_one=False: the last step leads to their alphas_cumprod[0], our alpha_bar_1."""
    options = STABLE | {"set_alpha_to_one": False, "steps_offset": 1}
    theirs = walk(scheduler("ddim", True, **options), denoise, stable, z_T, 50)
    times = torch.tensor([*range(982, 1, -20), 1])
    assert deviation(our_walk(denoise, stable, z_T, times), theirs) < EQUAL


def test_their_heun_is_another_method_of_the_same_order(stable, denoise, z_T):
    gaps = []
    for steps in (50, 100, 200):
        times = stable.times(steps)
        times = times[times >= 400]  # not to clean data: the last jump would hide the order
        a = our_walk(denoise, stable, z_T, times, heun)[-1]
        b = our_walk(denoise, stable, z_T, times, compare.heun_over_sigma)[-1]
        gaps.append(float((a - b).abs().max()))
    assert gaps[0] > 1e-6
    assert gaps[0] / gaps[1] > 3 and gaps[1] / gaps[2] > 3  # falls like steps^-2 or faster


def test_their_karras_grid_asks_about_levels_that_are_not_quite_the_solvers(stable, z_T):
    """At 80 steps it costs a third of the error; asked at the solver's own level, nothing."""
    mean, variance = torch.tensor([1.0, 2.0]).double(), torch.tensor([1.0, 2.0]).double()
    gauss = gaussian_denoiser(stable, mean, torch.diag(variance))
    signal_T, noise_T = stable(stable.T)
    x = signal_T * mean + (signal_T**2 * variance + noise_T**2).sqrt() * z_T
    options = STABLE | {"use_karras_sigmas": True}

    def off(z):
        return float((z - mean - variance.sqrt() * z_T).square().mean().sqrt())

    rounded = walk(scheduler("dpmpp_2m", True, **options), gauss, stable, x, 80)
    assert len(rounded) == 81
    theirs = scheduler("dpmpp_2m", True, **options)
    theirs.set_timesteps(80)
    for t, sigma in zip(theirs.timesteps, theirs.sigmas[:-1], strict=True):
        signal = (1 + sigma**2) ** -0.5
        noise = sigma * signal
        eps = noise * (x - signal * mean) / (signal**2 * variance + noise**2)  # exact, unrounded
        x = theirs.step(eps, t, x, return_dict=False)[0]
    ours = our_walk(gauss, stable, rounded[0], stable.times(80, "karras"), dpmpp_2m)[-1]
    assert off(rounded[-1]) > 1.2 * off(ours) > 1.1 * off(x)


def test_clipping_keeps_or_repairs_the_noise(stable, denoise, z_T):
    strong = guided(denoise, mixture_denoiser(
        stable, torch.ones(1, dtype=torch.float64), torch.zeros(1, 2), torch.eye(2)[None]
    ), 4.0)  # fmt: skip
    times, options = stable.times(20), STABLE | {"clip_sample": True}
    theirs = walk(scheduler("ddim", True, **options), strong, stable, z_T, times)
    loose = our_walk(compare.clipped_loosely(strong), stable, z_T, times)
    ours = our_walk(clipped(strong, stable), stable, z_T, times)
    assert deviation(loose, theirs) < EQUAL < 1e-2 < deviation(ours, theirs)
    repaired = scheduler("ddim", True, **options)
    repaired = walk(repaired, strong, stable, z_T, times, use_clipped_model_output=True)
    assert deviation(ours, repaired) < EQUAL


# --- the adapters --------------------------------------------------------------------------------


def test_grids_go_there_and_back(stable):
    times = torch.tensor([1000, 700, 33, 1, 0])
    for name in compare.SCHEDULERS:
        theirs = scheduler(name, **STABLE)
        compare.set_grid(theirs, times)
        assert torch.equal(grid(theirs).to(torch.int64), times), name


def test_the_double_copy_computes_in_double_and_leaves_the_default_alone():
    before = torch.get_default_dtype()
    for name in compare.SCHEDULERS:
        assert scheduler(name, double=True).alphas_cumprod.dtype == torch.float64
        assert scheduler(name).alphas_cumprod.dtype == torch.float32
    assert torch.get_default_dtype() == before == torch.float32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s, d, z: scheduler("pndm"), "name must be one of ddpm"),
        (lambda s, d, z: compare.set_grid(scheduler("ddim"), torch.tensor([9, 4])), "end at 0"),
        (lambda s, d, z: walk(scheduler("euler", **STABLE), d, s, z, 7), "between two rows"),
        (lambda s, d, z: deviation([z], [z, z]), "1 and 2 latents"),
    ],
)
def test_errors_say_what_to_do(call, message, stable, denoise, z_T):
    with pytest.raises(ValueError, match=message):
        call(stable, denoise, z_T)


def test_a_blocked_package_is_absent_and_says_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    assert extras.available("diffusers") is False
    said = capsys.readouterr().out
    assert said.startswith("[skipped]") and "needs diffusers" in said and ".[compare]" in said
    assert said.count("\n") == 1
    assert extras.available("diffusers", quiet=True) is False
    assert extras.version("diffusers") is None
    extras.available("diffusers", "the third picture", quiet=True)
    assert capsys.readouterr().out == ""
    extras.available("diffusers", "the third picture")
    assert capsys.readouterr().out.startswith("[skipped] the third picture: needs diffusers")
    with pytest.raises(ImportError, match=r"\[compare\]"):
        compare_diffusers.scheduler("ddim")


def test_a_package_that_is_there_says_nothing(capsys):
    pytest.importorskip("diffusers")
    assert extras.available("diffusers") is True
    assert capsys.readouterr().out == ""
    assert extras.version("diffusers").split(".")[0].isdigit()


def test_only_what_the_book_uses_can_be_asked_for():
    with pytest.raises(ValueError, match="diffusers"):
        extras.available("tensorflow")


@pytest.mark.slow
def test_chapter_7_runs_to_its_end_without_diffusers(tmp_path):
    """Its code cells in a process of their own, where diffusers and transformers are blocked."""
    source = Path(__file__).parents[2] / "chapters" / "source" / "07_tools.md"
    cells = [c.source for c in jupytext.read(source).cells if c.cell_type == "code"]
    script = tmp_path / "chapter.py"
    block = "import sys\nsys.modules.update(diffusers=None, transformers=None)\n"
    script.write_text(block + "\n\n".join([*cells, "print('the end')"]), encoding="utf-8")
    command = [sys.executable, "-W", "ignore", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.endswith("the end\n")
    skipped = [line for line in done.stdout.splitlines() if line.startswith("[skipped]")]
    assert len(skipped) == sum("available(" in cell for cell in cells) >= 8
    assert len(set(skipped)) == len(skipped)  # each says what it is that is left out
