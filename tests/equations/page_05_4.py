"""What the letters of chapter 5.4 stand for: values that the package computed."""

import torch
from chapter_05_4 import SCHEDULE, TIMES
from latexvalue import Each, Operator
from pageforms import shows
from registry import points
from symbols import exact, table

from book.ch05_4_sampling.line_data import THREE, even_normal, exact_end
from minildm.samplers import ddim, dpmpp_2m, heun
from minildm.schedule import CosineSchedule

DENOISE = THREE.denoiser(SCHEDULE)
TABLE = table(SCHEDULE)


@shows("5.4.1")
def the_flow():
    """d is the difference over a short step of the package, the guess is that in its middle."""
    schedule, z, h = CosineSchedule(), points(9, 1), 1e-3
    denoise = THREE.denoiser(schedule)
    for t in (0.8, 0.5, 0.3):
        now, middle, end = (torch.tensor(t - x, dtype=torch.float64) for x in (0, h / 2, h))
        z_middle, z_end = (heun(z, now, s, denoise, schedule)[0] for s in (middle, end))

        def difference(rest, ends=((now, z), (end, z_end))):
            first, last = (rest({"t": t, "z_t": z}) for t, z in ends)
            return last - first

        yield {
            r"\mathrm d": Operator(difference), "z_t": z_middle, "t": middle,
            r"\hat z_0": lambda z, t, denoise=denoise: denoise(z, t).z0,
            "a_": lambda t: schedule(t)[0], "b_": lambda t: schedule(t)[1], "tolerance": 2e-4,
        }  # fmt: skip


def _weights(t, s):
    (a_s, b_s), (a_t, b_t) = SCHEDULE(s), SCHEDULE(t)
    return b_s / b_t, a_s - b_s / b_t * a_t


@shows("5.4.2")
def one_line():
    z = points(7, 1)
    for t, s in [*TIMES, (torch.tensor(40), torch.tensor(0))]:
        yield TABLE | {
            "z_s": ddim(z, t, s, DENOISE, SCHEDULE)[0], "z_t": z, "D": DENOISE(z, t).z0,
            "t": int(t), "s": int(s), "tolerance": 1e-7,
        }  # fmt: skip


@shows("5.4.3")
def three_directions():
    """Each D is read off a step of the package: what it does beyond shrinking z_t."""
    z, old = points(7, 1), points(7, 1, seed=1)
    for t, s in TIMES:
        shrink, weight = _weights(t, s)
        landing = ddim(z, t, s, DENOISE, SCHEDULE)[0]
        clock = TABLE[r"\lambda_"]
        h, h_before = clock(s) - clock(t), clock(t) - clock(t + 55)
        memory = (DENOISE(old, t + 55).z0, torch.tensor(h_before).double())
        ends = (
            landing,
            heun(z, t, s, DENOISE, SCHEDULE)[0],
            dpmpp_2m(z, t, s, DENOISE, SCHEDULE, memory)[0],
        )
        yield {
            "D": Each(tuple((end - shrink * z) / weight for end in ends)), "z_t": z,
            r"\tilde z_s": landing,
            "h_s": h, "h_t": h_before, r"\hat z_0": lambda z, t: DENOISE(z, t).z0,
            "z_r": old, "r": t + 55, "t": t, "s": s, "tolerance": 1e-6,
        }  # fmt: skip


@shows("5.4.4")
def knob():
    z, xi = points(7, 1), exact(7, 1)
    for t, s in TIMES:
        z0, eps = DENOISE(z, t)
        (a_s, b_s), (a_t, b_t) = SCHEDULE(s), SCHEDULE(t)
        rho = float(a_t * b_s / (a_s * b_t))
        for eta in (0.3, 1.0):
            yield TABLE | {
                "z_s": ddim(z, t, s, DENOISE, SCHEDULE, eta=eta, draw=lambda _: xi)[0],
                r"\hat z_0": z0, r"\hat\epsilon": eps, r"\xi": xi, r"\eta": eta, r"\rho": rho,
                "f": eta * (1 - rho**2) ** 0.5, "I": 1.0, "t": int(t), "s": int(s),
                "tolerance": 1e-6,
            }  # fmt: skip


@shows("5.4.5")
def known_end():
    z_T = even_normal(40)
    yield {
        "z_0": exact_end(THREE, z_T), "z_T": z_T, r"\Phi": torch.distributions.Normal(0.0, 1.0).cdf,
        "F^{-1}": _inverse, "tolerance": 1e-6,
    }  # fmt: skip


def _inverse(share):
    """By bisection of the distribution function."""
    low, high = (torch.full_like(share, x) for x in (-50.0, 50.0))
    for _ in range(80):
        middle = (low + high) / 2
        below = THREE.below(middle) < share
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2
