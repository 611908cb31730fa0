"""Nothing is made on the wrong device; and, where there is a GPU, training on it.

The meta device holds shapes without numbers. A buffer or noise that a network makes on the CPU
meets a meta tensor there, and torch refuses: a test of device placement that needs no GPU.
"""

from dataclasses import replace

import pytest
import torch
from torch import nn

from minildm.autoencoder import Autoencoder, AutoencoderConfig
from minildm.engine.fit import build, fit
from minildm.engine.optim import EMA, Muon
from minildm.engine.settings import FitConfig
from minildm.layers import time_embedding
from minildm.losses import reconstruction_loss
from minildm.noise import Batch
from minildm.schedule import DiscreteSchedule, cosine_betas
from minildm.shapes.captions import LENGTH, text_config
from minildm.text import TextUNet, TextUNetConfig
from minildm.train import DenoiserTraining, denoiser_loss, train_denoiser
from minildm.unet import UNet, UNetConfig

META = torch.device("meta")
NETWORKS = {
    "plain": UNetConfig(channels=2, width=16, attention=(0,)),
    "labels": UNetConfig(channels=2, width=16, classes=3),
    "context": UNetConfig(channels=2, width=16, context_dim=8),
    "concatenation": UNetConfig(channels=2, width=16, concat_channels=1),
}
CONDITIONS = {
    "plain": None,
    "labels": None,  # the null label is made by the network
    "context": torch.zeros(4, 3, 8, device=META),
    "concatenation": torch.zeros(4, 1, 6, 6, device=META),
}


def step_on_meta(net, loss, optimizer=torch.optim.AdamW):
    """Backward, clip, one step of the optimiser, and the average: all on meta."""
    ema = EMA(net, 0.9)
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    chosen = optimizer(net.parameters() if optimizer is torch.optim.AdamW else net, lr=0.1)
    chosen.step()
    ema.update(net)
    for tensors in (net.parameters(), net.buffers(), ema.net.parameters()):
        assert {tensor.device for tensor in tensors} <= {META}
    moments = [v for state in chosen.state.values() for v in state.values() if v.dim()]
    assert moments
    assert {moment.device for moment in moments} == {META}


def test_meta_refuses_what_was_made_on_the_cpu():
    """The method itself: without this refusal the tests below would prove nothing."""
    with pytest.raises(RuntimeError, match="device"):
        torch.zeros(3, 3, device=META) + torch.zeros(3, 3)
    assert time_embedding(torch.ones(2, device=META), 8).device == META


@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, Muon])
def test_the_autoencoder_lives_on_one_device(optimizer):
    net = Autoencoder(AutoencoderConfig(image_channels=3, width=16)).to(META)
    x = torch.zeros(4, 3, 16, 16, device=META)
    x_hat, q = net(x, torch.zeros(4, *net.latent_shape((16, 16)), device=META))
    assert x_hat.device == META
    step_on_meta(net, reconstruction_loss(x_hat, x).mean() + q.var.mean(), optimizer)


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, Muon])
def test_the_denoising_network_lives_on_one_device(kind, optimizer):
    net = UNet(NETWORKS[kind]).to(META)
    z_t = torch.zeros(4, 2, 6, 6, device=META)
    drop = None if kind in ("plain", "labels") else torch.ones(4, dtype=torch.bool)
    if net.embed_label is not None:  # a table on meta takes indices from anywhere: look at them

        def look(layer, inputs):
            assert inputs[0].device == META

        net.embed_label.register_forward_pre_hook(look)
    output = net(z_t, torch.arange(1, 5), CONDITIONS[kind], drop)  # t and drop may be on the CPU
    assert output.device == META
    step_on_meta(net, output.square().mean(), optimizer)


def test_the_text_network_lives_on_one_device():
    config = TextUNetConfig(text_config())
    net = TextUNet(config).to(META)
    c = config.channels
    z_t = torch.zeros(2, c, 8, 8, device=META)
    tokens = torch.zeros(2, LENGTH, dtype=torch.int64, device=META)
    with pytest.MonkeyPatch.context() as patch:  # checks of values need values
        patch.setattr(torch.Tensor, "__bool__", lambda self: False)
        output = net(z_t, torch.ones(2, dtype=torch.int64), tokens)
    assert output.device == META
    step_on_meta(net, output.square().mean())


# --- CUDA -----------------------------------------------------------------------------------------

cuda = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]
SCHEDULE = DiscreteSchedule(cosine_betas(100))
MODEL = UNetConfig(channels=1, width=16, multipliers=(1,), classes=2)
FIT = FitConfig(steps=30, batch=32, lr=3e-3, log_every=10, save_every=10, ema=0.9)


def latents(n=128):
    labels = torch.arange(n) % 2
    shape = torch.linspace(-1, 1, n * 9).sin().reshape(n, 1, 3, 3)  # (9 n,) -> (n, 1, 3, 3)
    return 0.3 * shape + (2.0 * labels - 1)[:, None, None, None], labels


def train(**options):
    z0, labels = latents()
    keep = {name: options.pop(name) for name in ("folder", "resume") if name in options}
    config = DenoiserTraining(MODEL, replace(FIT, **options))
    return train_denoiser(config, SCHEDULE, z0, labels, **keep)


DTYPES = {"no": "float32", "bf16": "bfloat16", "fp16": "float16"}


def dtypes_inside(device, precision):
    """What a layer computes in while its network is trained."""
    seen = []
    net = nn.Sequential(nn.Linear(3, 2))
    net[0].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))

    def loss(model, batch):
        out = model(torch.ones(len(batch.indices), 3, device=net[0].weight.device))
        return out.square().mean(1), None

    list(fit(net, loss, 8, FitConfig(steps=1, batch=4, precision=precision, device=device)))
    assert "forward" not in vars(net)  # what Accelerate has put there is taken off again
    return seen


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_mixed_precision_on_the_cpu_computes_in_it(precision):
    assert dtypes_inside("cpu", precision) == [getattr(torch, DTYPES[precision])]


class TestCuda:
    pytestmark = cuda

    def test_cuda_gives_the_loss_of_the_cpu(self):
        expected, got = train(device="cpu").history, train().history
        assert [r.loss for r in got] == pytest.approx([r.loss for r in expected], rel=0.01)
        assert got[-1].by_level == pytest.approx(expected[-1].by_level, rel=0.03, nan_ok=True)

    @pytest.mark.parametrize("precision", ["bf16", "fp16"])
    def test_mixed_precision_learns_what_float32_learns(self, precision):
        half, full = train(precision=precision), train()
        assert half.history[-1].loss == pytest.approx(full.history[-1].loss, rel=0.1)
        assert {p.dtype for p in half.net.parameters()} == {torch.float32}
        assert {p.device.type for p in half.net.parameters()} == {"cuda"}

    @pytest.mark.parametrize("precision", ["bf16", "fp16"])
    def test_mixed_precision_computes_in_it(self, precision):
        assert dtypes_inside("auto", precision) == [getattr(torch, DTYPES[precision])]

    @pytest.mark.parametrize("precision", ["no", "fp16"])
    def test_a_training_on_cuda_goes_on(self, tmp_path, precision):
        """With dropout on the GPU, and the scale of fp16; CUDA sums in no fixed order."""
        z0, labels = latents()
        config = DenoiserTraining(MODEL, replace(FIT, precision=precision))
        inner = denoiser_loss(config, SCHEDULE, z0, labels)

        def loss(model, batch: Batch):
            losses, level = inner(model, batch)
            drawn.append(torch.rand((), device="cuda").item())
            return losses, level

        def run(folder, stop=None):
            net = build(lambda: UNet(MODEL), 0)
            ema = EMA(net, 0.9)
            for record in fit(net, loss, len(z0), config.fit, ema, folder, resume=True):
                if record.step == stop:
                    break
            return ema.net, record

        drawn = []
        expected, last = run(tmp_path / "whole")
        whole, drawn = drawn, []
        run(tmp_path / "half", stop=20)
        got, other = run(tmp_path / "half")
        assert drawn[:20] == whole[:20]
        assert drawn[-10:] == whole[-10:]
        assert other.loss == pytest.approx(last.loss, rel=1e-3)
        for one, two in zip(expected.parameters(), got.parameters(), strict=True):
            torch.testing.assert_close(one, two, rtol=1e-2, atol=1e-3)
