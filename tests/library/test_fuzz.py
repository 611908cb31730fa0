"""Public functions with one bad argument at a time: nothing nonsensical comes out without a word.

A value of the right type with wrong content is refused in the package's own words, or taken and
meant; a wrong type is refused, in Python's words at worst. ``python tests/library/test_fuzz.py``
prints how often each happened, and every call that is not as it should be.
"""

from functools import partial

import fuzz_models
import pytest
import torch
from fuzz_values import OUTCOMES, call, report, tried

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
Z, EPSILON = torch.randn(2, 4, 2)  # (4, 2) each
T = torch.tensor([3, 7, 11, 19])
MEAN, COV = torch.tensor([1.0, 2.0]).double(), torch.tensor([[1.3, 0.6], [0.6, 0.7]]).double()
WEIGHTS = torch.tensor([0.25, 0.75]).double()
MEANS, COVS = torch.stack([MEAN, -MEAN]), torch.stack([COV, 2 * COV])
ORACLE = gaussian_denoiser(D, MEAN, COV)
LABELS = torch.tensor([0, 1, 2, 3])
ROWS = shapes.every_row()[::20_000]
U = torch.linspace(0, 0.99, len(ROWS)).double()
THING = shapes.Thing("small", "solid", "red", "star")
PLACES = shapes.draw_places(ROWS, U[:, None].expand(-1, 4))
REQUESTS = captions.request_rows([captions.read("a red star above a blue circle")])
HALF = torch.tensor(0.5).double()
STEPS = {"ddpm": ddpm, "ddim": ddim, "heun": heun, "dpmpp_2m": dpmpp_2m}


def net(z_t, t, condition):
    """A network that takes anything, so that the package has to look."""
    return 0.5 * z_t + (0 if condition is None else condition.to(z_t.dtype).mean())


def last(*arguments, **options):
    *_, end = sample(*arguments, **options)
    return end


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
    call(lambda mean, var: losses.kl_loss(Gaussian(mean, var)), name="kl_loss",
         may={"var": {"short"}}, mean=Z, var=Z.square()),
    call(losses.diffusion_loss, may={"t": {"None"}, "eps": {"None"}, "weight": {"None"}}, net=net,
         schedule=D, z0=Z, parameterization=V, t=T, eps=EPSILON, weight=losses.min_snr_weight),
    call(losses.random_times, schedule=D, u=U),
    call(losses.random_times, schedule=FLOWING, u=U),
    call(losses.min_snr_weight, schedule=D, t=T, parameterization=V, gamma=5.0, floor=1.0),
]  # fmt: skip
METRICS = [
    call(metrics.root, cov=COV),
    call(metrics.frechet_gaussians, mean_a=MEAN, cov_a=COV, mean_b=-MEAN, cov_b=2 * COV),
    call(metrics.frechet_distance, a=Z, b=EPSILON[:3]),
    call(metrics.sliced_wasserstein, a=Z, b=EPSILON[:3], directions=16, seed=0),
    call(metrics.psnr, x_hat=Z, x=EPSILON, span=2.0),
    call(metrics.mode_coverage, points=Z, means=MEANS, std=0.5, sigmas=3.0),
]
DATA_SETS = [
    call(data.gaussian, n=3, mean=MEAN, cov=COV, seed=0),
    call(data.ring, modes=3, radius=4.0, std=0.3),
    call(data.mixture, n=3, weights=WEIGHTS, means=MEANS, covs=COVS, seed=0),
    call(
        partial(data._split, torch.zeros(20, 1), LABELS.repeat(5)),
        name="digits",
        held_out=4,
        seed=0,
    ),
    call(data.to_unit_range, x=U * 255, largest=255.0),
]
SHAPES = [
    call(shapes.to_rows, scenes=[shapes.Scene("grey", "above", THING, THING)]),
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
    "data": DATA_SETS,
    "shapes, captions": SHAPES, **fuzz_models.MODULES,
}  # fmt: skip


@pytest.mark.parametrize("module", MODULES)
def test_no_bad_value_passes_in_silence_or_ends_in_foreign_words(module):
    found = tried(MODULES[module])
    assert [x for x in found if x[0] in OUTCOMES[3:]] == []
    assert len(found) > 20  # the table is not empty


if __name__ == "__main__":
    report(MODULES)
