"""What chapter 7.6 counts and writes: shares of a network, live memory, the tiny model's folder."""

import json

import pytest
import torch
from safetensors.torch import load_file

from book.ch07_6_stable_diffusion import live, published, tiny, tour
from minildm.stable_diffusion import load
from minildm.stable_diffusion.tokenizer import END, Tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.write(tmp_path_factory.mktemp("tiny"))


def real(kind):
    settings = {
        "unet": published.UNETS, "vae": published.AUTOENCODERS,
        "text_encoder": {"SD 1.5": published.TEXT_ENCODERS["SD 1.5"][0]},
    }  # fmt: skip
    return published.part(kind, settings[kind]["SD 1.5"])


@pytest.mark.parametrize(("name", "millions", "giga"), [
    ("SD 1.5", 859.520964, 803.3), ("SD 2.1", 865.910724, 2149.1), ("SDXL", 2567.463684, 6761.2),
])  # fmt: skip
def test_shares_sum_to_the_whole_network(name, millions, giga):
    net = published.part("unet", published.UNETS[name])
    found = tour.shares(net)
    assert sum(share.parameters for share in found.values()) == round(1e6 * millions)
    assert sum(share.flops for share in found.values()) / 1e9 == pytest.approx(giga, abs=0.1)
    assert {kind for _, kind in found} == set(tour.KINDS)
    top = net.config.latent_size[0]
    assert {h for h, _ in found} == {top // 2**k for k in range(len(net.config.widths))}


def test_attention_of_pixels_is_told_from_that_of_words():
    """By hand, at 8 x 8 of version 1: one block, in the middle; 64 places, 77 words, width 1280."""
    found = tour.shares(published.part("unet", published.UNETS["SD 1.5"]))
    c, places, words = 1280, 64, 77
    own = found[8, "self-attention"]
    assert own.parameters == 4 * c * c + c
    assert own.flops == 2 * (4 * places * c * c + 2 * places * places * c)
    cross = found[8, "cross-attention"]
    assert cross.parameters == 2 * c * c + 2 * 768 * c + c
    assert cross.flops == 2 * (2 * places * c * c + 2 * words * 768 * c + 2 * places * words * c)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_live_memory_is_that_of_tensors_that_are_alive(device):
    x = torch.zeros(1000, device=device)

    def chain(x):
        for _ in range(5):
            x = x + 1
        return x

    def keep(x):
        return [x + k for k in range(5)]

    assert live.peak(chain, x) == 2 * 4000  # the last one and the next
    assert live.peak(keep, x) == 5 * 4000
    assert live.peak(lambda x: x.view(10, 100).T, x) == 0  # views hold nothing of their own
    assert live.peak(lambda x: x.clone().add_(1), x) == 4000


def test_the_tiny_folder_has_the_names_of_the_real_files(folder):
    for kind, file in (
        ("unet", "diffusion_pytorch_model"), ("vae", "diffusion_pytorch_model"),
        ("text_encoder", "model"),
    ):  # fmt: skip
        names = set(load_file(folder / kind / f"{file}.safetensors"))
        assert names == set(tiny.as_published(kind, dict(real(kind).named_parameters())))
    names = set(load_file(folder / "vae" / "diffusion_pytorch_model.safetensors"))
    assert "decoder.mid_block.attentions.0.proj_attn.weight" in names  # as in 2022
    assert not any("to_out" in name for name in names)
    said = json.loads((folder / "scheduler" / "scheduler_config.json").read_text("utf-8"))
    assert said["prediction_type"] == "epsilon"
    listed = tiny.files(folder)
    assert "unet/diffusion_pytorch_model.safetensors" in listed and listed.count("\n") == 9


def test_the_words_of_the_tiny_vocabulary_are_one_piece_each(folder):
    tokenizer = Tokenizer.read(folder / "tokenizer")
    for word in tiny.WORDS:
        row = tokenizer([word])[0].tolist()
        assert len(row) == 77 and row[2:] == [tokenizer.vocab[END]] * 75, word
    assert len(set(tokenizer.vocab.values())) == len(tokenizer.vocab)


def test_the_tiny_model_is_random_in_every_tensor_and_draws(folder, tmp_path):
    model = load(folder)
    for name, parameter in model.named_parameters():
        assert parameter.numel() < 2 or parameter.std() > 0, name
    assert torch.isfinite(model.text_to_image(["a red circle"], steps=2, seed=0)).all()
    again, other = (load(tiny.write(tmp_path / str(seed), seed)) for seed in (0, 1))
    same = [a.equal(b) for a, b in zip(model.parameters(), again.parameters(), strict=True)]
    assert all(same)
    assert not model.network.net.conv_in.weight.equal(other.network.net.conv_in.weight)


def test_the_largest_number_behind_each_layer_of_a_decoder(folder):
    decoder = load(folder).autoencoder.decoder
    z = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    x, sizes = tour.largest(decoder, z)
    with torch.no_grad():
        assert x.equal(decoder(z))
        assert sizes["conv_in"] == float(decoder.conv_in(z).abs().max())
    assert list(sizes)[-1] == "up_blocks.3.resnets.2" and len(sizes) == 19
    assert not any(layer._forward_hooks for layer in decoder.modules())
