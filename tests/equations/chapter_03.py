"""The numbered equations of chapter 3, the algorithm, each checked against the package."""

import math

import torch
from registry import Equation

from minildm.autoencoder import Autoencoder, AutoencoderConfig
from minildm.denoise import Denoised, guided
from minildm.losses import diffusion_loss, kl_loss, reconstruction_loss
from minildm.predict import EPS, V
from minildm.process import Gaussian, diffuse
from minildm.samplers import ddpm
from minildm.schedule import DiscreteSchedule, cosine_betas, linear_betas

CHAPTER = "03_algorithm"
SCHEDULE = DiscreteSchedule(linear_betas())


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def close(a, b, tolerance: float = 1e-10) -> None:
    a, b = (torch.as_tensor(x, dtype=torch.float64) for x in (a, b))
    assert (a - b).abs().max() <= tolerance, (a, b)


def alpha_bar(t: int) -> float:
    """Multiplied out: independent of the schedule's logarithms."""
    return math.prod(1 - float(beta) for beta in linear_betas()[:t])


def recon() -> None:
    x, x_hat = randn(3, 2, 4, 5), randn(3, 2, 4, 5, seed=1)
    norm = ((x - x_hat) ** 2).sum(dim=(1, 2, 3))  # squared 2-norm of each image
    close(reconstruction_loss(x_hat, x), norm / (2 * 4 * 5))


def kl() -> None:
    """Against the integral of q log(q / p) on a fine grid, not against another formula."""
    m, s = 0.7, 0.4
    z = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    log_q = -0.5 * ((z - m) / s) ** 2 - math.log(s)
    log_p = -0.5 * z**2
    density = log_q.exp() / math.sqrt(2 * math.pi)
    integral = torch.trapezoid(density * (log_q - log_p), z)
    q = Gaussian(torch.tensor([[m]]).double(), torch.tensor([[s**2]]).double())
    close(kl_loss(q), integral, 1e-8)
    close((m**2 + s**2 - 1 - math.log(s**2)) / 2, integral, 1e-8)


def scale() -> None:
    autoencoder = Autoencoder(AutoencoderConfig(latent_channels=2, factor=4, patch=4, width=8))
    x = randn(32, 1, 28, 28).float().clamp(-1, 1)
    autoencoder.measure_scale(x)
    with torch.no_grad():
        z = autoencoder.encode(x).mean
    close(autoencoder.scale * z.std(), 1.0, 1e-5)
    assert abs(float(z.std()) - 1) > 0.05  # the test would say nothing if it were 1 anyway


def jump() -> None:
    z0, eps = randn(3, 2, 4, 4), randn(3, 2, 4, 4, seed=1)
    for t in (1, 2, 500, 1000):
        z_t = math.sqrt(alpha_bar(t)) * z0 + math.sqrt(1 - alpha_bar(t)) * eps
        close(diffuse(SCHEDULE, z0, t, eps), z_t)


def loss() -> None:
    """With eps-prediction: the mean squared error of the noise, for each sample."""
    z0, eps, t = randn(4, 2, 3, 3), randn(4, 2, 3, 3, seed=1), torch.tensor([1, 10, 500, 1000])
    guess = randn(4, 2, 3, 3, seed=2)
    seen = {}

    def net(z_t, t, condition):
        seen["z_t"] = z_t
        return guess

    ours = diffusion_loss(net, SCHEDULE, z0, t=t, eps=eps, parameterization=EPS)
    close(ours, ((eps - guess) ** 2).mean(dim=(1, 2, 3)))
    close(seen["z_t"], diffuse(SCHEDULE, z0, t, eps))


def velocity() -> None:
    z0, eps = randn(3, 2), randn(3, 2, seed=1)
    for t in (1, 400, 1000):
        a, b = math.sqrt(alpha_bar(t)), math.sqrt(1 - alpha_bar(t))
        z_t, v = a * z0 + b * eps, a * eps - b * z0
        close(V.target(z0, eps, *SCHEDULE(t)), v)
        for ours, printed, truth in zip(
            V.solve(v, z_t, *SCHEDULE(t)),
            (a * z_t - b * v, b * z_t + a * v),
            (z0, eps),
            strict=True,
        ):
            close(ours, printed)
            close(printed, truth)


def reverse_step() -> None:
    z, eps_hat, xi = randn(3, 2), randn(3, 2, seed=1), randn(3, 2, seed=2)
    for t in (2, 400, 1000):
        signal, noise = SCHEDULE(t)

        def denoise(z_t, t, signal=signal, noise=noise):
            return Denoised((z_t - noise * eps_hat) / signal, eps_hat)

        beta = float(linear_betas()[t - 1])
        variance = beta * (1 - alpha_bar(t - 1)) / (1 - alpha_bar(t))
        mean = (z - beta / math.sqrt(1 - alpha_bar(t)) * eps_hat) / math.sqrt(1 - beta)
        now, then = torch.tensor(t), torch.tensor(t - 1)
        ours, *_ = ddpm(z, now, then, denoise, SCHEDULE, draw=lambda _: xi)
        close(ours, mean + math.sqrt(variance) * xi, 1e-7)


def guidance() -> None:
    z, schedule = randn(3, 2), DiscreteSchedule(cosine_betas())
    eps_c, eps_u, t = randn(3, 2, seed=1), randn(3, 2, seed=2), torch.tensor(300)
    signal, noise = schedule(t)

    def says(eps):
        return lambda z_t, t: Denoised((z_t - noise * eps) / signal, eps)

    for w in (0.0, 1.0, 2.5):
        out = guided(says(eps_c), says(eps_u), w)(z, t)
        close(out.eps, eps_u + w * (eps_c - eps_u))
        close(signal * out.z0 + noise * out.eps, z)


EQUATIONS = [
    Equation("3.1", CHAPTER, "reconstruction loss", "minildm.losses.reconstruction_loss", recon),
    Equation("3.2", CHAPTER, "Kullback-Leibler term", "minildm.losses.kl_loss", kl),
    Equation(
        "3.3", CHAPTER, "latent scale", "minildm.autoencoder.Autoencoder.measure_scale", scale
    ),
    Equation("3.4", CHAPTER, "jump to time t", "minildm.process.diffuse", jump),
    Equation("3.5", CHAPTER, "denoising loss", "minildm.losses.diffusion_loss", loss),
    Equation("3.6", CHAPTER, "z0 and eps from v", "minildm.predict.V.solve", velocity),
    Equation("3.7", CHAPTER, "the article's reverse step", "minildm.samplers.ddpm", reverse_step),
    Equation("3.8", CHAPTER, "classifier-free guidance", "minildm.denoise.guided", guidance),
]
