"""The memory of a training: the estimate against real tensors, activations against hand counts."""

import threading
import time

import pytest
import torch
from torch import Tensor, nn

from book.ch05_6_gpu import memory
from book.ch05_6_gpu.memory import Memory, estimate, nbytes, peak_bytes, saved_bytes
from minildm.engine.fit import build
from minildm.engine.optim import EMA, Muon
from minildm.unet import UNet, UNetConfig

CONFIG = UNetConfig(channels=2, width=16, multipliers=(1,), classes=3)


def adamw(net):
    return torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], 1e-3)


def trained(net, make_optimizer):
    """What the tensors of a training take after one step, when every part exists."""
    optimizer, ema = make_optimizer(net), EMA(net, 0.9)
    z, t = torch.randn(3, 2, 7, 7), torch.tensor([1, 5, 9])
    net(z, t, torch.tensor([0, 1, 2])).square().mean().backward()
    optimizer.step()
    ema.update(net)
    state = [v for values in optimizer.state.values() for v in values.values()]
    return Memory(
        nbytes((*net.parameters(), *net.buffers())),
        nbytes(p.grad for p in net.parameters() if p.grad is not None),
        nbytes(v for v in state if isinstance(v, Tensor)),
        nbytes((*ema.net.parameters(), *ema.net.buffers())),
    )


OPTIMIZERS = {"adamw": adamw, "muon": lambda net: Muon(net, 1e-3)}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("frozen", [False, True])
def test_the_estimate_is_what_a_training_holds(name, frozen):
    net = build(lambda: UNet(CONFIG), 0)
    if frozen:
        net.middle.requires_grad_(False)
    ours, real = estimate(net, name), trained(net, OPTIMIZERS[name])
    matrices = {id(m.weight) for m in net.modules() if isinstance(m, nn.Linear | nn.Conv2d)}
    learned = [p for p in net.parameters() if p.requires_grad]
    counters = [p for p in learned if name == "adamw" or id(p) not in matrices]
    assert ours._replace(moments=0) == real._replace(moments=0)
    assert real.moments - ours.moments == 4 * len(counters)


def test_muon_keeps_one_moment_for_each_matrix():
    net = nn.Sequential(nn.Linear(5, 3), nn.Conv2d(2, 4, 3), nn.LayerNorm(6))
    single, double = 4 * (15 + 72), 8 * (3 + 4 + 12)
    assert estimate(net, "muon").moments == single + double
    assert estimate(net, "adamw").moments == 8 * (15 + 72 + 3 + 4 + 12)


def test_buffers_are_held_but_not_learned():
    net = nn.BatchNorm1d(4)  # 8 learned, and mean, variance, a counter (int64)
    parts = estimate(net)
    assert parts == Memory(32 + 32 + 8, 32, 64, 32 + 32 + 8)
    assert estimate(net, averaged=False).average == 0
    assert estimate(net, activations=5).total == parts.total + 5


def test_half_precision_weights_count_half():
    assert estimate(nn.Linear(4, 4, bias=False).bfloat16()).weights == 32


def test_another_optimizer_is_refused():
    with pytest.raises(ValueError, match="'adamw' or 'muon'; got 'sgd'"):
        estimate(nn.Linear(1, 1), "sgd")


# --- activations ----------------------------------------------------------------------------------


def test_saved_bytes_of_a_linear_layer_is_its_input():
    net, x = nn.Linear(8, 4), torch.randn(16, 8)
    assert saved_bytes(net, lambda: net(x)) == 16 * 8 * 4
    assert saved_bytes(net, lambda: net(x[:4].clone())) == 4 * 8 * 4


def test_a_view_keeps_its_whole_storage_once():
    net, x = nn.Linear(8, 4), torch.randn(16, 8)
    assert saved_bytes(net, lambda: net(x[:2])) == 16 * 8 * 4
    assert saved_bytes(net, lambda: (net(x[:2]), net(x[2:]))) == 16 * 8 * 4


def test_what_autograd_does_not_need_does_not_count():
    net, x = nn.Linear(8, 4), torch.randn(16, 8)
    with torch.no_grad():
        assert saved_bytes(net, lambda: net(x)) == 0
    net.requires_grad_(False)
    assert saved_bytes(net, lambda: net(x)) == 0


def test_copies_of_the_weights_count():
    net, x = nn.Linear(64, 64, bias=False), torch.randn(1, 64, requires_grad=True)

    def call():
        with torch.autocast("cpu", torch.bfloat16):
            return net(x)

    assert saved_bytes(net, call) == 2 * 64 * 64 + 2 * 64  # the copies of weight and input


def test_activations_grow_with_the_batch():
    net = build(lambda: UNet(CONFIG), 0)

    def of(size):
        t = torch.ones(size, dtype=torch.int64)
        return saved_bytes(net, lambda: net(torch.zeros(size, 2, 7, 7), t, t))

    assert of(8) == pytest.approx(2 * of(4), rel=0.02)


def test_saved_bytes_of_a_network_without_numbers():
    with torch.device("meta"):
        net, x = nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 2)), torch.zeros(16, 8)
        assert saved_bytes(net, lambda: net(x)) == 16 * 8 * 4 + 16 * 4 * 4


def test_the_backward_pass_still_works_afterwards():
    net, x, outputs = nn.Linear(8, 4), torch.randn(16, 8), []
    saved_bytes(net, lambda: outputs.append(net(x)))
    outputs[0].sum().backward()
    torch.testing.assert_close(net.weight.grad[0], x.sum(0))


# --- measured -------------------------------------------------------------------------------------


def test_the_peak_of_the_process_sees_what_was_freed_again():
    size = 100_000_000

    def call():
        block = torch.ones(size, dtype=torch.uint8)
        time.sleep(0.2)  # the watcher has many chances, on a busy machine too
        del block
        time.sleep(0.2)  # and sees it gone: only the highest of its looks may count

    assert 0.9 * size < peak_bytes(call) < 1.6 * size
    assert peak_bytes(lambda: None) < 0.2 * size


def test_errors_pass_through_and_the_watcher_ends():
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        peak_bytes(lambda: 1 / 0)
    assert threading.active_count() == before


def test_on_cuda_the_rise_above_what_was_there_is_told(monkeypatch):
    """The order matters: the highest mark is reset before, and read after, the call."""
    state = {"now": 1000, "peak": 9999}
    fakes = {
        "synchronize": lambda device: None,
        "reset_peak_memory_stats": lambda device: state.update(peak=state["now"]),
        "memory_allocated": lambda device: state["now"],
        "max_memory_allocated": lambda device: state["peak"],
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(memory.torch.cuda, name, fake)

    def call():
        state.update(peak=max(state["peak"], 1700), now=1200)

    assert peak_bytes(call, "cuda") == 700


def test_a_device_without_an_account_is_refused():
    with pytest.raises(ValueError, match="device must be cpu or cuda; got 'meta'"):
        peak_bytes(lambda: None, "meta")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_the_peak_on_cuda_is_at_least_the_activations():
    net = build(lambda: UNet(CONFIG), 0).cuda()
    z, t = torch.randn(256, 2, 7, 7, device="cuda"), torch.ones(256, dtype=torch.int64).cuda()

    def call():
        net(z, t, torch.zeros_like(t)).square().mean().backward()

    call()
    net.zero_grad(set_to_none=False)
    counted = saved_bytes(net, lambda: net(z, t, torch.zeros_like(t)))
    assert 0.8 * counted < peak_bytes(call, "cuda") < 3 * counted


def test_nbytes_counts_elements_not_storages():
    x = torch.zeros(10, 10)
    assert nbytes([x, x[:2], x.half()]) == 400 + 80 + 200
