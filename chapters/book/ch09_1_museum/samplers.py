"""Room 2: samplers, and the grids they walk on."""

from itertools import pairwise

import torch

from book.ch05_4_sampling.line_data import THREE, even_normal, exact_end
from book.ch09_1_museum import figures, scene
from book.ch09_1_museum.exhibit import Exhibit, Sighting
from book.ch09_1_museum.planted import Package

SAMPLERS = ("tests/library/test_samplers.py",)
COUNTS = (10, 20, 40, 80, 160)


# --- Noise at the last step -----------------------------------------------------------------------


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


def ancestral_walk(package: Package):
    """Samples (600, 2) of the clusters by 20 steps of DDPM."""
    return scene.walk(package, scene.linear(package), package.samplers.ddpm, 20)


NOISE_AT_THE_END = Exhibit(
    name="noise-at-the-end",
    title="Noise at the last step",
    file="samplers.py",
    right="    if schedule(s)[1] == 0:\n        return z0, z0, None\n    return posterior",
    wrong="    if schedule(s)[1] == 0:\n"
    "        return z0 + schedule.transition(t, s)[1].sqrt() * draw(z), z0, None\n"
    "    return posterior",
    story="Fresh noise is added even when the walk arrives at clean data.",
    symptom=ancestral_walk,
    draw=figures.clouds(),
    alt="Left, all points lie inside the rings of the clusters. Right, the same clusters are "
    "blurred, and many points lie outside the rings.",
    detector=end_is_noiseless,
    tests=SAMPLERS,
    seen=(
        Sighting(
            "notebook 18.4 of Understanding Deep Learning: 'if t>0' in a loop whose last t is 1 "
            "(18.2 has the same guard, and leaves the line with the noise to the reader)",
            "https://github.com/udlbook/udlbook/blob/main/Notebooks/Chap18/"
            "18_4_Families_of_Diffusion_Models.ipynb",
        ),
        Sighting(
            "labml's annotated DDPM: p_sample adds noise at every t",
            "https://github.com/labmlai/annotated_deep_learning_paper_implementations/blob/"
            "master/labml_nn/diffusion/ddpm/__init__.py",
        ),
    ),
    eye="with few steps",
)

# --- The next time, computed again ----------------------------------------------------------------


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


NEXT_TIME = Exhibit(
    name="next-time",
    title="The next time, computed again",
    file="samplers.py",
    right="for t, s in pairwise(times):",
    wrong="for t, s in ((t, (t - schedule.T // (len(times) - 1)).clamp(min=0)) "
    "for t in times[:-1]):",
    story="The sampler subtracts T // steps instead of reading the next time from the grid.",
    symptom=error_by_steps,
    draw=figures.curves("steps", "error", log="y"),
    alt="The right error falls slowly with the number of steps. The planted one agrees with it "
    "at 10, 20, 25, 50 and 100 steps, and is larger in between, most of all just above 50.",
    detector=steps_follow_the_grid,
    tests=SAMPLERS,
    seen=(
        Sighting(
            "diffusers, issue 11347: DDIM with linspace spacing loses quality",
            "https://github.com/huggingface/diffusers/issues/11347",
        ),
        Sighting(
            "diffusers, issue 12633: the same, reported again seven months later",
            "https://github.com/huggingface/diffusers/issues/12633",
        ),
        Sighting(
            "diffusers, pull request 9384: the same in DDPM, repaired",
            "https://github.com/huggingface/diffusers/pull/9384",
        ),
    ),
    eye="only with an unlucky number of steps",
)

# --- A walk that does not start at T --------------------------------------------------------------


def grid_is_whole(package: Package) -> None:
    """For every number of steps: it begins at T, ends at 0, and only goes down."""
    schedule = scene.linear(package, T=50, factor=20)
    for steps in range(2, 51):
        times = schedule.times(steps)
        ends = int(times[0]), int(times[-1])
        assert ends == (50, 0), f"{steps} steps go from {ends[0]} to {ends[1]}, not from 50 to 0"
        assert (times.diff() < 0).all(), f"the grid of {steps} steps does not go down"


def centre_by_steps(package: Package):
    """How far the centre of the samples is from that of the data, by the number of steps."""
    schedule = package.schedule.DiscreteSchedule(package.schedule.cosine_betas(1000))
    centre, steps = scene.WEIGHTS @ scene.MEANS, [3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30]
    walks = [scene.walk(package, schedule, package.samplers.ddim, n, n=2000) for n in steps]
    return steps, [float((z.mean(0) - centre).norm()) for z in walks]


GRID_WITHOUT_T = Exhibit(
    name="grid-without-T",
    title="A walk that does not start at T",
    file="schedule.py",
    right="return (2 * self.T * torch.arange(steps, -1, -1)",
    wrong="return (2 * (self.T - self.T // steps) * torch.arange(steps, -1, -1)",
    story="The grid starts one stride below T, but the walk starts from the noise of T.",
    symptom=centre_by_steps,
    draw=figures.curves("steps", "centre is off by", marker="o"),
    alt="The centre of the right samples is close to that of the data for any number of steps. "
    "The planted one is far off with few steps and comes nearer as the stride shrinks.",
    detector=grid_is_whole,
    tests=("tests/library/test_schedule.py",),
    seen=(
        Sighting(
            "diffusers, issue 2585: 50 steps start at 981, not at 999",
            "https://github.com/huggingface/diffusers/issues/2585",
        ),
        Sighting(
            "Lin et al. 2024: many samplers never visit the last time",
            "https://arxiv.org/abs/2305.08891",
        ),
    ),
    eye="as grey, average pictures",
)

# --- Two evaluations at one time ------------------------------------------------------------------


def heun_has_order_two(package: Package) -> None:
    """Twice the steps, a quarter of the error: on data whose walk is known exactly."""
    order = scene.order(package, package.samplers.heun)
    assert order > 1.7, f"heun converges with order {order:.2f}, not 2"


def heun_errors(package: Package):
    """Numbers of steps, and the error of Heun with each."""
    return COUNTS, [scene.gaussian_error(package, package.samplers.heun, n) for n in COUNTS]


HEUN_AT_ONE_TIME = Exhibit(
    name="heun-at-one-time",
    title="Two evaluations at one time",
    file="samplers.py",
    right="z0 = (z0 + denoise(from_z * z + from_z0 * z0, s).z0) / 2",
    wrong="z0 = (z0 + denoise(from_z * z + from_z0 * z0, t).z0) / 2",
    story="The second evaluation of Heun's step is told the old time.",
    symptom=heun_errors,
    draw=figures.curves("steps", "error", log="xy", marker="o"),
    alt="Both errors fall with the number of steps on logarithmic axes, the right one twice as "
    "steeply: at 160 steps it is almost a hundred times smaller.",
    detector=heun_has_order_two,
    tests=SAMPLERS,
    seen=(
        Sighting(
            "diffusers, pull request 1512: the old noise level in the second half of the step, "
            "noisy pictures with v-prediction",
            "https://github.com/huggingface/diffusers/pull/1512",
        ),
    ),
    eye="no, with many steps",
)

# --- Eta squared in one place, not in the other ---------------------------------------------------


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


ETA_ON_THE_VARIANCE = Exhibit(
    name="eta-on-the-variance",
    title="Eta squared in one place, not in the other",
    file="samplers.py",
    right="rest = kept + (1 - eta**2) * fresh",
    wrong="rest = kept + (1 - eta) * fresh",
    story="The noise taken out is eta times the variance, the noise put in eta squared.",
    symptom=noise_by_eta,
    draw=figures.curves("eta", "noise / noise level", marker="o"),
    alt="The right noise is what its level says for every eta. The planted one agrees at "
    "eta = 0 and eta = 1 and sags in between.",
    detector=any_eta_keeps_the_level,
    tests=SAMPLERS,
    seen=(
        Sighting(
            "DDPM_inversion, issue 12: 'eta * variance' where the square of eta belongs",
            "https://github.com/inbarhub/DDPM_inversion/issues/12",
        ),
    ),
    eye="no: exact at 0 and at 1",
)

# --- an exercise ----------------------------------------------------------------------------------


def dpmpp_2m_has_order_two(package: Package) -> None:
    """The same for DPM-Solver++(2M)."""
    order = scene.order(package, package.samplers.dpmpp_2m)
    assert order > 1.7, f"dpmpp_2m converges with order {order:.2f}, not 2"


def dpmpp_2m_errors(package: Package):
    """Numbers of steps, and the error of DPM-Solver++(2M) with each."""
    return COUNTS, [scene.gaussian_error(package, package.samplers.dpmpp_2m, n) for n in COUNTS]


# Planted by us, for an exercise: seen nowhere, and easily written.
HIDDEN = Exhibit(
    name="hidden",
    title="A second-order step of first order",
    file="samplers.py",
    right="h / (2 * h_previous)",
    wrong="h / h_previous",
    story="The line through two estimates is read at the end of the step, not in its middle.",
    symptom=dpmpp_2m_errors,
    draw=figures.curves("steps", "error", log="xy", marker="o"),
    alt="Both errors fall, the planted one with half the slope.",
    detector=dpmpp_2m_has_order_two,
    tests=SAMPLERS,
    seen=(),
    eye="no",
)

EXHIBITS = [NOISE_AT_THE_END, NEXT_TIME, GRID_WITHOUT_T, HEUN_AT_ONE_TIME, ETA_ON_THE_VARIANCE]
