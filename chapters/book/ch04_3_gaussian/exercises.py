"""Exercises of chapter 4.3, the Gaussian case. How checks work: see the package's docstring."""

import warnings

import torch
from torch import Tensor

from book.ch04_3_gaussian.gaussian_case import backward, marginal, normal
from book.ch04_3_gaussian.probes import points, pushed
from book.exercises import Exercise
from minildm.denoise import gaussian_denoiser
from minildm.schedule import DiscreteSchedule, linear_betas, ramp_betas, scaled_linear_betas

DATA = normal([1, 2], [[1, 0.8], [0.8, 2]])  # tilted: elementwise roots and lost entries show


def _not_betas(betas: Tensor) -> str | None:
    """What is wrong with 100 betas before anyone looks at their values."""
    if betas.shape != (100,):
        return "the answer has the shape (100,): one beta for each of the steps 1..100"
    if not ((betas > 0) & (betas <= 1)).all():
        return "a beta is a share of variance: each must be above 0 and at most 1"
    return None


# --- 4.3-1 ----------------------------------------------------------------------------------------


def _check_moments(moments_at) -> str | None:
    schedule = DiscreteSchedule(ramp_betas(100))
    tilted = normal([1, -2], [[1.0, 0.6], [0.6, 2.0]])
    for t in (12, 3, 100):
        given = moments_at(schedule, tilted.mean, tilted.cov, t)
        mean, cov = (torch.as_tensor(part).double() for part in given)
        truth = marginal(schedule, tilted, t)
        signal, noise = schedule(t)
        if not torch.allclose(mean, truth.mean, atol=1e-5):
            if torch.allclose(mean, tilted.mean, atol=1e-5):
                return "the mean shrinks too: each step multiplies z, and so its mean, by the ratio"
            return f"at t = {t} the mean should be signal times the mean of the data"
        if cov.shape != (2, 2):
            return f"the covariance is a (2, 2) matrix; yours has shape {tuple(cov.shape)}"
        if torch.allclose(cov, truth.cov, atol=1e-5):
            continue
        off = cov - torch.diag(cov.diagonal())
        if torch.allclose(cov, signal**2 * tilted.cov + noise**2, atol=1e-5):
            return "noise is independent in each direction: it adds to the diagonal only, noise² I"
        identity = torch.eye(2, dtype=cov.dtype)
        if torch.allclose(cov, signal * tilted.cov + noise * identity, atol=1e-5):
            return "variances are multiplied by the square: signal² and noise²"
        if torch.allclose(cov, signal**2 * tilted.cov + noise * identity, atol=1e-5):
            return "the variance of noise · ε is noise², not noise"
        if off.abs().max() == 0:
            return "the ellipse is tilted: keep the off-diagonal entries of cov"
        return f"at t = {t} the covariance should be signal² cov + noise² I"
    return None


def _moments(result: str) -> str:
    """Code of an answer to 4.3-1 that returns ``result``, in terms of signal a and noise b."""
    return f"def moments_at(s, m, C, t):\n    a, b = s(t)\n    return {result}"


MOMENTS = Exercise(
    id="4.3-1",
    title="the mean and covariance of z_t as a function",
    setup="import torch",
    stub='''
def moments_at(schedule, mean, cov, t):
    """Mean (d,) and covariance (d, d) of z_t, for data N(mean, cov) and one time t."""
    return ...  # YOUR CODE HERE
''',
    solution='''
def moments_at(schedule, mean, cov, t):
    """Mean (d,) and covariance (d, d) of z_t, for data N(mean, cov) and one time t."""
    signal, noise = schedule(t)
    identity = torch.eye(len(mean), dtype=mean.dtype)
    return signal * mean, signal**2 * cov + noise**2 * identity
''',
    answer="moments_at",
    check=_check_moments,
    hint="schedule(t) gives (signal, noise). Write z_t = signal z0 + noise eps, and apply "
    "Cov(Az) = A Cov(z) Aᵀ to each part. torch.eye(d) is the identity matrix.",
    wrong=(
        (_moments("m, a**2 * C"), "shrinks"),
        (_moments("b * m, C"), "signal times"),
        (_moments("a * m, C.diag()"), "matrix"),
        (_moments("a * m, a**2 * C + b**2"), "diagonal only"),
        (_moments("a * m, a * C + b * torch.eye(2, dtype=C.dtype)"), "square"),
        (_moments("a * m, a**2 * C + b * torch.eye(2, dtype=C.dtype)"), "noise², not noise"),
        (_moments("a * m, torch.diag(a**2 * C.diag() + b**2)"), "tilted"),
        (_moments("a * m, 7 * C"), "signal² cov"),
    ),
    praise="this is equation (4.3.4), and it holds for any covariance.",
)


# --- 4.3-2 ----------------------------------------------------------------------------------------


def _check_straight(betas) -> str | None:
    betas = torch.as_tensor(betas).double()
    if problem := _not_betas(betas):
        return problem
    signal = (1 - betas).log().cumsum(0).div(2).exp()
    wanted = 1 - torch.arange(1, 101, dtype=torch.float64) / 100
    if torch.allclose(signal, wanted, atol=1e-3):
        return None
    if torch.allclose(signal**2, wanted, atol=1e-3):
        return "your alpha_bar falls in a straight line; the signal is its square root"
    if torch.allclose(1 - betas, wanted, atol=1e-3):
        return "that is the article's ramp: you made alpha_t a straight line, not the signal"
    if torch.allclose(signal.sqrt(), wanted, atol=1e-3):
        return "squared once too often: alpha_bar_t is the square of the signal"
    t = int((signal - wanted).abs().argmax()) + 1
    return f"at t = {t} your signal is {signal[t - 1]:.3f}, a straight line has {wanted[t - 1]:.3f}"


STRAIGHT = Exercise(
    id="4.3-2",
    title="betas whose signal falls in a straight line",
    setup="import torch",
    stub="""
step_number = torch.arange(1, 101, dtype=torch.float64)
my_betas = ...  # YOUR CODE HERE: float64, shape (100,)
""",
    solution="""
step_number = torch.arange(1, 101, dtype=torch.float64)
alpha_bar_now = (1 - step_number / 100) ** 2             # the square of the signal
alpha_bar_before = (1 - (step_number - 1) / 100) ** 2
my_betas = 1 - alpha_bar_now / alpha_bar_before
""",
    answer="my_betas",
    check=_check_straight,
    hint="Write down alpha_bar_t, the square of the signal, at t and at t - 1. Their ratio is "
    "alpha_t, and beta_t = 1 - alpha_t. The last beta comes out as 1.",
    wrong=(
        ("my_betas = step_number / 100", "ramp"),
        ("my_betas = 1 - (1 - step_number / 100) / (1 - (step_number - 1) / 100)", "square root"),
        ("my_betas = 1 - (1 - my_betas) ** 2", "once too often"),
        ("my_betas = my_betas[:99]", "(100,)"),
        ("my_betas = 1 - my_betas", "above 0"),
        ("my_betas = my_betas * 0 + 0.05", "a straight line has"),
    ),
    praise="no step is wasted here: each takes away the same amount of signal.",
)


# --- 4.3-3 ----------------------------------------------------------------------------------------


def _check_true_step(step) -> str | None:
    schedule = DiscreteSchedule(ramp_betas(100))
    denoise = gaussian_denoiser(schedule, *DATA)
    for t, s in ((20, 10), (60, 12), (10, 0)):
        result = step(points(torch.zeros(2)), torch.tensor(t), torch.tensor(s), denoise, schedule)
        if not isinstance(result, tuple) or len(result) != 3:
            return "a step returns three things: the new z, an estimate of z0, and None"
        start, truth = marginal(schedule, DATA, t), marginal(schedule, DATA, s)
        end, again = (pushed(step, start, t, s, denoise, schedule) for _ in range(2))
        if not torch.allclose(end.mean, again.mean):
            return "twice the same call gives two results: take all noise from `draw`"
        if not torch.allclose(end.mean, truth.mean, atol=1e-4):
            return (
                "the mean of the samples is off. Check the matrix and the offset: points are rows, "
                "and both belong to the pair (t, s)"
            )
        if torch.allclose(end.cov, truth.cov, atol=1e-4):
            continue
        return _wrong_noise(end.cov, truth.cov, schedule, t, s)
    return None


def _wrong_noise(got: Tensor, wanted: Tensor, schedule, t: int, s: int) -> str:
    """What is wrong with the spread of the samples."""
    matrix, _, cov = backward(schedule, DATA, t, s)
    moved = matrix @ marginal(schedule, DATA, t).cov @ matrix.T
    if torch.allclose(got, moved, atol=1e-4):
        return "there is no noise in it: add noise with the covariance `cov`"
    if torch.allclose(got, moved + cov.sqrt() @ cov.sqrt(), atol=1e-4):
        return "cov.sqrt() takes the root of each entry; root(cov), squared as a matrix, is cov"
    if torch.allclose(got, moved + cov.T @ cov, atol=1e-4):
        return "cov is a covariance: the noise is multiplied by its root, root(cov)"
    left = float(got.trace() / wanted.trace())
    if left < 1:
        return (
            f"from t = {t} to {s}, {1 - left:.0%} of the variance is lost. The noise needs `cov` "
            "of backward, through its root, and at the step to s = 0 as well"
        )
    return "the samples have too much variance: multiply the noise by root(cov), once"


def _step(result: str) -> str:
    """Code of an answer to 4.3-3 that returns ``result``, in terms of A, b and C."""
    return (
        "def true_step(z, t, s, denoise, schedule, memory=None, draw=torch.randn_like):\n"
        f"    A, b, C = backward(schedule, tilted, t, s)\n    return {result}"
    )


TRUE_STEP = Exercise(
    id="4.3-3",
    title="a step that draws from q(z_s | z_t)",
    setup=(
        "import torch\nfrom book.ch04_3_gaussian.gaussian_case import backward, normal, root\n"
        "from minildm.samplers import ddpm"
    ),
    stub='''
tilted = normal([1, 2], [[1, 0.8], [0.8, 2]])  # no axis of this cloud is an axis of the plane


def true_step(z, t, s, denoise, schedule, memory=None, draw=torch.randn_like):
    """Draw z_s from q(z_s | z_t), for data `tilted`."""
    return ...  # YOUR CODE HERE
''',
    solution='''
tilted = normal([1, 2], [[1, 0.8], [0.8, 2]])  # no axis of this cloud is an axis of the plane


def true_step(z, t, s, denoise, schedule, memory=None, draw=torch.randn_like):
    """Draw z_s from q(z_s | z_t), for data `tilted`."""
    matrix, offset, cov = backward(schedule, tilted, t, s)
    z_s = z @ matrix.T + offset + draw(z) @ root(cov)
    return z_s, denoise(z, t).z0, None
''',
    answer="true_step",
    check=_check_true_step,
    hint="Three lines: take matrix, offset and cov from backward(schedule, tilted, t, s); build "
    "z_s from them and draw(z) @ root(cov); return z_s, denoise(z, t).z0 and None.",
    wrong=(
        ("true_step = ddpm", "of the variance is lost"),
        (_step("z @ A.T + b, z, None"), "no noise"),
        (_step("z @ A.T + b + draw(z) @ C.sqrt(), z, None"), "root of each entry"),
        (_step("z @ A.T + b + draw(z) @ C, z, None"), "is a covariance"),
        (_step("z @ A.T + b + torch.randn_like(z) @ root(C), z, None"), "from `draw`"),
        (_step("z @ A.T + draw(z) @ root(C), z, None"), "mean"),
        (_step("z @ A.T + b + 1.5 * draw(z) @ root(C), z, None"), "too much variance"),
        (_step("z @ A.T + b + draw(z) @ root(C)"), "three things"),
    ),
    praise="three steps, or one, or a hundred: the distribution is exact each time.",
)


# --- 4.3-4 ----------------------------------------------------------------------------------------


def _largest(variance: float, allowed: float = 0.01, power: int = 2) -> int:
    """Largest t whose last jump loses at most that share of a variance, by (4.3.14)."""
    signal, noise = DiscreteSchedule(scaled_linear_betas(1000))(torch.arange(1001))
    return int((noise**power / (signal**2 * variance + noise**power) <= allowed).sum()) - 1


def _check_last_stop(t) -> str | None:
    if isinstance(t, Tensor) and t.numel() == 1:
        t = t.item()
    if t != int(t) or not 0 <= t <= 1000:
        return f"the answer is a whole number between 0 and 1000; got {t}"
    right = _largest(2)
    if t == right:
        return None
    if t == right + 1:
        return "one too far: there the loss is just above 1 %. Entry 0 of a table is clean data"
    if t == _largest(1):
        return "that is right for a variance of 1; the second axis has λ = 2"
    if t == _largest(2, power=1):
        return "the formula has the square of the noise, a variance"
    signal, noise = DiscreteSchedule(scaled_linear_betas(1000))(int(t))
    loss = float(100 * noise**2 / (2 * signal**2 + noise**2))
    return f"from t = {int(t)} the last jump loses {loss:.2g} % of that variance, not (just) 1 %"


LAST_STOP = Exercise(
    id="4.3-4",
    title="the largest t from which the last jump costs at most 1 %",
    setup=(
        "import torch\nfrom minildm.schedule import DiscreteSchedule, scaled_linear_betas\n"
        "latent = DiscreteSchedule(scaled_linear_betas(T=1000))"
    ),
    stub="""
last_stop = ...  # YOUR CODE HERE: an integer
""",
    solution="""
signal_t, noise_t = latent(torch.arange(1001))
loss = noise_t**2 / (2 * signal_t**2 + noise_t**2)       # (4.3.14) with variance 2
last_stop = int((loss <= 0.01).nonzero().max())          # the loss grows with t
""",
    answer="last_stop",
    check=_check_last_stop,
    hint="latent(torch.arange(1001)) gives signal and noise for all t at once. Compute (4.3.14) "
    "with λ = 2 for all of them, and look for the last entry that is not above 0.01.",
    wrong=(
        ("last_stop += 1", "one too far"),
        (_largest(1), "variance of 1"),
        (_largest(2, power=1), "square"),
        (100, "not (just) 1 %"),
        (2.5, "whole number"),
    ),
    praise="with uniform times that takes about 1000 / 22 = 45 steps, whatever the solver.",
)


# --- 4.3-5 ----------------------------------------------------------------------------------------


def _check_repaired(betas) -> str | None:
    betas = torch.as_tensor(betas).double()
    if problem := _not_betas(betas):
        return problem
    gaps = betas.diff()
    if (gaps - gaps.mean()).abs().max() > 1e-6 * betas.max():  # float32 counts too
        return "the betas should be evenly spaced: linear_betas(T=100, first=..., last=...)"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        left = float(DiscreteSchedule(betas)(100)[0])
    wanted = float(DiscreteSchedule(linear_betas(1000))(1000)[0])
    if wanted / 2 <= left <= 2 * wanted:
        return None
    if left > 0.5:
        return f"{100 * left:.0f} % of the amplitude is left: that is the trap itself"
    if left > 2 * wanted:
        return f"{100 * left:.2g} % of the amplitude is left, still too much: larger betas"
    return f"{100 * left:.1g} % of the amplitude is left, less than needed: smaller betas"


REPAIRED = Exercise(
    id="4.3-5",
    title="100 betas that do what DDPM's 1,000 do",
    setup="from minildm.schedule import linear_betas",
    stub="""
repaired_betas = ...  # YOUR CODE HERE: float64, shape (100,)
""",
    solution="""
# A tenth of the steps must each do ten times as much: the sum of the betas is what counts.
repaired_betas = linear_betas(T=100, first=10 * 1e-4, last=10 * 0.02)
""",
    answer="repaired_betas",
    check=_check_repaired,
    hint="log alpha_bar_T is about minus the sum of the betas. You have a tenth of the steps. "
    "linear_betas takes T, first and last.",
    wrong=(
        ("repaired_betas = linear_betas(T=100)", "the trap itself"),
        ("repaired_betas = linear_betas(T=100, last=0.1)", "larger betas"),
        ("repaired_betas = linear_betas(T=100, first=0.01, last=0.5)", "smaller betas"),
        ("repaired_betas = linear_betas(T=1000)", "(100,)"),
        ("repaired_betas = repaired_betas**2 * 5", "evenly spaced"),
    ),
    praise="ten times fewer steps, ten times larger betas.",
)

EXERCISES = [MOMENTS, STRAIGHT, TRUE_STEP, LAST_STOP, REPAIRED]
