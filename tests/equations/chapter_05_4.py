"""The numbered equations of chapter 5.4, sampling, each checked against the package."""

import torch
from registry import Equation, close, points

from book.ch05_4_sampling.line_data import THREE, even_normal, exact_end
from minildm.samplers import ddim, ddpm, dpmpp_2m, heun, sample
from minildm.schedule import CosineSchedule, DiscreteSchedule, cosine_betas

CHAPTER = "05_4_sampling"
SCHEDULE = DiscreteSchedule(cosine_betas(1000))
TIMES = [tuple(map(torch.tensor, pair)) for pair in ((900, 700), (640, 600), (300, 10))]


def line(z, t, s, D):
    """(5.4.2), as printed."""
    (a_s, b_s), (a_t, b_t) = SCHEDULE(s), SCHEDULE(t)
    return b_s / b_t * z + (a_s - b_s / b_t * a_t) * D


def the_flow() -> None:
    """d(z/b) = z0_hat d(a/b): the slope of a small step, in the middle of it."""
    schedule, z = CosineSchedule(), even_normal(9)
    denoise = THREE.denoiser(schedule)
    for t in (0.8, 0.5, 0.3):
        t, s = (torch.tensor(x, dtype=torch.float64) for x in (t, t - 1e-5))
        z_s = heun(z, t, s, denoise, schedule)[0]
        (a_s, b_s), (a_t, b_t) = schedule(s), schedule(t)
        slope = (z_s / b_s - z / b_t) / (a_s / b_s - a_t / b_t)
        close(slope, denoise(z, t).z0, 2e-3)


def one_line() -> None:
    """DDIM is the line through its own guess; clean data (b_s = 0) is reached in one jump."""
    z, denoise = points(7, 1), THREE.denoiser(SCHEDULE)
    for t, s in [*TIMES, (torch.tensor(40), torch.tensor(0))]:
        close(ddim(z, t, s, denoise, SCHEDULE)[0], line(z, t, s, denoise(z, t).z0))


def three_directions() -> None:
    z, denoise = points(7, 1), THREE.denoiser(SCHEDULE)
    for t, s in TIMES:
        guess = denoise(z, t).z0
        landing = line(z, t, s, guess)
        mean = (guess + denoise(landing, s).z0) / 2
        close(heun(z, t, s, denoise, SCHEDULE)[0], line(z, t, s, mean))
        before = t + 55
        lam = {x: SCHEDULE.half_log_snr(x) for x in (before, t, s)}
        for x, value in lam.items():
            close(value, (SCHEDULE(x)[0] / SCHEDULE(x)[1]).log())
        h, h_before = lam[s] - lam[t], lam[t] - lam[before]
        old = points(7, 1, seed=1)
        trend = guess + h / (2 * h_before) * (guess - old)
        got = dpmpp_2m(z, t, s, denoise, SCHEDULE, (old, h_before))
        close(got[0], line(z, t, s, trend))
        close(got[2][1], h)


def knob() -> None:
    z, xi, denoise = points(7, 1), points(7, 1, seed=2), THREE.denoiser(SCHEDULE)
    for t, s in TIMES:
        (a_s, b_s), (a_t, b_t) = SCHEDULE(s), SCHEDULE(t)
        z0, eps = denoise(z, t)
        for eta in (0.0, 0.3, 1.0):
            f = eta * (1 - (a_t * b_s / (a_s * b_t)) ** 2).sqrt()
            close(b_s * f, eta * b_s / b_t * (1 - a_t**2 / a_s**2).sqrt())  # sigma of the papers
            wanted = a_s * z0 + b_s * ((1 - f**2).sqrt() * eps + f * xi)
            close(ddim(z, t, s, denoise, SCHEDULE, eta=eta, draw=lambda z: xi)[0], wanted)
        close(ddpm(z, t, s, denoise, SCHEDULE, draw=lambda z: xi)[0], wanted)  # eta = 1


def known_end() -> None:
    """A fine walk ends where the formula says, point by point."""
    z_T = even_normal(40)
    *_, last = sample(THREE.denoiser(SCHEDULE), SCHEDULE, z_T, SCHEDULE.times(1000), dpmpp_2m)
    close(last.z, exact_end(THREE, z_T), 2e-3)
    share = THREE.below(exact_end(THREE, z_T))
    close(share, torch.distributions.Normal(0.0, 1.0).cdf(z_T), 1e-9)


EQUATIONS = [
    Equation("5.4.1", CHAPTER, "the flow from noise to data", "minildm.samplers.heun", the_flow),
    Equation("5.4.2", CHAPTER, "a step with one direction", "minildm.samplers.ddim", one_line),
    Equation("5.4.3", CHAPTER, "three directions", "minildm.samplers.dpmpp_2m", three_directions),
    Equation("5.4.4", CHAPTER, "the knob between DDIM and DDPM", "minildm.samplers.ddim", knob),
    Equation(
        "5.4.5",
        CHAPTER,
        "where a point of a line ends",
        "book.ch05_4_sampling.line_data.exact_end",
        known_end,
    ),
]
