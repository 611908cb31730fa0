"""What the letters of chapter 4.1's equations stand for: values that the package computed."""

import torch
from chapter_04_1 import CHAPTER, SCHEDULE, TIMES, Wave
from latexrelation import Normal
from pageforms import shows
from registry import points
from symbols import average, cell_value, exact, last_norm, only, table

from book.ch04_2_derivations.elbo import log_density
from book.ch04_3_gaussian.gaussian_case import normal
from minildm.autoencoder import Autoencoder, AutoencoderConfig
from minildm.denoise import mixture_denoiser, network_denoiser
from minildm.losses import diffusion_loss, kl_loss, reconstruction_loss
from minildm.predict import EPS
from minildm.process import Gaussian, diffuse, diffuse_step
from minildm.samplers import ddpm

TABLE = table(SCHEDULE)
I = torch.eye(2, dtype=torch.float64)  # noqa: E741


@shows("3.1", "4.1.1")
def reconstruction():
    x, x_hat, z = points(3, 2, 4, 5), points(3, 2, 4, 5, seed=1), points(3, 1, 2, 2)
    loss = reconstruction_loss(x_hat, x)
    yield {
        r"\mathcal L_{\text{recon}}": loss.mean(), r"\mathbb E_x": average, r"\lVert": last_norm,
        "x": x, "E": only(x, z), "D": only(z, x_hat), "C": 2, "H": 4, "W": 5,
        r"\mathcal E": only(x, z), r"\mathcal D": only(z, x_hat),
        r"\texttt{reconstruction\_loss}": loss,
    }  # fmt: skip


@shows("4.1.2")
def compression():
    for C, c, factor in ((3, 4, 8), (1, 2, 4), (3, 16, 2)):
        net = Autoencoder(AutoencoderConfig(C, c, factor, patch=2, width=8, max_width=8))
        x = torch.zeros(1, C, 32, 64)
        z = net.encode(x).mean
        yield {
            r"\text{compression}": x.numel() / z.numel(), "C": C, "H": 32, "W": 64,
            "c": z.shape[1], "h": z.shape[2], "w": z.shape[3],
        }  # fmt: skip


class _Function:
    """A function that may be multiplied, as in E' = a E."""

    def __init__(self, of):
        self.of = of

    def __call__(self, x):
        return self.of(x)

    def __rmul__(self, factor):
        return _Function(lambda x: factor * self.of(x))


class _Autoencoder:
    def encode(self, x):
        return Gaussian(x.sin(), 0 * x)

    def decode(self, z):
        return z.exp()


@shows("4.1.3")
def same_round_trip():
    """E and D are any functions; E' and D' are those of the cell ``loud-latents``."""
    x, a, plain = points(9, 6), 10.0, _Autoencoder()

    def equal(left, right):
        left, right = (side(x) if callable(side) else side for side in (left, right))
        return (left - right).abs().max() < 1e-12

    encode, decode = cell_value(CHAPTER, "loud")(plain, a)
    yield {
        r"\mathcal E": _Function(torch.sin), r"\mathcal D": plain.decode, r"\mathcal E'": encode,
        r"\mathcal D'": decode, "=": equal,
        "a": a, "x": x, "z": points(9, 6, seed=1),
    }  # fmt: skip


def _kl(m, s) -> torch.Tensor:
    return kl_loss(Gaussian(m, s**2))


@shows("3.2", "4.1.4")
def kl():
    """The package takes the mean over a latent's numbers; the formula is for each of them."""
    m, s, recon, weight = points(4, 3), points(4, 3, seed=1).exp(), 0.3, 0.01
    each = _kl(m.reshape(-1, 1), s.reshape(-1, 1)).reshape(4, 3)
    yield {
        r"\mathcal L_{\text{KL}}": _kl(m, s).mean(),
        r"\mathbb E_x": torch.mean, "m": m, "s": s, r"\texttt{kl\_loss}": each,
        r"\mu_{\mathcal E}": m, r"\sigma_{\mathcal E}": s,
        r"\mathcal L_{\text{recon}}": recon, r"\lambda": weight,
        r"\mathcal L_{\text{auto}}": recon + weight * _kl(m, s).mean(),
        "=": lambda a, b: abs(_mean(a) - _mean(b)) < 1e-10,
    }  # fmt: skip


def _mean(x):
    return x.mean() if isinstance(x, torch.Tensor) else x


@shows("4.1.6")
def markov_step():
    z, eps = points(5, 2), points(5, 2, seed=1)
    for t in TIMES:
        mean = diffuse_step(SCHEDULE, z, t, t - 1, 0 * eps)
        std = ((diffuse_step(SCHEDULE, z, t, t - 1, eps) - mean) / eps)[0, 0]
        z_t = points(5, 2, seed=2)
        yield TABLE | {
            r"q(z_t \mid z_{t-1})": Normal(mean, std**2 * I, z_t), "z_t": z_t, "z_{t-1}": z, "t": t,
            "I": I, "tolerance": 1e-7,
        }  # fmt: skip


@shows("4.1.7")
def jump():
    z0, eps = points(5, 2), points(5, 2, seed=1)
    for t in TIMES:
        mean = diffuse(SCHEDULE, z0, t, 0 * eps)
        std = ((diffuse(SCHEDULE, z0, t, eps) - mean) / eps)[0, 0]
        signal, noise = SCHEDULE(t)
        z_t = points(5, 2, seed=2)
        yield TABLE | {
            r"q(z_t \mid z_0)": Normal(mean, std**2 * I, z_t), "z_t": z_t, "z_0": z0,
            "t": t, "I": I,
            r"\texttt{signal}": signal, r"\texttt{noise}": noise, "tolerance": 1e-7,
        }  # fmt: skip


@shows("2.3", "4.1.8")
def signal_to_noise():
    for t in TIMES:
        signal, noise = SCHEDULE(t)
        yield TABLE | {"t": t, r"\text{signal}": signal, r"\text{noise}": noise}


@shows("4.1.9")
def reverse_step():
    z, before, xi = points(5, 2), points(5, 2, seed=3), points(5, 2, seed=1)
    net = Wave()
    denoise = network_denoiser(net, SCHEDULE, EPS)
    for t in TIMES[1:]:
        step = torch.tensor(t), torch.tensor(t - 1)
        mean = ddpm(z, *step, denoise, SCHEDULE, draw=torch.zeros_like)[0]
        std = (ddpm(z, *step, denoise, SCHEDULE, draw=lambda _: xi)[0] - mean)[0, 0] / xi[0, 0]
        yield TABLE | {
            r"p_\theta(z_{t-1} \mid z_t)": Normal(mean, std**2 * I, before), "z_t": z,
            "z_{t-1}": before, r"\mu_\theta": mean, r"\mu_\theta(z_t, t)": mean, "I": I, "t": t,
            r"\sigma_t": std, r"\epsilon_\theta": lambda z, t: net(z, torch.tensor([t]), None),
            "tolerance": 1e-6,
        }  # fmt: skip


@shows("4.1.10")
def diffusion():
    """A mean over c h w = 24 numbers; the five samples are flat for the schedule's sake."""
    z0, eps, t = points(5, 24), points(5, 24, seed=1), torch.tensor(TIMES)
    loss = diffusion_loss(Wave(), SCHEDULE, z0, parameterization=EPS, t=t, eps=eps)
    bars = torch.tensor([TABLE[r"\bar\alpha_"](n) for n in TIMES], dtype=torch.float64)[:, None]
    yield {
        r"\mathcal L_{\text{diffuse}}": loss.mean(), r"\mathbb E_{z_0, \epsilon, t}": average,
        r"\lVert": last_norm, r"\epsilon": eps, "z_0": z0, "t": t, r"\bar\alpha_t": bars,
        r"\epsilon_\theta": lambda z, t: Wave()(z, t, None), r"\texttt{diffusion\_loss}": loss,
        "c": 2, "h": 3, "w": 4,
    }  # fmt: skip


@shows("4.1.11")
def two_units():
    z_t, eps, eps_hat = points(5, 2), points(5, 2, seed=1), points(5, 2, seed=2)
    for t in TIMES:
        signal, noise = SCHEDULE(t)
        (z0, _), (z0_hat, _) = (EPS.solve(e, z_t, signal, noise) for e in (eps, eps_hat))
        yield TABLE | {
            r"\hat z_0": z0_hat, "z_0": z0, r"\hat\epsilon": eps_hat, r"\epsilon": eps, "t": t,
            "tolerance": 1e-7,
        }  # fmt: skip


@shows("3.3", "4.1.5")
def scale():
    autoencoder = Autoencoder(AutoencoderConfig(latent_channels=2, factor=4, patch=4, width=8))
    x = points(32, 1, 28, 28).float().clamp(-1, 1)
    autoencoder.measure_scale(x)
    with torch.no_grad():
        z = autoencoder.encode(x).mean
        back = autoencoder.decode(z)
    yield {
        "z_0": float(autoencoder.scale) * z, r"\text{scale}": autoencoder.scale,
        r"\texttt{scale}": autoencoder.scale, "E": only(x, z), "x": x, "D": only(z, back),
        r"\mathcal E": only(x, z), r"\mathcal D": only(z, back),
        r"\mathrm{std}": torch.std, r"\hat x": back,
        "tolerance": 1e-5,
    }  # fmt: skip


@shows("4.1.12")
def least_squares():
    """Data in two points; the average over eps is an integral, so nothing is left to chance."""
    weights, means = torch.tensor([0.8, 0.2]).double(), torch.tensor([[-1.0], [1.5]]).double()
    oracle = mixture_denoiser(SCHEDULE, weights, means, torch.zeros(2, 1, 1).double())
    eps = torch.linspace(-9, 9, 2001, dtype=torch.float64).repeat(2)[:, None]
    z0 = means.repeat_interleave(2001, 0)
    chance = (-(eps[:, 0] ** 2) / 2).exp() * weights.repeat_interleave(2001)
    for t in (37, 500):
        z_t = diffuse(SCHEDULE, z0, t, eps)
        yield {
            r"\mathbb E": lambda x: (chance * x).sum() / chance.sum(), r"\lVert": last_norm,
            r"\epsilon": eps, "f": lambda z: z.cos(), "z_t": z_t,
            r"\bar\epsilon": only(z_t, oracle(z_t, torch.tensor(t)).eps), "tolerance": 1e-7,
        }  # fmt: skip


@shows("4.1.13")
def decoder_width():
    """A linear decoder, whose posterior is of the encoder's form: there the bound is tight."""
    basis, width = torch.linalg.qr(points(24, 6)).Q, 0.7
    for x in points(2, 24, seed=1):
        mean = (basis.T @ x / (1 + width**2))[None]  # of q(z | x)
        q = Gaussian(mean, torch.full_like(mean, width**2 / (1 + width**2)))
        noise = exact(20, 6)
        decoded = (q.mean + q.var.sqrt() * noise) @ basis.T
        law = normal(0 * x, basis @ basis.T + width**2 * torch.eye(24).double())
        yield {
            r"\log p(x)": log_density(law, x[None])[0], r"\sigma_x": width, "C": 2, "H": 3, "W": 4,
            r"\mathcal L_{\text{recon}}": reconstruction_loss(decoded, x.expand(20, 24)).mean(),
            r"\mathcal L_{\text{KL}}": kl_loss(q)[0], r"\lambda": 2 * width**2 * 6 / 24,
            "c": 1, "h": 2, "w": 3, r"\le": lambda a, b: abs(a - b) < 1e-8,
            r"\ge": lambda a, b: False,
        }  # fmt: skip
