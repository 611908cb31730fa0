"""Room 1: schedules, their tables, and the forward process."""

import torch

from book.ch09_1_museum import figures, scene
from book.ch09_1_museum.exhibit import Exhibit, Sighting
from book.ch09_1_museum.planted import Package

# --- The betas of a thousand steps, used for fifty ------------------------------------------------


def nothing_left(package: Package) -> None:
    """At T hardly any signal may be left: sampling starts from pure noise.

    Stable Diffusion's own table leaves 6.8 %, and would be flagged too: chapter 8.1.
    """
    betas = package.schedule.linear_betas()
    left, _ = package.schedule.DiscreteSchedule(betas)(len(betas))
    assert left < 0.05, f"{left:.0%} of the signal is left at T = {len(betas)}"


def short_walk(package: Package):
    """Samples (600, 2) of the clusters on the schedule that the package's defaults give."""
    schedule = package.schedule.DiscreteSchedule(package.schedule.linear_betas())
    return scene.walk(package, schedule, package.samplers.ddim, 50)


SHORT_SCHEDULE = Exhibit(
    name="short-schedule",
    title="The betas of a thousand steps, used for fifty",
    file="schedule.py",
    right="def linear_betas(T: int = 1000, first",
    wrong="def linear_betas(T: int = 50, first",
    story="T is lowered, the betas stay: much of the signal is left where sampling starts.",
    symptom=short_walk,
    draw=figures.clouds(),
    alt="Left, three compact clusters inside their rings. Right, the same clusters, blurred, "
    "with more points in the one nearest the origin and fewer in the other two.",
    detector=nothing_left,
    tests=("tests/library/test_schedule.py",),
    seen=(
        Sighting(
            "tiny-diffusion: 50 steps by default, with betas from 0.0001 to 0.02",
            "https://github.com/tanelp/tiny-diffusion/blob/master/ddpm.py",
        ),
        Sighting(
            "EngiOpt, issue 65: 250 steps leave 28 % of the amplitude",
            "https://github.com/IDEALLab/EngiOpt/issues/65",
        ),
    ),
    eye="yes, if you know the data",
)

# --- Noise scaled by its variance -----------------------------------------------------------------


def variance_is_kept(package: Package) -> None:
    """Feed ones and zeros to read off the two factors of a step: their squares sum to 1."""
    schedule = scene.linear(package, T=100, factor=10)
    one, zero = torch.ones(1, 1).double(), torch.zeros(1, 1).double()
    for t in (50, 100):
        signal = package.process.diffuse_step(schedule, one, t, t - 1, zero)
        noise = package.process.diffuse_step(schedule, zero, t, t - 1, one)
        total = float(signal**2 + noise**2)
        assert abs(total - 1) < 1e-9, f"variance 1 becomes {total:.3f} in the step to t = {t}"


def spread_along_the_chain(package: Package):
    """Steps, and the standard deviation of z_t if data of variance 1 are noised step by step."""
    schedule, eps = scene.linear(package, T=100, factor=10), torch.randn(100, 4000, 1)
    z, spread = torch.randn(4000, 1), [1.0]
    for t in range(1, 101):
        z = package.process.diffuse_step(schedule, z, t, t - 1, eps[t - 1])
        spread.append(float(z.std()))
    return range(101), spread


BETA_FOR_ROOT = Exhibit(
    name="beta-for-root",
    title="Noise scaled by its variance",
    file="process.py",
    right="expand(variance.sqrt(), z_s) * eps",
    wrong="expand(variance, z_s) * eps",
    story="beta is the variance of the added noise; its root is what multiplies eps.",
    symptom=spread_along_the_chain,
    draw=figures.curves("step t", "standard deviation of z_t"),
    alt="The right line stays at a standard deviation of 1 for all hundred steps; the planted "
    "one falls below 0.4 and only then turns up a little.",
    detector=variance_is_kept,
    tests=("tests/library/test_process.py",),
    seen=(
        Sighting(
            "acids-ircam/diffusion_models, issue 1: a notebook's forward process",
            "https://github.com/acids-ircam/diffusion_models/issues/1",
        ),
        Sighting(
            "the Hugging Face diffusion course, issue 63: in the text, 'noise scaled by beta_t'",
            "https://github.com/huggingface/diffusion-models-class/issues/63",
        ),
        Sighting(
            "notebooks of a short course on how diffusion models work, issue 1: the same "
            "root is missing in the jump from clean data",
            "https://github.com/Ryota-Kawamura/How-Diffusion-Models-Work/issues/1",
        ),
    ),
    eye="in noisy data, not in samples",
)

# --- A table in half precision --------------------------------------------------------------------


def every_level_is_new(package: Package) -> None:
    """Each noise level lies above the one before it, and the first above none."""
    schedule = scene.linear(package)
    _, noise = schedule(torch.arange(schedule.T + 1))
    same = int((noise.diff() <= 0).sum())
    assert same == 0, f"{same} of {schedule.T} noise levels are not above the level before"


def first_noise_levels(package: Package):
    """The times 0 to 40 and their noise levels."""
    t = torch.arange(41)
    return t, scene.linear(package)(t)[1]


LOW_PRECISION_TABLE = Exhibit(
    name="low-precision-table",
    title="A table in half precision",
    file="schedule.py",
    right="(self.log_alpha_bar / 2).exp(), self.noise_variance.sqrt()",
    wrong="(x := self.alpha_bar.bfloat16().double()).sqrt(), (1 - x).sqrt()",
    story="Near 1, bfloat16 has steps of 1/256: the first levels of noise become none at all.",
    symptom=first_noise_levels,
    draw=figures.curves("time t", "noise level", marker="."),
    alt="The right noise level rises smoothly from t = 1 on. The planted one is exactly zero "
    "for the first ten times, then climbs in a few stairs.",
    detector=every_level_is_new,
    tests=("tests/library/test_schedule.py", "tests/library/test_process.py"),
    seen=(
        Sighting(
            "diffusers, pull request 9004: its author found that no noise at all was added at "
            "the first times",
            "https://github.com/huggingface/diffusers/pull/9004",
        ),
    ),
    eye="no",
)

# --- Time in half precision -----------------------------------------------------------------------


def every_time_is_new(package: Package) -> None:
    """A thousand times must give a thousand different embeddings."""
    embedded = package.layers.time_embedding(torch.arange(1, 1001), 32)
    heard = len(embedded.unique(dim=0))
    assert heard == 1000, f"the network can tell apart only {heard} of 1,000 times"


def time_that_is_heard(package: Package):
    """By how much the exact embedding that is nearest to the one made stands for another time."""
    t = torch.arange(896, 929)
    omega = torch.exp(-torch.log(torch.tensor(10_000.0)) * torch.arange(16) / 16)
    angle = torch.arange(860, 961)[:, None] * omega
    exact = torch.cat([angle.cos(), angle.sin()], dim=1)
    made = package.layers.time_embedding(t, 32)
    return t, torch.cdist(made, exact).argmin(1) + 860 - t


LOW_PRECISION_TIME = Exhibit(
    name="low-precision-time",
    title="Time in half precision",
    file="layers.py",
    right="t = t.float() * time_scale if t.is_floating_point() else t.float()",
    wrong="t = (t.float() * time_scale if t.is_floating_point() else t).bfloat16().float()",
    story="Above 512, bfloat16 keeps every fourth integer: the network hears another time.",
    symptom=time_that_is_heard,
    draw=figures.curves("time that is given", "heard minus given", marker="."),
    alt="The right line is zero. The planted one is a zigzag between -2 and 2: most times are "
    "heard as one or two steps earlier or later.",
    detector=every_time_is_new,
    tests=("tests/library/test_unet.py",),
    seen=(
        Sighting(
            "diffusers, issue 9405: 750 becomes 752 for Flux and Stable Diffusion 3",
            "https://github.com/huggingface/diffusers/issues/9405",
        ),
        Sighting(
            "musubi-tuner, pull request 729: times kept in float32 since bfloat16 has too few "
            "digits between 0 and 1,000",
            "https://github.com/kohya-ss/musubi-tuner/pull/729",
        ),
    ),
    eye="no",
)

EXHIBITS = [SHORT_SCHEDULE, BETA_FOR_ROOT, LOW_PRECISION_TABLE, LOW_PRECISION_TIME]
