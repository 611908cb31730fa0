"""Words in, pictures out: prompts in every task, files in half precision, names, cost."""

from functools import partial

import pytest
import torch
from test_text import RED_ABOVE, SHORT, tokens_of
from test_text import make as make_network
from torch import nn

from book.ch05_2_unet.cost import Cost, cost_lines, costs, flops
from minildm.__main__ import main
from minildm.autoencoder import Autoencoder, AutoencoderConfig
from minildm.denoise import guided, network_denoiser
from minildm.engine.fit import build
from minildm.files import places
from minildm.files.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from minildm.latent import LatentDiffusion
from minildm.predict import V
from minildm.samplers import ddim, dpmpp_2m, heun, sample
from minildm.schedule import DiscreteSchedule, cosine_betas
from minildm.text import TextEncoderConfig, TextUNet, TextUNetConfig
from minildm.unet import UNet, UNetConfig

SCHEDULE = DiscreteSchedule(cosine_betas(50))
QUICK = {"steps": 3, "seed": 4}
ROUNDED = {"rtol": 1e-4, "atol": 1e-4}  # float32: another batch may be added in another order


def make_autoencoder():
    config = AutoencoderConfig(image_channels=3, latent_channels=2, factor=4, patch=4, width=8)
    autoencoder = build(lambda: Autoencoder(config), 0)
    autoencoder.scale.fill_(1 / 3)  # not exact in half precision
    return autoencoder


@pytest.fixture(scope="module")
def model():
    return LatentDiffusion(make_autoencoder(), make_network(), SCHEDULE, (4, 4))


@pytest.fixture(scope="module")
def labelled():
    network = UNet(UNetConfig(channels=2, width=8, heads=2, classes=3))
    return LatentDiffusion(make_autoencoder(), network, SCHEDULE, (4, 4))


@pytest.fixture(scope="module")
def x():
    return torch.linspace(-1, 1, 2 * 3 * 16 * 16).reshape(2, 3, 16, 16)  # (1536,) -> (B, 3, H, W)


def test_text_to_image_is_the_guided_sampler_on_the_encoded_words(model):
    """Spelled out once with the parts of the book: tokens, null token, guidance, sampler."""
    net, tokens = model.network, tokens_of([RED_ABOVE, SHORT])
    read = partial(network_denoiser, net, SCHEDULE, V)
    denoise = guided(read(tokens), read(tokens_of(["", ""])), 3.0)
    *_, last = sample(denoise, SCHEDULE, model.noise(2, 4), SCHEDULE.times(3), dpmpp_2m)
    x = model.text_to_image([RED_ABOVE, SHORT], sampler=dpmpp_2m, guidance=3.0, **QUICK)
    torch.testing.assert_close(x, model.decode(last.z), rtol=1e-4, atol=1e-4)


def test_the_words_are_encoded_once_and_a_step_is_one_network_call(model):
    calls = []
    hooks = [
        module.register_forward_hook(lambda module, *_: calls.append(module))
        for module in (model.network.text, model.network.unet)
    ]
    try:
        model.text_to_image([SHORT], guidance=2.0, **QUICK)
    finally:
        for hook in hooks:
            hook.remove()
    assert calls.count(model.network.unet) == 3
    assert calls.count(model.network.text) <= 2  # the prompt and the null token


def test_one_prompt_for_many_images_and_batches_of_any_size(model):
    many = model.text_to_image(SHORT, count=3, **QUICK)
    assert len(many) == 3
    torch.testing.assert_close(many, model.text_to_image([SHORT] * 3, **QUICK), **ROUNDED)
    torch.testing.assert_close(many[:1], model.text_to_image(SHORT, **QUICK), **ROUNDED)
    assert (many[0] - many[1]).abs().max() > 1e-3


def test_tokens_do_what_texts_do(model):
    by_text, by_tokens = (model.generate(c, **QUICK) for c in ([SHORT], tokens_of([SHORT])))
    torch.testing.assert_close(by_tokens, by_text, **ROUNDED)


def test_an_empty_prompt_is_no_condition(model):
    nothing = model.generate(None, count=1, **QUICK)
    torch.testing.assert_close(model.text_to_image("", **QUICK), nothing, rtol=1e-4, atol=1e-4)
    assert (model.text_to_image(SHORT, **QUICK) - nothing).abs().max() > 1e-3


def test_a_negative_prompt_takes_the_place_of_no_text(model):
    plain = model.text_to_image(SHORT, **QUICK)
    torch.testing.assert_close(
        model.text_to_image(SHORT, negative="", **QUICK), plain, rtol=1e-4, atol=1e-4
    )
    same = model.text_to_image(SHORT, negative=SHORT, guidance=5.0, **QUICK)
    alone = model.text_to_image(SHORT, guidance=1.0, **QUICK)
    torch.testing.assert_close(same, alone, rtol=1e-3, atol=1e-3)
    away = model.text_to_image(SHORT, negative=RED_ABOVE, **QUICK)
    assert (away - plain).abs().max() > 1e-3


def test_prompts_work_in_every_task(model, x):
    mask = torch.zeros(2, 1, 16, 16)
    mask[..., 8:] = 1
    tasks = {
        "image_to_image": lambda texts: model.image_to_image(x, texts, 0.7, **QUICK),
        "inpaint": lambda texts: model.inpaint(x, mask, texts, **QUICK),
    }
    for name, task in tasks.items():
        one, two = task([RED_ABOVE, SHORT]), task([SHORT, SHORT])
        assert (one[0] - two[0]).abs().max() > 1e-3, name
        torch.testing.assert_close(one[1], two[1], rtol=1e-4, atol=1e-4)
        assert torch.equal(task(SHORT), two)
    path = model.interpolate(4, 5, 3, SHORT, steps=3)
    torch.testing.assert_close(path[:1], model.text_to_image(SHORT, **QUICK), rtol=1e-4, atol=1e-4)


def test_what_prompts_are_refused(model, labelled):
    with pytest.raises(ValueError, match=r"unknown word 'rde'.*nearest: red"):
        model.text_to_image("a rde circle above a blue star")
    with pytest.raises(ValueError, match="outside the grammar"):
        model.inpaint(torch.zeros(1, 3, 16, 16), torch.ones(1, 1, 16, 16), "a red circle")
    with pytest.raises(ValueError, match="condition has 2 entries for 1 images"):
        model.image_to_image(torch.zeros(1, 3, 16, 16), [SHORT, SHORT])
    for call in (labelled.text_to_image, labelled.generate):
        with pytest.raises(ValueError, match="does not read text"):
            call(SHORT)


# --- on disk --------------------------------------------------------------------------------------


@pytest.fixture
def shipped(monkeypatch, tmp_path):
    monkeypatch.setattr(places, "SHIPPED", tmp_path)
    return tmp_path


def test_a_model_comes_back_bit_for_bit_and_by_its_name(model, shipped):
    model.save(shipped / "tiny")
    expected = model.text_to_image(SHORT, **QUICK)
    for name in ("tiny", shipped / "tiny", str(shipped / "tiny")):
        assert torch.equal(LatentDiffusion.load(name).text_to_image(SHORT, **QUICK), expected)
    with pytest.raises(FileNotFoundError, match="no folder 'other'.*or one of tiny"):
        LatentDiffusion.load("other")


def test_a_file_of_before_words_were_kept_has_those_of_captions(model, shipped):
    model.save(shipped / "new")
    tensors, config = load_checkpoint(shipped / "new")
    assert config["network"]["text"]["words"][:3] == ["a", "on", "small"]
    assert config["network"]["text"]["grammar"] == "captions"
    for vocabulary, folder in ((28, "old"), (29, "other")):
        sizes = {"dim": 16, "layers": 2, "heads": 2, "length": 14, "vocabulary": vocabulary}
        config["network"]["text"] = sizes
        save_checkpoint(shipped / folder, tensors, config)
    old = LatentDiffusion.load("old")
    assert old.network.config == model.network.config
    assert torch.equal(old.text_to_image(SHORT, **QUICK), model.text_to_image(SHORT, **QUICK))
    with pytest.raises(ValueError, match="outside the grammar"):
        old.text_to_image("a red circle")
    with pytest.raises(CheckpointError, match="network cannot be used: vocabulary must be 28"):
        LatentDiffusion.load("other")


def test_a_model_of_ones_own_words_is_kept_with_them(shipped):
    config = TextUNetConfig(
        TextEncoderConfig.of(["my cat", "my dog"], dim=8, layers=1, heads=2),
        UNetConfig(channels=2, width=8, heads=2),
    )
    network = build(lambda: TextUNet(config), 0)
    LatentDiffusion(make_autoencoder(), network, SCHEDULE, (4, 4)).save(shipped / "pets")
    again = LatentDiffusion.load("pets")
    assert again.network.config == config
    assert again.text_to_image(["my dog", ""], **QUICK).shape == (2, 3, 16, 16)
    with pytest.raises(ValueError, match="unknown word 'rat'.*nearest: cat"):
        again.text_to_image("my rat")


def test_half_precision_halves_the_file_and_rounds_only_weights(model, shipped):
    model.save(shipped / "full")
    model.save(shipped / "half", torch.float16)
    sizes = [(shipped / name / "model.safetensors").stat().st_size for name in ("full", "half")]
    weights = sum(v.numel() for v in model.state_dict().values())
    assert sizes[0] - sizes[1] == pytest.approx(2 * weights, rel=0.01)
    half = LatentDiffusion.load("half")
    assert half.autoencoder.scale == model.autoencoder.scale  # 1/3, exactly as it was
    assert torch.equal(half.schedule.beta, SCHEDULE.beta)
    for (name, one), two in zip(
        half.state_dict().items(), model.state_dict().values(), strict=True
    ):
        assert one.dtype == two.dtype, name
        torch.testing.assert_close(one, two, rtol=2**-11, atol=1e-7)
    half.save(shipped / "again", torch.float16)  # rounding once more changes nothing
    again = LatentDiffusion.load("again")
    for name, value in half.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_the_command_line_draws_what_the_model_draws(model, shipped, capsys):
    model.save(shipped / "tiny")
    command = ["sample", SHORT, RED_ABOVE, "--model", "tiny", "--count", "2", "--steps", "3"]
    files = [shipped / name for name in ("one.png", "two.png", "other.png")]
    for path, seed in zip(files, (1, 1, 2), strict=True):
        assert main([*command, "--seed", str(seed), "--out", str(path)]) == 0
    assert "4 images" in capsys.readouterr().out
    one, two, other = (path.read_bytes() for path in files)
    assert one == two != other
    assert main(["sample", "a rde circle above a blue star", "--model", "tiny"]) == 1
    assert "nearest: red" in capsys.readouterr().err
    assert main(["sample", SHORT, "--model", "nowhere"]) == 1
    assert "one of tiny" in capsys.readouterr().err


# --- what it costs --------------------------------------------------------------------------------


def test_operations_by_hand():
    convolution = nn.Conv2d(3, 5, 3, padding=1)
    assert flops(convolution, torch.zeros(1, 3, 8, 8)) == 2 * 64 * 5 * 27
    q, k, v = torch.zeros(1, 2, 10, 4), torch.zeros(1, 2, 7, 4), torch.zeros(1, 2, 7, 4)
    mask = torch.ones(1, 1, 1, 7, dtype=torch.bool)
    attention = partial(nn.functional.scaled_dot_product_attention, q, k, v, mask)
    assert flops(attention) == 2 * 2 * 2 * 10 * 7 * 4  # two products, two heads


def test_the_parts_add_up(model):
    table = costs(model)
    assert sum(c.parameters for c in table.values()) == sum(p.numel() for p in model.parameters())
    z, t = torch.zeros(5, 2, 4, 4), torch.ones(5, dtype=torch.int64)
    words = torch.zeros(5, 14, 16)
    words[:, 0] = 1
    assert flops(model.network, z, t, words) == 5 * table["denoiser"].flops
    assert flops(lambda: model.decode(z)) == 5 * table["decoder"].flops
    lines = cost_lines(model, steps=7)
    once = table["decoder"].flops + table["text encoder"].flops
    assert f"{(once + 14 * table['denoiser'].flops) / 1e9:.2f} GFLOP" in lines[-1]


def test_the_cost_of_an_image_is_that_of_the_calls_it_makes(model):
    table = costs(model)
    counted = flops(lambda: model.text_to_image(SHORT, guidance=1.0, steps=5, sampler=ddim))
    text, decoder = table["text encoder"].flops, table["decoder"].flops
    null = counted - text - decoder - 5 * table["denoiser"].flops  # encoding "no text", unused
    assert 0 <= null <= text
    more = flops(lambda: model.text_to_image(SHORT, guidance=1.0, steps=5, sampler=heun))
    assert more - counted == 4 * table["denoiser"].flops  # its last step needs no second look


def test_a_model_of_labels_has_a_cost_too(labelled):
    table = costs(labelled)
    assert list(table) == ["encoder", "decoder", "denoiser"]
    assert isinstance(table["denoiser"], Cost)
    assert table["denoiser"].parameters == sum(p.numel() for p in labelled.network.parameters())
