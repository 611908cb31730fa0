"""The text-to-image model that chapters 5.1 to 5.5 write is the library's: weights, outputs, size.

The cells are run as they stand in the source. What they define is compared in float64, on random
weights: the same sums in another order differ by about 1e-15 of their size, another formula by far
more. The picture at the end is compared as a reader sees it, in float32.
"""

import ast
import json
import math
from itertools import pairwise

import jupytext
import pytest
import torch
from awake import awake, points
from book_rules import SOURCES
from safetensors.torch import load_file
from torch import nn

from book.ch05_2_unet.cost import parameters
from book.written import written
from minildm import text as library
from minildm.files.places import find_model
from minildm.latent import LatentDiffusion
from minildm.losses import diffusion_loss
from minildm.noise import seeded
from minildm.schedule import DiscreteSchedule, cosine_betas
from minildm.shapes.captions import LENGTH, VOCABULARY, WORDS, asked_texts
from minildm.shapes.scenes import splits
from minildm.words import NULL, PAD

CELLS = {
    cell.metadata["name"]: cell.source
    for cell in jupytext.read(SOURCES / "05_5_text_to_image.md").cells
    if cell.cell_type == "code"
}
WRITTEN = (
    "tokenizer", "text-block", "text-encoder", "null-tokens", "text-unet", "text-loss", "guide",
    "whole-model", "draw",
)  # fmt: skip
EXACT = {"rtol": 1e-10, "atol": 1e-10}
PROMPT = "a small striped red circle above a large solid blue star on grey"
TEXTS = [PROMPT, "a red circle above a blue star", ""]


def definitions(code):
    """The functions, classes and constants of a cell, without what it computes with them."""
    kept = []
    for part in ast.parse(code).body:
        constant = isinstance(part, ast.Assign) and all(
            isinstance(name, ast.Name) and name.id.isupper()
            for target in part.targets for name in ast.walk(target) if isinstance(name, ast.Name)
        )  # fmt: skip
        if constant or isinstance(part, ast.FunctionDef | ast.ClassDef):
            kept.append(part)
    return ast.Module(kept, [])


@pytest.fixture(scope="module")
def chapter():
    """What the cells define, and what they take from chapters 5.1 and 5.2."""
    names = {"torch": torch, "nn": nn, "F": nn.functional, "pairwise": pairwise}
    (names["Autoencoder"],) = written("05_1", "Autoencoder")
    (names["UNet"],) = written("05_2", "UNet")
    for name in WRITTEN:
        exec(compile(definitions(CELLS[name]), f"<cell {name}>", "exec"), names)
    return names


@pytest.fixture(scope="module")
def shipped():
    return LatentDiffusion.load("shapes")


def some_tokens():
    """Texts of 5, 1 and 3 words among six places: with PAD behind them."""
    return torch.tensor([[2, 5, 9, 3, 7, 0], [1, 0, 0, 0, 0, 0], [4, 8, 6, 0, 0, 0]])


# --- each part ------------------------------------------------------------------------------------


def test_the_tokenizer(chapter, shipped):
    assert ("<pad>", "<null>", *chapter["WORDS"]) == VOCABULARY and chapter["LENGTH"] == LENGTH
    assert (chapter["PAD"], chapter["NULL"]) == (PAD, NULL) and tuple(chapter["WORDS"]) == WORDS
    texts = [*asked_texts(splits().test[:200]), *TEXTS]
    assert torch.equal(chapter["tokenize"](texts), shipped.network.tokens(texts))
    for wrong in ("a red sircle above a blue star", " ".join(["a"] * 15)):
        with pytest.raises(ValueError, match="unknown, or over 14 words"):
            chapter["tokenize"]([wrong])


@torch.no_grad()
def test_a_layer_of_the_encoder(chapter):
    theirs, mine = awake(library.TextBlock(24, 3)), chapter["TextBlock"](24, 3).double()
    assert list(mine.state_dict()) == list(theirs.state_dict())
    mine.load_state_dict(theirs.state_dict(), strict=True)
    x, mask = points(3, 6, 24), some_tokens() != PAD
    torch.testing.assert_close(mine(x, mask), theirs(x, mask), **EXACT)


@torch.no_grad()
def test_the_encoder(chapter):
    config = library.TextEncoderConfig(WORDS[:8], length=7, dim=24, layers=3, heads=3)
    theirs = awake(library.TextEncoder(config))
    mine = chapter["TextEncoder"](10, 7, 24, heads=3, layers=3).double()
    assert list(mine.state_dict()) == list(theirs.state_dict())
    mine.load_state_dict(theirs.state_dict(), strict=True)
    words, mask = mine(some_tokens())
    torch.testing.assert_close(words, theirs(some_tokens()), **EXACT)
    assert torch.equal(mask, some_tokens() != PAD) and not words[~mask].any()


def test_a_fresh_encoder_begins_like_theirs(chapter, shipped):
    torch.manual_seed(0)
    mine = chapter["TextEncoder"]()
    assert parameters(mine) == parameters(shipped.network.text)
    for numbers in (mine.words.weight, mine.positions):
        assert abs(float(numbers.detach().std()) - 0.3) < 0.02


def test_no_text_and_how_often_it_is_said(chapter, shipped):
    tokens = chapter["tokenize"](TEXTS)
    null = chapter["null_tokens"](tokens)
    assert torch.equal(null, shipped.network.null(tokens)) and null.dtype == tokens.dtype
    many, u = tokens[:1].expand(4000, -1), torch.rand(4000, generator=seeded(3))
    dropped = (chapter["drop_captions"](many, 0.1, u) == null[:1]).all(1)
    assert torch.equal(dropped, u < 0.1)  # each caption by its own number
    assert torch.equal(chapter["drop_captions"](many, 0.1, u)[~dropped], many[~dropped])


def whole(chapter):
    """The reader's network and the library's, in float64, with the same random weights."""
    mine = awake(chapter["TextUNet"]())
    config = LatentDiffusion.load("shapes").network.config
    theirs = library.TextUNet(config).double()
    theirs.load_state_dict(mine.state_dict(), strict=True)
    # time's sinusoids are float32 in the library's network and in the reader's
    mine.unet.embed_time.register_forward_pre_hook(lambda _, phi: phi[0].double())
    return mine, theirs


@torch.no_grad()
def test_the_network(chapter):
    mine, theirs = whole(chapter)
    z_t, t, tokens = points(3, 4, 8, 8), torch.tensor([1, 400, 1000]), chapter["tokenize"](TEXTS)
    wanted = theirs(z_t, t, tokens)
    assert wanted.std() > 0.1
    torch.testing.assert_close(mine(z_t, t, tokens), wanted, rtol=1e-8, atol=1e-8)


def test_the_loss_and_whom_it_teaches(chapter):
    mine, theirs = whole(chapter)
    schedule = DiscreteSchedule(cosine_betas(1000))
    chapter["alpha_bar"] = schedule.alpha_bar
    z0, eps, t = points(3, 4, 8, 8), points(3, 4, 8, 8, seed=2), torch.tensor([30, 500, 990])
    tokens, u = chapter["tokenize"]([PROMPT, TEXTS[1], PROMPT]), torch.tensor([0.9, 0.05, 0.11])
    loss = chapter["text_loss"](mine, z0, tokens, t, eps, u)
    wanted = diffusion_loss(
        lambda z_t, t, c: theirs(z_t, t, c, u < 0.1), schedule, z0, tokens, t=t, eps=eps
    )
    torch.testing.assert_close(loss, wanted, rtol=1e-8, atol=1e-8)
    loss.sum().backward()
    taught = mine.text.words.weight.grad.abs().sum(1) > 0
    assert taught[tokens[0][:13]].all() and taught[NULL]
    assert not taught[PAD] and not taught[VOCABULARY.index("green")]


@torch.no_grad()
@pytest.mark.parametrize("w", [0.0, 1.0, 2.5, 7.0])
def test_guidance_on_v_is_guidance_on_noise(chapter, shipped, w):
    z_t, t = points(3, 4, 8, 8).float(), 600
    tokens = chapter["tokenize"]([PROMPT, TEXTS[1], PROMPT])
    v = chapter["guide"](shipped.network, z_t, torch.full((3,), t), tokens, w)
    signal, noise = shipped.schedule(torch.tensor(t))
    wanted = shipped.denoiser(tokens, guidance=w)(z_t, torch.tensor(t))
    # float32, and differences that are taken w times
    torch.testing.assert_close((noise * z_t + signal * v).float(), wanted.eps, rtol=0, atol=1e-3)
    torch.testing.assert_close((signal * z_t - noise * v).float(), wanted.z0, rtol=0, atol=1e-3)


# --- the whole ------------------------------------------------------------------------------------


def loaded(chapter):
    """The reader's model with the weights of the file, as the cell loads them."""
    weights = load_file(find_model("shapes") / "model.safetensors")
    beta = weights.pop("betas").double()
    chapter["alpha_bar"] = torch.cat([torch.ones(1).double(), (1 - beta).cumprod(0)])
    mine = chapter["TextToImage"]()
    mine.load_state_dict(weights, strict=True)
    return mine


def test_your_classes_the_books_weights_a_picture(chapter, shipped):
    mine = loaded(chapter)
    assert sorted(mine.state_dict()) == sorted(shipped.state_dict())
    torch.testing.assert_close(chapter["alpha_bar"], shipped.schedule.alpha_bar.double(), **EXACT)
    z = shipped.noise(3, seed=4)
    for texts, w in ((TEXTS, 2.5), ([PROMPT] * 3, 1.0)):
        wanted = shipped.text_to_image(texts, z_T=z, steps=20, guidance=w)
        got = chapter["draw"](mine, texts, z, steps=20, w=w)
        assert got.shape == (3, 3, 64, 64) and wanted.std() > 0.1
        assert (got - wanted).abs().max() < 1e-4


def test_the_classes_of_the_model_are_those_of_the_chapters(chapter):
    """Nothing of the library hides in it: every part is PyTorch's, or written in a cell."""
    homes = {type(part).__module__.partition(".")[0] for part in chapter["TextToImage"]().modules()}
    assert "minildm" not in homes and "book" not in homes
    assert homes == {"torch", "builtins", "written_in_05_1_autoencoder", "written_in_05_2_unet"}


def test_each_cell_fits_on_a_screen_and_is_compared():
    for name in WRITTEN:
        assert len(CELLS[name].splitlines()) <= 45, name
    code = "\n".join(CELLS.values())
    for call in ("same(TextBlock(", "same(TextUNet()", "< 1e-4", "strict=True"):
        assert call in code, call


# --- classes of another notebook ------------------------------------------------------------------


def test_written_takes_what_was_asked_for_and_what_that_needs(tmp_path):
    (tmp_path / "01_a.ipynb").write_text(NOTEBOOK, "utf-8")
    twice, four = written("01", "twice", "Four", folder=tmp_path)
    assert twice(math.pi) == 2 * math.pi and four().value == 4
    assert not (tmp_path / "ran").exists()


def test_written_takes_the_numbers_that_are_needed_and_no_blank(tmp_path):
    cells = ["PAD, NULL = 0, 1\nNAMES = ['a']\nguess = ...\nran = print('no')",
             "def empty(n):\n    return [PAD, NULL, *NAMES] * n", "def told():\n    return guess"]
    notebook = {"cells": [{"cell_type": "code", "source": cell} for cell in cells]}
    (tmp_path / "01_a.ipynb").write_text(json.dumps(notebook), "utf-8")
    empty, told = written("01", "empty", "told", folder=tmp_path)
    assert empty(2) == [0, 1, "a"] * 2
    with pytest.raises(NameError):
        told()


def test_written_prefers_the_reader_s_copies(tmp_path, monkeypatch):
    """They lie beside the notebook that asks; one that was laid aside does not count."""
    monkeypatch.chdir(tmp_path)
    theirs = written("05_2", "UNet")
    (tmp_path / "05_2_unet.ipynb").write_text(NOTEBOOK.replace("Four", "UNet"), "utf-8")
    (tmp_path / "05_2_unet.yours-1.ipynb").write_text("{}", "utf-8")
    (mine,) = written("05_2", "UNet")
    assert mine().value == 4 and theirs[0] is not mine
    assert written("05_1", "Autoencoder")[0].__module__ == "written_in_05_1_autoencoder"


def test_written_names_what_there_is(tmp_path):
    (tmp_path / "01_a.ipynb").write_text(NOTEBOOK, "utf-8")
    with pytest.raises(ValueError, match="defines no 'UNet'; it defines Four, fold, twice"):
        written("01", "UNet", folder=tmp_path)
    with pytest.raises(ValueError, match="must begin the name of one notebook"):
        written("02", "UNet", folder=tmp_path)


CODE = [
    "import os, math as m\nfrom math import nothing_like_that",
    "%magic of a notebook",
    "def fold(x, n):\n    return m.fsum([x] * n)",
    "def twice(x):\n    return fold(x, 2)\n\n\nclass Four:\n    value = twice(2)",
    "def twice(x):\n    return ...\n\n\nopen('ran', 'w')",
]
NOTEBOOK = json.dumps({"cells": [{"cell_type": "code", "source": [code]} for code in CODE]})
