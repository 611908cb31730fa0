"""What a training costs on paper, and whether that is what our own trainings cost."""

import pytest
import torch

from book.ablations.engine import outcomes
from book.ablations.plans import PLANS
from book.ch05_2_unet.cost import flops
from book.ch08_outlook.scaling import (
    A100_PEAK,
    PUBLISHED_HOURS,
    STABLE_DIFFUSION,
    Phase,
    device_hours,
    training_flops,
)
from minildm.recipes import DIGITS_DENOISER
from minildm.text import build_network
from minildm.unet import UNet
from minildm.words import NULL


def test_operations_of_a_real_backward_pass_are_about_twice_the_forward_ones():
    net = UNet(DIGITS_DENOISER.model)
    z, t, y = torch.zeros(1, 2, 7, 7), torch.ones(1, dtype=torch.int64), torch.zeros(1).long()
    forward = flops(net, z, t, y)

    def both():
        with torch.enable_grad():
            net(z, t, y).sum().backward()

    assert flops(both) == pytest.approx(training_flops([Phase(1, 1, forward)]), rel=0.05)


def test_phases_add_up_and_fixed_networks_run_forward_only():
    once = training_flops([Phase(10, 4, 7.0)])
    assert once == 10 * 4 * 21
    assert training_flops([Phase(10, 4, 7.0), Phase(10, 4, 7.0)]) == 2 * once
    assert training_flops([Phase(10, 4, 7.0, fixed=5.0)]) == once + 10 * 4 * 5


def test_hours_are_longer_where_less_of_the_peak_is_reached():
    assert device_hours(3600e12, 1e12, 1.0) == pytest.approx(1)
    assert device_hours(3600e12, 1e12, 0.25) == pytest.approx(4)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (lambda: Phase(0, 1, 1), "steps must be positive; got 0"),
        (lambda: Phase(1, 1, 1, -1), "fixed must be >= 0; got -1"),
        (lambda: device_hours(1, 0, 0.5), "peak must be positive; got 0"),
        (lambda: device_hours(1, 1, 40), r"utilisation must be in \(0, 1\]; got 40"),
    ],
)
def test_numbers_without_sense_are_refused(wrong, named):
    with pytest.raises(ValueError, match=named):
        wrong()


def test_one_training_of_the_book_predicts_another():
    z, t = torch.zeros(1, 2, 7, 7), torch.ones(1, dtype=torch.int64)
    forward = flops(UNet(DIGITS_DENOISER.model), z, t, torch.zeros(1).long())
    fit = DIGITS_DENOISER.fit
    minutes = sum(outcomes("digits", "base", "cpu_minutes")) / 3
    speed = training_flops([Phase(fit.steps, fit.batch, forward)]) / (60 * minutes)
    text = PLANS["text-to-image"].base.denoiser
    tokens = torch.full((1, text.model.text.length), NULL)
    forward = flops(build_network(text.model), torch.zeros(1, 4, 8, 8), t, tokens)
    phase = Phase(text.fit.steps, text.fit.batch, forward)
    predicted = 60 * device_hours(training_flops([phase]), speed, 1.0)
    measured = sum(outcomes("text-to-image", "base", "cpu_minutes")) / 2
    assert 0.4 < measured / predicted < 2.5


def test_the_published_hours_are_above_what_the_operations_need():
    total = training_flops(STABLE_DIFFUSION)
    need = {name: device_hours(total, peak, 1.0) for name, peak in A100_PEAK.items()}
    assert need["half precision"] < need["TF32"] < need["float32"] < PUBLISHED_HOURS
    assert sum(p.steps for p in STABLE_DIFFUSION) == 1_141_000
