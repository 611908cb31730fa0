"""Image to latent and back: sizes, scale, and what the KL term is for."""

import pytest
import torch

from minildm.autoencoder import Autoencoder, AutoencoderConfig
from minildm.engine.settings import FitConfig
from minildm.losses import kl_loss
from minildm.train import AutoencoderTraining, train_autoencoder


def images(n=64, size=16, channels=1, seed=0):
    """Smooth random images: a few cosine waves, within [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    place = torch.arange(size) / size * torch.pi
    row = torch.cos(place[:, None] * torch.arange(3))  # (size, 3)
    weights = torch.randn(n, channels, 3, 3, generator=generator) / 3
    return (row @ weights @ row.T).clamp(-1, 1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("factor", "patch"), [(2, 2), (4, 2), (4, 4), (8, 2), (8, 4)])
def test_sizes_there_and_back(channels, factor, patch):
    cfg = AutoencoderConfig(channels, 5, factor, patch, width=8, max_width=16)
    net = Autoencoder(cfg)
    x = torch.zeros(2, channels, 24, 16)
    q = net.encode(x)
    assert q.mean.shape == q.var.shape == (2, 5, 24 // factor, 16 // factor)
    assert net.latent_shape((24, 16)) == q.mean.shape[1:]
    assert net.decode(q.mean).shape == x.shape
    assert (q.var > 0).all()


@torch.no_grad()
def test_measured_scale_makes_unit_variance_and_touches_neither_encode_nor_decode():
    torch.manual_seed(1)
    net = Autoencoder(AutoencoderConfig(width=8))
    x = images(32)
    before, decoded = net.encode(x).mean, net.decode(torch.ones(1, 4, 4, 4))
    scale = net.measure_scale(x, batch=5)
    after = net.encode(x).mean
    torch.testing.assert_close(before, after)
    torch.testing.assert_close(decoded, net.decode(torch.ones(1, 4, 4, 4)))
    assert (after * net.scale).std().item() == pytest.approx(1, abs=1e-5)
    assert scale == pytest.approx(1 / before.std().item(), rel=1e-5)
    assert "scale" in net.state_dict()


def test_forward_decodes_the_sample_not_the_mean():
    torch.manual_seed(0)
    net = Autoencoder(AutoencoderConfig(width=8))
    x, eps = images(4), torch.randn(4, 4, 4, 4)
    x_hat, q = net(x, eps)
    torch.testing.assert_close(x_hat, net.decode(q.mean + q.var.sqrt() * eps))
    assert (x_hat - net.decode(q.mean)).abs().max() > 1e-3


def quick(kl, **changes):
    fit = FitConfig(
        **{"steps": 80, "batch": 32, "lr": 4e-3, "ema": 0.9, "device": "cpu", **changes}
    )
    return AutoencoderTraining(AutoencoderConfig(width=16, factor=4, patch=4), fit, kl)


@torch.no_grad()
def test_training_reconstructs_and_kl_shapes_the_latents():
    x, fresh = images(128), images(64, seed=1)
    figures = []
    for kl in (1e-4, 1.0):
        with torch.enable_grad():
            net, history = train_autoencoder(quick(kl), x)
        assert history[-1].loss < history[0].loss
        q = net.encode(fresh)
        figures.append(
            ((net.decode(q.mean) - fresh).square().mean().item(), kl_loss(q).mean().item())
        )
        scaled = net.encode(x).mean * net.scale
        assert scaled.std().item() == pytest.approx(1, abs=1e-3)
    (error_free, kl_free), (error_tight, kl_tight) = figures
    assert error_free < 0.2 * fresh.var().item()  # it learnt, on images it never saw
    assert kl_tight < 0.1 * kl_free
    assert error_tight > error_free


def test_images_outside_minus_one_to_one_are_refused():
    with pytest.raises(ValueError, match=r"x must be in \[-1, 1\]"):
        train_autoencoder(quick(1e-3), images() * 255)
    with pytest.raises(ValueError, match="x must be in"):
        train_autoencoder(quick(1e-3), images() + 0.5)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"image_channels": 2}, "image_channels"),
        ({"factor": 3}, "factor"),
        ({"factor": 2, "patch": 4}, "patch"),
        ({"width": 12}, "multiples of 8"),
    ],
)
def test_wrong_sizes_are_named(sizes, message):
    with pytest.raises(ValueError, match=message):
        AutoencoderConfig(**sizes)


def test_wrong_images_and_latents_are_named():
    net = Autoencoder(AutoencoderConfig(width=8, factor=4))
    for x in (torch.zeros(1, 3, 16, 16), torch.zeros(1, 1, 18, 16), torch.zeros(1, 16, 16)):
        with pytest.raises(ValueError, match="x must be|multiples of factor"):
            net.encode(x)
    with pytest.raises(ValueError, match="z must be"):
        net.decode(torch.zeros(1, 3, 4, 4))
    for parameter in net.parameters():
        torch.nn.init.zeros_(parameter)
    with pytest.raises(ValueError, match="train the autoencoder"):
        net.measure_scale(images(4))
