"""The book's own functions with one bad argument at a time: see test_fuzz.py.

``python tests/book/test_fuzz_book.py`` prints how often each outcome happened.
"""

from functools import partial

import pytest
import torch
from fuzz_models import LABELS, MASK, NONE, PLACES, ROWS, X, fields_of
from fuzz_models import Z as LATENTS
from fuzz_models import call as ask
from fuzz_values import OUTCOMES, call, report, tried

from book import digit_judge
from book.ablations.digits_lab import absolute_loss, perceptual_loss
from book.ch01_background import likelihood
from book.ch04_2_derivations import elbo
from book.ch04_3_gaussian import gaussian_case as gauss
from book.ch05_4_sampling.line_data import THREE, Clusters, even_normal, exact_end
from book.ch05_5_text_to_image import copies
from book.ch05_5_text_to_image.contrastive import ContrastiveTraining
from book.ch06_applications import editing
from book.ch08_outlook.dit import DiT, DiTConfig
from book.shape_reader import ReaderTraining, ShapeReader
from minildm.denoise import gaussian_denoiser
from minildm.engine.fit import build
from minildm.samplers import ddim
from minildm.schedule import DiscreteSchedule, cosine_betas
from minildm.shapes.scenes import render

torch.manual_seed(0)
D = DiscreteSchedule(cosine_betas(20))
Z, EPSILON = torch.randn(2, 4, 2)
T = torch.tensor([3, 7, 11, 19])
MEAN, COV = torch.tensor([1.0, 2.0]).double(), torch.tensor([[1.3, 0.6], [0.6, 0.7]]).double()
WEIGHTS = torch.tensor([0.25, 0.75]).double()
MEANS, COVS = torch.stack([MEAN, -MEAN]), torch.stack([COV, 2 * COV])
ORACLE = gaussian_denoiser(D, MEAN, COV)
DATA, OTHER = gauss.Normal(MEAN, COV), gauss.Normal(-MEAN, 2 * COV)
CHAIN = elbo.true_chain(D, DATA)
DIT = build(lambda: DiT(DiTConfig(channels=2, width=16, depth=1, heads=2, classes=3)), 0).eval()
CLASSIFIER, READER = digit_judge.DigitClassifier(8).eval(), ShapeReader(8).eval()
PROBABILITIES = torch.tensor([[0.95, 0.05], [0.5, 0.5], [0.01, 0.99]])

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
JUDGED = [
    call(digit_judge.confident_fraction, probabilities=PROBABILITIES, threshold=0.9),
    call(digit_judge.confident_classes, probabilities=PROBABILITIES, threshold=0.9),
    call(absolute_loss, x_hat=Z, x=EPSILON),
    call(lambda std, weight, x_hat, x: perceptual_loss(lambda y: 2 * y, std, weight)(
             x_hat, x), name="perceptual_loss", std=torch.ones(2), weight=0.1, x_hat=Z, x=EPSILON),
]  # fmt: skip
MODELS = [
    ask(DIT.forward, name="DiT", z_t=LATENTS, t=torch.tensor([3, 17]), condition=LABELS, loud=True,
        may={"condition": NONE, "t": {"short"}}),
    ask(copies.nearest, x=X, data=torch.cat([-X, X[:1]]), batch=2),
    ask(CLASSIFIER.probabilities, x=-torch.ones(2, 1, 28, 28), batch=2),
    ask(READER.features, x=render(ROWS, PLACES), batch=2),
    ask(editing.seam_error, x=X),
    ask(editing.straight, z_a=LATENTS, z_b=-LATENTS + 1, u=0.5),
    ask(editing.arc, z_a=LATENTS, z_b=-LATENTS + 1, u=0.5),
    ask(editing.object_mask, rows=ROWS, places=PLACES, which=torch.zeros(len(ROWS)).long(),
        margin=1),
    ask(editing.whole_cells, mask=MASK, factor=8),
    *map(fields_of, (DiTConfig, digit_judge.ClassifierConfig, ReaderTraining, ContrastiveTraining)),
]  # fmt: skip
MODULES = {
    "gaussian_case, elbo, likelihood, line_data": GAUSSIAN, "digits": JUDGED,
    "models, judges, editing": MODELS,
}  # fmt: skip


@pytest.mark.parametrize("module", MODULES)
def test_no_bad_value_passes_in_silence_or_ends_in_foreign_words(module):
    found = tried(MODULES[module])
    assert [x for x in found if x[0] in OUTCOMES[3:]] == []
    assert len(found) > 20  # the table is not empty


if __name__ == "__main__":
    report(MODULES)
