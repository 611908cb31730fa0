"""The tokenizer of Stable Diffusion: the reference's numbers, for any text."""

import json
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sd_reference_text import (
    BEGIN,
    END,
    PARTS,
    SENTENCES,
    awkward,
    byte_letters,
    reference_ids,
    reference_tokenizer,
    stable,
    vocabulary,
)

from minildm.stable_diffusion.tokenizer import Tokenizer

CHARACTERS = st.characters(exclude_categories=["Cs", "Cn"]).filter(stable)
TEXTS = st.lists(
    st.sampled_from([*PARTS, *SENTENCES.split()]) | st.text(CHARACTERS, max_size=6), max_size=30
).map("".join)
PADS = [END, "!"]


def numbers(texts, pad=END):
    """Ours, without the warnings about what is left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Tokenizer(*vocabulary(), pad)(texts)


@pytest.mark.parametrize("pad", PADS)
def test_awkward_strings_get_the_numbers_of_the_reference(pad):
    texts = awkward()
    assert len(set(texts)) > 500
    wrong = (numbers(texts, pad) != reference_ids(texts, pad)).any(dim=1).nonzero()[:, 0]
    assert [texts[i] for i in wrong] == []


@pytest.mark.parametrize("pad", PADS)
@settings(max_examples=150, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=4))
def test_any_text_gets_the_numbers_of_the_reference(pad, texts):
    assert torch.equal(numbers(texts, pad), reference_ids(texts, pad))


def test_every_kind_of_character_is_cut_as_in_the_reference():
    """Each tenth of those that have been in Unicode for long, and all of the first 12,000."""
    found = [chr(i) for i in range(0x110000) if (i < 12_000 or i % 10 == 0) and stable(chr(i))]
    assert len(found) > 25_000
    texts = ["".join(f"a{c}1{c}" for c in found[i : i + 5]) for i in range(0, len(found), 5)]
    assert torch.equal(numbers(texts), reference_ids(texts))


def test_what_comes_back_is_one_row_for_each_prompt():
    ids = Tokenizer(*vocabulary())(["hello", ""])
    begin, end = (vocabulary()[0][piece] for piece in (BEGIN, END))
    hello = vocabulary()[0]["hello</w>"]
    assert ids.dtype == torch.int64
    assert ids.tolist() == [[begin, hello, *[end] * 75], [begin, *[end] * 76]]
    assert torch.equal(Tokenizer(*vocabulary())("hello"), ids[:1])
    assert Tokenizer(*vocabulary())([]).shape == (0, 77)


def test_what_does_not_fit_is_said():
    tokenizer = Tokenizer(*vocabulary())
    with pytest.warns(UserWarning, match=r"has 78 tokens, and 75 are read; left out: 'é hello'"):
        ids = tokenizer("hello " * 75 + "É  HELLO")
    assert torch.equal(ids, tokenizer("hello " * 75))  # which fits, without a warning
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tokenizer("hello " * 75)


# --- files ----------------------------------------------------------------------------------------


def write(folder, **files):
    folder.mkdir(exist_ok=True)
    vocab, merges = vocabulary()
    (folder / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
    lines = "\n".join(["#version: 0.2", *map(" ".join, merges), ""])
    (folder / "merges.txt").write_text(lines, encoding="utf-8")
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("config", "special", "pad"),
    [
        (None, None, END),
        ({"pad_token": END, "model_max_length": 77}, None, END),
        ({"pad_token": END}, {"pad_token": "!"}, "!"),  # Stable Diffusion 2
        ({"pad_token": "!"}, {"pad_token": {"content": END, "normalized": True}}, END),
        ({"pad_token": {"__type": "AddedToken", "content": "!"}}, None, "!"),
    ],
)
def test_a_folder_of_vocabulary_and_merges_is_read(tmp_path, config, special, pad):
    files = {"tokenizer_config": config, "special_tokens_map": special}
    folder = write(tmp_path, **{name: content for name, content in files.items() if content})
    tokenizer = Tokenizer.read(folder)
    assert tokenizer.pad == pad
    assert torch.equal(tokenizer(["hello! it's", ""]), reference_ids(["hello! it's", ""], pad))
    if config is None or isinstance(config["pad_token"], str):  # the reference agrees on the pad
        transformers = pytest.importorskip("transformers")
        assert transformers.CLIPTokenizer.from_pretrained(folder).pad_token == pad


@pytest.mark.parametrize("pad", PADS)
def test_the_one_file_of_newer_versions_is_read(tmp_path, pad):
    reference_tokenizer(pad).save_pretrained(tmp_path)
    assert not (tmp_path / "vocab.json").exists()
    tokenizer = Tokenizer.read(tmp_path)
    assert (tokenizer.pad, tokenizer.vocab) == (pad, vocabulary()[0])
    assert torch.equal(tokenizer(SENTENCES[:70]), reference_ids([SENTENCES[:70]], pad))
    model = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    model["model"]["merges"] = [" ".join(pair) for pair in model["model"]["merges"]]  # older ones
    (tmp_path / "tokenizer.json").write_text(json.dumps(model), encoding="utf-8")
    assert Tokenizer.read(tmp_path).rank == tokenizer.rank


def test_errors_say_what_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no tokenizer: vocab.json and merges.txt, or"):
        Tokenizer.read(tmp_path)
    vocab, merges = vocabulary()
    with pytest.raises(ValueError, match=r"vocab lacks 1 pieces, such as '<pad>'"):
        Tokenizer(vocab, merges, "<pad>")
    letters = set(byte_letters().values())
    with pytest.raises(ValueError, match="vocab lacks 256 pieces, such as '!'"):
        Tokenizer({piece: i for piece, i in vocab.items() if piece not in letters}, merges)
    with pytest.raises(ValueError, match="give a text"):
        Tokenizer(vocab, merges)([3])
