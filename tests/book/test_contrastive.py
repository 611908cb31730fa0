"""Matching texts and pictures."""

import math

import pytest
import torch

from book.ablations.shapes_lab import distinct_pictures
from book.ch05_5_text_to_image.contrastive import (
    ContrastiveModel,
    ContrastiveTraining,
    contrastive_loss,
    retrieval,
    swapped,
    tells_apart,
    train_contrastive,
)
from minildm.engine.settings import override
from minildm.shapes.captions import wording
from minildm.shapes.scenes import Scene, Thing, to_rows

TINY = override(
    ContrastiveTraining(),
    ["width=8", "dim=8", "text.dim=16", "text.layers=1", "pictures=64", "fit.steps=60",
     "fit.batch=32", "fit.log_every=5", "fit.lr=0.01"],
)  # fmt: skip


class Knowing:
    """Stands for a perfect model: a picture's vector is its scene, and so is a caption's."""

    def __init__(self, pictures, blind_to=()):
        self.pictures, self.blind_to = pictures, blind_to

    def vectors(self, rows):
        parts = [
            torch.nn.functional.one_hot(rows[:, i], 6).double()
            for i in range(10)
            if i not in self.blind_to
        ]
        return torch.nn.functional.normalize(torch.cat(parts, dim=1), dim=1)

    def encode_picture(self, x):
        # by the order in which the test asks for them
        return self.vectors(self.asked)

    def encode_text(self, tokens):
        known = {tuple(line): row for line, row in self.table}
        return self.vectors(torch.stack([known[tuple(line)] for line in tokens.tolist()]))


def knowing(pictures, rows, blind_to=()):
    model = Knowing(pictures, blind_to)
    plain = torch.zeros(len(rows), dtype=torch.bool)
    model.table = list(zip(map(tuple, wording(rows, plain).tolist()), rows, strict=True))
    model.asked = pictures.rows
    return model


def test_a_newborn_loss_is_log_b_and_a_perfect_one_is_zero():
    assert float(contrastive_loss(torch.zeros(7, 7)).mean()) == pytest.approx(math.log(7))
    assert float(contrastive_loss(50 * torch.eye(7)).mean()) < 1e-6
    assert float(contrastive_loss(-50 * torch.eye(7)).mean()) > 10


def test_both_directions_count():
    """All pictures like text 0 best: the rows are certain of it, the columns are not."""
    similarity = torch.zeros(3, 3)
    similarity[:, 0] = 5.0
    losses, turned = contrastive_loss(similarity), contrastive_loss(similarity.T)
    torch.testing.assert_close(losses, turned)
    assert float(losses.mean()) > math.log(3)


def test_a_table_that_is_not_square_is_refused():
    with pytest.raises(ValueError, match=r"\(B, B\); got \(2, 3\)"):
        contrastive_loss(torch.zeros(2, 3))


def test_vectors_are_unit_and_padding_does_not_matter():
    model = ContrastiveModel(TINY).eval()
    pictures = distinct_pictures(4)
    tokens = wording(pictures.rows, torch.zeros(4, dtype=torch.bool))
    with torch.no_grad():
        text, picture = model.encode_text(tokens), model.encode_picture(pictures[:])
        longer = torch.cat([tokens[:1, :9], torch.zeros(1, 5, dtype=torch.int64)], dim=1)
        short = model.encode_text(tokens[:1, :9])
        torch.testing.assert_close(model.encode_text(longer), short, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(text.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(picture.norm(dim=1), torch.ones(4))


def test_retrieval_of_a_perfect_model_and_of_one_that_is_blind_to_colour():
    pictures = distinct_pictures(60)
    assert len(pictures.rows.unique(dim=0)) == 60
    perfect = retrieval(knowing(pictures, pictures.rows), pictures)
    assert perfect == {"text_of_picture": 1.0, "picture_of_text": 1.0}
    constant = knowing(pictures, pictures.rows, blind_to=range(1, 10))
    assert retrieval(constant, pictures)["text_of_picture"] < 0.1


def test_the_same_scene_twice_is_refused():
    pictures = distinct_pictures(5)
    pictures.rows = pictures.rows[[0, 0, 1, 2, 3]]
    with pytest.raises(ValueError, match="the same scene"):
        retrieval(knowing(pictures, pictures.rows), pictures)


@pytest.mark.parametrize(("what", "columns"), [("colour", (4, 8)), ("shape", (5, 9))])
def test_an_exchange_is_seen_only_by_who_knows_what_belongs_to_whom(what, columns):
    pictures = distinct_pictures(60)
    rows = torch.cat([pictures.rows, swapped(pictures.rows, what)])
    model = knowing(pictures, rows)
    changed = (swapped(pictures.rows, what) != pictures.rows).any(1)
    assert 0 < changed.sum() < 60  # some objects have the same colour
    model.asked = pictures.rows[changed]
    assert tells_apart(model, pictures, what) == 1.0
    model.blind_to = columns
    assert tells_apart(model, pictures, what) == 0.0  # equal is not nearer


def test_places_are_exchanged_with_everything():
    red, blue = Thing("small", "solid", "red", "circle"), Thing("large", "striped", "blue", "star")
    rows = to_rows([Scene("grey", "above", red, blue)])
    assert torch.equal(swapped(rows, "places"), to_rows([Scene("grey", "above", blue, red)]))
    recoloured = Scene("grey", "above", red._replace(colour="blue"), blue._replace(colour="red"))
    assert torch.equal(swapped(rows, "colour"), to_rows([recoloured]))
    with pytest.raises(ValueError, match="colour, shape, places; got 'size'"):
        swapped(rows, "size")


def test_training_learns_to_match():
    pictures = distinct_pictures(64)
    tokens = wording(pictures.rows, torch.zeros(64, dtype=torch.bool))
    model, history = train_contrastive(TINY, pictures, tokens)
    assert history[0].loss > 0.8 * math.log(32) > 1.5 * history[-1].loss
    assert retrieval(model, pictures)["text_of_picture"] > 5 / 64
