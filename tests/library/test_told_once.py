"""Schedule, parameterisation and size: told once, or the two are compared."""

import copy
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from minildm.autoencoder import Autoencoder, AutoencoderConfig
from minildm.checks.model import same_schedule
from minildm.engine.fit import build
from minildm.engine.settings import FitConfig
from minildm.latent import LatentDiffusion
from minildm.noise import keyed_normal
from minildm.predict import EPS, FLOW, Z0, V
from minildm.schedule import (
    CosineSchedule,
    DiscreteSchedule,
    FlowSchedule,
    cosine_betas,
    linear_betas,
    scaled_linear_betas,
)
from minildm.train import DenoiserTraining, train_denoiser
from minildm.unet import UNet, UNetConfig

SIZES = UNetConfig(channels=2, width=8, heads=1, multipliers=(1,))
LINEAR, COSINE = DiscreteSchedule(linear_betas(1000)), DiscreteSchedule(cosine_betas(50))


def autoencoder():
    return build(lambda: Autoencoder(AutoencoderConfig(latent_channels=2, width=8)), 0)


def untrained():
    return build(lambda: UNet(SIZES), 0)


@pytest.fixture(scope="module")
def trained():
    """A network of eps on linear betas, of latents 4 x 6."""
    config = DenoiserTraining(SIZES, FitConfig(steps=2, batch=4), parameterization="EPS")
    return train_denoiser(config, LINEAR, keyed_normal((0,), range(8), (2, 4, 6))).net


def test_what_the_training_noted_is_enough(trained):
    model = LatentDiffusion(autoencoder(), trained)
    assert model.parameterization is EPS and same_schedule(model.schedule, LINEAR)
    assert model.latent_shape == (2, 4, 6) and model.image_shape == (1, 16, 24)
    assert model.generate(None, steps=2, seed=0).shape == (1, 1, 16, 24)
    again = LatentDiffusion(autoencoder(), copy.deepcopy(trained), LINEAR, (4, 6), EPS)
    assert again.parameterization is EPS and again.latent_shape == (2, 4, 6)


def test_the_average_that_training_returns_carries_the_note(trained):
    note = trained.trained_with
    assert (note.parameterization, note.latent_size) == ("EPS", (4, 6))
    assert same_schedule(note.schedule, LINEAR)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"parameterization": V}, "parameterization is V, but the network was trained to"),
        ({"parameterization": "EPS"}, "parameterization must be EPS, Z0, V or FLOW of"),
        ({"schedule": COSINE}, "schedule is a DiscreteSchedule with T = 50, signal .* was trained"),
        ({"schedule": DiscreteSchedule(scaled_linear_betas())}, "signal 0.5.*T = 1000, signal 0.2"),
        ({"schedule": FlowSchedule()}, "schedule is a FlowSchedule"),
        ({"schedule": linear_betas()}, r"such as DiscreteSchedule\(betas\); got Tensor"),
        ({"latent_size": (16, 24)}, r"the size of the pictures; their latents have \(4, 6\)"),
        ({"latent_size": (4, 6), "image_size": (32, 32)}, r"have latents of \(8, 8\): give one"),
        ({"image_size": (18, 16)}, "multiples of factor = 4"),
        ({"latent_size": (4,)}, r"latent_size must be two numbers, \(height, width\); got \(4,\)"),
        ({"latent_size": (0, 4)}, r"latent_size\[0\] must be a whole number in 1.."),
        ({"latent_size": (10**6, 4)}, r"latent_size\[0\] must be a whole number in 1.."),
        ({"latent_size": 4}, "latent_size must be several whole numbers"),
    ],
)  # fmt: skip
def test_what_is_told_twice_and_differs_is_refused(trained, told, message):
    with pytest.raises(ValueError, match=message):
        LatentDiffusion(autoencoder(), trained, **told)


def test_a_size_that_the_network_has_not_seen_warns(trained):
    with pytest.warns(UserWarning, match=r"latent_size is \(8, 8\), but .* latents of \(4, 6\)"):
        model = LatentDiffusion(autoencoder(), trained, latent_size=(8, 8))
    assert model.generate(None, steps=1, seed=0).shape == (1, 1, 32, 32)
    with pytest.warns(UserWarning, match=r"latent_size is \(8, 8\)"):
        LatentDiffusion(autoencoder(), trained, image_size=(32, 32))


def test_a_network_without_a_note_must_be_told():
    with pytest.raises(ValueError, match="schedule is missing"):
        LatentDiffusion(autoencoder(), untrained())
    with pytest.raises(ValueError, match=r"give image_size = \(H, W\) of the pictures, or latent"):
        LatentDiffusion(autoencoder(), untrained(), COSINE)
    for size in ({"image_size": (32, 16)}, {"latent_size": np.array([8, 4])}):
        model = LatentDiffusion(autoencoder(), untrained(), COSINE, **size)
        assert model.latent_shape == (2, 8, 4) and model.parameterization is V
    assert autoencoder().latent_shape((32, 16)) == (2, 8, 4)
    with pytest.raises(ValueError, match="multiples of factor = 4; got"):
        autoencoder().latent_shape((30, 16))


def test_a_loaded_model_carries_the_note_of_its_file(trained, tmp_path):
    LatentDiffusion(autoencoder(), trained).save(tmp_path)
    loaded = LatentDiffusion.load(tmp_path)
    assert loaded.network.trained_with.parameterization == "EPS"
    assert LatentDiffusion(loaded.autoencoder, loaded.network).latent_shape == (2, 4, 6)
    with pytest.raises(ValueError, match="trained to predict EPS"):
        LatentDiffusion(loaded.autoencoder, loaded.network, parameterization=Z0)


def test_schedules_are_the_same_but_for_rounding():
    shaken = DiscreteSchedule(linear_betas(1000) * (1 + 1e-12))
    assert same_schedule(LINEAR, shaken) and same_schedule(FlowSchedule(), FlowSchedule())
    for other in (COSINE, CosineSchedule(), DiscreteSchedule(linear_betas(1000, last=0.021))):
        assert not same_schedule(LINEAR, other)


def test_eps_where_no_signal_is_left_warns_unless_training_has_warned(trained):
    with pytest.warns(UserWarning, match="eps-prediction divides by it"):
        LatentDiffusion(autoencoder(), untrained(), COSINE, (4, 4), EPS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LatentDiffusion(autoencoder(), untrained(), LINEAR, (4, 4), EPS)
        for kind in (V, Z0, FLOW):
            LatentDiffusion(autoencoder(), untrained(), COSINE, (4, 4), kind)
        network = copy.deepcopy(trained)
        network.trained_with = replace_note(network, schedule=COSINE)
        LatentDiffusion(autoencoder(), network)


def replace_note(network, **changes):
    return network.trained_with._replace(**changes)


def test_a_trained_parameterisation_is_noted_whatever_it_is():
    for name in ("V", "Z0", "FLOW"):
        config = DenoiserTraining(SIZES, FitConfig(steps=1, batch=2))
        net = train_denoiser(
            replace(config, parameterization=name), COSINE, torch.zeros(2, 2, 4, 4)
        ).net
        assert LatentDiffusion(autoencoder(), net).parameterization.name == name
