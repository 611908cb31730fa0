"""Small worlds in which a symptom shows: clusters in the plane, one Gaussian, the shipped models.

Each takes the package to work with, so that the right one and a planted one do the same.
"""

import math
from functools import partial

import torch
from torch import Tensor, nn

from book.ch09_1_museum.planted import Package

WEIGHTS = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
MEANS = torch.tensor([[-0.6, 0.0], [1.6, 0.6], [0.9, 1.9]], dtype=torch.float64)
STD = 0.12
LABELS = torch.arange(10)
GAUSS_MEAN, GAUSS_STD = 0.5, 0.3


def clusters(package: Package, schedule):
    """The exact denoiser of three clusters in the plane."""
    covs = (STD**2 * torch.eye(2, dtype=torch.float64)).expand(3, 2, 2)
    return package.denoise.mixture_denoiser(schedule, WEIGHTS, MEANS, covs)


def walk(package: Package, schedule, step, steps: int, denoise=None, n: int = 600) -> Tensor:
    """Samples (n, 2) of the clusters, from noise that is the same for every package."""
    z_T = torch.randn(n, 2, generator=torch.Generator().manual_seed(1))
    denoise = clusters(package, schedule) if denoise is None else denoise
    *_, last = package.samplers.sample(denoise, schedule, z_T, schedule.times(steps), step)
    return last.z


def linear(package: Package, T: int = 1000, factor: float = 1.0):
    """The linear schedule with T steps; its betas times ``factor``."""
    module = package.schedule
    return module.DiscreteSchedule(module.linear_betas(T, 1e-4 * factor, 0.02 * factor))


def gaussian_error(package: Package, step, steps: int) -> float:
    """Distance to the exact end of one walk for data N(0.5, 0.3^2), from t = 1 to t = 0.1.

    The exact walk keeps (z - signal mean) / std(z). The grid ends above 0: the jump to clean data
    would hide the order of the step.
    """
    schedule = package.schedule.CosineSchedule()
    mean = torch.tensor([GAUSS_MEAN], dtype=torch.float64)
    denoise = package.denoise.gaussian_denoiser(schedule, mean, torch.eye(1) * GAUSS_STD**2)
    times = torch.linspace(1, 0.1, steps + 1, dtype=torch.float64)
    z_T = torch.tensor([[1.5]], dtype=torch.float64)
    *_, last = package.samplers.sample(denoise, schedule, z_T, times, step)
    signal, noise = schedule(times[-1])
    exact = signal * GAUSS_MEAN + (signal**2 * GAUSS_STD**2 + noise**2).sqrt() * z_T
    return float((last.z - exact).abs())


def order(package: Package, step) -> float:
    """By how many powers of two the error falls when the steps are halved, from 40 to 80."""
    coarse, fine = (gaussian_error(package, step, n) for n in (40, 80))
    return math.log2(coarse / fine)


def digits(package: Package, guidance: float = 2.0, seed: int = 3) -> Tensor:
    """The digits 0 to 9, by the model that comes with the book: (10, 1, 28, 28)."""
    model = package.latent.LatentDiffusion.load("digits")
    sampler = package.samplers.dpmpp_2m
    return model.generate(LABELS, steps=10, sampler=sampler, guidance=guidance, seed=seed)


STRETCH = 4.88  # makes the digits' latents as wide as Stable Diffusion's: 1/scale = 5.5


@torch.no_grad()
def stretched_digits(package: Package):
    """The shipped digits model with latents 4.88 times as wide: scale 1.12 becomes 0.23.

    The encoder's last layer is multiplied, the decoder's first one divided, and the scale with it:
    what the model draws stays the same.
    """
    model = package.latent.LatentDiffusion.load("digits")
    last, first = model.autoencoder.encoder[-1], model.autoencoder.decoder[0]
    means = slice(0, model.latent_shape[0])  # of the channels; the others are log-variances
    last.weight[means] *= STRETCH
    last.bias[means] *= STRETCH
    first.weight /= STRETCH
    model.autoencoder.scale /= STRETCH
    return model


class Plane(nn.Module):
    """A small network for points (B, 2) with a class 0, 1, 2 or none (3), called like a UNet."""

    def __init__(self, T: int = 100) -> None:
        super().__init__()
        self.T = T
        self.label = nn.Embedding(4, 16)
        self.layers = nn.Sequential(
            nn.Linear(2 + 6 + 16, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2)
        )

    def forward(self, z_t: Tensor, t: Tensor, condition: Tensor, drop: Tensor | None = None):
        if drop is not None:
            condition = torch.where(drop, 3, condition)
        angle = math.pi / 2 * (t.float() / self.T)[:, None] * torch.tensor([1.0, 2.0, 4.0])
        inputs = (z_t, angle.sin(), angle.cos(), self.label(condition))
        return self.layers(torch.cat([x.float() for x in inputs], dim=1)).to(z_t.dtype)


def train_plane(package: Package, steps: int = 300) -> tuple[Plane, object]:
    """A ``Plane`` trained on the clusters with the package's own training, and its schedule."""
    train = package.train
    schedule = package.schedule.DiscreteSchedule(package.schedule.cosine_betas(100))
    generator = torch.Generator().manual_seed(2)
    labels = torch.multinomial(WEIGHTS, 2000, replacement=True, generator=generator)
    z0 = MEANS[labels] + STD * torch.randn(2000, 2, dtype=torch.float64, generator=generator)
    fit = package.settings.FitConfig(steps=steps, batch=96, lr=5e-3, device="cpu", log_every=steps)
    tiny = package.unet.UNetConfig(channels=2, width=8, heads=1, multipliers=(1,))
    config = train.DenoiserTraining(model=tiny, fit=fit, drop=0.15)
    trained = train.train_denoiser(
        config, schedule, z0.float(), labels, prepare=lambda net: Plane(schedule.T)
    )
    return trained.net, schedule


def asked(package: Package, net: Plane, schedule, guidance: float, n: int = 300) -> Tensor:
    """Samples (n, 2) of a ``Plane``, a third of each class, guided away from no class."""
    labels = torch.arange(n) % 3
    read = partial(package.denoise.network_denoiser, net, schedule, package.predict.V)
    away = read(torch.full_like(labels, 3))
    denoise = package.denoise.guided(read(labels), away, guidance)
    return walk(package, schedule, package.samplers.ddim, 25, denoise, n)


def small_training(package: Package, seed: int = 0) -> float:
    """The mean loss of 20 training steps on real digits of 8 x 8 pixels, each step in 2 parts.

    All of the package that a loss can see takes part: data, schedule, network, targets, training.
    """
    train, data = package.train, package.data.digits(size=32)
    x = torch.nn.functional.avg_pool2d(data.x, 4)  # (4000, 1, 8, 8)
    schedule = package.schedule.DiscreteSchedule(package.schedule.linear_betas())
    model = package.unet.UNetConfig(channels=1, width=16, heads=2, multipliers=(1,), classes=10)
    fit = package.settings.FitConfig(
        steps=20, batch=32, lr=3e-3, accumulate=2, device="cpu", log_every=20, seed=seed
    )
    config = train.DenoiserTraining(model=model, fit=fit)
    return train.train_denoiser(config, schedule, x, data.labels).history[-1].loss


def train_noisily(package: Package, folder: str | None, until: int):
    """Train a network with dropout for 12 steps, or leave after ``until``: (step, weights)."""
    make = lambda: nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.5), nn.Linear(16, 1))  # noqa: E731
    net = package.fit.build(make, 0)
    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    config = package.settings.FitConfig(
        steps=12, batch=16, lr=0.01, warmup=1, device="cpu", log_every=1, save_every=6
    )

    def loss(model, batch):
        return (model(x[batch.indices])[:, 0] - x[batch.indices, 0]).square(), None

    for record in package.fit.fit(net, loss, 64, config, folder=folder, resume=bool(folder)):
        yield record.step, torch.cat([p.detach().flatten().clone() for p in net.parameters()])
        if record.step == until:
            return
