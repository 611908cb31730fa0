"""The row of pictures in chapter 1: its three models, with 98 numbers in the place of two."""

import pytest
import torch

from book.ablations.relatives_lab import MODELS, RelativesLab, run_relatives
from book.ch01_background.models import GAN, VAE, Diffusion
from book.ch05_2_unet.cost import parameters
from minildm.engine.settings import FitConfig


def test_models_of_more_numbers_have_the_loss_of_so_many():
    """The VAE's bound, by torch's own distributions; the GAN draws from ``latent`` numbers."""
    torch.manual_seed(0)
    vae, x, z = VAE(8, d=5, latent=3), torch.randn(4, 5), torch.randn(4, 3)
    normal = torch.distributions.Normal(vae.decoder(z), vae.log_s.exp())
    torch.testing.assert_close(vae.log_likelihood(x, z), normal.log_prob(x).sum(1))
    q = vae.encode(x)
    pull = torch.distributions.kl_divergence(
        torch.distributions.Normal(q.mean, q.var.sqrt()), torch.distributions.Normal(0.0, 1.0)
    )
    bounds = []
    for beta in (1.0, 0.0):
        torch.manual_seed(1)
        bounds.append(vae.bound(x, beta))
    torch.testing.assert_close(bounds[1] - bounds[0], pull.sum(1), rtol=1e-4, atol=1e-5)
    for model in (vae, GAN(8, d=5, latent=3), Diffusion(8, d=5)):
        assert model.sample(6).shape == (6, 5)


def test_the_models_of_the_row_are_equally_large():
    sizes = [parameters(make()) for make in MODELS.values()]
    assert max(sizes) < 1.02 * min(sizes)


@pytest.mark.parametrize("model", ["data", *MODELS])
def test_a_row_of_pictures(model):
    fit = FitConfig(steps=3, batch=8, ema=0.5)
    outcome = run_relatives(RelativesLab(model=model, fit=fit, samples=20))
    assert outcome.pictures.shape == (12, 1, 28, 28)
    assert set(outcome.figures["drawn"]) == {"confident", "distance", "effective digits"}
    assert (outcome.figures["drawn"]["confident"] > 0.9) == (model == "data")
    assert (outcome.figures["parameters"] == 0) == (model == "data")


def test_a_row_that_nobody_knows():
    with pytest.raises(ValueError, match=r"model must be one of \['VAE', .*got 'flow'"):
        RelativesLab(model="flow")
