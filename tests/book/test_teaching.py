"""Teaching a trained model something new, on a tiny one: what moves, and what must not."""

import copy

import pytest
import torch

from book.ch05_7_real_drawings.lora import add_lora, learned, low_rank, merge_lora, remove_lora
from minildm.engine.settings import FitConfig
from minildm.schedule import DiscreteSchedule, cosine_betas
from minildm.text import TextEncoderConfig, TextUNet, TextUNetConfig
from minildm.train import DenoiserTraining, train_denoiser
from minildm.unet import UNetConfig

SETTINGS = TextUNetConfig(
    TextEncoderConfig(("red", "apple"), length=4, dim=16, layers=1, heads=2),
    UNetConfig(channels=2, width=8, multipliers=(1, 1), attention=(1,), heads=2),
)
TOKENS = torch.tensor([[2, 3, 0, 0]]).repeat(3, 1)


def base():
    """A network with no layer left at zero, as after a training."""
    torch.manual_seed(0)
    net = TextUNet(SETTINGS).eval()
    with torch.no_grad():
        for numbers in net.parameters():
            numbers.add_(0.1 * torch.randn_like(numbers))
    return net


def output(net):
    z = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return net(z, torch.tensor([1, 40, 90]), TOKENS)


def changed(net):
    """The same LoRA, as if it had been trained."""
    with torch.no_grad():
        for layer in low_rank(net):
            layer.B.normal_()
    return net


def test_a_lora_begins_as_the_network_itself_and_can_do_more():
    net, before = base(), output(base())
    assert torch.equal(output(add_lora(net, 2)), before)
    assert (output(changed(net)) - before).abs().max() > 0.01


def test_a_lora_is_in_every_attention_with_rank_times_in_plus_out_numbers():
    net = add_lora(base(), rank=2)
    # 2 self-attentions down and up, 1 in the middle, and as many that read the words
    sizes = [(layer.frozen.in_features, layer.frozen.out_features) for layer in low_rank(net)]
    assert len(sizes) == 3 * sum(type(part).__name__ == "Attention" for part in net.modules())
    assert learned(net) == sum(2 * (a + b) for a, b in sizes)
    assert {a for a, _ in sizes} == {8, 16}  # pictures, and words


@pytest.mark.parametrize("rank", [1, 3])
def test_the_change_has_the_rank_and_the_ratio_that_were_asked_for(rank):
    for layer in low_rank(changed(add_lora(base(), rank, alpha=6.0))):
        change = (layer.merged().weight - layer.frozen.weight).double()
        assert torch.linalg.matrix_rank(change, atol=1e-4) == rank
        torch.testing.assert_close(change.float(), 6.0 / rank * layer.B @ layer.A)


def test_merged_is_as_beside_and_removed_is_as_before():
    before, net = output(base()), changed(add_lora(base(), 2))
    beside = output(net)
    whole = merge_lora(copy.deepcopy(net))
    torch.testing.assert_close(output(whole), beside, rtol=1e-4, atol=1e-5)
    assert not low_rank(whole) and whole.state_dict().keys() == base().state_dict().keys()
    assert torch.equal(output(remove_lora(net)), before)


def test_the_librarys_own_training_moves_the_lora_alone():
    config = DenoiserTraining(SETTINGS, FitConfig(steps=3, batch=3, warmup=0, device="cpu"))
    z0 = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(2))
    schedule = DiscreteSchedule(cosine_betas(100))
    net = train_denoiser(
        config, schedule, z0, TOKENS, prepare=lambda _: add_lora(base(), 2)
    ).net  # fmt: skip
    assert all(layer.B.abs().max() > 0 for layer in low_rank(net))
    was = base().state_dict()
    now = remove_lora(net).state_dict()
    assert was.keys() == now.keys() and all(torch.equal(was[key], now[key]) for key in was)


def test_what_cannot_be_is_said():
    with pytest.raises(ValueError, match="rank"):
        add_lora(base(), 0)
    with pytest.raises(ValueError, match="alpha must be above 0; got 0"):
        add_lora(base(), 2, alpha=0.0)
    with pytest.raises(ValueError, match="net has no attention layer"):
        add_lora(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="remove_lora or merge_lora"):
        add_lora(add_lora(base()))
