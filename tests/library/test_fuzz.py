"""Public functions with one bad argument at a time: nothing nonsensical comes out without a word.

A value of the right type with wrong content is refused in the package's own words, or taken and
meant; a wrong type is refused, in Python's words at worst. ``python tests/library/test_fuzz.py``
prints how often each happened, and every call that is not as it should be.
"""

import sys
from collections import Counter
from functools import partial

import fuzz_models
import pytest
import torch
from fuzz_values import OUTCOMES, Call, bad_values, outcome, run

from book.ch01_background import likelihood
from book.ch04_2_derivations import elbo
from book.ch04_3_gaussian import gaussian_case as gauss
from book.ch05_4_sampling.line_data import THREE, Clusters, even_normal, exact_end
from minildm import data, losses, metrics
from minildm import schedule as sch
from minildm.denoise import (
    clipped,
    gaussian_denoiser,
    guided,
    mixture_denoiser,
    network_denoiser,
)
from minildm.predict import EPS, FLOW, Z0, V
from minildm.process import Gaussian, diffuse, diffuse_step, posterior
from minildm.samplers import ddim, ddpm, dpmpp_2m, heun, sample
from minildm.shapes import captions
from minildm.shapes import scenes as shapes

torch.manual_seed(0)
D, FLOWING = sch.DiscreteSchedule(sch.cosine_betas(20)), sch.FlowSchedule()
Z, EPSILON = torch.randn(2, 4, 2), torch.randn(2, 4, 2)[0]
Z, T = Z[0], torch.tensor([3, 7, 11, 19])  # (4, 2), (4,)
MEAN, COV = torch.tensor([1.0, 2.0]).double(), torch.tensor([[1.3, 0.6], [0.6, 0.7]]).double()
WEIGHTS = torch.tensor([0.25, 0.75]).double()
MEANS, COVS = torch.stack([MEAN, -MEAN]), torch.stack([COV, 2 * COV])
ORACLE = gaussian_denoiser(D, MEAN, COV)
DATA, OTHER = gauss.Normal(MEAN, COV), gauss.Normal(-MEAN, 2 * COV)
CHAIN = elbo.true_chain(D, DATA)
LABELS = torch.tensor([0, 1, 2, 3])
ROWS = shapes.every_row()[::20_000]
U = torch.linspace(0, 0.99, len(ROWS)).double()
PLACES = shapes.draw_places(ROWS, U[:, None].expand(-1, 4))
REQUESTS = captions.request_rows([captions.read("a red star above a blue circle")])
PROBABILITIES = torch.tensor([[0.95, 0.05], [0.5, 0.5], [0.01, 0.99]])
HALF = torch.tensor(0.5).double()
STEPS = {"ddpm": ddpm, "ddim": ddim, "heun": heun, "dpmpp_2m": dpmpp_2m}


def net(z_t, t, condition):
    """A network that takes anything, so that the package has to look."""
    return 0.5 * z_t + (0 if condition is None else condition.to(z_t.dtype).mean())


def last(*arguments, **options):
    *_, end = sample(*arguments, **options)
    return end


def call(function, /, may=None, name=None, **arguments) -> Call:
    return Call(name or function.__name__, function, arguments, may or {})


ANYTHING = {"None", "text", "dict", "object", "number", "NaN"}
SCHEDULE = [
    call(sch.linear_betas, T=5, first=0.1, last=0.2),
    call(sch.scaled_linear_betas, T=5, first=0.1, last=0.2),
    call(sch.cosine_betas, T=5, s=0.008, max_beta=0.999),
    call(sch.sigmoid_betas, T=5, first=0.1, last=0.2),
    call(sch.ramp_betas, T=5),
    call(sch.zero_terminal_snr, betas=D.beta[1:]),
    call(lambda betas: sch.DiscreteSchedule(betas).alpha_bar, name="DiscreteSchedule",
         betas=D.beta[1:]),
    call(lambda t: D(t), name="DiscreteSchedule()", t=T),
    call(lambda t: D(t), name="DiscreteSchedule() of a number", t=5),
    call(D.half_log_snr, may={"t": {"zero"}}, t=T),
    call(D.transition, t=T, s=T - 1),
    call(D.transition, t=9, s=3),
    call(D.times, steps=5, spacing="uniform"),
    call(D.times, steps=5, spacing="karras"),
    *(
        c
        for schedule in (sch.CosineSchedule(), FLOWING)
        for c in (
            call(schedule.__call__, t=U[1:]), call(schedule.__call__, t=0.5),
            call(schedule.half_log_snr, may={"t": {"zero"}}, t=U[1:]),
            call(schedule.transition, t=0.5, s=0.25), call(schedule.transition, t=U[1:], s=U[:-1]),
            call(schedule.times, steps=5, spacing="uniform"),
        )
    ),
    *(
        call(sch.expand, may={"like": {"NaN", "infinite", "-infinite"}}, coefficient=c, like=Z)
        for c in (HALF, U[:4])
    ),
]  # fmt: skip
PROCESS = [
    call(diffuse, schedule=D, z0=Z, t=T, eps=EPSILON),
    call(diffuse, schedule=D, z0=Z, t=5, eps=EPSILON),
    call(diffuse, schedule=FLOWING, z0=Z, t=0.5, eps=EPSILON),
    call(diffuse_step, schedule=D, z_s=Z, t=T, s=T - 1, eps=EPSILON),
    call(posterior, schedule=D, z_t=Z, z0=EPSILON, t=T, s=T - 1),
    call(posterior, schedule=D, z_t=Z, z0=EPSILON, t=9, s=3),
    call(lambda mean, var, eps: Gaussian(mean, var).sample(eps), name="Gaussian.sample",
         may={"var": {"short"}}, mean=Z, var=Z.square(), eps=EPSILON),
]  # fmt: skip
PREDICT = [
    c
    for kind in (EPS, Z0, V, FLOW)
    for c in (
        call(kind.target, z0=Z, eps=EPSILON, signal=HALF, noise=HALF),
        call(kind.solve, output=Z, z_t=EPSILON, signal=HALF, noise=HALF),
    )
]
PREDICT.append(call(V.solve, output=Z, z_t=EPSILON, signal=U[:4], noise=1 - U[:4]))
DENOISE = [
    call(lambda mean, cov, z_t, t: gaussian_denoiser(D, mean, cov)(z_t, t),
         name="gaussian_denoiser", mean=MEAN, cov=COV, z_t=Z, t=T),
    call(lambda weights, means, covs, z_t, t: mixture_denoiser(D, weights, means, covs)(z_t, t),
         name="mixture_denoiser", weights=WEIGHTS, means=MEANS, covs=COVS, z_t=Z, t=5),
    call(lambda net, schedule, kind, z_t, t: network_denoiser(net, schedule, kind)(z_t, t),
         name="network_denoiser", net=net, schedule=D, kind=V, z_t=Z, t=T),
    call(lambda guidance, z_t, t: guided(
             network_denoiser(net, D, V, LABELS), network_denoiser(net, D, V, 0 * LABELS), guidance
         )(z_t, t), name="guided", guidance=2.0, z_t=Z, t=T),
    call(lambda low, high, z_t, t: clipped(ORACLE, D, low, high)(z_t, t), name="clipped",
         may={"low": {"-infinite"}, "high": {"infinite"}}, low=-1.0, high=1.0, z_t=Z, t=T),
]  # fmt: skip
SAMPLERS = [
    *(
        call(partial(step, schedule=D), name=name, z=Z, t=9, s=3, denoise=ORACLE)
        for name, step in STEPS.items()
    ),
    call(partial(ddim, Z, 9, 3, ORACLE, D), name="ddim", eta=0.5),
    *(
        call(last, name=f"sample, {name}", denoise=ORACLE, schedule=D, z_T=Z, times=D.times(4),
             step=step)
        for name, step in STEPS.items()
    ),
]  # fmt: skip
LOSSES = [
    call(losses.reconstruction_loss, x_hat=Z, x=EPSILON),
    call(losses.absolute_loss, x_hat=Z, x=EPSILON),
    call(lambda std, weight, x_hat, x: losses.perceptual_loss(lambda y: 2 * y, std, weight)(
             x_hat, x), name="perceptual_loss", std=torch.ones(2), weight=0.1, x_hat=Z, x=EPSILON),
    call(lambda mean, var: losses.kl_loss(Gaussian(mean, var)), name="kl_loss",
         may={"var": {"short"}}, mean=Z, var=Z.square()),
    call(losses.diffusion_loss, may={"t": {"None"}, "eps": {"None"}, "weight": {"None"}}, net=net,
         schedule=D, z0=Z, parameterization=V, t=T, eps=EPSILON, weight=losses.min_snr_weight),
    call(losses.random_times, schedule=D, u=U),
    call(losses.random_times, schedule=FLOWING, u=U),
    call(losses.snr_weight, schedule=D, t=T, parameterization=V),
    call(losses.min_snr_weight, schedule=D, t=T, parameterization=V, gamma=5.0, floor=1.0),
]  # fmt: skip
METRICS = [
    call(metrics.root, cov=COV),
    call(metrics.frechet_gaussians, mean_a=MEAN, cov_a=COV, mean_b=-MEAN, cov_b=2 * COV),
    call(metrics.frechet_distance, a=Z, b=EPSILON[:3]),
    call(metrics.sliced_wasserstein, a=Z, b=EPSILON[:3], directions=16, seed=0),
    call(metrics.psnr, x_hat=Z, x=EPSILON, span=2.0),
    call(metrics.mode_coverage, points=Z, means=MEANS, std=0.5, sigmas=3.0),
    call(metrics.confident_fraction, probabilities=PROBABILITIES, threshold=0.9),
    call(metrics.confident_classes, probabilities=PROBABILITIES, threshold=0.9),
]
GAUSSIAN = [
    call(gauss.normal, mean=MEAN, cov=COV),
    call(gauss.standard_normal, d=2),
    call(lambda mean, cov, eps: gauss.Normal(mean, cov).sample(eps), name="Normal.sample",
         mean=MEAN, cov=COV, eps=Z.double()),
    *(
        call(lambda mean, cov, t, f=f: f(D, gauss.Normal(mean, cov), t), name=f.__name__,
             mean=MEAN, cov=COV, t=5)
        for f in (gauss.marginal, gauss.denoising_cov)
    ),
    call(lambda mean, cov, t, s: gauss.backward(D, gauss.Normal(mean, cov), t, s), name="backward",
         mean=MEAN, cov=COV, t=T, s=T - 1),
    call(lambda mean, cov, times, step: gauss.propagate(ORACLE, D, (mean, cov), times, step)[-1],
         name="propagate", mean=MEAN, cov=COV, times=D.times(3), step=ddim),
    *(
        call(lambda mean, cov, f=f: f(gauss.Normal(mean, cov), OTHER), name=f.__name__, mean=MEAN,
             cov=COV)
        for f in (gauss.wasserstein2, gauss.cov_error, elbo.kl_normals)
    ),
    call(gauss.empirical, z=Z),
    call(lambda cov, n: gauss.standard_errors(gauss.Normal(MEAN, cov), n),
         name="standard_errors", cov=COV, n=10),
    call(lambda z, cov: gauss.deviation(z, gauss.Normal(MEAN, cov)), name="deviation", z=Z,
         cov=COV),
    call(lambda x, d: gauss.LinearAutoencoder.fit(x, d).encode(x), name="LinearAutoencoder", x=Z,
         d=1),
    call(lambda z, cov: elbo.log_density(gauss.Normal(MEAN, cov), z), name="log_density",
         z=Z.double(), cov=COV),
    call(lambda cov: elbo.entropy(gauss.Normal(MEAN, cov)), name="entropy", cov=COV),
    call(lambda d, variances: elbo.reverse_chain(ORACLE, D, d, variances), name="reverse_chain",
         d=2, variances=D.beta),
    call(lambda offset: elbo.generated(CHAIN._replace(offset=offset)), name="generated",
         offset=CHAIN.offset),
    call(lambda matrix, z0: elbo.bound(D, CHAIN._replace(matrix=matrix), z0), name="bound",
         matrix=CHAIN.matrix, z0=Z.double()),
    call(partial(elbo.epsilon_weight, D), name="epsilon_weight",
         may={"variance": {"zero", "whole"}}, t=T, variance=D.beta[T]),
    call(partial(likelihood.log_likelihood, ORACLE, D), name="log_likelihood", z0=Z,
         times=D.times(4)),
    call(likelihood.mixture_log_density, weights=WEIGHTS, means=MEANS, covs=COVS, z=Z),
    call(likelihood.mixture_entropy, weights=WEIGHTS, covs=COVS),
    call(lambda shares, means, stds, x: Clusters(shares, means, stds).below(x), name="below",
         shares=THREE.shares, means=THREE.means, stds=THREE.stds, x=Z),
    call(lambda means, shift: Clusters(THREE.shares, means, THREE.stds).denoiser(D, shift)(
             Z[:, :1], 5), name="Clusters.denoiser", means=THREE.means, shift=0.1),
    call(lambda means, z_T: exact_end(THREE._replace(means=means), z_T), name="exact_end",
         means=THREE.means, z_T=Z),
    call(even_normal, n=3),
]  # fmt: skip
DATA_SETS = [
    call(data.gaussian, n=3, mean=MEAN, cov=COV, seed=0),
    call(data.ring, modes=3, radius=4.0, std=0.3),
    call(data.mixture, n=3, weights=WEIGHTS, means=MEANS, covs=COVS, seed=0),
    call(data.two_moons, n=3, noise=0.1, seed=0),
    call(data.spiral, n=3, turns=1.5, noise=0.1, seed=0),
    call(data.small_digits, held_out=10, seed=0),
    call(data.to_unit_range, x=U * 255, largest=255.0),
]
SHAPES = [
    call(shapes.to_rows, scenes=shapes.to_scenes(ROWS)),
    call(shapes.to_scenes, rows=ROWS),
    call(shapes.draw_places, rows=ROWS, u=U[:, None].expand(-1, 4).clone()),
    call(shapes.render, rows=ROWS, places=PLACES),
    call(lambda table, n, seed: shapes.Pictures(table, n, seed)[:], name="Pictures", table=ROWS,
         n=3, seed=0),
    call(captions.captions, may={"keep": {"None"}}, rows=ROWS, mirrored=U < 0.5,
         keep=U[:, None].expand(-1, 5) < 0.5),
    call(captions.caption_tokens, rows=ROWS, u=U),
    call(captions.agree, may={"rows": {"short"}, "wanted": {"short"}}, rows=ROWS,
         wanted=REQUESTS.expand(len(ROWS), -1).clone()),
    call(captions.read, text="a red star above a blue circle"),
    call(captions.split, text="a red star"),
    call(captions.request_rows, requests=[captions.read("a red star above a blue circle")]),
]  # fmt: skip
MODULES = {
    "schedule": SCHEDULE, "process": PROCESS, "predict": PREDICT, "denoise": DENOISE,
    "samplers": SAMPLERS, "losses": LOSSES, "metrics": METRICS,
    "gaussian_case, elbo, likelihood, known_answer": GAUSSIAN, "data": DATA_SETS,
    "shapes, captions": SHAPES, **fuzz_models.MODULES,
}  # fmt: skip


def tried(calls: list[Call]) -> list[tuple[str, str]]:
    """(outcome, which call) of every bad value of every argument."""
    found = []
    for one in calls:
        right = run(one, one.arguments)
        for argument, valid in one.arguments.items():
            for kind, value in bad_values(valid):
                said = outcome(one, argument, kind, value, right)
                found.append((said, f"{one.name}({argument} = {kind})"))
    return found


@pytest.mark.parametrize("module", MODULES)
def test_no_bad_value_passes_in_silence_or_ends_in_foreign_words(module):
    found = tried(MODULES[module])
    assert [x for x in found if x[0] in OUTCOMES[3:]] == []
    assert len(found) > 20  # the table is not empty


if __name__ == "__main__":
    total = Counter()
    print(f"{'module':46s}", *(f"{name:>16s}" for name in ("tried", *OUTCOMES)))
    for module, calls in MODULES.items():
        if len(sys.argv) > 1 and module not in sys.argv[1:]:
            continue
        found = tried(calls)
        counts = Counter(said for said, _ in found)
        total += counts
        print(f"{module:46s}", *(f"{n:16,d}" for n in (len(found), *(counts[o] for o in OUTCOMES))))
        for said, which in found:
            if said in OUTCOMES[3:]:
                print("   ", said, which)
    print(f"{'all':46s}", *(f"{n:16,d}" for n in (total.total(), *(total[o] for o in OUTCOMES))))
