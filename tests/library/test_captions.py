"""The grammar: what is said is what is read, in both wordings; and nothing else is understood."""

import pytest
import torch

from minildm.shapes.captions import (
    LENGTH,
    NUMBER,
    OPTIONAL,
    SHORTENED,
    SYNONYMS,
    TURNED,
    VOCABULARY,
    agree,
    asked_texts,
    caption_tokens,
    captions,
    read,
    request_rows,
    wording,
)
from minildm.shapes.scenes import ATTRIBUTES, Scene, Thing, every_row, to_rows
from minildm.words import PAD

SCENE = Scene(
    "grey", "above",
    Thing("small", "striped", "red", "circle"), Thing("large", "solid", "blue", "star"),
)  # fmt: skip
TEXT = "a small striped red circle above a large solid blue star on grey"
TURNED_TEXT = "a large solid blue star below a small striped red circle on grey"


def some_rows(n, seed=0):
    rows = every_row()
    return rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:n]]


def test_the_two_wordings_by_hand():
    rows = to_rows([SCENE, SCENE, SCENE._replace(relation="left of")])
    beside = TURNED_TEXT.replace("below", "right of")
    assert captions(rows, torch.tensor([False, True, True])) == [TEXT, TURNED_TEXT, beside]
    assert asked_texts(rows[:2]) == [TEXT, TURNED_TEXT]


def test_words_are_left_out_of_the_object_that_is_meant_in_both_wordings():
    rows, turned = to_rows([SCENE, SCENE]), torch.tensor([False, True])
    for k, word in enumerate(("small ", "striped ", "large ", "solid ", " on grey")):
        keep = (torch.arange(len(OPTIONAL)) != k).expand(2, -1)
        said = [text.replace(word, "") for text in (TEXT, TURNED_TEXT)]
        assert captions(rows, turned, keep) == said


@pytest.mark.parametrize("text", [TEXT, TURNED_TEXT, f"  {TEXT.upper()}.\n"])
def test_both_wordings_are_read_as_the_same_scene(text):
    assert read(text) == SCENE


def test_what_is_not_said_is_open():
    request = read("a red circle above a large blue star")
    assert request.background is None
    assert request.first == Thing(None, None, "red", "circle")
    smaller = SCENE._replace(second=SCENE.second._replace(size="small"))
    scenes = to_rows([SCENE, SCENE._replace(background="white"), smaller])
    assert agree(scenes, request_rows([request])).all(1).tolist() == [True, True, False]


def test_every_caption_is_read_back_as_its_scene_and_as_no_other():
    """All that differs between a scene and its caption's reading is nothing, in either wording."""
    rows = some_rows(3000)
    others = rows.clone()  # the same scenes, with one attribute changed
    which = torch.arange(len(rows)) % len(ATTRIBUTES)
    sizes = torch.tensor([len(known) for known in ATTRIBUTES])
    at = torch.arange(len(rows))
    others[at, which] = (others[at, which] + 1) % sizes[which]
    for mirrored in (False, True):
        texts = captions(rows, torch.full((len(rows),), mirrored))
        wanted = request_rows([read(text) for text in texts])
        assert torch.equal(wanted, rows)
        assert torch.equal(agree(others, wanted), which[:, None] != torch.arange(len(ATTRIBUTES)))


def test_two_things_with_their_attributes_exchanged_do_not_match():
    swapped = SCENE._replace(first=SCENE.second, second=SCENE.first)
    other = to_rows([swapped, SCENE._replace(relation="left of")])
    assert not agree(other, request_rows([read(TEXT)])).all(1).any()


def test_training_captions_are_true_and_come_in_their_shares():
    rows = some_rows(1).expand(40_000, -1)
    u = (torch.arange(len(rows)) + 0.5) / len(rows)
    tokens = caption_tokens(rows, u)
    lines, counts = tokens.unique(dim=0, return_counts=True)
    assert counts.sum() == len(rows)
    share = {}
    for line, count in zip(lines.tolist(), counts.tolist(), strict=True):
        text = " ".join(VOCABULARY[number] for number in line if number != PAD)
        request = read(text)
        asked = request_rows([request])
        assert agree(rows[:1], asked).all(), text
        left_out = tuple((asked[0] < 0).nonzero()[:, 0].tolist())
        turned = " below " in text or " right of " in text
        share[turned, left_out] = share.get((turned, left_out), 0) + count / len(rows)
    assert len(share) == 2 * 2 ** len(OPTIONAL)
    for (turned, left_out), value in share.items():
        expected = SHORTENED / 2 ** len(OPTIONAL) + (not left_out) * (1 - SHORTENED)
        assert value == pytest.approx(expected * (TURNED if turned else 1 - TURNED), abs=1e-4)


def test_the_longest_caption_fills_the_tokens():
    rows = to_rows([SCENE._replace(relation="left of")])
    tokens = wording(rows, torch.tensor([False]))
    assert tokens.shape == (1, LENGTH)
    assert (tokens != PAD).all()
    assert [VOCABULARY[number] for number in tokens[0]] == TEXT.replace("above", "left of").split()


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("a small stripd red circle above a blue star", ["'stripd'", "striped", "vocabulary"]),
        ("a teapot left of a red circle", ["'teapot'", "triangle", "diamond"]),
        ("a red circle", ["the end", "left of, above, right of, below"]),
        ("a red circle left a blue star", ["'of'", "'a' as word 5"]),
        ("red circle above a blue star", ["'a'", "'red' as word 1"]),
        ("a striped small red circle above a blue star", ["a colour", "'small' as word 3"]),
        ("a circle above a blue star", ["'circle' as word 2", "red, green"]),
        ("a red circle above a blue star on", ["a background", "white, grey, black"]),
        ("a red circle above a blue star on grey grey", ["the end", "'grey' as word 10"]),
    ],
)
def test_errors_say_where_and_what_may_stand_there(text, pieces):
    with pytest.raises(ValueError) as error:
        read(text)
    for piece in pieces:
        assert piece in str(error.value)


def test_all_unknown_words_are_named_at_once_each_with_what_was_meant():
    with pytest.raises(ValueError) as error:
        read("a gray circle abov a big gray star")
    said = str(error.value)
    assert said.startswith("unknown words 'gray', 'abov', 'big' in 'a gray circle abov")
    assert "; nearest: grey; above; large. The vocabulary: a on" in said
    assert set(SYNONYMS.values()) <= set(VOCABULARY) and not set(SYNONYMS) & set(VOCABULARY)


def test_an_attribute_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="colour 1 must be one of .*; got 'pink'"):
        request_rows([SCENE._replace(first=SCENE.first._replace(colour="pink"))])


def test_every_word_has_a_number_of_its_own():
    assert len(set(VOCABULARY)) == len(VOCABULARY)
    for known in ATTRIBUTES:
        for phrase in known:
            assert all(VOCABULARY[NUMBER[word]] == word for word in phrase.split())


def test_rows_of_minus_one_are_no_scenes():
    """Python's index -1 would be the last colour; only a request may leave something open."""
    rows = to_rows([SCENE])
    for column in range(10):
        bad = rows.clone()
        bad[0, column] = -1
        for call in (
            lambda bad=bad: captions(bad, torch.tensor([False])),
            lambda bad=bad: caption_tokens(bad, torch.tensor([0.5])),
            lambda bad=bad: agree(bad, rows),
        ):
            with pytest.raises(ValueError, match=r"rows\[0\] has -1 for"):
                call()
        assert bool(agree(rows, bad).all())
    with pytest.raises(ValueError, match="u must be in"):
        caption_tokens(rows, torch.tensor([float("nan")]).nan_to_num(nan=1.0))
    with pytest.raises(ValueError, match="wanted"):
        agree(rows, "abc")
