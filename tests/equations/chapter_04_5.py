"""The numbered equations of chapter 4.5, continuous time, each checked against the package.

The data are two unequal bumps, for which every density is a formula: derivatives are automatic,
averages are quadratures, and nothing is drawn.
"""

import math
import warnings
from functools import partial
from itertools import pairwise

import torch
from quadrature import hermite
from registry import close, numbered, points

from book.ch04_2_derivations.elbo import bound, reverse_chain
from book.ch04_3_gaussian.gaussian_case import denoising_cov, marginal, normal
from book.written import written
from minildm.denoise import gaussian_denoiser, mixture_denoiser
from minildm.losses import diffusion_loss
from minildm.predict import EPS
from minildm.process import diffuse
from minildm.samplers import ddim, ddpm, dpmpp_2m
from minildm.schedule import CosineSchedule, DiscreteSchedule, FlowSchedule, linear_betas

CHAPTER = "04_5_continuous_time"
COSINE = CosineSchedule()
WEIGHTS = torch.tensor([0.7, 0.3]).double()
MEANS = torch.tensor([[-0.8], [1.4]]).double()
COVS = torch.tensor([[[0.05]], [[0.2]]]).double()
ORACLE = mixture_denoiser(COSINE, WEIGHTS, MEANS, COVS)
GRID = torch.linspace(-9, 9, 9001, dtype=torch.float64)
TIMES = (0.1, 0.3, 0.7)
PLACES = torch.linspace(-2.5, 2.5, 41, dtype=torch.float64)
SCHEDULE = DiscreteSchedule(linear_betas(200, 1e-3, 0.08))
DATA = normal([1.0, -2.0], [[1.3, 0.6], [0.6, 0.7]])
H = 1e-4


def clock(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def factors(t: float) -> tuple[float, float]:
    return math.cos(math.pi * t / 2), math.sin(math.pi * t / 2)


def beta_of(t: float) -> float:
    return math.pi * math.tan(math.pi * t / 2)


def bump(z, mean, variance):
    return torch.exp(-((z - mean) ** 2) / (2 * variance)) / (2 * math.pi * variance) ** 0.5


def density(z: torch.Tensor, t: float, a: float | None = None, b: float = 0.0) -> torch.Tensor:
    """q(z_t), written out; a and b may be given instead of t."""
    if a is None:
        a, b = factors(t)
    parts = zip(WEIGHTS, MEANS[:, 0], COVS[:, 0, 0], strict=True)
    return sum(w * bump(z, a * m, a**2 * v + b**2) for w, m, v in parts)


def derivatives(z: torch.Tensor, t: float, order: int) -> list[torch.Tensor]:
    """The first derivatives of log q."""
    z = z.clone().requires_grad_(True)
    value, found = density(z, t).log(), []
    for _ in range(order):
        (value,) = torch.autograd.grad(value.sum(), z, create_graph=True)
        found.append(value.detach())
    return found


def average(values: torch.Tensor, t: float) -> torch.Tensor:
    return torch.trapezoid(values * density(GRID, t), GRID)


def epsilon(z: torch.Tensor, t: float) -> torch.Tensor:
    return ORACLE(z[:, None], clock(t)).eps[:, 0]


def two_points(t: float):
    """Data in the two means alone: (z_0, eps, an average over both, z_t, shares of the means).

    The average is an integral over eps; the shares are those of Bayes' rule, given z_t.
    """
    eps = torch.linspace(-9, 9, 2001, dtype=torch.float64).repeat(2)[:, None]
    z0 = MEANS.repeat_interleave(2001, 0)
    chance = (-(eps[:, 0] ** 2) / 2).exp() * WEIGHTS.repeat_interleave(2001)
    z_t, (a, b) = diffuse(COSINE, z0, clock(t), eps), factors(t)
    squares = (z_t - a * MEANS[:, 0]) ** 2  # (n, 2)
    shares = (WEIGHTS.log() - squares / (2 * b**2)).softmax(1)
    return z0, eps, lambda x: (chance * x.flatten()).sum() / chance.sum(), z_t, shares


def error_in_eps(f: torch.Tensor, t: float) -> torch.Tensor:
    """E |eps - f(z_t)|^2, component by component, by quadrature over z_t."""
    a, b = factors(t)
    total = torch.zeros(()).double()
    for w, m, v in zip(WEIGHTS, MEANS[:, 0], COVS[:, 0, 0], strict=True):
        c = a**2 * v + b**2  # given z_t and the component, eps is Gaussian
        mean, variance = b * (GRID - a * m) / c, a**2 * v / c
        inside = (mean - f) ** 2 + variance
        total = total + w * torch.trapezoid(bump(GRID, a * m, c) * inside, GRID)
    return total


# --- 4.5.1, 4.5.2 scores and curvature ------------------------------------------------------------


def implicit() -> None:
    for t in TIMES:
        (score,) = derivatives(GRID, t, 1)
        close(score, -epsilon(GRID, t) / factors(t)[1], 1e-8)
        for S, slope in ((-GRID, -torch.ones_like(GRID)), (GRID.cos(), -GRID.sin())):
            right = average(S**2 + 2 * slope, t) + average(score**2, t)
            close(average((S - score) ** 2, t), right, 1e-7)


def denoising() -> None:
    for t in TIMES:
        b, (score,) = factors(t)[1], derivatives(GRID, t, 1)
        for S in (0 * GRID, GRID.cos()):
            left = error_in_eps(-b * S, t) / b**2  # S + eps / b, squared
            right = average((S - score) ** 2, t) + error_in_eps(epsilon(GRID, t), t) / b**2
            close(left, right, 1e-7)


def simple_loss_is_score_matching() -> None:
    """The package's own loss, averaged by quadrature over eps, for data in two points of a plane.

    Its second coordinate is 0 in both: there three nodes are enough.
    """
    t, schedule = 30, DiscreteSchedule(linear_betas(100, 1e-3, 0.1))
    a, b = (float(x) for x in schedule(t))
    line = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    means = torch.cat([MEANS, 0 * MEANS], 1)
    oracle = mixture_denoiser(schedule, WEIGHTS, means, torch.zeros(2, 2, 2).double())
    times = torch.full((len(line),), t)

    def net(z_t, t, condition):
        return torch.stack([(2 * z_t[:, 0] + t / 40).cos(), 0.3 * z_t[:, 1] - t / 90], 1)

    left = unavoidable = score_error = torch.zeros(()).double()
    nodes = [(x, v) for x, v in zip(*hermite(3), strict=True)]
    for w, m in zip(WEIGHTS, means, strict=True):
        for second, share in nodes:
            eps = torch.stack([line, second.expand(len(line))], 1)
            loss = diffusion_loss(
                net, schedule, m.expand(len(line), 2), parameterization=EPS, t=times, eps=eps
            )
            z_t = a * m + b * eps
            best, own = oracle(z_t, times).eps, net(z_t, 30.0, None)
            weight = w * share * bump(line, 0.0, 1.0)
            left = left + torch.trapezoid(weight * 2 * loss, line)  # the loss is a mean over two
            errors = (eps - best).square().sum(1), (own / b - best / b).square().sum(1)
            unavoidable = unavoidable + torch.trapezoid(weight * errors[0], line)
            score_error = score_error + torch.trapezoid(weight * errors[1], line)
    close(left, b**2 * score_error + unavoidable, 1e-7)


def conditional_moments(z: float, prior: torch.Tensor, ratio: float, variance: float):
    p = prior * bump(clock(z), ratio * GRID, variance)
    p = p / torch.trapezoid(p, GRID)
    mean = torch.trapezoid(p * GRID, GRID)
    return mean, torch.trapezoid(p * (GRID - mean) ** 2, GRID)


def second_order() -> None:
    for t in TIMES:
        a, b = factors(t)
        for z in (-1.0, 0.2, 1.1):
            second = derivatives(torch.tensor([z]).double(), t, 2)[1]
            printed = b**2 / a**2 * (1 + b**2 * second)
            close(printed, conditional_moments(z, density(GRID, 0.0), a, b**2)[1], 1e-7)
    data = normal([1.0, -2.0], [[1.3, 0.6], [0.6, 0.7]])  # in the plane: the matrix form
    for t in (0.2, 0.6):
        a, b = factors(t)
        time = clock(t)
        hessian = -torch.linalg.inv(marginal(COSINE, data, time).cov)
        printed = b**2 / a**2 * (torch.eye(2).double() + b**2 * hessian)
        close(printed, denoising_cov(COSINE, data, time), 1e-9)


def step_back() -> None:
    for t, s in ((0.3, 0.28), (0.7, 0.5)):
        ratio, beta = (
            float(x) for x in COSINE.transition(*torch.tensor([t, s], dtype=torch.float64))
        )
        close(ratio**2, 1 - beta)
        for z in (-1.0, 0.2, 1.1):
            second = derivatives(torch.tensor([z]).double(), t, 2)[1]
            got = conditional_moments(z, density(GRID, s), ratio, beta)[1]
            close(beta / ratio**2 * (1 + beta * second), got, 1e-7)


# --- 4.5.3 a small step is Gaussian ---------------------------------------------------------------


def nearly_quadratic() -> None:
    """The remainder falls like beta^(3/2) where u is fixed."""
    z, u = torch.tensor([0.4]).double(), torch.tensor([-1.5, 0.0, 1.5]).double()
    remainders = []
    for length in (0.004, 0.001):
        s = 0.5 - length
        r, beta = (
            float(x) for x in COSINE.transition(*torch.tensor([0.5, s], dtype=torch.float64))
        )
        close(r**2, 1 - beta)
        close(r, factors(0.5)[0] / factors(s)[0])  # the step is the one from q_s to q_t
        z_s = (z + beta**0.5 * u) / r
        exact = -((z - r * z_s) ** 2) / (2 * beta) + density(z_s, s).log()
        g, H = derivatives(z / r, s, 2)
        printed = -(u**2) / 2 + (beta / r**2) ** 0.5 * g * u + beta / (2 * r**2) * H * u**2
        off = exact - printed
        remainders.append((off - off[1]).abs().max() / beta**1.5)
    assert 0.5 < remainders[1] / remainders[0] < 2, remainders
    assert remainders[0] < 20


def of_the_cells(*names: str) -> list:
    """The chapter's own functions of these names, on the data of this file, in float64."""
    found = written("04_5", *names)
    for function in found:
        function.__globals__.update(
            schedule=COSINE, oracle=ORACLE, WEIGHTS=WEIGHTS, MEANS=MEANS, VARIANCES=COVS, tiny=H,
            fine=torch.linspace(-2.6, 3.4, 60_001, dtype=torch.float64),
        )  # fmt: skip

    def in_float64(function):
        def of(*given):
            usual = torch.get_default_dtype()
            torch.set_default_dtype(torch.float64)
            try:
                return function(*given)
            finally:
                torch.set_default_dtype(usual)

        return of

    return [in_float64(function) for function in found]


def skewness() -> None:
    """The cell's two sides against each other, and each against its own definition."""
    (cost_of_skewness,) = of_the_cells("cost_of_skewness")
    fine = torch.linspace(-4.0, 4.0, 80_001, dtype=torch.float64)
    for z, t in ((0.4, 0.5), (-0.3, 0.6)):
        s, third = t - 5e-4, derivatives(torch.tensor([z]).double(), t, 3)[2]
        beta, kl, formula = cost_of_skewness(z, t, s)
        close(beta, 1 - (factors(t)[0] / factors(s)[0]) ** 2, 1e-12)
        p = density(fine, s) * bump(clock(z), (1 - beta) ** 0.5 * fine, beta)
        p = p / torch.trapezoid(p, fine)
        mean = torch.trapezoid(p * fine, fine)
        gauss = bump(fine, mean, torch.trapezoid(p * (fine - mean) ** 2, fine))
        close(kl / torch.trapezoid(torch.xlogy(p, p / gauss.clamp(min=1e-300)), fine), 1, 1e-4)
        close(formula / (beta**3 / 12 * third**2), 1, 1e-6)
        close(kl / formula, 1, 0.03)


# --- 4.5.4 to 4.5.6 SDE, densities, the way back --------------------------------------------------


def _steps(z0: float, n: int) -> tuple[float, float]:
    """Mean and variance at t = 0.5 of Euler's steps of (4.5.8) from z0."""
    mean, variance = z0, 0.0
    for k in range(n):
        beta, dt = beta_of((k + 0.5) * 0.5 / n), 0.5 / n
        mean, variance = (1 - beta * dt / 2) * mean, (1 - beta * dt / 2) ** 2 * variance + beta * dt
    return mean, variance


def forward_sde() -> None:
    """Its first two moments, in the limit of Euler's steps, are those of ``diffuse``'s factors."""
    a, b = COSINE(clock(0.5))
    (beta_in_the_cell,) = of_the_cells("beta_of")
    close(beta_in_the_cell(0.3), beta_of(0.3), 1e-12)
    off = []
    for n in (500, 1000):
        mean, variance = _steps(0.8, n)
        off.append(max(abs(mean - 0.8 * float(a)), abs(variance - float(b) ** 2)))
    assert off[1] < 1e-3
    assert 1.7 < off[0] / off[1] < 2.3, off  # towards the limit, with order 1


def solution() -> None:
    for t in TIMES:
        grid = torch.linspace(0, t, 20_001, dtype=torch.float64)
        rate = torch.tensor([beta_of(float(s)) for s in grid[::200]]).double()
        integral = torch.trapezoid(rate, grid[::200])
        a, b = COSINE(clock(t))
        close(a, torch.exp(-integral / 2), 1e-3)
        close(b**2, 1 - a**2)
        h = 1e-6
        later, earlier = (COSINE(clock(t + d))[0] for d in (h, -h))
        close(beta_of(t), -2 * (later - earlier) / (2 * h) / a, 1e-6)


def change(t: float) -> torch.Tensor:
    return (density(PLACES, t + H) - density(PLACES, t - H)) / (2 * H)


def slope(f, z: torch.Tensor) -> torch.Tensor:
    return (f(z + H) - f(z - H)) / (2 * H)


def fokker_planck() -> None:
    """The right side as the cell has it, and written out."""
    right, beta_in_the_cell = of_the_cells("fokker_planck", "beta_of")
    for t in TIMES:
        close(beta_in_the_cell(t), beta_of(t), 1e-12)
        close(change(t), right(PLACES, t), 2e-5 * beta_of(t) + 1e-4)
        drift = slope(lambda z, t=t: z * density(z, t), PLACES)
        middle, sides = density(PLACES, t), density(PLACES + H, t) + density(PLACES - H, t)
        laplacian = (sides - 2 * middle) / H**2
        close(change(t), beta_of(t) / 2 * (drift + laplacian), 2e-5 * beta_of(t) + 1e-4)


def velocity(z: torch.Tensor, t: float) -> torch.Tensor:
    a, b = factors(t)
    guess = ORACLE(z[:, None], clock(t))
    return math.pi / 2 * (-b * guess.z0 + a * guess.eps)[:, 0]


def continuity() -> None:
    for t in TIMES:
        close(change(t), -slope(lambda z, t=t: density(z, t) * velocity(z, t), PLACES), 1e-4)
    flow, t = FlowSchedule(), 0.4  # the same lines for z_t = (1 - t) z0 + t eps
    oracle = mixture_denoiser(flow, WEIGHTS, MEANS, COVS)

    def straight(z):
        guess = oracle(z[:, None], clock(t))
        return density(z, t, 1 - t, t) * (guess.eps - guess.z0)[:, 0]

    later, earlier = (density(PLACES, t, 1 - t - h, t + h) for h in (H, -H))
    close((later - earlier) / (2 * H), -slope(straight, PLACES), 1e-4)


def velocity_from_score() -> None:
    for t in TIMES:
        (score,) = derivatives(PLACES, t, 1)
        close(velocity(PLACES, t), -beta_of(t) / 2 * (PLACES + score), 1e-8)


def way_back() -> None:
    """The density stays q for each eta; eta = 1 is a small step of ddpm, eta = 0 one of ddim."""
    for t in TIMES:
        beta = beta_of(t)
        for eta in (0.0, 0.7, 1.0, 1.5):

            def flux(z, t=t, beta=beta, eta=eta):
                (score,) = derivatives(z, t, 1)
                along = -velocity(z, t) + eta**2 * beta / 2 * score  # per time that runs along
                return density(z, t) * along

            middle, sides = density(PLACES, t), density(PLACES + H, t) + density(PLACES - H, t)
            spread = eta**2 * beta / 2 * (sides - 2 * middle) / H**2
            close(-change(t), -slope(flux, PLACES) + spread, 2e-4 * (1 + beta))
    t, h = 0.6, 1e-5
    now, z = clock(t), points(5, 1)
    (score,) = derivatives(z[:, 0], t, 1)
    for step, eta in ((ddim, 0.0), (ddpm, 1.0)):
        options = {"draw": torch.zeros_like} if step is ddpm else {}
        moved = step(z, now, now - h, ORACLE, COSINE, None, **options)[0][:, 0]
        drift = velocity(z[:, 0], t) - eta**2 * beta_of(t) / 2 * score
        close((moved - z[:, 0]) / -h, drift, 1e-2)
    noisy = ddpm(z, now, now - h, ORACLE, COSINE, None, draw=torch.ones_like)[0][:, 0]
    close((noisy - moved) / (beta_of(t) * h) ** 0.5, torch.ones(5), 1e-3)


# --- 4.5.7 the bound and the SNR ------------------------------------------------------------------


def bound_terms(schedule: DiscreteSchedule) -> torch.Tensor:
    """Of the bound, for the exact denoiser, with the posterior's variances but for the first."""
    sigma2 = schedule.posterior_variance.clone()
    sigma2[1] = schedule.beta[1]
    chain = reverse_chain(gaussian_denoiser(schedule, *DATA), schedule, 2, sigma2)
    return bound(schedule, chain, DATA).steps


def snr_form() -> None:
    terms = bound_terms(SCHEDULE)
    bars = [math.prod((1 - SCHEDULE.beta[1 : t + 1]).tolist()) for t in range(201)]
    for t in (2, 3, 40, 200):
        before, now = bars[t - 1] / (1 - bars[t - 1]), bars[t] / (1 - bars[t])
        error = denoising_cov(SCHEDULE, DATA, t).trace()
        close(terms[t], (before - now) / 2 * error, 1e-9)


def snr_integral() -> None:
    """Two ways from one end to the other; the Riemann sum closes in with order 1."""
    high, low, eigenvalues = 50.0, 0.05, torch.linalg.eigvalsh(DATA.cov)
    snr = torch.logspace(math.log10(low), math.log10(high), 20_001, dtype=torch.float64)
    error = (eigenvalues / (1 + eigenvalues * snr[:, None])).sum(1)  # E |z0 - z0_hat|^2
    integral = torch.trapezoid(error, snr) / 2
    close(integral, ((1 + eigenvalues * high) / (1 + eigenvalues * low)).log().sum() / 2, 1e-5)
    for power in (1.0, 1.7):
        off = []
        for T in (200, 400):
            share = torch.linspace(0, 1, T, dtype=torch.float64) ** power
            bars = torch.sigmoid(math.log(high) + share * math.log(low / high))
            before = torch.cat([torch.ones(1).double(), bars[:-1]])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that signal is left at this end is no matter here
                schedule = DiscreteSchedule(1 - bars / before)
            off.append(float(bound_terms(schedule).sum() - integral))
        assert 1.9 < off[0] / off[1] < 2.1, off
        assert abs(off[1]) < 0.01 * integral


# --- 4.5.8, 4.5.9 orders, and the score next to the data ------------------------------------------

ONE = normal([0.7], [[0.3]])
GUESS = gaussian_denoiser(COSINE, *ONE)


def time_of(clock: float) -> torch.Tensor:
    return torch.tensor(math.atan(math.exp(-clock)) * 2 / math.pi, dtype=torch.float64)


def flow(z: torch.Tensor, t: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
    here, there = marginal(COSINE, ONE, t), marginal(COSINE, ONE, s)
    return there.mean + (there.cov / here.cov).sqrt()[0] * (z - here.mean)


def on_path(clock: float) -> torch.Tensor:
    """z0_hat on the exact path through 2.0 at clock -0.5."""
    t = time_of(clock)
    return GUESS(flow(torch.tensor([[2.0]]).double(), time_of(-0.5), t), t).z0[0, 0]


def exact_integral() -> None:
    clocks = torch.linspace(-0.2, 0.9, 2001, dtype=torch.float64)
    guesses = torch.stack([on_path(float(c)) for c in clocks])
    start = torch.tensor([[2.0]]).double()
    t, s = time_of(-0.2), time_of(0.9)
    z_t, z_s = (flow(start, time_of(-0.5), time)[0, 0] for time in (t, s))
    integral = torch.trapezoid(guesses * clocks.exp(), clocks)
    close(z_s / COSINE(s)[1], z_t / COSINE(t)[1] + integral, 1e-6)


def local_error() -> None:
    """For the guesses on that path, with the constant as printed; and dpmpp_2m's own order."""
    tiny, middle = 1e-3, 0.4
    f = [on_path(middle + k * tiny) for k in (-1, 0, 1)]
    first, second = (f[2] - f[0]) / (2 * tiny), (f[2] - 2 * f[1] + f[0]) / tiny**2
    for h in (0.2, 0.1):
        clocks = torch.linspace(middle - h / 2, middle + h / 2, 2001, dtype=torch.float64)
        guesses = torch.stack([on_path(float(c)) for c in clocks[::40]])
        exact = torch.trapezoid(guesses * clocks[::40].exp(), clocks[::40])
        plain = f[1] * (math.exp(middle + h / 2) - math.exp(middle - h / 2))
        step = h / 50  # the trapezoid rule's own error: h step^2 / 12 times the second derivative
        g = first * 2 + second + f[1]
        exact = exact - h * step**2 / 12 * math.exp(middle) * g
        printed = h**3 / 12 * math.exp(middle) * (first + second / 2)
        close((exact - plain) / printed, 1, 0.05)
    errors = []
    for h in (0.1, 0.05):
        t, s = time_of(-0.3), time_of(-0.3 + h)
        now, wanted = (flow(torch.tensor([[2.0]]).double(), time_of(-0.5), x) for x in (t, s))
        before = 1.6 * h  # the last step was longer
        memory = on_path(-0.3 - before)[None, None], torch.tensor(before, dtype=torch.float64)
        errors.append(float((dpmpp_2m(now, t, s, GUESS, COSINE, memory)[0] - wanted).abs()))
    assert 7 < errors[0] / errors[1] < 9, errors


def global_error() -> None:
    """ddim from one noise to another: below the printed bound, and of order p = 1."""
    begin, end, found = -0.5, 1.0, {}
    z = torch.linspace(-2, 3, 11, dtype=torch.float64)[:, None]
    for n in (40, 80):
        clocks = [begin + (end - begin) * k / n for k in range(n + 1)]
        moved, local, stretch = z, 0.0, 0.0
        for c, d in pairwise(clocks):
            t, s = time_of(c), time_of(d)
            stepped = ddim(moved, t, s, GUESS, COSINE, None)[0]
            exact = ddim(flow(z, time_of(begin), t), t, s, GUESS, COSINE, None)[0]
            local = max(local, float((exact - flow(z, time_of(begin), s)).abs().max()))
            stretch = max(stretch, float((stepped[1:] - stepped[:-1]).abs().max()
                                         / (moved[1:] - moved[:-1]).abs().min()))  # fmt: skip
            moved = stepped
        h = (end - begin) / n
        C, K = local / h**2, max((stretch - 1) / h, 1e-3)
        error = float((moved - flow(z, time_of(begin), time_of(end))).abs().max())
        middle = C * h**2 * ((1 + K * h) ** n - 1) / (K * h)
        assert error <= middle * (1 + 1e-9) <= C * (math.exp(K * 1.5) - 1) / K * h * (1 + 1e-6)
        found[n] = error
    assert 1.9 < found[40] / found[80] < 2.1, found


def explodes() -> None:
    """Data on a plane of two in five dimensions, not through 0: the package's exact score."""
    plane = torch.diag(torch.tensor([1.0, 0.5, 0.0, 0.0, 0.0]).double())
    middle = torch.tensor([0.3, -1.0, 0.5, 2.0, -1.5]).double()
    flat = gaussian_denoiser(COSINE, middle, plane)
    z0, eps = middle + points(4000, 5) @ plane.sqrt(), points(4000, 5, seed=1)
    for t in (0.5, 0.01):
        a, b = factors(t)
        score = -flat(a * z0 + b * eps, clock(t)).eps / b
        close(b * score[:, 2:], -eps[:, 2:], 1e-7)
        squares = score[:, 2:].square().sum(1)
        assert abs(squares.mean() * b**2 - 3) < 4 * float((squares * b**2).std()) / 4000**0.5


_equation = partial(numbered, CHAPTER)
ELBO, CASE = "book.ch04_2_derivations.elbo", "book.ch04_3_gaussian.gaussian_case"

EQUATIONS = [
    _equation(1, "implicit score matching", "denoise.mixture_denoiser", implicit),
    _equation(2, "denoising score matching", "denoise.mixture_denoiser", denoising),
    _equation(3, "the simple loss, in scores", "losses.diffusion_loss",
              simple_loss_is_score_matching),
    _equation(4, "Tweedie, second order", f"{CASE}.denoising_cov", second_order),
    _equation(5, "covariance of the step back", "schedule.CosineSchedule.transition", step_back),
    _equation(6, "a small step is nearly Gaussian", "schedule.CosineSchedule.transition",
              nearly_quadratic),
    _equation(7, "what its skewness costs", "cell skewness", skewness),
    _equation(8, "the forward SDE", "cell steps-to-sde", forward_sde),
    _equation(9, "its solution", "schedule.CosineSchedule", solution),
    _equation(10, "Fokker-Planck", "cell density-moves", fokker_planck),
    _equation(11, "the flow carries the marginals", "denoise.mixture_denoiser", continuity),
    _equation(12, "its velocity, from the score", "denoise.mixture_denoiser", velocity_from_score),
    _equation(13, "the way back, with any noise", "samplers.ddpm", way_back),
    _equation(14, "a term of the bound, by SNR", f"{ELBO}.bound", snr_form),
    _equation(15, "the bound as an integral", f"{ELBO}.bound", snr_integral),
    _equation(16, "the ODE, integrated", "denoise.gaussian_denoiser", exact_integral),
    _equation(17, "local error", "samplers.dpmpp_2m", local_error),
    _equation(18, "from local to global error", "samplers.ddim", global_error),
    _equation(19, "the score next to the data", "denoise.gaussian_denoiser", explodes),
]  # fmt: skip
