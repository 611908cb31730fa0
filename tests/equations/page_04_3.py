"""What the letters of chapter 4.3's equations stand for: values that the package computed."""

import torch
from chapter_04_3 import CHAPTER, DATA, PLANE, RAMP, SHORT, TIMES, I, c_t, points
from latexbuiltin import MATRICES
from latexrelation import Normal
from latexvalue import Operator, Rule
from pageforms import shows
from symbols import cell_value, exact, table

from book.ch04_3_gaussian.gaussian_case import (
    backward,
    denoising_cov,
    marginal,
    normal,
    propagate,
    root,
    standard_errors,
    standard_normal,
    wasserstein2,
)
from minildm.denoise import Denoised, gaussian_denoiser
from minildm.process import diffuse, diffuse_step, posterior
from minildm.samplers import ddpm, heun, sample
from minildm.schedule import CosineSchedule, DiscreteSchedule, ramp_betas

TABLE = MATRICES | table(RAMP) | {"I": I}
MU, SIGMA = DATA.mean, DATA.cov
GAUSS = TABLE | {r"\mu": MU, r"\Sigma": SIGMA, "C_": lambda t: c_t(round(float(t)))}


def _column(law) -> Normal:
    return Normal(law.mean, law.cov)


@shows("4.3.1")
def data():
    """The letters' values are those of the chapter's cell that makes the data."""
    law = cell_value(CHAPTER, "data", normal=normal)
    yield {
        "z_0": _column(law), r"\mu": law.mean, r"\Sigma": law.cov, r"\texttt{mean}": law.mean,
        r"\texttt{cov}": law.cov,
    }  # fmt: skip


@shows("4.3.2")
def markov_step():
    z, eps = points(5), points(5, seed=1)
    for t in TIMES[:-1]:
        ratio, variance = RAMP.transition(t, t - 1)
        mean = diffuse_step(RAMP, z, t, t - 1, 0 * eps)
        std = ((diffuse_step(RAMP, z, t, t - 1, eps) - mean) / eps)[0, 0]
        yield TABLE | {
            r"q(z_t \mid z_{t-1})": Normal(mean, std**2 * I), "z_{t-1}": z, "t": t,
            r"\texttt{ratio}": ratio, r"\texttt{variance}": variance,
        }  # fmt: skip


@shows("4.3.3")
def jump():
    z0, eps = exact(9, 2), exact(9, 2, seed=1)
    for t in TIMES[:-1]:
        signal, noise = RAMP(t)
        yield TABLE | {
            "z_t": diffuse(RAMP, z0, t, eps), "z_0": z0, r"\epsilon": eps, "t": t,
            r"\texttt{signal}": signal, r"\texttt{noise}": noise,
        }  # fmt: skip


@shows("4.3.4")
def marginals():
    for t in TIMES[:-1]:
        law = marginal(RAMP, DATA, t)
        yield GAUSS | {
            "q(z_t)": _column(law), "t": t, r"\texttt{mean}": law.mean, r"\texttt{cov}": law.cov,
        }  # fmt: skip


@shows(
    "4.3.5",
    harmless={
        r"subscripts swapped: frac{C_{ii}\,C_{jj}+C_{": "a product of numbers",
    },
)
def errors_of_moments():
    n, law = 50, normal([0.5, 1.0], [[2.0, -0.3], [-0.3, 0.4]])
    C, errors = law.cov, standard_errors(law, n).cov
    for i, j in ((0, 0), (0, 1), (1, 1)):
        yield {
            r"\mathrm{se}(\hat C_{ij})": errors[i, j], "C_{ii}": C[i, i], "C_{jj}": C[j, j],
            "C_{ij}": C[i, j], "n": n,
        }  # fmt: skip


@shows("4.3.6")
def ramp_dies_like_a_bell():
    schedule = DiscreteSchedule(ramp_betas(4000))
    for t in (5, 20, 40):
        yield table(schedule) | {
            r"\log\bar\alpha_t": float(schedule.log_alpha_bar[t]),
            "t": t,
            r"\approx": t / 4000,
        }


@shows(
    "4.3.7",
    harmless={
        r"subscripts swapped: ce{\|m_a-m_b\|^2}_": "a squared difference",
        r"subscripts swapped: Big(C_a+C_b-2\b": "a sum",
    },
)
def distance():
    a, b = DATA, normal([0.5, 1.0], [[2.0, -0.3], [-0.3, 0.4]])
    yield MATRICES | {
        "W_2": wasserstein2(a, b), "m_a": a.mean, "m_b": b.mean, "C_a": a.cov, "C_b": b.cov,
        "R": root(a.cov),
    }  # fmt: skip


@shows("4.3.8")
def article_update():
    denoise, z, xi = gaussian_denoiser(RAMP, *DATA), points(5), points(5, seed=1)
    for t in (2, 12, 40, 80):
        step, std = (torch.tensor(t), torch.tensor(t - 1)), RAMP.posterior_variance[t].sqrt()
        yield table(RAMP) | {
            "z_{t-1}": ddpm(z, *step, denoise, RAMP, draw=lambda _: xi)[0], "z_t": z, "t": t,
            r"\hat\epsilon": denoise(z, step[0]).eps, r"\texttt{eps}": denoise(z, step[0]).eps,
            r"\xi": xi, r"\texttt{std}": std, "tolerance": 1e-7,
        }  # fmt: skip


@shows("4.3.9")
def best_guess():
    denoise, z = gaussian_denoiser(RAMP, *DATA), points(1)[0]
    for t in TIMES[:-1]:
        at_0 = denoise(torch.zeros(1, 2).double(), torch.tensor(t)).z0
        gain = (denoise(torch.eye(2).double(), torch.tensor(t)).z0 - at_0).T
        yield GAUSS | {
            r"E[z_0 \mid z_t]": denoise(z[None], torch.tensor(t)).z0[0], "z_t": z, "t": t,
            r"\texttt{gain}": gain, "tolerance": 1e-7,
        }  # fmt: skip


@shows("4.3.10", "4.3.12")
def ignorance():
    for t in (2, 12, 40):
        yield GAUSS | {
            r"\mathrm{Cov}(z_0 \mid z_t)": denoising_cov(RAMP, DATA, t), "t": t,
            r"\mathrm{Cov}(z_{t-1} \mid z_t)": backward(RAMP, DATA, t, t - 1).cov,
            r"\sigma_t": float(posterior(RAMP, points(3), points(3, 1), t, t - 1).var) ** 0.5,
            r"z_0 \text{known}": _posterior_cov(t), r"z_0 \text{uncertain}": _uncertain(t),
        }  # fmt: skip


def _posterior_cov(t: int) -> torch.Tensor:
    return posterior(RAMP, points(3), points(3, 1), t, t - 1).var * I


def _uncertain(t: int) -> torch.Tensor:
    return backward(RAMP, DATA, t, t - 1).cov - _posterior_cov(t)


@shows("4.3.11")
def true_reverse():
    z = points(1)[0]
    for t, s in ((2, 1), (12, 11), (40, 7), (99, 3), (9, 1)):
        step, (ratio, variance) = backward(RAMP, DATA, t, s), RAMP.transition(t, s)
        mean = step.matrix @ z + step.offset
        yield GAUSS | {
            r"q(z_s \mid z_t)": Normal(mean, step.cov), r"m_{s \mid t}": mean, "v": variance,
            r"\texttt{cov}": step.cov, r"\texttt{matrix}": step.matrix, r"\texttt{ratio}": ratio,
            "z_t": z, "t": t, "s": s, "tolerance": 1e-7,
        }  # fmt: skip


BOTH = Operator(lambda rest: sum(rest({"k": k}) for k in (0, 1)))  # the two steps of 4.3.13


@shows("4.3.13")
def affine_map():
    """Two steps of ddpm, by hand: z = A_2 (A_1 z_T + b_1 + B_1 xi_1) + b_2 + B_2 xi_2."""
    start, turn = normal([0.3, 0.1], [[0.8, 0.2], [0.2, 1.5]]), points(2, seed=4)
    times, xi = torch.tensor([30, 12, 5]), [points(1, seed=k)[0] for k in (7, 8)]

    def denoise(z, t):  # affine, but no matrix of it is symmetric
        signal, noise = RAMP(t)
        z0 = z @ turn + 0.3
        return Denoised(z0, (z - signal * z0) / noise)

    def walk(z, noise):
        for k in (0, 1):
            now, then = times[k], times[k + 1]
            z = ddpm(z, now, then, denoise, RAMP, draw=lambda z, k=k: noise[k].expand_as(z))[0]
        return z

    none = [torch.zeros(2).double()] * 2
    centre = walk(start.mean[None], none)[0]
    A = (walk(start.mean + I, none) - centre).T
    B = [
        torch.stack([walk(start.mean[None], [I[i], none[1]] if k == 0 else [none[0], I[i]])[0]
                     for i in (0, 1)]).T - centre[:, None]
        for k in (0, 1)
    ]  # fmt: skip
    z_T, end = points(1, seed=9)[0], propagate(denoise, RAMP, start, times, ddpm)[-1]
    yield MATRICES | {
        "z": walk(z_T[None], xi)[0], "A": A, "z_T": z_T, "m": start.mean, "b": centre,
        r"\sum_k": BOTH, "B_k": Rule(lambda v: B[v["k"]]), r"\xi_k": Rule(lambda v: xi[v["k"]]),
        "E[z]": end.mean, r"\mathrm{Cov}(z)": end.cov, r"\texttt{mean}": end.mean,
        r"\texttt{cov}": end.cov, "C": start.cov, "tolerance": 1e-7,
    }  # fmt: skip


@shows("4.3.14")
def last_jump():
    for variance in (0.3, 2.0):
        signal, noise = RAMP(7)
        left = denoising_cov(RAMP, normal([1.0], [[variance]]), torch.tensor(7))[0, 0]
        yield {
            r"\mathrm{Var}(z_0 \mid z_s)": left, r"\lambda": variance, r"\texttt{signal}": signal,
            r"\texttt{noise}": noise,
        }  # fmt: skip


def _wrong_start(schedule, T) -> dict:
    T = torch.tensor(T, dtype=torch.float64) if isinstance(T, float) else torch.tensor(T)
    bar = float(schedule(T)[0]) ** 2
    return MATRICES | {
        r"\mu": MU, r"\Sigma": SIGMA, "T": T, r"\bar\alpha_T": bar,
        "C_T": marginal(schedule, DATA, T).cov, "tolerance": 1e-7,
    }  # fmt: skip


@shows("4.3.15")
def wrong_start_stochastic():
    end = backward(SHORT, DATA, 100, 0).push(standard_normal(2))
    yield _wrong_start(SHORT, 100) | {
        r"\texttt{mean}": end.mean, r"\texttt{cov}": end.cov,
        r"\mathrm{Cov}(z_0 \mid z_T)": denoising_cov(SHORT, DATA, 100),
    }  # fmt: skip


@shows("4.3.16")
def wrong_start_deterministic():
    """The exact flow in many small steps of the package's Heun, from a start that is too early."""
    schedule, T = CosineSchedule(), 0.6
    denoise, z = gaussian_denoiser(schedule, *DATA), points(1)
    times = torch.cat([T * torch.linspace(1, 0.02, 50).double() ** 2, torch.zeros(1).double()])
    end = propagate(denoise, schedule, standard_normal(2), times, heun)[-1]
    gain = SIGMA @ torch.linalg.inv(marginal(schedule, DATA, torch.tensor(T).double()).cov)
    *_, last = sample(denoise, schedule, z, times, heun)
    yield _wrong_start(schedule, T) | {
        "z_0": last.z[0], "z_T": z[0], r"\texttt{mean}": end.mean, r"\texttt{cov}": end.cov,
        r"\texttt{root(gain)}": root((gain + gain.T) / 2), "tolerance": 5e-3,
    }  # fmt: skip


@shows("4.3.17")
def encode_decode():
    """First a point of the plane; then any x, of which decoding gives the nearest point."""
    z, x = points(1)[0], points(3, d=len(PLANE.offset))[0]
    letters = MATRICES | {
        "c": PLANE.offset, r"\texttt{offset}": PLANE.offset, "W": PLANE.basis, "I": I,
        r"\texttt{basis}": PLANE.basis,
    }  # fmt: skip
    yield letters | {"x": PLANE.decode(z[None])[0], "z_0": z, "only": (0, 1)}
    encoded = PLANE.encode(x[None])
    decoded = PLANE.decode(encoded)[0]
    yield letters | {
        "x": x, "z_0": encoded[0], r"\texttt{encode}": encoded[0], r"\texttt{decode}": decoded,
        r"\hat x": decoded, "only": (2, 3),
    }  # fmt: skip


@shows("4.3.18")
def decoded_moments():
    law = PLANE.decode_normal(DATA)
    yield MATRICES | {
        r"\hat x": _column(law), r"\texttt{mean}": law.mean, r"\texttt{cov}": law.cov, "m": MU,
        "C": SIGMA, "c": PLANE.offset, "W": PLANE.basis, "values": [Normal(MU, SIGMA)],
    }  # fmt: skip
