"""What the letters of displayed equations without a number stand for; a cell's name is theirs."""

import math

import torch
from latexrelation import Normal
from latexvalue import Operator
from pageforms import shows
from quadrature import hermite
from registry import points
from symbols import cell_value, density, exact, table

from book.ch04_3_gaussian.gaussian_case import Affine, normal
from book.ch05_4_sampling.line_data import THREE
from minildm.autoencoder import Block
from minildm.denoise import gaussian_denoiser
from minildm.latent import LatentDiffusion
from minildm.losses import kl_loss, min_snr_weight, reconstruction_loss
from minildm.predict import V
from minildm.process import Gaussian, diffuse, diffuse_step
from minildm.samplers import ddim, heun
from minildm.schedule import CosineSchedule, DiscreteSchedule, FlowSchedule, cosine_betas

SCHEDULE = DiscreteSchedule(cosine_betas(1000))
TABLE = table(SCHEDULE)
I = torch.eye(2, dtype=torch.float64)  # noqa: E741


@shows("00 thread-text")
def one_gaussian():
    mean, variance, z = 1.5, 0.3, points(7, 1)
    denoise = gaussian_denoiser(
        SCHEDULE, *(torch.tensor(x, dtype=torch.float64) for x in ([mean], [[variance]]))
    )
    for t in (100, 700):
        a, b = SCHEDULE(t)
        yield {
            r"\hat z_0": denoise(z, torch.tensor(t)).z0, r"\mu": mean, r"\Sigma": variance,
            "a": a, "b": b, "z_t": z,
        }  # fmt: skip


@shows("03 forward-text")
def markov_step():
    z, eps = points(9, 2), exact(9, 2)
    for t in (1, 40, 900):
        yield TABLE | {
            "z_t": diffuse_step(SCHEDULE, z, t, t - 1, eps), "z_{t-1}": z, r"\epsilon_t": eps,
            "t": t, "I": I, "tolerance": 1e-7,
        }  # fmt: skip


@shows("03 train-text")
def min_snr():
    for t in (5, 300, 900):
        weight = min_snr_weight(SCHEDULE, torch.tensor([t]), V, 5.0, 0.0)
        yield TABLE | {"w_t": weight, r"\text{SNR}_t": TABLE[r"\mathrm{SNR}_"](t), "t": t}


def _on_a_line(x, mean, variance):
    """The density of numbers, whatever their shape."""
    away = torch.as_tensor(x - mean)[..., None]
    return density(away, 0, torch.tensor([[float(variance)]]))


@shows("04_2 two-gaussians")
def sum_of_two_gaussians():
    """z, eps and y, the law of which is that of ``Affine.push``, at the nodes of an average."""
    m, V, r, c, one = 0.7, 0.6, 0.8, 0.5, torch.eye(1).double()
    law = Affine(r * one, 0 * one[0], c**2 * one).push(normal([m], [[V]]))
    grid, (eps, weights) = torch.linspace(-9, 9, 2001, dtype=torch.float64), hermite(40)
    y = law.mean + law.cov.sqrt() * eps
    yield {
        "p(y)": density(y, law.mean, law.cov), "y": y, "dz": 1.0, r"\mathcal N": _on_a_line,
        r"\int": Operator(lambda rest: torch.trapezoid(rest({"z": grid}), grid, dim=-1)),
        "E": lambda x: (weights * x).sum(), "z": m + V**0.5 * eps, r"\epsilon": eps, "u": 0.9,
        "m": m, "V": V, "r": r, "c": c, "tolerance": 1e-6,
    }  # fmt: skip


@shows("05_1 build-text")
@torch.no_grad()
def block():
    """The inner norm, and the inner convolution, are called before the outer ones."""
    made, f = Block(8).double(), points(2, 8, 4, 4)
    for parameter in made.parameters():
        parameter.add_(0.3 * points(*parameter.shape))
    norm_1, silu, conv_1, norm_2, _, conv_2 = made.layers
    inner = conv_1(silu(norm_1(f)))
    middle = silu(norm_2(inner))

    def either(first, second, known):
        """The first layer, or the second one where it gets what the first half makes."""
        return lambda h: (second if torch.equal(h, known) else first)(h)

    yield {
        r"\mathrm{block}": made, "f": f, r"\mathrm{silu}": silu,
        r"\mathrm{norm}": either(norm_1, norm_2, inner),
        r"\mathrm{conv}": either(conv_1, conv_2, middle),
    }  # fmt: skip


@shows("05_1 losses-text")
def reparameterised():
    """By the chapter's own function, and its gradients."""
    mean, log_var, eps = points(9), points(9, seed=1).requires_grad_(True), points(9, seed=2)
    mean.requires_grad_(True)
    z = cell_value("05_1_autoencoder", "sample")(mean, log_var, eps)
    of_mean, of_log = torch.autograd.grad(z.sum(), (mean, log_var))
    yield {
        "z": z.detach(), r"\mu": mean.detach(), r"\sigma": (log_var / 2).exp().detach(),
        r"\log \sigma^2": log_var.detach(), r"\epsilon": eps, "itself": True,
        r"\frac{\partial z}{\partial \mu}": of_mean,
        r"\frac{\partial z}{\partial \log\sigma^2}": of_log,
    }  # fmt: skip


@shows("05_1 losses-formulas")
def kl_of_one_number():
    m, s = points(9, 1), points(9, 1, seed=1).exp()

    def kl(q, p):
        assert (p.mean, p.cov) == (0.0, 1.0)
        return kl_loss(Gaussian(q.mean, q.cov))[:, None]

    yield {r"\mathrm{KL}": kl, r"\mathcal N": Normal, r"\mu": m, r"\sigma": s}


@shows("05_1 pull-after")
def means_and_sums():
    x, x_hat, m, var = (
        points(1, 3, 4, 4),
        points(1, 3, 4, 4, seed=1),
        points(6, 1),
        points(6, 1).exp(),
    )
    each = kl_loss(Gaussian(m, var))
    yield {
        r"\mathcal L_{\text{recon}}": reconstruction_loss(x_hat, x)[0], r"\lambda": 0.1,
        r"\mathcal L_{\text{KL}}": kl_loss(Gaussian(m.T, var.T))[0], r"\mathrm{KL}": each,
        r"\sum_{\text{pixels}}": Operator(lambda rest: rest({}).sum()), "N": 48, "n": 6, "x": x,
        r"\sum_{\text{latent}}": Operator(lambda rest: rest({}).sum()), r"\hat x": x_hat,
    }  # fmt: skip


@shows("05_2 task-text")
@torch.no_grad()
def shapes_of_the_task():
    model = LatentDiffusion.load("shapes")
    z, t = points(2, 4, 8, 8).float(), torch.tensor([500, 500])
    words = model.network.tokens(["a red circle above a blue square"] * 2)
    yield {
        r"\hat v": model.network(z, t, words), r"\text{net}": model.network, "z_t": z, "t": t,
        r"\text{words}": words, r"\mathbb{R}^{4 \times 8 \times 8}": (4, 8, 8),
    }  # fmt: skip


@shows("05_3 schedule-text")
def cosine_schedule():
    def f(t):
        return math.cos(math.pi / 2 * (t / 1000 + 0.008) / 1.008) ** 2

    for t in (2, 300, 900):
        yield TABLE | {"f": f, "t": t, "tolerance": 1e-6}


@shows("05_4 walk-text", "05_4 walk-text 2")
def two_guesses():
    z, v = points(7, 1), points(7, 1, seed=1)
    for t in (10, 600):
        z0, eps = V.solve(v, z, *SCHEDULE(t))
        yield TABLE | {
            "z_t": z,
            r"\hat z_0": z0,
            r"\hat\epsilon": eps,
            r"\hat v": v,
            "t": t,
            "tolerance": 1e-7,
        }


CLOCK, H = CosineSchedule(), 1e-4


def _slope(of, t: float):
    return (of(t + H) - of(t - H)) / (2 * H)


@shows("05_4 one-line-text", "05_4 one-line-text 2")
def along_the_flow():
    """Slopes by differences; that of z_t over short steps of the package's Heun."""
    z, denoise = points(7, 1), THREE.denoiser(CLOCK)
    signal, noise = (
        lambda t, i=i: float(CLOCK(torch.tensor(t, dtype=torch.float64))[i]) for i in (0, 1)
    )
    for t in (0.7, 0.4):
        now = torch.tensor(t, dtype=torch.float64)
        guess = denoise(z, now)
        near, far = (heun(z, now, now - d, denoise, CLOCK)[0] for d in (H / 2, H))
        slope = 2 * (z - near) / (H / 2) - (z - far) / H
        a, b = signal(t), noise(t)
        ratio = [2 * (z / b - near / noise(t - H / 2)) / (H / 2) - (z / b - far / noise(t - H)) / H]
        yield {
            r"\frac{\mathrm d z_t}{\mathrm d t}": slope, "a'_t": _slope(signal, t), "t": now,
            "b'_t": _slope(noise, t), "a_t": a, "b_t": b, "z_t": z, "z'_t": slope,
            r"\hat z_0(z_t, t)": guess.z0, r"\hat z_0": guess.z0, r"\hat\epsilon": guess.eps,
            r"\hat\epsilon(z_t, t)": guess.eps, "tolerance": 1e-4,
            r"\frac{\mathrm d}{\mathrm d t} \frac{z_t}{b_t}": ratio[0],
        }  # fmt: skip


@shows("05_4 one-line-text 3")
def straight_line():
    z, denoise = points(7, 1), THREE.denoiser(SCHEDULE)
    for t, s in ((900, 700), (300, 10)):
        z_s = ddim(z, torch.tensor(t), torch.tensor(s), denoise, SCHEDULE)[0]
        yield TABLE | {
            "z_s": z_s, "z_t": z, "D": denoise(z, torch.tensor(t)).z0, "t": t, "s": s,
            "tolerance": 1e-7,
        }  # fmt: skip


@shows("05_4 pencil-after")
def shares_of_noise():
    """z_t from z_s by the package's step: what noise is in it then?"""
    z0, eps, fresh = points(7, 1), points(7, 1, seed=1), points(7, 1, seed=2)
    for t, s in ((900, 700), (300, 10)):
        z_s = diffuse(SCHEDULE, z0, s, eps)
        z_t = diffuse_step(SCHEDULE, z_s, t, s, fresh)
        signal, noise = SCHEDULE(t)
        yield TABLE | {
            r"\epsilon_t": (z_t - signal * z0) / noise, r"\epsilon_s": eps, "t": t, "s": s,
            r"\text{fresh noise}": z_t - diffuse_step(SCHEDULE, z_s, t, s, 0 * fresh),
            "tolerance": 1e-7,
        }  # fmt: skip


@shows("08 flow-text")
def flow():
    z0, eps = points(7, 1), points(7, 1, seed=1)
    for t in (0.1, 0.75):
        now = torch.full((7,), t, dtype=torch.float64)
        yield {
            "z_t": diffuse(FlowSchedule(), z0, now, eps), "z_0": z0, r"\epsilon": eps, "t": t,
            r"\le": lambda a, b, t=t: (a, b) in ((0.0, t), (t, 1.0)),
        }  # fmt: skip
