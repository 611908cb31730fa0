"""Captioned shapes: what is drawn is what the table says, and no scene is in two splits."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import minildm.shapes
from minildm.shapes import scenes as shapes
from minildm.shapes import training
from minildm.shapes.scenes import (
    Pictures,
    Scene,
    Thing,
    draw_places,
    render,
    splits,
    to_rows,
)

EXAMPLE = Scene(
    "grey",
    "above",
    Thing("small", "striped", "red", "circle"),
    Thing("large", "solid", "blue", "star"),
)


def scene_rows(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    table = shapes.every_row()
    rows = table[torch.randint(len(table), (n,), generator=generator)]
    return rows, draw_places(rows, torch.rand(n, 4, generator=generator))


def test_the_names_of_the_package_are_those_of_its_modules():
    assert minildm.shapes.render is shapes.render
    assert minildm.shapes.GUIDANCE == training.GUIDANCE
    assert all(hasattr(minildm.shapes, name) for name in minildm.shapes.__all__)
    with pytest.raises(AttributeError, match="no attribute 'paint'"):
        minildm.shapes.paint  # noqa: B018


def test_rows_and_scenes_are_the_same_thing():
    (row,) = to_rows([EXAMPLE]).tolist()
    words = [known[i] for i, known in zip(row, shapes.ATTRIBUTES, strict=True)]
    assert Scene(words[0], words[1], Thing(*words[2:6]), Thing(*words[6:])) == EXAMPLE
    table = shapes.every_row()
    assert len(table) == 3 * 2 * (2 * 2 * 6 * 6) ** 2
    assert len(table.unique(dim=0)) == len(table)


@pytest.mark.parametrize("field", range(10))
def test_an_unknown_word_is_refused_by_name(field):
    words = ["grey", "above", "small", "striped", "red", "circle", "large", "solid", "blue", "star"]
    words[field] = "plaid"
    with pytest.raises(ValueError, match=f"{shapes.NAMES[field]} must be one of .*'plaid'"):
        to_rows([Scene(words[0], words[1], Thing(*words[2:6]), Thing(*words[6:]))])


def area(shape, half):
    """The shape's area in pixels by geometry, from the definitions in the book."""
    r = half
    star = 5 * 0.45 * math.sin(math.pi / 5)  # ten triangles with sides 1 and 0.45, angle 36 degrees
    return {
        "circle": math.pi * r**2,
        "square": (2 * 0.86 * r) ** 2,
        "triangle": 0.5 * (1.8 * r) * (2 * 1.8 * 0.5556 * r),
        "diamond": 2 * r**2,
        "star": star * r**2,
        "cross": 2 * (1.9 * 0.66) * r**2 - (0.66 * r) ** 2,
    }[shape]


@pytest.mark.parametrize("size", shapes.SIZES)
@pytest.mark.parametrize("shape", shapes.SHAPES)
def test_a_stamp_covers_the_area_of_its_shape(shape, size):
    half = shapes.SIZES[size]
    stamp = shapes.stamps()[list(shapes.SIZES).index(size), 0, shapes.SHAPES.index(shape)]
    assert float(stamp.sum()) == pytest.approx(area(shape, half), rel=0.02)
    assert torch.allclose(stamp, stamp.flip(1), atol=1e-6)  # every shape is its own mirror image
    assert stamp.max() == 1


def test_a_striped_object_is_its_solid_one_in_bands_of_four_rows():
    solid, striped = shapes.stamps().unbind(1)  # (sizes, shapes, 26, 26) each
    middle = shapes.STAMP // 2
    full = striped[:, :, middle : middle + 4], solid[:, :, middle : middle + 4]
    faint = striped[:, :, middle - 4 : middle], solid[:, :, middle - 4 : middle]
    assert torch.equal(*full)
    assert torch.allclose(faint[0], shapes.FAINT * faint[1], atol=1e-6)


def test_pictures_have_the_colours_they_are_said_to_have():
    """At each object's centre, and in the corners, for every colour and background."""
    rows, places = scene_rows(400)
    x = render(rows, places)
    n = torch.arange(len(rows))
    background = shapes.palette(shapes.BACKGROUNDS)[rows[:, 0]]
    for corner in (x[:, :, 0, 0], x[:, :, -1, 0], x[:, :, 0, -1], x[:, :, -1, -1]):
        assert torch.equal(corner, background)
    for i in range(2):
        down, right = places[:, i].unbind(1)
        colour = shapes.palette(shapes.COLOURS)[rows[:, 4 + 4 * i]]
        assert torch.allclose(x[n, :, down + 1, right], colour, atol=1e-6)
    assert x.min() >= -1 and x.max() <= 1


def test_a_circle_is_where_it_was_put():
    """The centre of mass of a drawn object is its place: (down, right), counted from the corner."""
    rows, places = scene_rows(300, seed=1)
    rows[:, 3::4], rows[:, 5::4] = 0, 0  # solid circles
    places = draw_places(rows, torch.rand(300, 4, generator=torch.Generator().manual_seed(2)))
    for i, things in enumerate((rows[:, 2:6], rows[:, 6:])):
        share = shapes.cover(things, places[:, i])
        line = torch.arange(64) + 0.5
        mass = share.sum((1, 2))
        down = (share.sum(2) * line).sum(1) / mass
        right = (share.sum(1) * line).sum(1) / mass
        assert torch.allclose(torch.stack([down, right], 1), places[:, i].float(), atol=1e-3)


def test_the_relation_holds_and_objects_never_touch():
    rows, places = scene_rows(20_000, seed=3)
    half = torch.tensor(list(shapes.SIZES.values()))
    r1, r2 = half[rows[:, 2]], half[rows[:, 6]]
    between = places[:, 1] - places[:, 0]  # (n, 2): down, right
    upright = rows[:, 1] == 1
    along = torch.where(upright, between[:, 0], between[:, 1])
    across = torch.where(upright, between[:, 1], between[:, 0]).abs()
    assert (along >= r1 + r2 + shapes.GAP).all()
    assert (along > across).all()
    for i, r in enumerate((r1, r2)):
        assert (places[:, i] - r[:, None] >= shapes.MARGIN).all()
        assert (places[:, i] + r[:, None] <= shapes.SIZE - shapes.MARGIN).all()


def test_every_place_that_is_allowed_occurs():
    """Uniform numbers at both ends of [0, 1) reach both ends of the room there is."""
    rows = to_rows([EXAMPLE._replace(relation="left of")]).repeat(2, 1)
    u = torch.tensor([[0.0, 0.0, 0.0, 0.0], [1 - 1e-7, 1 - 1e-7, 1 - 1e-7, 1 - 1e-7]]).double()
    places = draw_places(rows, u)
    assert places[0].tolist() == [[25, 1 + 9], [25, 1 + 18 + 2 + 13]]
    assert places[1].tolist() == [[39, 63 - 26 - 2 - 9], [39, 63 - 13]]


def test_splits_share_no_scene_and_lose_none():
    parts = splits()
    together = torch.cat(list(parts))
    assert len(together) == len(shapes.every_row())
    assert len(together.unique(dim=0)) == len(together)
    shares = [len(part) / sum(len(p) for p in parts[:3]) for part in parts[:3]]
    assert shares == pytest.approx([0.9, 0.05, 0.05], abs=1e-3)


def test_held_out_pairs_are_only_in_composition_but_their_parts_are_everywhere():
    parts = splits()
    held = {(list(shapes.COLOURS).index(c), shapes.SHAPES.index(s)) for c, s in shapes.HELD_OUT}

    def pairs(rows):
        return torch.cat([rows[:, 4:6], rows[:, 8:10]]).unique(dim=0)

    for part in parts[:3]:
        seen = {tuple(pair) for pair in pairs(part).tolist()}
        assert not seen & held
        assert len(seen) == 36 - len(held)
    rows = parts.composition
    for row in rows[::97].tolist():
        assert (row[4], row[5]) in held or (row[8], row[9]) in held


def test_the_training_split_is_a_fair_sample():
    """Each value of each attribute is as frequent in the test split as in the training split."""
    train, test = splits().train, splits().test
    for column, known in enumerate(shapes.ATTRIBUTES):
        for value in range(len(known)):
            p = float((train[:, column] == value).double().mean())
            q = float((test[:, column] == value).double().mean())
            assert abs(p - q) < 4 * math.sqrt(p * (1 - p) / len(test))


@given(n=st.integers(1, 30), seed=st.integers(0, 1000))
def test_pictures_are_the_same_each_time_and_in_any_order(n, seed):
    pictures = Pictures(splits().train, n, seed)
    again = Pictures(splits().train, n, seed)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(pictures[order], again[:][order])
    assert torch.equal(pictures[order], render(pictures.rows[order], pictures.places[order]))


def test_another_seed_gives_other_pictures():
    one, two = (Pictures(splits().train, 500, seed) for seed in (0, 1))
    same = ((one.rows == two.rows).all(1) & (one.places == two.places).flatten(1).all(1)).sum()
    assert same <= 2
    assert len(one.rows.unique(dim=0)) > 450


@pytest.mark.parametrize(("table", "n"), [(torch.empty(0, 10, dtype=torch.int64), 5), (None, 0)])
def test_a_data_set_of_nothing_is_refused(table, n):
    with pytest.raises(ValueError, match="at least one scene and one picture"):
        Pictures(splits().train if table is None else table, n)
