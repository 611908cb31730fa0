"""What the letters of 4.2.5, the bound, stand for: values that the package computed."""

import warnings

import torch
from chapter_04_2 import (
    DATA,
    SCHEDULE,
    SHORT,
    normal_density,
)
from latexbuiltin import MATRICES
from latexrelation import Normal
from latexvalue import Operator, Rule
from pageforms import shows
from quadrature import hermite
from registry import points
from symbols import average, exact, last_norm, table

from book.ch04_2_derivations.elbo import (
    bound,
    entropy,
    epsilon_weight,
    gap,
    generated,
    kl_normals,
    latent_bound,
    log_density,
    reverse_chain,
)
from book.ch04_3_gaussian.gaussian_case import (
    Affine,
    backward,
    marginal,
    normal,
)
from minildm.denoise import gaussian_denoiser
from minildm.losses import diffusion_loss
from minildm.predict import EPS
from minildm.process import diffuse, posterior
from minildm.schedule import (
    DiscreteSchedule,
)

I = torch.eye(2, dtype=torch.float64)  # noqa: E741
NEIGHBOURS = (2, 40, 150, 200)
TABLE = table(SCHEDULE)


def one(x: float) -> torch.Tensor:
    return torch.full((1, 1), x, dtype=torch.float64)


# --- the bound ------------------------------------------------------------------------------------


def _kl(a: Normal, b: Normal) -> torch.Tensor:
    """KL of normal laws with means (n, d) and one covariance, written out for one sample each."""
    inverse = torch.linalg.inv(b.cov)
    away = b.mean - a.mean
    d = a.cov.shape[-1]
    quadratic = ((away @ inverse) * away).sum(-1)
    return (
        (inverse @ a.cov).trace() - d + quadratic + torch.logdet(b.cov) - torch.logdet(a.cov)
    ) / 2


def _density(z, law: Normal) -> torch.Tensor:
    zero = torch.zeros(law.cov.shape[-1], dtype=torch.float64)
    return log_density(type(DATA)(zero, law.cov), z - law.mean).exp()


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that nearly half of the signal is left is no matter here
    BRIEF = DiscreteSchedule(torch.tensor([0.3, 0.7], dtype=torch.float64))


@shows("4.2.19")
def evidence_bound():
    """Two steps in one dimension: the average over paths is an integral over (z_1, z_2)."""
    data = normal([0.3], [[0.5]])
    chain = reverse_chain(gaussian_denoiser(BRIEF, *data), BRIEF, 1, BRIEF.beta)
    nodes, weights = (column[:, 0] for column in hermite(60))
    e1, e2 = (x.flatten() for x in torch.meshgrid(nodes, nodes, indexing="ij"))
    weight = (weights[:, None] * weights).flatten()
    z0 = one(0.5)
    z1 = 0.7**0.5 * 0.5 + 0.3**0.5 * e1
    z2 = 0.3**0.5 * z1 + 0.7**0.5 * e2
    forward = normal_density(z1, 0.7**0.5 * 0.5, 0.3) * normal_density(z2, 0.3**0.5 * z1, 0.7)
    back = normal_density(z2, 0.0, 1.0)
    for t, here, there in ((2, z2, z1), (1, z1, torch.tensor(0.5).double())):
        A, b, S = (float(x) for x in chain.step(t))
        back = back * normal_density(there, A * here + b, S)
    yield {
        r"\log p_\theta(z_0)": float(log_density(generated(chain), z0)),
        r"E_q": lambda f: (weight * f).sum(), r"p_\theta(z_{0:T})": back,
        r"q(z_{1:T} \mid z_0)": forward, r"\mathrm{ELBO}": -float(bound(BRIEF, chain, z0).total),
    }  # fmt: skip


@shows("4.2.20")
def turned_round():
    z0, before, after = points(3, 2), points(3, 2, seed=1), points(3, 2, seed=2)
    for t in (2, 7, 12):
        ratio, variance = SHORT.transition(t, t - 1)
        q = posterior(SHORT, after, z0, t, t - 1)
        a, a_before = (float(x) for x in SHORT.alpha_bar[[t, t - 1]])
        yield {
            r"q(z_t \mid z_{t-1})": _density(after, Normal(ratio * before, variance * I)),
            r"q(z_{t-1} \mid z_t, z_0)": _density(before, Normal(q.mean, float(q.var) * I)),
            r"q(z_t \mid z_0)": _density(after, Normal(a**0.5 * z0, (1 - a) * I)),
            r"q(z_{t-1} \mid z_0)": _density(
                before, Normal(a_before**0.5 * z0, (1 - a_before) * I)
            ),
        }


def _chain(schedule=SHORT, variances=None, data=DATA, d: int = 2):
    variances = schedule.beta if variances is None else variances
    return reverse_chain(gaussian_denoiser(schedule, *data), schedule, d, variances)


def _p(chain, z_t, t: int) -> Normal:
    A, b, S = chain.step(t)
    return Normal(z_t @ A.T + b, S)


def _t(values) -> int:
    return round(float(values["t"]))


@shows("4.2.21")
def three_terms():
    """E is exact: samples of z_t whose first two moments are those of q(z_t | z_0)."""
    chain, z0, eps = _chain(), torch.tensor([[0.5, -1.0]]).double(), exact(9, 2)
    terms = bound(SHORT, chain, z0)

    def z(t: int) -> torch.Tensor:
        return diffuse(SHORT, z0.expand(9, 2), t, eps)

    def q(values) -> Normal:
        t = _t(values)
        law = posterior(SHORT, z(t), z0.expand(9, 2), t, t - 1)
        return Normal(law.mean, float(law.var) * I)

    a = float(SHORT.alpha_bar[12])
    yield {
        r"\mathrm{ELBO}": -terms.total, r"\mathrm{KL}": _kl, "E": average, "T": 12,
        r"q(z_T \mid z_0)": Normal(a**0.5 * z0, (1 - a) * I),
        "p(z_T)": Normal(torch.zeros(2).double(), I),
        r"q(z_{t-1} \mid z_t, z_0)": Rule(q),
        r"p_\theta(z_{t-1} \mid z_t)": Rule(lambda values: _p(chain, z(_t(values)), _t(values))),
        r"p_\theta(z_0 \mid z_1)": _density(z0, _p(chain, z(1), 1)),
        "L_T": terms.start, "L_0": terms.last, "L_": lambda n: terms.steps[round(n) + 1],
    }  # fmt: skip


@shows("4.2.22")
def kl():
    a, b = normal([1.0, -2.0, 0.3], _spread(1)), normal([0.5, -1.0, 0.0], _spread(2))
    yield MATRICES | {
        r"\mathrm{KL}": lambda *laws: kl_normals(*(type(a)(p.mean[:, 0], p.cov) for p in laws)),
        "m_a": a.mean[:, None], "m_b": b.mean[:, None], "C_a": a.cov, "C_b": b.cov, "d": 3,
    }  # fmt: skip


def _spread(seed: int, d: int = 3) -> list:
    x = points(d, d, seed=seed)
    return (x @ x.T + 0.3 * torch.eye(d)).tolist()


SOLID = normal([1.0, -2.0, 0.3], _spread(3))


def _joint(schedule, data=SOLID, n: int = 30):
    """z_0 and eps whose joint moments are exact."""
    d = len(data.mean)
    both = exact(n, 2 * d)
    return data.mean + both[:, :d] @ torch.linalg.cholesky(data.cov).T, both[:, d:]


@shows("4.2.23")
def weighted_error():
    sigma2 = SCHEDULE.posterior_variance.clone()
    sigma2[1] = SCHEDULE.beta[1]
    denoise = gaussian_denoiser(SCHEDULE, *SOLID)
    z0, eps = _joint(SCHEDULE)
    for variances in (SCHEDULE.beta, sigma2):
        terms = bound(SCHEDULE, _chain(SCHEDULE, variances, SOLID, 3), SOLID)
        for t in (2, 40, 200):
            weight = epsilon_weight(SCHEDULE, torch.tensor(t), variances[t])
            yield TABLE | {
                "L_": lambda n, terms=terms: terms.steps[round(n) + 1], "t": t, "d": 3,
                r"\tau_": lambda n, v=variances: float(v[round(n)]) ** 0.5, "E": average,
                r"\lVert": last_norm, r"\epsilon": eps, "z_t": diffuse(SCHEDULE, z0, t, eps),
                r"\epsilon_\theta": lambda z, t: denoise(z, torch.as_tensor(t)).eps, "w_t": weight,
                r"\texttt{epsilon\_weight}": weight, "tolerance": 1e-7,
            }  # fmt: skip


@shows("4.2.24")
def last_step():
    chain = _chain(SCHEDULE, None, SOLID, 3)
    z0, eps = _joint(SCHEDULE)
    A, b, _ = chain.step(1)
    yield TABLE | {
        "L_0": bound(SCHEDULE, chain, SOLID).last, "E": average, r"\lVert": last_norm, "d": 3,
        r"\mu_\theta": lambda z, t: {1: z @ A.T + b}[round(t)], "z_0": z0,
        "z_1": diffuse(SCHEDULE, z0, 1, eps), "tolerance": 1e-7,
    }  # fmt: skip


@shows("4.2.25")
def simple_loss():
    """The package takes the mean over a sample's numbers where the norm takes the sum."""
    z0, eps, t = points(4, 2), points(4, 2, seed=1), torch.tensor([1, 9, 80, 200])

    def net(z_t, t, condition=None):
        return (z_t * 2 + t[:, None] / 100).cos()

    loss = diffusion_loss(net, SCHEDULE, z0, parameterization=EPS, t=t, eps=eps)
    yield {
        r"L_{\text{simple}}": 2 * loss.mean(), r"E_{t, z_0, \epsilon}": average, "t": t,
        r"\lVert": last_norm, r"\epsilon": eps, r"\epsilon_\theta": net,
        "z_t": diffuse(SCHEDULE, z0, t, eps),
    }  # fmt: skip


@shows("4.2.26")
def what_the_bound_loses():
    for schedule in (SHORT, BRIEF):
        chain = _chain(schedule, schedule.beta)
        z0, eps = _joint(schedule, DATA)
        T = schedule.T

        def q(values, schedule=schedule, z0=z0, eps=eps):
            step = backward(schedule, DATA, _t(values), _t(values) - 1)
            return Normal(
                diffuse(schedule, z0, _t(values), eps) @ step.matrix.T + step.offset, step.cov
            )

        def p(values, schedule=schedule, chain=chain, z0=z0, eps=eps):
            return _p(chain, diffuse(schedule, z0, _t(values), eps), _t(values))

        end, (start, steps) = marginal(schedule, DATA, T), gap(schedule, chain, DATA)
        lost = start + steps.sum()
        yield {
            r"\log q(z_0)": log_density(DATA, z0),
            r"\mathrm{ELBO}": -bound(schedule, chain, z0).total,
            "E": average, r"\mathrm{KL}": _kl, "q(z_T)": Normal(end.mean, end.cov), "T": T,
            "p(z_T)": Normal(torch.zeros(2).double(), I), r"q(z_{t-1} \mid z_t)": Rule(q),
            r"p_\theta(z_{t-1} \mid z_t)": Rule(p),
            "=": lambda a, b, lost=lost: abs(a - b) < 1e-8 and abs(a - lost) < 1e-8,
        }  # fmt: skip


@shows("4.2.27")
def whole_model():
    basis, shift = torch.linalg.qr(points(5, 2)).Q, points(5, seed=3)
    decoder = Affine(basis, shift, 0.3 * torch.eye(5).double())
    encoder = Affine(basis.T, -basis.T @ shift, 0.2 * I)
    chain = _chain()
    likelihood = decoder.push(generated(chain))
    for x in decoder.push(DATA).sample(points(3, 5, seed=4)):
        mean = encoder.matrix @ x + encoder.offset
        z0 = mean + 0.2**0.5 * exact(9, 2)
        terms, got = (
            bound(SHORT, chain, z0),
            latent_bound(SHORT, chain, encoder, decoder, x[None])[0],
        )
        seen = log_density(type(DATA)(0 * x, decoder.cov), x - z0 @ basis.T - shift)
        yield {
            r"\log p(x)": log_density(likelihood, x[None])[0], "E": average, "z_0": z0,
            r"p(x \mid z_0)": seen.exp(), r"\mathcal H": lambda law: entropy(type(DATA)(*law[:2])),
            r"q(z_0 \mid x)": Normal(mean, 0.2 * I), "L_T": terms.start, "L_0": terms.last, "t": 2,
            r"\sum": Operator(lambda rest: sum(rest({"t": t}) for t in range(2, 13))),
            "L_": lambda n, terms=terms: terms.steps[round(n) + 1],
            r"\ge": lambda a, b, got=got: a > b and abs(b - got) < 1e-8,
        }  # fmt: skip
