"""What the letters of chapter 4.5's equations stand for: values that the package computed."""

import math

import torch
from chapter_04_5 import (
    COSINE,
    DATA,
    MEANS,
    ORACLE,
    PLACES,
    SCHEDULE,
    WEIGHTS,
    H,
    beta_of,
    bound_terms,
    clock,
    density,
    derivatives,
    factors,
    flow,
    on_path,
    slope,
    time_of,
    two_points,
    velocity,
)
from latexvalue import Rule
from pageforms import shows
from quadrature import legendre
from registry import points
from symbols import average, exact, last_norm, number, only, table

from book.ch04_3_gaussian.gaussian_case import backward, denoising_cov, marginal
from minildm.denoise import gaussian_denoiser, mixture_denoiser
from minildm.process import diffuse, diffuse_step
from minildm.samplers import ddim
from minildm.schedule import DiscreteSchedule

TABLE = table(SCHEDULE)


# --- scores ---------------------------------------------------------------------------------------


@shows("4.5.1")
def implicit():
    """The average over q is an integral over the line."""
    grid = torch.linspace(-9, 9, 9001, dtype=torch.float64)
    for t in (0.3, 0.7):
        weight = density(grid, t) * (grid[1] - grid[0])
        yield {
            "E": lambda x, weight=weight: (weight * x).sum(), r"\lVert": torch.abs, "z": grid,
            "S": only(grid, grid.cos()), r"\nabla\cdot S(z)": -grid.sin(),
            r"\nabla\log q(z)": derivatives(grid, t, 1)[0], "tolerance": 1e-7,
        }  # fmt: skip


def _two_points(t: float):
    """An average over (z_0, eps) that is an integral; the exact denoiser and score."""
    _, eps, mean, z_t, shares = two_points(t)
    oracle = mixture_denoiser(COSINE, WEIGHTS, MEANS, torch.zeros(2, 1, 1).double())
    a, b = factors(t)
    score = ((a * MEANS[:, 0] - z_t) / b**2 * shares).sum(1, keepdim=True)
    common = {
        "E": mean, r"\lVert": last_norm, "z_t": z_t, r"\epsilon": eps, "t": t, "tolerance": 1e-7,
        r"\nabla\log q(z_t)": score, "b_t": b,
        r"\hat\epsilon": only(z_t, oracle(z_t, clock(t)).eps),
    }  # fmt: skip
    return common, z_t, eps, b


@shows("4.5.2")
def denoising():
    for t in (0.4, 0.8):
        common, z_t, eps, b = _two_points(t)
        yield common | {
            "S": only(z_t, z_t.cos()), r"\nabla_{z_t}\log q(z_t \mid z_0)": -eps / b,
        }  # fmt: skip


@shows("4.5.3")
def simple_loss():
    for t in (0.4, 0.8):
        common, _, _, b = _two_points(t)
        yield common | {
            r"\epsilon_\theta": lambda z, t: (z + t).cos(),
            r"S_\theta": lambda z, t, b=b: -(z + t).cos() / b,
        }  # fmt: skip


@shows("4.5.4")
def second_order():
    for t in (5, 60, 200):
        yield TABLE | {
            r"\mathrm{Cov}(z_0 \mid z_t)": denoising_cov(SCHEDULE, DATA, t), "t": t,
            "I": torch.eye(2).double(),
            r"\nabla^2\log q(z_t)": -torch.linalg.inv(marginal(SCHEDULE, DATA, t).cov),
        }  # fmt: skip


@shows("4.5.5")
def step_back():
    for t in (5, 60, 200):
        yield TABLE | {
            r"\mathrm{Cov}(z_{t-1} \mid z_t)": backward(SCHEDULE, DATA, t, t - 1).cov, "t": t,
            "I": torch.eye(2).double(),
            r"\nabla^2\log q(z_t)": -torch.linalg.inv(marginal(SCHEDULE, DATA, t).cov),
        }  # fmt: skip


# --- small steps ----------------------------------------------------------------------------------


@shows("4.5.6", harmless={r"transpose lost: a}\,y^\topH\,y": "in one dimension it is none"})
def nearly_quadratic():
    """What O stands for is what is left, at the power that is printed, and it is small."""
    z, s = torch.tensor([0.4]).double(), 0.4985
    ratio, beta = (float(x) for x in COSINE.transition(clock(0.5), clock(s)))
    for y in (-1.5, 0.7, 2.0):
        z_s = (z + beta**0.5 * y) / ratio
        value, base = (
            float(-((z - ratio * x) ** 2) / (2 * beta) + density(x, s).log())
            for x in (z_s, z / ratio)
        )
        g, second = (float(x) for x in derivatives(z / ratio, s, 2))
        step = beta**0.5 / ratio * y
        rest = value - base + y**2 / 2 - g * step - second * step**2 / 2
        assert abs(rest) < 20 * beta**1.5 * abs(y) ** 3
        yield {
            r"\log q(z_s \mid z_t)": value, "y": y, r"y^\top": y, "g": g, "H": second,
            r"\beta": beta, r"\alpha": ratio**2, r"\text{const}": base,
            "O": number(rest, beta**1.5 * abs(y) ** 3), "tolerance": 1e-9,
        }  # fmt: skip


@shows("4.5.7")
def skewness():
    z, fine, s = torch.tensor([0.4]).double(), torch.linspace(-2.6, 3.4, 60_001).double(), 0.4995
    ratio, beta = COSINE.transition(clock(0.5), clock(s))
    p = (density(fine, s).log() - (z - ratio * fine) ** 2 / (2 * beta)).exp()
    p = p / torch.trapezoid(p, fine)
    mean = torch.trapezoid(p * fine, fine)
    variance = torch.trapezoid(p * (fine - mean) ** 2, fine)
    neg_entropy = torch.trapezoid(torch.xlogy(p, p), fine)
    yield {
        r"\mathrm{KL}\big(q(z_s \mid z_t) \,\|\, \text{best Gaussian}\big)": (
            neg_entropy + (2 * math.pi * math.e * variance).log() / 2
        ),
        r"\beta": float(beta), r"(\log q)'''": float(derivatives(z, 0.5, 3)[2]),
        r"\approx": lambda a, b: abs(a / b - 1) < 0.03,
    }  # fmt: skip


# --- the limit ------------------------------------------------------------------------------------


@shows("4.5.8")
def forward_sde():
    """A very short step of the package's chain: what is left out is of higher order."""
    z, eps, dt = points(5, 1), points(5, 1, seed=1), 1e-7
    for t in (0.3, 0.6):
        moved = diffuse_step(COSINE, z, clock(t + dt), clock(t), eps)
        yield {
            "dz": moved - z, "z": z, "dt": dt, "dw": dt**0.5 * eps, "t": t, r"\beta": beta_of,
            "tolerance": 3e-6,
        }  # fmt: skip


@shows("4.5.9")
def solution():
    for t in (0.2, 0.5):
        a, b = (float(x) for x in COSINE(clock(t)))
        later, earlier = (float(COSINE(clock(t + d))[0]) for d in (1e-6, -1e-6))
        yield {
            "a_t": a, "b_t": b, "t": t, r"\beta": lambda s: beta_of(float(s)),
            "a'_t": (later - earlier) / 2e-6, "tolerance": 1e-8,
        }  # fmt: skip


def _moving(t: float) -> dict:
    """How the density of the bumps changes, by differences; and the fields that change it."""
    middle, sides = density(PLACES, t), density(PLACES + H, t) + density(PLACES - H, t)
    later, earlier = density(PLACES, t + H), density(PLACES, t - H)
    guess = ORACLE(PLACES[:, None], clock(t))
    a, b = factors(t)
    (score,) = derivatives(PLACES, t, 1)
    return {
        r"\frac{\partial q_t}{\partial t}": (later - earlier) / (2 * H),
        r"\nabla\cdot(z\, q_t)": slope(lambda z: z * density(z, t), PLACES),
        r"\Delta q_t": (sides - 2 * middle) / H**2,
        r"\nabla\cdot(q_t\, u_t)": slope(lambda z: density(z, t) * velocity(z, t), PLACES),
        "u_t(z)": velocity(PLACES, t), "u_t": velocity(PLACES, t), "a'_t": -math.pi / 2 * b,
        "b'_t": math.pi / 2 * a, r"E[z_0 \mid z_t = z]": guess.z0[:, 0], "a": a, "b": b,
        r"E[\epsilon \mid z_t = z]": guess.eps[:, 0], r"\nabla\log q": score, "z": PLACES,
        r"\nabla\log q_t(z)": score, r"\beta(t)": beta_of(t), r"\beta": beta_of(t),
    }  # fmt: skip


@shows("4.5.10", "4.5.11")
def densities_move():
    for t in (0.3, 0.6):
        yield _moving(t) | {"tolerance": 1e-4}


@shows("4.5.12")
def velocity_from_score():
    for t in (0.3, 0.6):
        yield _moving(t)


@shows("4.5.13")
def way_back():
    """A very short step of the package's ``ddim`` with that much noise."""
    z, xi, step = points(5, 1), points(5, 1, seed=1), 1e-7
    for t, eta in ((0.4, 0.0), (0.4, 0.6), (0.7, 1.0)):
        moved = ddim(z, clock(t), clock(t - step), ORACLE, COSINE, None, eta=eta, draw=lambda _: xi)
        (score,) = derivatives(z[:, 0], t, 1)
        yield {
            "dz": moved[0] - z, "u_t(z)": velocity(z[:, 0], t)[:, None], r"\eta": eta, "dt": -step,
            r"\beta(t)": beta_of(t), r"\nabla\log q_t(z)": score[:, None],
            r"d\bar w": step**0.5 * xi, "tolerance": 3e-6 if eta else 1e-5,
        }  # fmt: skip


# --- the bound ------------------------------------------------------------------------------------


@shows("4.5.14")
def snr_form():
    """E is exact: samples of (z_0, eps) with exact moments."""
    both, denoise, terms = exact(30, 4), gaussian_denoiser(SCHEDULE, *DATA), bound_terms(SCHEDULE)
    z0 = DATA.mean + both[:, :2] @ torch.linalg.cholesky(DATA.cov).T
    for t in (2, 40, 200):
        yield TABLE | {
            "L_": lambda n: terms[round(n) + 1], "t": t, "E": average, r"\lVert": last_norm,
            "z_0": z0, "z_t": diffuse(SCHEDULE, z0, t, both[:, 2:]), "tolerance": 1e-7,
            r"\hat z_0": lambda z, t=t: denoise(z, torch.tensor(t)).z0,
        }  # fmt: skip


@shows("4.5.15")
def snr_integral():
    """The integrand of Gaussian data, by the covariance that z_t leaves open."""
    T, eigenvalues = 500, torch.linalg.eigvalsh(DATA.cov)
    share = torch.linspace(0, 1, T, dtype=torch.float64)
    bars = torch.sigmoid(math.log(2.0) + share * math.log(0.001 / 2.0))
    schedule = DiscreteSchedule(1 - bars / torch.cat([torch.ones(1).double(), bars[:-1]]))
    terms = bound_terms(schedule)
    for n in (3, 400):
        left = denoising_cov(schedule, DATA, n).trace()
        assert abs(left - (eigenvalues / (1 + eigenvalues * schedule.snr[n])).sum()) < 1e-9
    known = {t - 1: float(terms[t]) for t in range(2, T + 1)}
    yield {
        "T": T, "L_": lambda n: known[round(n)],
        r"\approx": 0.0038,  # the first term alone is twice that
        r"\mathrm{SNR}_": lambda t: float(schedule.snr[round(t)]),
        r"E\,\lVert z_0 - \hat z_0\rVert^2": Rule(
            lambda v: float((eigenvalues / (1 + eigenvalues * v[r"\mathrm{SNR}"])).sum())
        ),
    }  # fmt: skip


# --- solvers --------------------------------------------------------------------------------------


@shows("4.5.16")
def exact_integral():
    start, clocks = torch.tensor([[2.0]]).double(), {0.7: -0.2, 0.3: 0.9}  # t and s, by label
    at = {label: time_of(c) for label, c in clocks.items()}
    yield {
        "z_t": float(flow(start, time_of(-0.5), at[0.7])), "t": 0.7, "s": 0.3,
        "z_s": float(flow(start, time_of(-0.5), at[0.3])), "tolerance": 1e-8,
        "b_": lambda t: float(COSINE(at[t])[1]), r"\lambda_": lambda t: clocks[t],
        r"\hat z_0": Rule(lambda v: float(on_path(v[r"\lambda"]))),
    }  # fmt: skip


@shows("4.5.17")
def local_error():
    """f is the guess along a path of the Gaussian; O is what is left, at the power printed."""
    start, h = 0.3, 0.1
    m, tiny = start + h / 2, 1e-3
    f = [float(on_path(m + k * tiny)) for k in (-1, 0, 1)]
    first, second = (f[2] - f[0]) / (2 * tiny), (f[2] - 2 * f[1] + f[0]) / tiny**2
    x, weights = legendre(20, start, start + h)
    exact_value = sum(w * float(on_path(c)) * math.exp(c) for c, w in zip(x, weights, strict=True))
    plain = f[1] * (math.exp(start + h) - math.exp(start))
    rest = exact_value - plain - h**3 / 12 * math.exp(m) * (first + second / 2)
    assert abs(rest) < h**4
    yield {
        "f": lambda c: float(on_path(float(c))), "f'": number(first, m), "f''": number(second, m),
        "m": m, "h": h, r"\lambda": start, "O": number(rest, h**4), "tolerance": 1e-11,
    }  # fmt: skip


@shows("4.5.18")
def global_error():
    """The worst that can happen, step by step; with many steps both bounds are nearly reached."""
    C, K, length, n, p = 0.7, 0.4, 1.5, 20_000, 2
    h, error = length / n, 0.0
    for _ in range(n):
        error = (1 + K * h) * error + C * h ** (p + 1)
    yield {
        "e_n": error, "C": C, "K": K, "h": h, "n": n, "p": p, r"\Lambda": length,
        r"\le": lambda a, b: -1e-9 * b < b - a < 1e-3 * b, r"\ge": lambda a, b: False,
    }  # fmt: skip


@shows("4.5.19")
def near_the_plane():
    plane = torch.diag(torch.tensor([1.0, 0.5, 0.0, 0.0, 0.0]).double())
    flat = gaussian_denoiser(COSINE, torch.zeros(5).double(), plane)
    both = exact(40, 10)
    z0, eps = both[:, :5] @ plane.sqrt(), both[:, 5:]
    for t in (0.5, 0.01):
        a, b = factors(t)
        across = -flat(a * z0 + b * eps, clock(t)).eps[:, 2:] / b
        yield {
            r"\nabla_\perp\log q(z_t)": across, r"\epsilon_\perp": eps[:, 2:], "b_t": b,
            "E": average, r"\lVert": last_norm, "D": 5, "d": 2, "tolerance": 1e-7,
        }  # fmt: skip
