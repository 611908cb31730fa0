"""Is it a bug, or is it slow training? Two measurements that need no picture.

    loss_by_time      the error of a denoiser at chosen noise levels, on fixed data and fixed noise
    linear_denoiser   the best that knows only mean and covariance of the data: what to beat

A network that has learned anything beyond averages is below the linear denoiser at every noise
level. Where it is above, something is wrong there, whatever the mean loss says.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from minildm.denoise import Denoised, Denoiser, gaussian_denoiser
from minildm.noise import keyed_normal
from minildm.predict import Parameterization, V
from minildm.process import diffuse


@torch.no_grad()
def loss_by_time(
    denoise: Denoiser,
    schedule: Callable,
    z0: Tensor,
    times: Sequence[float] | Tensor,
    parameterization: Parameterization = V,
    seed: int = 0,
) -> Tensor:
    """Mean squared error of the parameterisation's target at each time: float64 (len(times),).

    ``z0`` (B, *d): all of it is used at each time, with the same noise, so that two denoisers are
    compared on the same task. The error is that of the target, whatever the network predicts:
    with V it neither vanishes at low noise nor at high noise.
    """
    eps = keyed_normal((seed,), range(len(z0)), z0.shape[1:]).to(z0)
    losses = []
    for t in torch.as_tensor(times):
        guess = denoise(diffuse(schedule, z0, t, eps), t)
        signal, noise = schedule(t)
        wanted, got = (parameterization.target(*pair, signal, noise) for pair in ((z0, eps), guess))
        losses.append((got - wanted).double().square().mean())
    return torch.stack(losses)


def linear_denoiser(schedule: Callable, z0: Tensor) -> Denoiser:
    """The exact denoiser of N(mean, cov) with the mean and covariance of data z0 (n, *d).

    Of all denoisers that are linear in z_t, it is the best for these data. Bishop, PRML (2006),
    eq. 2.116. Raises ValueError unless there are at least two samples.
    """
    if len(z0) < 2:
        raise ValueError(f"z0 must hold at least two samples; got {len(z0)}")
    flat = z0.flatten(1).double()  # (n, d)
    exact = gaussian_denoiser(schedule, flat.mean(0), flat.T.cov())

    def denoise(z_t: Tensor, t: Tensor) -> Denoised:
        guess = exact(z_t.flatten(1), t)  # (B, *d) -> (B, d)
        return Denoised(*(part.reshape(z_t.shape) for part in guess))  # (B, d) -> (B, *d)

    return denoise
