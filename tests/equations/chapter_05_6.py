"""The numbered equations of chapter 5.6, each checked against the package or against torch."""

from dataclasses import replace

import torch
from registry import Equation
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from book.ch05_2_unet.cost import flops, parameters
from book.ch05_6_gpu.memory import estimate
from minildm.engine.fit import build, fit
from minildm.engine.settings import FitConfig
from minildm.noise import Batch
from minildm.schedule import DiscreteSchedule, cosine_betas
from minildm.train import DenoiserTraining, denoiser_loss
from minildm.unet import UNet, UNetConfig

CHAPTER = "05_6_gpu"
FORMATS = {torch.float32: 24, torch.float16: 11, torch.bfloat16: 8}
MODEL = UNetConfig(channels=2, width=16, multipliers=(1,), classes=3)


def rounding() -> None:
    """The bound holds, and is reached: one bit more or less would not fit."""
    x = torch.rand(200_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.5
    for dtype, p in FORMATS.items():
        error = ((x.to(dtype).double() - x) / x).abs().max()
        assert 0.98 * 2.0**-p < error <= 2.0**-p


def loss_scaling() -> None:
    """Inside the range the bound of rounding holds; beyond each end it does not."""

    def through_half(g, s):
        return (s * g).half().double() / s

    low, high = 2.0**-14, 65504.0
    for s in (1.0, 2.0**10, 2.0**20):
        g = torch.logspace(-4.2, 4.8, 5000, dtype=torch.float64)
        g = g[(g >= low) & (g <= high)] / s
        assert ((through_half(g, s) - g).abs() <= 2.0**-11 * g).all()
        below = torch.linspace(low / 16, low / 2, 999, dtype=torch.float64) / s
        assert ((through_half(below, s) - below).abs() > 2.0**-11 * below).any()
        assert not torch.isfinite(
            through_half(torch.tensor(1.1 * high / s, dtype=low.__class__), s)
        )


def accumulated_gradient() -> None:
    """What ``fit`` clips is the gradient of the whole mean, however uneven the parts are."""
    z0 = torch.linspace(-1, 1, 24 * 18).sin().reshape(24, 2, 3, 3)
    labels = torch.arange(24) % 3
    config = DenoiserTraining(MODEL, drop=0.0)
    loss = denoiser_loss(config, DiscreteSchedule(cosine_betas(100)), z0, labels)
    base = FitConfig(steps=1, batch=11, log_every=1, device="cpu", lr=1e-3, warmup=1)
    net = build(lambda: UNet(MODEL), 0)
    first = []

    def spy(model, batch: Batch):
        first.append(batch.indices)
        return loss(model, batch)

    found = {k: next(fit(build(lambda: UNet(MODEL), 0), spy, 24, replace(base, accumulate=k)))
             for k in (1, 2, 3)}  # fmt: skip
    loss(net, Batch(base.seed, 0, first[0]))[0].mean().backward()
    norm = torch.cat([p.grad.flatten() for p in net.parameters()]).norm()
    for record in found.values():
        torch.testing.assert_close(record.grad_norm, float(norm), rtol=1e-5, atol=0)


def memory() -> None:
    net = UNet(MODEL)
    n = parameters(net)
    parts = estimate(net, activations=7)
    assert parts[:4] == (4 * n, 4 * n, 8 * n, 4 * n)
    assert parts.total == 20 * n + 7
    muon = estimate(net, "muon").total
    assert 16 * n < muon < 17 * n


def training_operations() -> None:
    net = UNet(UNetConfig(channels=2, width=32, classes=3))
    z, t, c = torch.randn(4, 2, 7, 7), torch.ones(4, dtype=torch.int64), torch.zeros(4).long()
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        net(z, t, c).square().mean().backward()  # MATH: attention as products, as flops counts it
    assert 2.99 < counter.get_total_flops() / flops(net, z, t, c) < 3


EQUATIONS = [
    Equation("5.6.1", CHAPTER, "the error of rounding", "cell rounding", rounding),
    Equation("5.6.2", CHAPTER, "a scaled gradient in float16", "cell loss-scaling", loss_scaling),
    Equation(
        "5.6.3", CHAPTER, "the gradient of a batch in parts", "minildm.engine.fit.fit",
        accumulated_gradient,
    ),
    Equation("5.6.4", CHAPTER, "memory of a training", "book.ch05_6_gpu.memory.estimate", memory),
    Equation(
        "5.6.5", CHAPTER, "operations of a training",
        "book.ch05_2_unet.cost.flops", training_operations
    ),
]  # fmt: skip
