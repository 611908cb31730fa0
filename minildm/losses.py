"""Training objectives: one value per sample, (B,), the mean over that sample's elements.

    reconstruction  mean (x_hat - x)^2
    KL              KL(N(mean, var) || N(0, I)) per latent element
    diffusion       weight(t) mean (net(z_t, t, condition) - target)^2

A weight is a function ``(schedule, t, parameterization) -> (B,)`` float64. It is stated for the
error of z0 and converted to what the network predicts, so that it means the same for all four.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from minildm import checks
from minildm.checks import inputs
from minildm.interfaces import Network, Schedule
from minildm.predict import Parameterization, V
from minildm.process import Gaussian, diffuse
from minildm.schedule import expand

Weight = Callable[[Schedule, Tensor, Parameterization], Tensor]


def reconstruction_loss(x_hat: Tensor, x: Tensor) -> Tensor:
    """L_recon = mean over elements of (x_hat - x)^2: (B, *d) twice -> (B,).

    Raises ValueError where the shapes differ (broadcasting would hide it), and for NaN or infinity.
    """
    checks.samples(x_hat=x_hat, x=x)
    return _per_sample((x_hat - x).square())


def kl_loss(gaussian: Gaussian) -> Tensor:
    """KL(N(mean, var) || N(0, 1)) = (mean^2 + var - 1 - log var) / 2, averaged per element: (B,).

    Kingma and Welling 2014 (arXiv 1312.6114), appendix B. Divided by the number of elements, so
    that its weight does not depend on the latent's size.
    Raises ValueError unless every variance is positive, and mean and variance finite.
    """
    checks.samples(mean=gaussian.mean)
    checks.gaussian(*gaussian)
    mean, var = torch.broadcast_tensors(gaussian.mean, gaussian.var)
    if not var.is_meta and not (var > 0).all():
        raise ValueError(f"var must be positive; its smallest entry is {float(var.min()):.3g}")
    return _per_sample((mean.square() + var - 1 - var.log()) / 2)


def diffusion_loss(
    net: Network,
    schedule: Schedule,
    z0: Tensor,
    condition: Tensor | None = None,
    *,
    parameterization: Parameterization = V,
    t: Tensor | None = None,
    eps: Tensor | None = None,
    weight: Weight | None = None,
) -> Tensor:
    """L_diffuse = weight(t) mean (net(z_t, t, condition) - target)^2: (B,).

    ``z0``: (B, *d), scaled latents; ``t``: (B,), drawn uniformly from 1..T (or (0, 1]) if None;
    ``eps``: like z0, standard normal if None; ``weight`` None: 1 for every t.
    With EPS and no weight this is L_simple: DDPM (arXiv 2006.11239), eq. 14.
    Raises ValueError where the network does not keep its input's shape, and as ``diffuse`` does.
    A network's NaN becomes the sample's loss: ``fit`` stops there.
    """
    checks.samples(z0=z0)
    if t is None:
        t = random_times(schedule, torch.rand(len(z0), dtype=torch.float64))
    t = checks.per_sample(t, z0)
    eps = torch.randn_like(z0) if eps is None else eps
    z_t = diffuse(schedule, z0, t, eps)
    output = net(z_t, t, condition)
    checks.output(output, z_t)
    target = parameterization.target(z0, eps, *schedule(t))
    loss = _per_sample((output.to(z0.dtype) - target).square())
    return loss if weight is None else expand(weight(schedule, t, parameterization), loss) * loss


def random_times(schedule: Schedule, u: Tensor) -> Tensor:
    """Turn u, uniform in [0, 1), into training times: int64 in 1..T, or float64 in (0, 1].

    t = 0 is never drawn: there z_t is z0 and there is nothing to learn.
    Raises ValueError unless every u is in [0, 1).
    """
    u = checks.uniform("u", u)
    if isinstance(schedule.T, int):
        return (u * schedule.T).long().clamp(max=schedule.T - 1) + 1
    return 1 - u


def min_snr_weight(
    schedule: Schedule,
    t: Tensor,
    parameterization: Parameterization,
    gamma: float = 5.0,
    floor: float = 0.0,
) -> Tensor:
    """min(SNR_t, gamma) + floor, times the error of z0: float64 (B,).

    In terms of the network's output, with m = min(SNR, gamma) + floor: m for Z0, m / SNR for EPS
    and m / (SNR + 1) for V. Hang et al. 2023 (arXiv 2303.09556), section 3.4, has no floor: where
    there is almost only noise, its weight vanishes, and with it what is decided there, such as
    which object stands where. ``floor`` = 1 weighs those times like the plain error of v.
    Raises ValueError unless gamma > 0 and floor >= 0, and where the floor would weigh infinitely:
    EPS at zero SNR.
    """
    gamma, floor = inputs.real("gamma", gamma), inputs.real("floor", floor)
    if not gamma > 0:
        raise ValueError(f"gamma must be positive; got {gamma}: the paper uses 5")
    if not floor >= 0:
        raise ValueError(f"floor must not be negative; got {floor}: 0 is none")
    signal_share, noise_share = _shares(schedule, t, parameterization)
    weight = torch.minimum(signal_share.square(), gamma * noise_share.square())
    if floor == 0:
        return weight
    if not noise_share.isfinite().all():
        raise ValueError("EPS says nothing of z0 at zero SNR: use floor = 0, or V")
    return weight + floor * noise_share.square()


def _shares(
    schedule: Schedule, t: Tensor, parameterization: Parameterization
) -> tuple[Tensor, Tensor]:
    """(signal / det, noise / det): an output error d is a z0 error noise/det d (see predict.py)."""
    signal, noise = schedule(t)
    a, b = parameterization.weights(signal, noise)
    det = signal * b - noise * a
    one = torch.ones_like(det)
    # For EPS det is the signal itself: the ratio is 1, also where both are 0 (zero terminal SNR).
    return torch.where(det == signal, one, signal / det), noise / det


def _per_sample(values: Tensor) -> Tensor:
    return values.reshape(len(values), -1).mean(1)  # (B, *d) -> (B, n) -> (B,)
