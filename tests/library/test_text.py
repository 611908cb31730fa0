"""The text encoder and the UNet that reads it: order, padding, null token, both conditionings."""

import json
from dataclasses import asdict

import pytest
import torch
from torch import nn

from minildm.engine.fit import build
from minildm.noise import keyed_normal
from minildm.shapes.captions import LENGTH, text_config
from minildm.text import TextEncoder, TextEncoderConfig, TextUNet, TextUNetConfig, build_network
from minildm.unet import UNet, UNetConfig
from minildm.words import NULL, PAD, tokenize, vocabulary_of

RED_ABOVE = "a small red circle above a large blue star on grey"
BLUE_ABOVE = "a large blue star above a small red circle on grey"  # the same words, other order
SHORT = "a red circle above a blue star"
CAPTIONS = text_config()


def tokens_of(texts):
    return tokenize(texts, CAPTIONS)


def make(conditioning="cross", pool=True, seed=0):
    """A small text-to-image network whose zero-initialised layers are awake."""
    text = text_config(dim=16, layers=2, heads=2)
    unet = UNetConfig(channels=2, width=16, multipliers=(1, 1), attention=(0, 1), heads=2)

    def awake():
        net = TextUNet(TextUNetConfig(text, unet, conditioning, pool))
        for parameter in net.parameters():
            if not parameter.any():
                nn.init.normal_(parameter, std=0.1)
        return net.eval()

    return build(awake, seed)


@pytest.fixture(scope="module", params=["cross", "cross without pool", "concat"])
def net(request):
    return make(request.param.split()[0], pool="without" not in request.param)


@pytest.fixture(scope="module")
def z_t():
    return keyed_normal((1,), range(2), (2, 4, 4))


T = torch.tensor([700, 30])


@torch.no_grad()
def output(net, z_t, texts, **options):
    tokens = texts if isinstance(texts, torch.Tensor) else tokens_of(texts)
    return net(z_t, T, tokens, **options)


# --- words and numbers ----------------------------------------------------------------------------


def test_tokens_by_hand():
    first, nothing = tokens_of([SHORT, ""])
    assert first.shape == (LENGTH,)
    assert (first != PAD).sum() == len(SHORT.split())
    assert first[0] == first[4]  # "a" and "a"
    assert nothing.tolist() == [NULL] + [PAD] * (LENGTH - 1)
    assert torch.equal(tokens_of(SHORT), first[None])


def test_words_that_are_not_known_and_texts_that_are_too_long():
    with pytest.raises(ValueError, match=r"'rad'.*nearest: .*red"):
        tokens_of("a rad circle")
    with pytest.raises(ValueError, match="has 15 words; at most 14"):
        tokens_of("a " * 15)


def test_a_prompt_must_be_in_the_grammar_but_may_be_empty(net):
    assert torch.equal(net.tokens(["", SHORT]), tokens_of(["", SHORT]))
    with pytest.raises(ValueError, match="outside the grammar"):
        net.tokens("a red circle")


# --- words of one's own ---------------------------------------------------------------------------


def test_the_words_of_ones_own_captions():
    """Two texts by hand: lower case, punctuation left out, the alphabet's order, PAD and NULL."""
    config = TextEncoderConfig.of(["A red-haired cat, asleep!", "two   dogs."], dim=8)
    assert config.words == ("a", "asleep", "cat", "dogs", "haired", "red", "two")
    assert (config.length, config.vocabulary, config.dim) == (5, 9, 8)
    wanted = [[8, 5, 0, 0, 0], [1, 0, 0, 0, 0], [2, 7, 6, 4, 3]]
    assert tokenize(["Two dogs", "", "a RED haired cat asleep"], config).tolist() == wanted
    assert vocabulary_of("b a") == ("a", "b")
    with pytest.raises(ValueError, match="words 'cats', 'flies'.*: cat. The vocabulary: a asleep"):
        tokenize(["two dogs", "cats flies"], config)
    with pytest.raises(ValueError, match="has no words"):
        tokenize("?!", config)
    many = TextEncoderConfig([f"w{i}" for i in range(500)])
    with pytest.raises(ValueError, match=r"w99 .. \(500 words\)$"):
        tokenize("w500", many)


def test_a_network_reads_the_words_of_its_config_and_any_text_of_them(z_t):
    unet = UNetConfig(channels=2, width=16, multipliers=(1,), heads=2)
    config = TextUNetConfig(TextEncoderConfig.of(["my cat", "my dog"], dim=16, layers=1), unet)
    net = build(lambda: TextUNet(config), 0).eval()
    assert net.text.words.weight.shape == (5, 16)
    assert net.tokens(["dog my", ""]).tolist() == [[3, 4], [1, 0]]
    assert output(net, z_t, net.tokens(["my cat", ""])).shape == z_t.shape
    with pytest.raises(ValueError, match="unknown word 'red'.*The vocabulary: cat dog my"):
        net.tokens("red dog")
    with pytest.raises(ValueError, match="tokens must be in 0..4"):
        net.encode(tokens_of(SHORT)[:, :2])


# --- the encoder ----------------------------------------------------------------------------------


@torch.no_grad()
def test_padding_changes_nothing_and_is_zero():
    encoder = build(lambda: TextEncoder(CAPTIONS), 0)
    tokens = tokens_of(SHORT)
    words = int((tokens != PAD).sum())
    full, cut = encoder(tokens), encoder(tokens[:, :words])
    assert torch.equal(full[:, words:], torch.zeros_like(full[:, words:]))
    torch.testing.assert_close(full[:, :words], cut, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_a_word_knows_its_place_and_its_neighbours():
    encoder = build(lambda: TextEncoder(CAPTIONS), 0)
    one, other = encoder(tokens_of(RED_ABOVE)), encoder(tokens_of(BLUE_ABOVE))
    red, also_red = one[0, 2], other[0, 8]  # "red" in either text
    assert (red - also_red).abs().max() > 0.1
    changed = encoder(tokens_of(RED_ABOVE.replace("blue", "green")))
    assert (changed[0, 2] - red).abs().max() > 1e-3  # "red" hears of the other thing's colour


# --- the network ----------------------------------------------------------------------------------


def test_the_text_matters_word_by_word(net, z_t):
    plain = output(net, z_t, [RED_ABOVE] * 2)
    for old, new in (("red", "green"), ("star", "cross"), ("above", "below"), ("grey", "black")):
        changed = output(net, z_t, [RED_ABOVE.replace(old, new)] * 2)
        assert ((changed - plain).abs().amax((1, 2, 3)) > 1e-4).all(), new


def test_the_order_of_the_words_matters(net, z_t):
    one, other = output(net, z_t, [RED_ABOVE] * 2), output(net, z_t, [BLUE_ABOVE] * 2)
    assert ((one - other).abs().amax((1, 2, 3)) > 1e-4).all()


def test_each_image_reads_its_own_text(net, z_t):
    both = output(net, z_t, [RED_ABOVE, SHORT])
    for i, text in enumerate((RED_ABOVE, SHORT)):
        with torch.no_grad():
            alone = net(z_t[i : i + 1], T[i : i + 1], tokens_of(text))
        torch.testing.assert_close(both[i : i + 1], alone, rtol=1e-4, atol=1e-5)


def test_padding_is_not_read(net, z_t):
    tokens = tokens_of([SHORT, SHORT])
    words = int((tokens[0] != PAD).sum())
    with torch.no_grad():
        told = net.encode(tokens[:, :words])  # (2, words, dim): without PAD, nothing to mask
        if net.to_map is not None:
            told = net.to_map(told.mean(1))[:, :, None, None].expand(-1, -1, *z_t.shape[2:])
        bare = net.unet(z_t, T, told)
        for length in (words, tokens.shape[1]):
            found = net(z_t, T, tokens[:, :length])
            torch.testing.assert_close(found, bare, rtol=1e-4, atol=1e-5)


def test_pooling_tells_the_time_embedding_of_the_text(z_t):
    """Without attention over the words, the pooled text alone must reach the picture."""
    for pool in (True, False):
        net = make(pool=pool)
        for module in net.unet.modules():
            if getattr(module, "read", None) is not None:
                nn.init.zeros_(module.read.out.weight)
        reached = (output(net, z_t, [RED_ABOVE] * 2) - output(net, z_t, [SHORT] * 2)).abs().max()
        assert (reached > 1e-4) == pool


def test_no_text_dropped_text_and_empty_text_are_the_null_token(net, z_t):
    empty = output(net, z_t, ["", ""])
    with torch.no_grad():
        torch.testing.assert_close(net(z_t, T), empty)
        encoded = net.encode(tokens_of([RED_ABOVE, SHORT]))
        torch.testing.assert_close(net(z_t, T, net.null(encoded)), empty)
    drop = torch.tensor([True, False])
    dropped = output(net, z_t, [RED_ABOVE, SHORT], drop=drop)
    kept = output(net, z_t, [RED_ABOVE, SHORT])
    torch.testing.assert_close(dropped[0], empty[0])
    torch.testing.assert_close(dropped[1], kept[1])
    assert (kept[0] - empty[0]).abs().max() > 1e-4


def test_texts_that_are_encoded_already_are_not_encoded_again(net, z_t):
    tokens = tokens_of([RED_ABOVE, SHORT])
    with torch.no_grad():
        words = net.encode(tokens)
        torch.testing.assert_close(net(z_t, T, words), net(z_t, T, tokens))
        drop = torch.tensor([False, True])
        torch.testing.assert_close(net(z_t, T, words, drop), net(z_t, T, tokens, drop))


def test_dropping_trains_the_null_token_and_only_words_that_are_there(net, z_t):
    net = make(net.config.conditioning, net.config.pool)
    net(z_t, T, tokens_of([SHORT, SHORT]), torch.tensor([True, False])).square().sum().backward()
    gradient = net.text.words.weight.grad.abs().sum(1)
    there = {NULL, *tokens_of(SHORT)[0].tolist()} - {PAD}
    assert set(gradient.nonzero()[:, 0].tolist()) == there
    assert net.unet.null_context is None  # nothing that is never trained


def test_errors_of_the_condition(net, z_t):
    with pytest.raises(ValueError, match=r"int64 texts \(2, L\) or real texts \(2, L, 16\); got"):
        net(z_t, T, tokens_of(SHORT))
    with pytest.raises(ValueError, match="tokens must be whole numbers"):
        net.encode(tokens_of(SHORT).float())
    assert torch.equal(net.encode(tokens_of(SHORT).int()), net.encode(tokens_of(SHORT)))
    with pytest.raises(ValueError, match="may begin with 0"):
        net.encode(torch.zeros(1, 3, dtype=torch.int64))


def test_words_and_places_weigh_the_same_at_the_start():
    encoder = build(lambda: TextEncoder(text_config(dim=128, layers=1)), 0)
    for table in (encoder.words.weight, encoder.positions):
        assert float(table.detach().std()) == pytest.approx(0.3, rel=0.1)


# --- its settings ---------------------------------------------------------------------------------


def test_a_config_survives_json(net, z_t):
    config = TextUNetConfig(**json.loads(json.dumps(asdict(net.config))))
    again = build_network(config)
    again.load_state_dict(net.state_dict())
    assert torch.equal(output(again.eval(), z_t, [SHORT] * 2), output(net, z_t, [SHORT] * 2))
    assert isinstance(build_network(UNetConfig(channels=2, width=16)), UNet)


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match="conditioning must be cross or concat"):
        TextUNetConfig(CAPTIONS, conditioning="film")
    with pytest.raises(ValueError, match=r"unet.classes must be 0; got 10"):
        TextUNetConfig(CAPTIONS, UNetConfig(classes=10))
    with pytest.raises(ValueError, match=r"unet.context_dim must be 0; got 64"):
        TextUNetConfig(CAPTIONS, UNetConfig(context_dim=64))
    few = TextUNetConfig(CAPTIONS, UNetConfig(concat_channels=3), "concat")
    assert TextUNet(few).unet.enter.in_channels == few.unet.channels + 3
    with pytest.raises(ValueError, match="heads must divide"):
        TextEncoderConfig(("a",), dim=10, heads=4)
