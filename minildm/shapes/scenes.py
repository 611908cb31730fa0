"""Captioned shapes: pictures of two objects that are drawn exactly, so that they can be judged.

    Scene     what is in a picture: background, relation, and two objects with four attributes each
    rows      many scenes as one table of integers (n, 10)
    render    rows and places -> pictures (n, 3, 64, 64) in [-1, 1], thousands per second
    splits    the fixed division of all scenes into training, validation, test and composition
    Pictures  a data set of rendered scenes

Every object sits on the pixel grid, so there are finitely many pictures. That is what lets
judge.py find the scene of a picture by comparing it with all of them.
"""

import functools
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from minildm import checks
from minildm.checks import inputs
from minildm.data import to_unit_range
from minildm.noise import seeded

SIZE = 64
SHAPES = ("circle", "square", "triangle", "diamond", "star", "cross")
COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 170, 60),
    "blue": (50, 80, 220),
    "yellow": (240, 210, 40),
    "purple": (150, 50, 180),
    "cyan": (40, 200, 220),
}
BACKGROUNDS = {"white": (250, 250, 250), "grey": (180, 180, 180), "black": (15, 15, 15)}
SIZES = {"small": 9, "large": 13}  # half the width of the square that an object fits in, in pixels
FILLS = ("solid", "striped")
RELATIONS = ("left of", "above")  # "right of" and "below" are these two, read from the other side
STRIPE, FAINT = 4, 0.3  # height of a stripe in pixels; what the faint stripes keep of the colour
GAP, MARGIN, DRIFT = 2, 1, 7  # pixels between objects, to the border, and across the relation
FINE = 8  # samples per pixel and direction for antialiasing


class Thing(NamedTuple):
    """One object, by name: Thing("small", "striped", "red", "circle"). None: not said."""

    size: str | None
    fill: str | None
    colour: str
    shape: str


class Scene(NamedTuple):
    """What is in a picture. ``first`` is left of, or above, ``second``: that makes it unique."""

    background: str
    relation: str
    first: Thing
    second: Thing


# --- what a picture shows -------------------------------------------------------------------------

THING = (tuple(SIZES), FILLS, tuple(COLOURS), SHAPES)
ATTRIBUTES = (tuple(BACKGROUNDS), RELATIONS, *THING, *THING)  # the ten columns of a scene table
NAMES = ("background", "relation", *(f"{a} {n}" for n in (1, 2) for a in Thing._fields))


def to_rows(scenes: Sequence[Scene]) -> Tensor:
    """Scenes as integers: int64 (n, 10), column i counts through ``ATTRIBUTES[i]``.

    Raises ValueError for a word that is no value of its attribute.
    """
    return numbered("scenes", scenes, ATTRIBUTES)


def numbered(name: str, scenes: Sequence, known: Sequence[tuple]) -> Tensor:
    """``to_rows`` for all that has a scene's fields; ``known``: the values of each attribute."""
    listed = isinstance(scenes, list | tuple)
    if not listed or any(getattr(s, "_fields", None) != Scene._fields for s in scenes):
        raise ValueError(f"{name} must be a list of scenes; got {scenes!r}")
    rows = []
    for scene in scenes:
        words = (scene.background, scene.relation, *scene.first, *scene.second)
        if len(words) != len(NAMES):
            raise ValueError(f"a scene has {', '.join(NAMES)}; got {words}")
        for word, attribute, values in zip(words, NAMES, known, strict=True):
            if word not in values:
                said = ", ".join(filter(None, values))
                raise ValueError(f"{attribute} must be one of {said}; got {word!r}")
        rows.append([values.index(word) for word, values in zip(words, known, strict=True)])
    return torch.tensor(rows, dtype=torch.int64).reshape(-1, len(NAMES))  # (n, 10)


MOST = torch.tensor([len(known) - 1 for known in ATTRIBUTES])  # the largest entry of each column


def checked_rows(rows: Tensor, name: str = "rows", least: int = 0) -> Tensor:
    """A scene table, int64 (n, 10); ValueError unless each entry is in ``least``.. its largest.

    ``least`` = -1 is for requests: what is not said. (Python would take -1 for the last colour.)
    """
    rows = inputs.whole_numbers(name, rows)
    if rows.dim() != 2 or rows.shape[1] != len(ATTRIBUTES):
        raise ValueError(f"{name} must be (n, {len(ATTRIBUTES)}); got {tuple(rows.shape)}")
    bad = (rows < least) | (rows > MOST.to(rows.device))
    if bad.any():
        i, column = bad.nonzero()[0].tolist()
        raise ValueError(
            f"{name}[{i}] has {int(rows[i, column])} for {NAMES[column]}, which goes from {least} "
            f"to {int(MOST[column])}"
        )
    return rows


@functools.cache
def every_row() -> Tensor:
    """All scenes there are, places aside: int64 (124416, 10)."""
    return torch.cartesian_prod(*(torch.arange(len(known)) for known in ATTRIBUTES))


# --- how it looks ---------------------------------------------------------------------------------

STAMP = 2 * max(SIZES.values())  # pixels in height and width of every stamp


def _inside(shape: str, u: Tensor, v: Tensor) -> Tensor:
    """Is the point (u right, v down) in the shape that fits in the square -1..1? bool."""
    if shape == "circle":
        return u**2 + v**2 <= 1
    if shape == "square":
        return torch.maximum(u.abs(), v.abs()) <= 0.86
    if shape == "triangle":
        return (v <= 0.8) & (u.abs() <= (v + 1) * 0.5556)
    if shape == "diamond":
        return u.abs() + v.abs() <= 1
    if shape == "cross":
        return (torch.minimum(u.abs(), v.abs()) <= 0.33) & (torch.maximum(u.abs(), v.abs()) <= 0.95)
    # star: fold the plane into one tenth, from a tip (radius 1) to a notch (radius 0.45)
    angle = torch.atan2(u, -v) % (2 * torch.pi / 5)
    angle = torch.minimum(angle, 2 * torch.pi / 5 - angle)
    along, across = torch.hypot(u, v) * angle.cos(), torch.hypot(u, v) * angle.sin()
    notch = 0.45 * torch.tensor([torch.pi / 5]).cos(), 0.45 * torch.tensor([torch.pi / 5]).sin()
    return (1 - along) * notch[1] >= across * (1 - notch[0])


@functools.cache
def stamps() -> Tensor:
    """Share of each pixel that an object covers: float32 (sizes, fills, shapes, STAMP, STAMP).

    The object's centre is the stamp's. Faint stripes count ``FAINT``.
    """
    place = (torch.arange(STAMP * FINE, dtype=torch.float64) + 0.5) / FINE - STAMP / 2
    v, u = torch.meshgrid(place, place, indexing="ij")  # pixels from the centre, down and right
    faint = torch.where((v / STRIPE).floor() % 2 == 0, 1.0, FAINT)
    fine = [
        _inside(shape, u / half, v / half) * (faint if fill == "striped" else 1.0)
        for half, fill, shape in itertools.product(SIZES.values(), FILLS, SHAPES)
    ]
    covered = torch.nn.functional.avg_pool2d(torch.stack(fine)[:, None], FINE)[:, 0].float()
    return covered.reshape(len(SIZES), len(FILLS), len(SHAPES), STAMP, STAMP)


def palette(colours: dict[str, tuple[int, int, int]]) -> Tensor:
    """Colours 0..255 as float32 (n, 3) in [-1, 1]. Raises ValueError for other numbers."""
    return to_unit_range(torch.tensor(list(colours.values())), 255)


def draw_places(rows: Tensor, u: Tensor) -> Tensor:
    """Where the objects' centres go: int64 (n, 2, 2) pixels, [object, (down, right)].

    ``u`` (n, 4) uniform in [0, 1): two along the relation, two across. The boxes never overlap,
    keep ``GAP`` between them along the relation, and drift at most ``DRIFT`` across it.
    Raises ValueError for rows that are no scenes, or u outside [0, 1).
    """
    rows, u = checked_rows(rows), checks.uniform("u", u)
    if u.shape != (len(rows), 4):
        raise ValueError(f"u must be ({len(rows)}, 4), as many as rows; got {tuple(u.shape)}")
    half = torch.tensor(list(SIZES.values()))
    r1, r2 = half[rows[:, 2]], half[rows[:, 6]]
    free = SIZE - 2 * MARGIN - GAP - 2 * (r1 + r2)  # pixels to share out: before, between, after
    ends = ((free + 1)[:, None] * u[:, :2]).long().sort(dim=1).values  # (n, 2)
    along = torch.stack([MARGIN + r1 + ends[:, 0], MARGIN + GAP + 2 * r1 + r2 + ends[:, 1]], dim=1)
    across = SIZE // 2 - DRIFT + ((2 * DRIFT + 1) * u[:, 2:]).long()  # (n, 2)
    upright = (rows[:, 1] == RELATIONS.index("above"))[:, None]
    down, right = torch.where(upright, along, across), torch.where(upright, across, along)
    return torch.stack([down, right], dim=2)  # (n, 2, 2)


def cover(things: Tensor, places: Tensor) -> Tensor:
    """Share of each pixel that an object covers: (n, 4) attributes, (n, 2) -> (n, 64, 64)."""
    size, fill, _, shape = things.unbind(1)
    line = torch.arange(STAMP)
    down = (places[:, 0, None] + line)[:, :, None]  # (n, STAMP, 1)
    right = (places[:, 1, None] + line)[:, None]  # (n, 1, STAMP)
    share = torch.zeros(len(things), SIZE + STAMP, SIZE + STAMP)  # stamps may reach over the edge
    share[torch.arange(len(things))[:, None, None], down, right] = stamps()[size, fill, shape]
    return share[:, STAMP // 2 : -STAMP // 2, STAMP // 2 : -STAMP // 2]


def render(rows: Tensor, places: Tensor) -> Tensor:
    """The pictures: float32 (n, 3, 64, 64) in [-1, 1].

    pixel = background + share covered · (colour − background), for one object after the other.
    Raises ValueError for rows that are no scenes, or places outside the picture.
    """
    rows, places = checked_rows(rows), inputs.whole_numbers("places", places)
    n, least = len(rows), -STAMP // 2  # there an object is just out of sight
    if places.shape != (n, 2, 2) or not ((places >= least) & (places <= SIZE)).all():
        got = tuple(places.shape)
        raise ValueError(f"places must be ({n}, 2, 2), each in {least}..{SIZE}; got {got}")
    x = palette(BACKGROUNDS)[rows[:, 0]][:, :, None, None]  # (n, 3, 1, 1)
    for i, things in enumerate((rows[:, 2:6], rows[:, 6:])):
        colour = palette(COLOURS)[things[:, 2]][:, :, None, None]  # (n, 3, 1, 1)
        x = torch.lerp(x, colour, cover(things, places[:, i])[:, None])  # (n, 3, 64, 64)
    return x


# --- which scenes are for what --------------------------------------------------------------------

# Colours and shapes that the training pictures have, but never together in one object.
HELD_OUT = (("red", "star"), ("green", "cross"), ("yellow", "diamond"), ("cyan", "triangle"))
SPLIT_SEED = 20261123
UNSEEN = 0.05  # share of the others that is for validation, and as much for testing


class Splits(NamedTuple):
    """Scene tables (n, 10) that share no scene: every scene is in exactly one of them.

    train, validation, test  scenes without a held-out pair of colour and shape
    composition              scenes in which at least one object has such a pair
    """

    train: Tensor
    validation: Tensor
    test: Tensor
    composition: Tensor


@functools.cache
def splits() -> Splits:
    """The fixed division of all scenes.

    A scene is stored in one wording only (``first`` is left or above), so the mirrored wording of
    a test scene cannot be in the training set either.
    """
    rows = every_row()
    known = torch.zeros(len(COLOURS), len(SHAPES), dtype=torch.bool)
    for colour, shape in HELD_OUT:
        known[list(COLOURS).index(colour), SHAPES.index(shape)] = True
    new = known[rows[:, 4], rows[:, 5]] | known[rows[:, 8], rows[:, 9]]
    composition, rest = rows[new], rows[~new]
    raw = np.random.PCG64(SPLIT_SEED).random_raw(len(rest))  # NumPy keeps this stream for ever
    rest = rest[torch.from_numpy(raw.argsort(kind="stable"))]
    n = int(UNSEEN * len(rest))
    train, validation, test = rest.split([len(rest) - 2 * n, n, n])
    return Splits(train, validation, test, composition)


class Pictures:
    """n pictures of scenes drawn from a scene table, rendered when asked for: nothing is stored.

    ``pictures[indices]`` is (len(indices), 3, 64, 64) in [-1, 1] and the same each time.
    ``rows`` (n, 10) and ``places`` (n, 2, 2) say what is in them; seed and n decide both.
    Raises ValueError for an empty table or n < 1.
    """

    def __init__(self, table: Tensor, n: int, seed: int = 0) -> None:
        table, n = checked_rows(table, "table"), inputs.whole("n", n, most=checks.MOST)
        if n < 1 or len(table) < 1:
            raise ValueError(f"give at least one scene and one picture; got {len(table)} and {n}")
        u = torch.rand(n, 5, dtype=torch.float64, generator=seeded(seed, n))
        self.rows = table[(u[:, 0] * len(table)).long()]
        self.places = draw_places(self.rows, u[:, 1:])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, indices: Tensor | slice) -> Tensor:
        return render(self.rows[indices], self.places[indices])
