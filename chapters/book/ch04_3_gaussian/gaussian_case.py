"""The Gaussian case in closed form: chapter 4.3, and the truth that sampler tests measure against.

If the data are N(mean, cov), everything is Gaussian and every map is affine, so whole distributions
can be computed instead of drawn:

    marginal        q(z_t)                 the forward process, data -> time t
    backward        q(z_s | z_t)           the true reverse step, s < t
    propagate       a sampler's output     exact, by sending probe points through the real sampler

Distances, standard errors and a linear autoencoder complete the chapter's tools. All in float64.
"""

import inspect
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from minildm import checks
from minildm.checks import inputs
from minildm.metrics import frechet_gaussians, root
from minildm.samplers import ddim, sample


class Normal(NamedTuple):
    """A Gaussian distribution with full covariance: ``mean`` (d,), ``cov`` (d, d), float64."""

    mean: Tensor
    cov: Tensor

    def sample(self, eps: Tensor) -> Tensor:
        """mean + cov^(1/2) eps, for standard normal eps (n, d)."""
        (mean, cov), eps = checked(self), inputs.numbers("eps", eps)
        inputs.points(eps, len(mean), "eps")
        return mean + eps @ root(cov)


class Affine(NamedTuple):
    """A random affine map z -> matrix z + offset + N(0, cov): (d, d), (d,), (d, d)."""

    matrix: Tensor
    offset: Tensor
    cov: Tensor

    def push(self, normal: Normal) -> Normal:
        """The distribution of the image: N(A m + b, A C A^T + cov)."""
        d = len(checked(normal).mean)
        if self.matrix.shape[-1] != d:
            raise ValueError(f"the map takes (.., {self.matrix.shape[-1]}), the normal is ({d},)")
        mean = self.matrix @ normal.mean + self.offset
        return Normal(mean, self.matrix @ normal.cov @ self.matrix.T + self.cov)


def normal(mean, cov) -> Normal:
    """``Normal`` from lists or tensors; ValueError unless mean is (d,) and cov symmetric (d, d)."""
    return checked(Normal(mean, cov))


def checked(normal: Normal, name: str = "") -> Normal:
    """The same in float64; ValueError unless mean is (d,), cov (d, d), finite and a covariance."""
    name = f"{name}." if name else ""
    mean, cov = inputs.numbers(f"{name}mean", normal[0]), inputs.numbers(f"{name}cov", normal[1])
    if mean.dim() != 1 or len(mean) == 0 or cov.shape != (len(mean), len(mean)):
        raise ValueError(
            f"{name}mean must be (d,) and {name}cov (d, d); got {tuple(mean.shape)} and "
            f"{tuple(cov.shape)}"
        )
    inputs.covariance(f"{name}cov", cov, tolerance=1e-5)
    return Normal(mean, cov)


def standard_normal(d: int) -> Normal:
    """N(0, I) in d dimensions: where sampling starts."""
    d = checks.count("d", d, most=10_000)
    return Normal(torch.zeros(d, dtype=torch.float64), torch.eye(d, dtype=torch.float64))


# --- the forward process and its exact reverse ---------------------------------------------------


def marginal(schedule, data: Normal, t) -> Normal:
    """q(z_t) = N(signal mean, signal^2 cov + noise^2 I) for data N(mean, cov).

    For one time t; for times (n,) the mean is (n, d) and the covariance (n, d, d).
    """
    data = checked(data)
    signal, noise = (c[..., None] for c in schedule(t))
    identity = torch.eye(len(data.mean), dtype=torch.float64)
    cov = signal[..., None] ** 2 * data.cov + noise[..., None] ** 2 * identity
    return Normal(signal * data.mean, cov)


def backward(schedule, data: Normal, t, s) -> Affine:
    """The true reverse step q(z_s | z_t), s < t, z0 averaged out:

        N(m_s + ratio C_s C_t^-1 (z_t - m_t),  v C_s C_t^-1)

    with (m, C) the marginals and q(z_t | z_s) = N(ratio z_s, v I). Bishop, PRML (2006), eq. 2.116,
    and C_t = ratio^2 C_s + v I. Times may be (n,), as in ``marginal``. ValueError unless s < t.
    """
    ratio, v = (c[..., None, None] for c in schedule.transition(t, s))
    (m_s, C_s), (m_t, C_t) = marginal(schedule, data, s), marginal(schedule, data, t)
    gain = torch.linalg.solve(C_t, C_s)  # C_s C_t^-1: both are functions of cov, so they commute
    gain = (gain + gain.mT) / 2  # symmetric but for rounding
    return Affine(ratio * gain, m_s - (ratio * gain @ m_t[..., None])[..., 0], v * gain)


def denoising_cov(schedule, data: Normal, t) -> Tensor:
    """Cov(z0 | z_t) = cov - signal^2 cov C_t^-1 cov: what no denoiser can know; (d, d)."""
    signal, _ = schedule(t)
    if signal.dim():
        raise ValueError(f"t must be one time; got {tuple(signal.shape)}")
    data = checked(data)
    C_t = marginal(schedule, data, t).cov
    return data.cov - signal**2 * data.cov @ torch.linalg.solve(C_t, data.cov)


def propagate(denoise, schedule, start: Normal, times: Tensor, step=ddim) -> list[Normal]:
    """The exact distribution after every step of ``sample``: n+1 ``Normal``s, ``start`` first.

    The arguments are those of ``sample``, with a distribution in place of z_T. If the denoiser is
    affine, so is the whole sampler: z = A (z_T - m) + b + sum_k B_k xi_k, xi_k the noise drawn at
    step k. Probe points read off b, A and every B_k, through the real sampler; then the mean is b
    and the covariance A C A^T + sum_k B_k B_k^T. Nothing is random and nothing is approximated.
    Raises ValueError if the map is not affine (clipping, a mixture, noise not from ``draw``).
    """
    path, start = [start], checked(start)
    times = checks.walk(schedule, start.mean, times, step)
    d, n = len(start.mean), len(times) - 1
    if stochastic := "draw" in inspect.signature(step).parameters:
        step = partial(step, draw=_unit_noise(d, n))
    probes = start.mean.repeat(2 + d + n * d * stochastic, 1)  # row 0: b; the last n d rows: B_k
    probes[1 : 1 + d] += root(start.cov)  # rows 1..d: A cov^(1/2), transposed
    probes[1 + d] -= 6 * root(start.cov).sum(0)  # a far witness: follows from the others if affine
    for snapshot in sample(denoise, schedule, probes, times, step):
        mean, moved = snapshot.z[0], snapshot.z - snapshot.z[0]
        if not torch.allclose(moved[1 + d], -6 * moved[1 : 1 + d].sum(0), rtol=1e-6, atol=1e-9):
            raise ValueError(
                f"the step to t = {snapshot.t} is not affine, so probes do not give moments: use a "
                "Gaussian denoiser without clipping, and a step that takes its noise from draw"
            )
        columns = torch.cat([moved[1 : 1 + d], moved[2 + d :]])  # (d + n d, d)
        path.append(Normal(mean, columns.T @ columns))
    return path


def _unit_noise(d: int, n: int):
    """``draw`` for probes: call k gives e_1 .. e_d to group k of d probes, 0 to all others."""
    calls = iter(range(n))

    def draw(z: Tensor) -> Tensor:
        k = next(calls, None)
        if k is None:
            raise ValueError("step drew noise more than once; propagate allows one draw per step")
        noise = torch.zeros_like(z)
        first = 2 + d + k * d
        noise[first : first + d] = torch.eye(d, dtype=z.dtype)
        return noise

    return draw


# --- measuring -----------------------------------------------------------------------------------


def wasserstein2(a: Normal, b: Normal) -> float:
    """W2(a, b) = sqrt(|m_a - m_b|^2 + tr(C_a + C_b - 2 (R C_b R)^(1/2))), R = C_a^(1/2).

    In the units of z: how far points must move to turn one cloud into the other. About 1e-8 is
    rounding. Dowson & Landau 1982 (J. Multivariate Analysis 12, 450).
    """
    return frechet_gaussians(*a, *b) ** 0.5


def cov_error(a: Normal, truth: Normal) -> float:
    """Relative error of the covariance, |C_a - C| / |C| in the Frobenius norm."""
    a, truth = checked(a, "a"), checked(truth, "truth")
    if a.cov.shape != truth.cov.shape or not truth.cov.any():
        raise ValueError("give two covariances of one size, the true one not 0")
    return float((a.cov - truth.cov).norm() / truth.cov.norm())


def empirical(z: Tensor) -> Normal:
    """Sample mean and covariance (divided by n - 1) of points z (n, d), n > 1."""
    z = inputs.numbers("z", z)
    if z.dim() != 2 or len(z) < 2 or z.shape[1] == 0:
        raise ValueError(f"z must be (n, d) with n > 1; got {tuple(z.shape)}")
    return Normal(z.mean(0), torch.cov(z.T).reshape(z.shape[1], z.shape[1]))


def standard_errors(truth: Normal, n: int) -> Normal:
    """Standard errors of ``empirical`` for n points from ``truth``, shaped like mean and cov.

    sqrt(C_ii / n) for the mean, sqrt((C_ii C_jj + C_ij^2) / (n - 1)) for the covariance.
    """
    truth, n = checked(truth), inputs.whole("n", n, 2, checks.MOST)
    variances = truth.cov.diagonal()
    return Normal(
        (variances / n).sqrt(),
        ((variances[:, None] * variances + truth.cov.square()) / (n - 1)).sqrt(),
    )


def deviation(z: Tensor, truth: Normal) -> float:
    """Largest difference between the moments of points z (n, d) and ``truth``, in standard errors.

    For n points from ``truth`` it stays below 4 nearly always (6e-5 per moment).
    Raises ValueError for other dimensions, and where a component of ``truth`` has no variance.
    """
    truth, got = checked(truth), empirical(z)
    if got.mean.shape != truth.mean.shape or not truth.cov.diagonal().all():
        raise ValueError(f"z must be (n, {len(truth.mean)}), and all directions have variance")
    error = standard_errors(truth, len(z))
    off = [((g - t).abs() / e).flatten() for g, t, e in zip(got, truth, error, strict=True)]
    return float(torch.cat(off).max())  # torch's max keeps a NaN, Python's may lose it


# --- a latent diffusion model in closed form -----------------------------------------------------


class LinearAutoencoder(NamedTuple):
    """Encode by projection on a plane, decode back on it: x (n, D) <-> z (n, d).

    ``offset`` (D,) is a point of the plane, ``basis`` (D, d) has orthonormal columns.
    """

    offset: Tensor
    basis: Tensor

    @classmethod
    def fit(cls, x: Tensor, d: int) -> "LinearAutoencoder":
        """Least squares |x - decode(encode(x))|^2 over x (n, D): the d leading principal axes."""
        x = inputs.numbers("x", x)
        inputs.points(x, x.shape[-1] if x.dim() else 0, "x")
        d = checks.count("d", d, most=min(x.shape))
        offset = x.mean(0)
        _, _, axes = torch.linalg.svd(x - offset, full_matrices=False)
        return cls(offset, axes[:d].T)

    def encode(self, x: Tensor) -> Tensor:
        """z = basis^T (x - offset): (n, d)."""
        x = inputs.numbers("x", x)
        inputs.points(x, len(self.offset), "x")
        return (x - self.offset) @ self.basis

    def decode(self, z: Tensor) -> Tensor:
        """x = offset + basis z: (n, D)."""
        z = inputs.numbers("z", z)
        inputs.points(z, self.basis.shape[1], "z")
        return self.offset + z @ self.basis.T

    def encode_normal(self, x: Normal) -> Normal:
        """The distribution of encode(x): N(basis^T (m - offset), basis^T C basis)."""
        inputs.points(checked(x, "x").mean[None], len(self.offset), "x.mean")
        return Normal((x.mean - self.offset) @ self.basis, self.basis.T @ x.cov @ self.basis)

    def decode_normal(self, z: Normal) -> Normal:
        """The distribution of decode(z): N(offset + basis m, basis C basis^T)."""
        inputs.points(checked(z, "z").mean[None], self.basis.shape[1], "z.mean")
        return Normal(self.offset + self.basis @ z.mean, self.basis @ z.cov @ self.basis.T)
