"""The evidence lower bound in closed form: chapter 4.2, for affine denoisers.

A model is its chain of reverse steps: p(z_T) = N(0, I), and p(z_{t-1} | z_t) a random affine map
for each t. Then every term of the bound is an expectation of a quadratic form:

    -log p(z0)  <=  L_T + sum_{t=2}^T L_{t-1} + L_0                          (in nats)

    L_T      KL(q(z_T | z0) || p(z_T))                       nothing in it is learned
    L_{t-1}  E KL(q(z_{t-1} | z_t, z0) || p(z_{t-1} | z_t))   one per step
    L_0      -E log p(z0 | z_1)                               the last step, to the data

Ho et al. 2020 (arXiv 2006.11239), equation 5. All in float64; d is the dimension of z.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from book.ch04_3_gaussian.gaussian_case import (
    Affine,
    Normal,
    backward,
    checked,
    marginal,
    standard_normal,
)
from minildm import checks
from minildm.checks import inputs
from minildm.denoise import Denoiser
from minildm.process import posterior


class Chain(NamedTuple):
    """p(z_{t-1} | z_t) = N(matrix[t] z_t + offset[t], cov[t]): (T+1, d, d), (T+1, d), (T+1, d, d).

    Index t is the time that the step leaves; entry 0 is not used.
    """

    matrix: Tensor
    offset: Tensor
    cov: Tensor

    def step(self, t: int) -> Affine:
        """The step from t to t - 1."""
        return Affine(self.matrix[t], self.offset[t], self.cov[t])


class Bound(NamedTuple):
    """The terms of the bound, each (n,) for n data points, or () for an average over the data.

    ``steps[t]`` is L_{t-1}, t = 2..T: (T+1, n) or (T+1,); entries 0 and 1 are zero.
    """

    start: Tensor
    steps: Tensor
    last: Tensor

    @property
    def total(self) -> Tensor:
        """-ELBO: what log p(z0) cannot be below, with the sign changed."""
        return self.start + self.steps.sum(0) + self.last


# --- distributions --------------------------------------------------------------------------------


def kl_normals(a: Normal, b: Normal) -> Tensor:
    """KL(a || b) = (tr(B^-1 A) - d + (m_b - m_a)^T B^-1 (m_b - m_a) + log det B - log det A) / 2.

    In nats, (). ``a`` and ``b`` cannot be exchanged. Kullback and Leibler 1951; with one variance
    for all directions, DDPM's equation 8. Raises ValueError unless both covariances are invertible.
    """
    a, b = checked(a, "a"), checked(b, "b")
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"a is in {len(a.mean)} dimensions, b in {len(b.mean)}")
    _log_det(b.cov)  # raises where b has no density
    return _kl(a.cov, b.cov, (b.mean - a.mean) @ torch.linalg.solve(b.cov, b.mean - a.mean))


def log_density(normal: Normal, z: Tensor) -> Tensor:
    """log N(z; mean, cov) of points z (n, d): (n,), in nats."""
    normal, z = checked(normal), inputs.numbers("z", z)
    inputs.points(z, len(normal.mean), "z")
    _log_det(normal.cov)  # raises where there is no density
    away = z - normal.mean
    squares = (away * torch.linalg.solve(normal.cov, away.T).T).sum(1)
    return -(squares + _log_det(2 * math.pi * normal.cov)) / 2


def entropy(normal: Normal) -> Tensor:
    """-E log N(z; mean, cov) = log det(2 pi e cov) / 2, in nats: ()."""
    return _log_det(2 * math.pi * math.e * checked(normal).cov) / 2


# --- models ---------------------------------------------------------------------------------------


def reverse_chain(denoise: Denoiser, schedule, d: int, variances: Tensor) -> Chain:
    """The chain N(mean of q(z_{t-1} | z_t, z0_hat), variances[t] I), for an affine denoiser.

    ``variances``: (T+1,), such as ``schedule.posterior_variance`` or ``schedule.beta``; entry 0 is
    not used. sigma_1^2 = 0 is no density: give the last step beta_1.
    Raises ValueError for another shape or a variance that is not positive.
    """
    T, d = schedule.T, checks.count("d", d, 10_000)
    variances = inputs.numbers("variances", variances)
    if variances.shape != (T + 1,) or not (variances[1:] > 0).all():
        raise ValueError(
            f"variances must be ({T + 1},), positive from t = 1 on; got {tuple(variances.shape)}, "
            f"{variances.flatten().tolist()[:3]} ..: the posterior's variance is 0 at t = 1, "
            "use beta there"
        )
    probe = torch.cat([torch.zeros(1, d), torch.eye(d)]).double()  # gives b, then the columns of A
    z, t = probe.repeat(T, 1), torch.arange(1, T + 1).repeat_interleave(d + 1)  # (T (d + 1), d)
    mean = posterior(schedule, z, denoise(z, t).z0, t, t - 1).mean.reshape(T, d + 1, d)
    matrix = (mean[:, 1:] - mean[:, :1]).transpose(1, 2)  # (T, d, d)
    cov = variances[1:, None, None] * torch.eye(d).double()
    return _chain(matrix, mean[:, 0], cov)


def true_chain(schedule, data: Normal) -> Chain:
    """The chain of true reverse steps q(z_{t-1} | z_t) of Gaussian data: no model is better."""
    t = torch.arange(1, schedule.T + 1)
    return _chain(*backward(schedule, data, t, t - 1))


def generated(chain: Chain) -> Normal:
    """p(z0): what comes out of the chain from N(0, I)."""
    chain = _whole(chain)
    end = standard_normal(chain.offset.shape[1])
    for t in range(len(chain.matrix) - 1, 0, -1):
        end = chain.step(t).push(end)
    return end


def _whole(chain: Chain, T: int | None = None) -> Chain:
    """The chain in float64; ValueError unless it is finite and fits a schedule of T steps."""
    chain = Chain(*map(inputs.numbers, Chain._fields, chain))
    steps, d = chain.offset.shape if chain.offset.dim() == 2 else (0, 0)
    wanted = ((steps, d, d), (steps, d), (steps, d, d))
    if not d or tuple(map(torch.Tensor.size, chain)) != wanted or T not in (None, steps - 1):
        shapes = ", ".join(str(tuple(part.shape)) for part in chain)
        raise ValueError(
            f"a chain is (T+1, d, d), (T+1, d), (T+1, d, d), with the schedule's T; got {shapes}"
        )
    return chain


def _chain(matrix: Tensor, offset: Tensor, cov: Tensor) -> Chain:
    """Steps 1..T with an empty entry 0 before them."""
    return Chain(*(torch.cat([torch.zeros_like(x[:1]), x]) for x in (matrix, offset, cov)))


# --- the bound ------------------------------------------------------------------------------------


def bound(schedule, chain: Chain, z0: Tensor | Normal) -> Bound:
    """The terms of -ELBO: of points z0 (n, d), or, for a ``Normal``, averaged over that data.

    In L_{t-1} the two means differ by M z0 + N eps - b: z_t = signal z0 + noise eps is put into
    q(z_{t-1} | z_t, z0)'s mean and into A z_t + b.
    """
    chain = _whole(chain, schedule.T)
    T, d = schedule.T, chain.offset.shape[1]
    z0 = checked(z0, "z0") if isinstance(z0, Normal) else inputs.numbers("z0", z0)
    inputs.points(z0.mean[None] if isinstance(z0, Normal) else z0, d, "z0")
    identity = torch.eye(d).double()
    t = torch.arange(1, T + 1)
    signal, noise = (c[:, None, None] for c in schedule(t))  # (T, 1, 1)
    A, b, S = (part[1:] for part in chain)
    ones, none = torch.ones(T, 1).double(), torch.zeros(T, 1).double()
    truth = posterior(schedule, ones, none, t, t - 1)  # what z_t weighs; z0 weighs the rest
    from_z0 = posterior(schedule, none, ones, t, t - 1).mean[:, :, None]  # (T, 1, 1)
    from_z_t = truth.mean[:, :, None] * identity - A  # (T, d, d)
    square = _square(signal * from_z_t + from_z0 * identity, -b, S, z0)  # (T,) or (T, n)
    square = square + _like(_noise(noise * from_z_t, S), square)
    steps = _kl(truth.var[1:, :, None] * identity, S[1:], square[1:])  # t = 2..T
    last = (square[0] + _log_det(2 * math.pi * S[0])) / 2  # z0 itself, whose variance is 0
    end = noise[-1] ** 2 * identity
    start = _kl(end, identity, _square(signal[-1] * identity, 0 * b[0], identity, z0))
    return Bound(start, torch.cat([steps.new_zeros(2, *steps.shape[1:]), steps]), last)


def gap(schedule, chain: Chain, data: Normal) -> tuple[Tensor, Tensor]:
    """What the bound loses, E[log q(z0) - ELBO], by cause: (at the start (), per step (T+1,)).

        KL(q(z_T) || p(z_T))   and, for t = 1..T,   E KL(q(z_{t-1} | z_t) || p(z_{t-1} | z_t))

    None of the conditionals here knows z0. Their sum is exact for Gaussian data.
    """
    chain = _whole(chain, schedule.T)
    inputs.points(checked(data).mean[None], chain.offset.shape[1], "data.mean")
    start = kl_normals(marginal(schedule, data, schedule.T), standard_normal(len(data.mean)))
    truth = true_chain(schedule, data)
    A, b = truth.matrix - chain.matrix, truth.offset - chain.offset
    z_t = marginal(schedule, data, torch.arange(schedule.T + 1))
    square = _square(A[1:], b[1:], chain.cov[1:], Normal(z_t.mean[1:], z_t.cov[1:]))
    steps = _kl(truth.cov[1:], chain.cov[1:], square)
    return start, torch.cat([steps.new_zeros(1), steps])


def epsilon_weight(schedule, t: Tensor, variance: Tensor) -> Tensor:
    """The weight that L_{t-1} gives to E |eps - eps_hat|^2: float64 like t, t in 1..T.

        beta_t^2 / (2 variance alpha_t (1 - alpha_bar_t))

    for p(z_{t-1} | z_t) with the stated ``variance``, the same in all directions. L_simple puts 1
    in its place. DDPM (arXiv 2006.11239), equation 12. Infinite where alpha_t or the variance is 0.
    Raises ValueError for a time outside 1..T or a negative variance.
    """
    t, variance = checks.time(t, schedule.T, torch.int64), inputs.numbers("variance", variance)
    if (t < 1).any() or (variance < 0).any() or (variance.dim() and variance.shape != t.shape):
        raise ValueError("t must be in 1..T, with one variance >= 0 for all or one each")
    beta, alpha = schedule.beta[t], schedule.alpha[t]
    return beta**2 / (2 * variance * alpha * schedule.noise_variance[t])


def latent_bound(schedule, chain: Chain, encoder: Affine, decoder: Affine, x: Tensor) -> Tensor:
    """The bound of a whole latent diffusion model: what log p(x) is at least, x (n, D): (n,).

        E[log p(x | z0)] + entropy of q(z0 | x) - E[L_T + sum L_{t-1} + L_0]     z0 from q(z0 | x)

    ``encoder``: q(z0 | x); ``decoder``: p(x | z0); both random affine maps, in nats.
    Vahdat et al. 2021 (arXiv 2106.05931), with the prior's term bounded by the chain.
    """
    inputs.points(x, len(decoder.offset), "x")
    bounds = []
    for one in x:
        z0 = Normal(encoder.matrix @ one + encoder.offset, encoder.cov)
        shift = decoder.offset - one
        square = _square(decoder.matrix, shift, decoder.cov, z0)
        seen = -(square + _log_det(2 * math.pi * decoder.cov)) / 2
        bounds.append(seen + entropy(z0) - bound(schedule, chain, z0).total)
    return torch.stack(bounds)


# Below, matrices may have a leading dimension for time: (.., d, d), and offsets (.., d).


def _kl(A: Tensor, B: Tensor, square: Tensor) -> Tensor:
    """KL of two Gaussians with covariances A, B and squared distance of means ``square`` in B."""
    trace = torch.linalg.solve(B, A).diagonal(dim1=-2, dim2=-1).sum(-1)
    fixed = trace - A.shape[-1] + _log_det(B) - _log_det(A)
    return (_like(fixed, square) + square) / 2


def _square(M: Tensor, b: Tensor, S: Tensor, z: Tensor | Normal) -> Tensor:
    """(M z + b)^T S^-1 (M z + b): (.., n) for points, its average (..) for a ``Normal``."""
    if isinstance(z, Normal):
        mean = (M @ z.mean[..., None])[..., 0] + b
        spread = torch.linalg.solve(S, M @ z.cov @ M.mT).diagonal(dim1=-2, dim2=-1).sum(-1)
        return (mean * torch.linalg.solve(S, mean)).sum(-1) + spread
    moved = M @ z.T + b[..., None]  # (.., d, n)
    return (moved * torch.linalg.solve(S, moved)).sum(-2)


def _noise(N: Tensor, S: Tensor) -> Tensor:
    """E (N eps)^T S^-1 (N eps) for standard normal eps: (..)."""
    return torch.linalg.solve(S, N @ N.mT).diagonal(dim1=-2, dim2=-1).sum(-1)


def _log_det(cov: Tensor) -> Tensor:
    sign, value = torch.linalg.slogdet(cov)
    if not (sign > 0).all():
        raise ValueError("a covariance is not invertible: there is no density to compare with")
    return value


def _like(fixed: Tensor, values: Tensor) -> Tensor:
    """``fixed`` (T,) beside ``values`` (T,) or (T, n)."""
    return fixed.reshape((*fixed.shape, *[1] * (values.dim() - fixed.dim())))
