"""Room 2, samplers, and the grids they walk on: detectors and symptoms."""

from itertools import pairwise

import torch

from book.ch05_4_sampling.line_data import THREE, even_normal, exact_end
from book.ch09_1_museum import scene
from book.ch09_1_museum.planted import Package

COUNTS = (10, 20, 40, 80, 160)

# --- detectors ------------------------------------------------------------------------------------


def end_is_noiseless(package: Package) -> None:
    """Inject two different noises into the last step: the result must be the same."""
    schedule, z = scene.linear(package), torch.zeros(1, 2)
    denoise = scene.clusters(package, schedule)
    now, clean = schedule.times(20)[-2:]
    ends = [
        package.samplers.ddpm(z, now, clean, denoise, schedule, draw=lambda z, c=c: z + c)[0]
        for c in (-1, 1)
    ]
    gap = float((ends[0] - ends[1]).abs().max())
    assert gap == 0, f"the last step still moves by {gap / 2:.2f} for noise of size 1"


def steps_follow_the_grid(package: Package) -> None:
    """A step that only takes notes must be sent from each time of the grid to the next one."""
    schedule, notes = scene.linear(package), []
    times = schedule.times(7)

    def step(z, t, s, *_):
        notes.append((int(t), int(s)))
        return z, z, None

    list(package.samplers.sample(None, schedule, torch.zeros(1, 1), times, step))
    wrong = [pair for pair in notes if pair not in pairwise(times.tolist())]
    assert not wrong, f"sent from t = {wrong[0][0]} to {wrong[0][1]}, which is not in the grid"


def grid_is_whole(package: Package) -> None:
    """For every number of steps: it begins at T, ends at 0, and only goes down."""
    schedule = scene.linear(package, T=50, factor=20)
    for steps in range(2, 51):
        times = schedule.times(steps)
        ends = int(times[0]), int(times[-1])
        assert ends == (50, 0), f"{steps} steps go from {ends[0]} to {ends[1]}, not from 50 to 0"
        assert (times.diff() < 0).all(), f"the grid of {steps} steps does not go down"


def heun_has_order_two(package: Package) -> None:
    """Twice the steps, a quarter of the error: on data whose walk is known exactly."""
    order = scene.order(package, package.samplers.heun)
    assert order > 1.7, f"heun converges with order {order:.2f}, not 2"


def dpmpp_2m_has_order_two(package: Package) -> None:
    """The same for DPM-Solver++(2M)."""
    order = scene.order(package, package.samplers.dpmpp_2m)
    assert order > 1.7, f"dpmpp_2m converges with order {order:.2f}, not 2"


def any_eta_keeps_the_level(package: Package) -> None:
    """If the data are one point, z_s is nothing but noise: of variance noise_s^2, whatever eta is.

    The step is linear there: ones and zeros read off its two factors.
    """
    schedule = scene.linear(package)
    for eta in (0.0, 0.5, 1.0):
        level = noise_after(package, schedule, 500, 450, eta, 1.0)
        assert abs(level - 1) < 1e-9, f"eta = {eta}: {level:.3f} of the noise that is expected"


def noise_after(package: Package, schedule, t, s, eta: float, level: float) -> float:
    """Noise after a ddim step from t to s in units of noise_s, if it was ``level`` times noise_t.

    The data are the point 0.
    """

    def exact(z, t):
        return package.denoise.Denoised(0 * z, z / schedule(t)[1])

    one, zero = torch.ones(1, 1).double(), torch.zeros(1, 1).double()
    kept, fresh = (
        float(package.samplers.ddim(z, t, s, exact, schedule, eta=eta, draw=lambda _, d=d: d)[0])
        for z, d in ((one, zero), (zero, one))
    )
    (_, noise_t), (_, noise_s) = schedule(t), schedule(s)
    return float(((kept * level * noise_t) ** 2 + fresh**2).sqrt() / noise_s)


# --- symptoms -------------------------------------------------------------------------------------


def ancestral_walk(package: Package):
    """Samples (600, 2) of the clusters by 20 steps of DDPM."""
    return scene.walk(package, scene.linear(package), package.samplers.ddpm, 20)


def error_by_steps(package: Package):
    """Distance to the exact end on a line, for many numbers of steps; T = 100."""
    schedule = scene.linear(package, T=100, factor=10)
    z_T = even_normal(100)
    exact, denoise = exact_end(THREE, z_T), THREE.denoiser(schedule)
    steps = [n for n in range(10, 101) if n < 35 or n % 2 == 0]
    errors = []
    for n in steps:
        *_, last = package.samplers.sample(denoise, schedule, z_T, schedule.times(n))
        errors.append(float((last.z - exact).square().mean().sqrt()))
    return steps, errors


def centre_by_steps(package: Package):
    """How far the centre of the samples is from that of the data, by the number of steps."""
    schedule = package.schedule.DiscreteSchedule(package.schedule.cosine_betas(1000))
    centre, steps = scene.WEIGHTS @ scene.MEANS, [3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30]
    walks = [scene.walk(package, schedule, package.samplers.ddim, n, n=2000) for n in steps]
    return steps, [float((z.mean(0) - centre).norm()) for z in walks]


def heun_errors(package: Package):
    """Numbers of steps, and the error of Heun with each."""
    return COUNTS, [scene.gaussian_error(package, package.samplers.heun, n) for n in COUNTS]


def noise_by_eta(package: Package):
    """Noise before the last of 20 steps, in units of its level, for data that are one point."""
    schedule, etas = scene.linear(package), torch.linspace(0, 1, 11).tolist()
    levels = []
    for eta in etas:
        level = 1.0
        for t, s in pairwise(schedule.times(20).tolist()[:-1]):
            level = noise_after(package, schedule, t, s, eta, level)
        levels.append(level)
    return etas, levels


def dpmpp_2m_errors(package: Package):
    """Numbers of steps, and the error of DPM-Solver++(2M) with each."""
    return COUNTS, [scene.gaussian_error(package, package.samplers.dpmpp_2m, n) for n in COUNTS]
