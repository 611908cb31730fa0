"""Plans that are written down and not run yet: their seeds and controls, and a run in small."""

from dataclasses import replace

import pytest
import torch

from book.ablations.digits_lab import assemble, scaled
from book.ablations.engine import outcomes, run_plan
from book.ablations.plans import NEXT, PLANS, POOL, READS
from book.ablations.shapes_lab import run_shapes, with_nulls
from book.ablations.surgery import remove
from minildm.engine.settings import override
from minildm.latent import LatentDiffusion
from minildm.text import TextUNet, build_network

TINY = (
    "denoiser.fit.steps=2", "denoiser.fit.batch=64", "denoiser.fit.warmup=1", "steps=1",
    "denoiser.model.unet.width=8", "denoiser.model.text.dim=16", "pictures=64",
    "contrastive.text.dim=16", "contrastive.width=8", "contrastive.pictures=64",
    "contrastive.fit.steps=2", "contrastive.fit.batch=8", "contrastive.fit.warmup=1",
)  # fmt: skip


@pytest.mark.parametrize("name", NEXT)
def test_a_plan_that_waits_has_its_seeds_and_controls(name):
    plan = NEXT[name]
    assert len(plan.seeds) >= 5 and len(NEXT["text-to-image"].seeds) >= 8
    if name in PLANS:
        assert set(PLANS[name].variants) - {READS[POOL]} <= {*plan.variants}
    configs = [plan.config(variant, 0) for variant in plan.variants]
    assert len({repr(config) for config in configs}) == len(configs)


def test_a_normalised_control_has_the_noise_levels_and_not_the_size():
    plan = PLANS["digits-scale"]
    for k in (1 / 4, 16):
        plain, control = (plan.config(f"scale {k:g}{what}", 0) for what in ("", ", normalised"))
        (schedule, factor), (other, one) = scaled(plain), scaled(control)
        assert (factor, one) == (k, 1.0)
        signal, noise = schedule(torch.tensor([20, 500, 900]))
        a, b = other(torch.tensor([20, 500, 900]))
        torch.testing.assert_close(a / b, factor * signal / noise)
        model = assemble(control, build_network(control.denoiser.model))
        assert model.schedule.alpha_bar.equal(other.alpha_bar)
        scale = LatentDiffusion.load("digits").autoencoder.scale
        torch.testing.assert_close(model.autoencoder.scale, scale)


def network(variant):
    """The fresh network of a variant of the plan that waits, as its training would begin."""
    config = NEXT["text-to-image"].config(variant, 0)
    return remove(TextUNet(config.denoiser.model), config.without)


def test_the_controls_of_reading_are_what_they_are_called():
    base, mean = network("base"), network("words by mean only")
    reads = {POOL: "base", not POOL: READS[not POOL]}
    for pool, name in reads.items():
        assert (network(name).unet.embed_pooled is not None) == pool
    assert mean.unet.embed_pooled is not None
    assert all(s.read is not None for s in base.unet.up)
    assert all(s.read is None for s in (*mean.unet.up, mean.unet.middle, mean.unet.down[0]))
    concat = "words by concatenation"
    names = (concat, reads[False], reads[True], f"{concat}, wider")
    sizes = [sum(p.numel() for p in network(name).parameters()) for name in names]
    assert sizes == sorted(set(sizes))


@torch.no_grad()
def test_words_by_mean_only_are_still_heard():
    net = network("words by mean only")
    for parameter in net.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    z_t, t = torch.randn(2, 4, 8, 8), torch.tensor([500, 500])
    one, two = net.tokens(["a red circle above a blue star", "a green star left of a red cross"])
    heard = [net(z_t, t, words.expand(2, -1)) for words in (one, two)]
    assert (heard[0] - heard[1]).abs().max() > 1e-3


def test_a_share_of_captions_says_nothing():
    tokens = torch.randint(2, 20, (5000, 14), generator=torch.Generator().manual_seed(0))
    nulled = with_nulls(tokens, 0.1)
    said = (nulled == tokens).all(1)
    assert 0.08 < float((~said).double().mean()) < 0.12
    assert (nulled[~said][:, 0] == 1).all() and not nulled[~said][:, 1:].any()
    assert torch.equal(with_nulls(tokens, 0.0), tokens)


@pytest.mark.parametrize(
    "variant", ["words by mean only", "contrastive text encoder, with null", "random text encoder"]
)
def test_the_plan_that_waits_runs_in_small(variant, tmp_path):
    plan = NEXT["text-to-image"]
    tiny = replace(plan, base=override(plan.base, TINY), seeds=(0,), run=run_shapes)
    path = tmp_path / "results.json"
    run_plan("text-to-image", tiny, [variant], path, report=lambda *_: None)
    (figures,) = outcomes("text-to-image", variant, "captions", path=path)
    assert 0 <= figures["joint"] <= figures["accepted"] <= 1
