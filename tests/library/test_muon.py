"""The optimiser of the long trainings: directions of equal length, and AdamW for the rest."""

import pytest
import torch
from torch import nn

from minildm.engine.optim import Muon, orthogonalized
from minildm.noise import seeded


def gaussian(*shape, key=0):
    return torch.randn(shape, generator=seeded(key))


@pytest.mark.parametrize("shape", [(20, 20), (12, 50), (50, 12), (1, 30)])
def test_every_direction_gets_about_the_same_length(shape):
    gradient = gaussian(*shape)
    u, s, vt = torch.linalg.svd(gradient, full_matrices=False)
    inside = u.T @ orthogonalized(gradient) @ vt.T  # diagonal if the directions are kept
    values = inside.diagonal()
    large = s > 0.02 * s.max()
    assert large.float().mean() > 0.9
    assert ((values[large] > 0.65) & (values[large] < 1.25)).all()
    assert (inside - values.diag()).abs().max() < 1e-3


def test_it_knows_directions_only():
    gradient = gaussian(8, 30)
    once = orthogonalized(gradient)
    torch.testing.assert_close(orthogonalized(1e4 * gradient), once, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(orthogonalized(gradient.T), once.T, rtol=1e-3, atol=1e-4)
    turn = torch.linalg.qr(gaussian(8, 8, key=1)).Q
    torch.testing.assert_close(orthogonalized(turn @ gradient), turn @ once, rtol=1e-3, atol=1e-3)
    assert not orthogonalized(torch.zeros(3, 5)).any()


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(5, 6)
        self.norm = nn.GroupNorm(1, 6)
        self.conv = nn.Conv2d(6, 8, 3)
        self.linear = nn.Linear(8, 4)


def by_hand(net, steps, make):
    """The same gradients for any optimiser: some are missing at the first step."""
    optimizer = make(net)
    for k in range(steps):
        for i, parameter in enumerate(net.parameters()):
            parameter.grad = gaussian(*parameter.shape, key=100 * k + i) * 10 ** (i % 3)
            if k == 0 and i == 0:
                parameter.grad = None
        optimizer.step()
    return net.state_dict()


def test_what_is_no_weight_of_a_layer_is_trained_like_with_adamw():
    nets = Small(), Small()
    nets[1].load_state_dict(nets[0].state_dict())
    ours = by_hand(nets[0], 5, lambda net: Muon(net, 0.01, weight_decay=0.1))
    theirs = by_hand(
        nets[1],
        5,
        lambda net: torch.optim.AdamW(net.parameters(), 0.01, (0.9, 0.99), weight_decay=0.1),
    )
    for name, value in ours.items():
        if name in ("conv.weight", "linear.weight"):
            assert (value - theirs[name]).abs().max() > 1e-3, name
        else:
            torch.testing.assert_close(value, theirs[name], rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("name", ["conv", "linear"])
@pytest.mark.parametrize("size", [1e-4, 1.0, 1e4])
def test_a_step_has_the_length_of_a_step_of_adamw(name, size):
    net = Small()
    layer = getattr(net, name)
    before = layer.weight.detach().clone()
    layer.weight.grad = size * gaussian(*layer.weight.shape)
    Muon(net, 0.01, weight_decay=0.0).step()
    step = (layer.weight - before).square().mean().sqrt() / 0.01
    assert 0.2 * 0.7 < step < 0.2 * 1.2


@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
def test_a_convolution_counts_as_a_matrix_in_whatever_order_it_lies_in_memory(form):
    conv = nn.Conv2d(6, 8, 3).to(memory_format=form)
    before, gradient = conv.weight.detach().clone(), gaussian(8, 6, 3, 3)
    conv.weight.grad = gradient.to(memory_format=form)
    Muon(conv, 0.01, weight_decay=0.0).step()
    length = 0.01 * 0.2 * 54**0.5  # the longer side: 6 * 3 * 3 columns
    wanted = before - length * orthogonalized(gradient.flatten(1)).reshape(8, 6, 3, 3)
    torch.testing.assert_close(conv.weight.detach(), wanted, rtol=0, atol=1e-5)  # steps of 0.002


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon of its own")
def test_momentum_and_decay_are_those_of_torch():
    """Up to the bfloat16 in which torch orthogonalises."""
    one, other = nn.Linear(16, 16, bias=False), nn.Linear(16, 16, bias=False)
    other.load_state_dict(one.state_dict())
    start = one.weight.detach().clone()
    ours = by_hand(one, 6, lambda net: Muon(net, 0.02, weight_decay=0.5))["weight"]
    theirs = by_hand(
        other,
        6,
        lambda net: torch.optim.Muon(
            net.parameters(), 0.02, weight_decay=0.5, adjust_lr_fn="match_rms_adamw"
        ),
    )["weight"]
    moved = (theirs - start).norm()
    assert (ours - theirs).norm() < 0.05 * moved


def test_a_closure_is_refused():
    with pytest.raises(ValueError, match="closure"):
        Muon(Small(), 0.01).step(lambda: 0)
