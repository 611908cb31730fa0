"""Room 1, schedules, their tables, and the forward process: detectors and symptoms."""

import torch

from book.ch09_1_museum import scene
from book.ch09_1_museum.planted import Package

# --- detectors ------------------------------------------------------------------------------------


def nothing_left(package: Package) -> None:
    """At T hardly any signal may be left: sampling starts from pure noise."""
    betas = package.schedule.linear_betas()
    left, _ = package.schedule.DiscreteSchedule(betas)(len(betas))
    assert left < 0.05, f"{left:.0%} of the signal is left at T = {len(betas)}"


def variance_is_kept(package: Package) -> None:
    """Feed ones and zeros to read off the two factors of a step: their squares sum to 1."""
    schedule = scene.linear(package, T=100, factor=10)
    one, zero = torch.ones(1, 1).double(), torch.zeros(1, 1).double()
    for t in (50, 100):
        signal = package.process.diffuse_step(schedule, one, t, t - 1, zero)
        noise = package.process.diffuse_step(schedule, zero, t, t - 1, one)
        total = float(signal**2 + noise**2)
        assert abs(total - 1) < 1e-9, f"variance 1 becomes {total:.3f} in the step to t = {t}"


def every_level_is_new(package: Package) -> None:
    """Each noise level lies above the one before it, and the first above none."""
    schedule = scene.linear(package)
    _, noise = schedule(torch.arange(schedule.T + 1))
    same = int((noise.diff() <= 0).sum())
    assert same == 0, f"{same} of {schedule.T} noise levels are not above the level before"


def every_time_is_new(package: Package) -> None:
    """A thousand times must give a thousand different embeddings."""
    embedded = package.layers.time_embedding(torch.arange(1, 1001), 32)
    heard = len(embedded.unique(dim=0))
    assert heard == 1000, f"the network can tell apart only {heard} of 1,000 times"


# --- symptoms -------------------------------------------------------------------------------------


def short_walk(package: Package):
    """Samples (600, 2) of the clusters on the schedule that the package's defaults give."""
    schedule = package.schedule.DiscreteSchedule(package.schedule.linear_betas())
    return scene.walk(package, schedule, package.samplers.ddim, 50)


def spread_along_the_chain(package: Package):
    """Steps, and the standard deviation of z_t if data of variance 1 are noised step by step."""
    schedule, eps = scene.linear(package, T=100, factor=10), torch.randn(100, 4000, 1)
    z, spread = torch.randn(4000, 1), [1.0]
    for t in range(1, 101):
        z = package.process.diffuse_step(schedule, z, t, t - 1, eps[t - 1])
        spread.append(float(z.std()))
    return range(101), spread


def first_noise_levels(package: Package):
    """The times 0 to 40 and their noise levels."""
    t = torch.arange(41)
    return t, scene.linear(package)(t)[1]


def time_that_is_heard(package: Package):
    """By how much the exact embedding that is nearest to the one made stands for another time."""
    t = torch.arange(896, 929)
    omega = torch.exp(-torch.log(torch.tensor(10_000.0)) * torch.arange(16) / 16)
    angle = torch.arange(860, 961)[:, None] * omega
    exact = torch.cat([angle.cos(), angle.sin()], dim=1)
    made = package.layers.time_embedding(t, 32)
    return t, torch.cdist(made, exact).argmin(1) + 860 - t
