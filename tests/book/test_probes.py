"""The stopwatches and hooks of chapter 5.6, and attention that keeps no maps."""

import torch
from torch import nn

from book.ch05_6_gpu import probes
from book.ch05_6_gpu.memory import fused_attention, saved_bytes
from book.ch05_6_gpu.probes import Operations, Watch, gradients_pass, layer_types, passes, seconds
from minildm.unet import UNet, UNetConfig


def clock(monkeypatch, *times):
    """A clock that shows these times, one at each look."""
    looks = iter(times)
    monkeypatch.setattr(probes, "perf_counter", lambda: next(looks))


def test_the_watch_keeps_the_shortest_time_of_each_part(monkeypatch):
    clock(monkeypatch, 0.0, 3.0, 3.0, 3.5, 10.0, 12.0, 12.0, 13.0)
    watch = Watch()
    for _ in range(2):
        with watch("forward"):
            pass
        with watch("backward"):
            pass
    assert watch.best == {"forward": 2.0, "backward": 0.5}


def test_the_first_run_warms_up(monkeypatch):
    clock(monkeypatch, 0.0, 0.1, 1.0, 6.0, 6.0, 8.0)
    calls = []
    assert seconds(lambda: calls.append(1), times=2) == 2.0
    assert len(calls) == 3


def test_a_pass_leaves_gradients_on_every_weight():
    net = UNet(UNetConfig(channels=2, width=16, multipliers=(1,)))
    passes(net, 8, 3, low=True)()
    assert all(p.grad is not None for p in net.parameters())
    seen = layer_types(net, passes(net, 8, 3, low=True))
    assert "bfloat16 -> bfloat16" in seen["Conv2d"]
    assert layer_types(net, passes(net, 8, 3))["Conv2d"] == {"float32 -> float32"}
    assert not any(module._forward_hooks for module in net.modules())


def test_gradients_go_through_the_function_inside_the_block_only():
    net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    for layer in net:
        nn.init.constant_(layer.weight, 2.0)

    def gradients():
        net.zero_grad()
        net(torch.ones(1, 1)).sum().backward()
        return [float(layer.weight.grad) for layer in net]

    assert gradients() == [2.0, 2.0]
    with gradients_pass(net, lambda g: 3 * g):  # at the output of each: 3, then 3 * 3 * 2
        assert gradients() == [18.0, 6.0]
    assert gradients() == [2.0, 2.0]


def test_operations_are_counted_and_views_are_not():
    x = torch.ones(4, 4)
    with Operations() as counted:
        y = x.t().reshape(2, 8).unsqueeze(0)  # the transpose is copied to be reshaped
        y = y + 1
        y.mul_(2)
    assert counted.n == 3
    with Operations() as counted:
        x.view(16).expand(3, 16)
    assert counted.n == 0


def test_fused_attention_gives_the_same_and_keeps_no_maps():
    def attend():
        torch.manual_seed(0)
        q = torch.randn(1, 1, 64, 8, requires_grad=True)
        return nn.functional.scaled_dot_product_attention(q, q, q)

    usual = attend()
    with fused_attention():
        torch.testing.assert_close(attend(), usual)
    net = nn.Identity()
    with torch.device("meta"):
        with_maps = saved_bytes(net, attend)
        with fused_attention():
            without = saved_bytes(net, attend)
    assert with_maps >= without + 4 * 64 * 64  # a map of 64 x 64 float32
