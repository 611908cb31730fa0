"""The grammar of captions: every scene can be said, and every caption can be read back.

    caption  = thing relation thing [ "on" background ]        background: white, grey, black
    thing    = "a" [ size ] [ fill ] colour shape              "a small striped red circle"
    relation = "left of" | "right of" | "above" | "below"

    captions            scene table -> texts, in one of their two wordings
    asked_texts         the same, every other one turned
    caption_tokens      scene table -> token numbers, a million per second, for training
    read                text -> Request, what the text asks for
    text_config         an encoder of captions, for text.py
    agree               does a scene do what a request asks?

"A right of B" is the same scene as "B left of A": ``read`` always turns a text so that the first
object is the left or upper one, as in scenes.py. Words in brackets may be left out; a request then
accepts any.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from minildm import checks
from minildm.checks import inputs
from minildm.shapes.scenes import (
    ATTRIBUTES,
    RELATIONS,
    THING,
    Thing,
    checked_rows,
    numbered,
)
from minildm.text import TextEncoderConfig
from minildm.words import GRAMMARS, PAD, unknown_words

MIRRORED = {"left of": "right of", "above": "below"}  # the same relation, read from the other side
OPTIONAL = ("size 1", "fill 1", "size 2", "fill 2", "background")  # what a caption may leave out
SHORTENED = 0.15  # share of training captions that may leave something out
# Share of training captions that name the second object first. Less than 1/2, so that the order of
# the words is a first hint of who is where; the rest of the rule can be learned from there.
TURNED = 0.25

WORDS = tuple(
    dict.fromkeys(
        word
        for known in (("a", "on"), *THING, RELATIONS, tuple(MIRRORED.values()), ATTRIBUTES[0])
        for phrase in known
        for word in phrase.split()
    )
)
VOCABULARY = ("<pad>", "<null>", *WORDS)  # a word's token number is its place in here
NUMBER = {word: number for number, word in enumerate(VOCABULARY)}
SYNONYMS = {  # what people write, and what it is called here
    "big": "large", "huge": "large", "little": "small", "tiny": "small", "filled": "solid",
    "plain": "solid", "gray": "grey", "violet": "purple", "turquoise": "cyan", "over": "above",
    "under": "below", "beneath": "below", "an": "a", "the": "a",
}  # fmt: skip
LENGTH = 14  # words of the longest caption, and so the tokens of every caption


class Request(NamedTuple):
    """What a text asks for: a ``Scene`` with None wherever the text says nothing."""

    background: str | None
    relation: str
    first: Thing
    second: Thing


# --- writing --------------------------------------------------------------------------------------


def captions(rows: Tensor, mirrored: Tensor, keep: Tensor | None = None) -> list[str]:
    """Texts of scene rows (n, 10); ``mirrored`` (n,) bool: name the second object first.

    ``keep`` (n, 5) bool: which of ``OPTIONAL`` are said; None: all. Of one scene, for example,
    "a small striped red circle above a large solid blue star on grey", or
    "a large solid blue star below a small striped red circle on grey".
    """
    said = wording(rows, mirrored, keep).tolist()
    return [" ".join(VOCABULARY[number] for number in line if number != PAD) for line in said]


def asked_texts(rows: Tensor) -> list[str]:
    """Full captions of scene rows (n, 10): every other one names the second object first."""
    return captions(rows, torch.arange(len(rows)) % 2 == 1)


def caption_tokens(rows: Tensor, u: Tensor) -> Tensor:
    """Captions for training, as token numbers: rows (n, 10), u (n,) -> int64 (n, LENGTH).

    One uniform number u in [0, 1) chooses among all wordings of a scene: mirrored with probability
    ``TURNED``; of each kind, a share ``SHORTENED`` drops every one of ``OPTIONAL`` with probability
    1/2, the others are full captions.
    Raises ValueError for rows that are no scenes, or u outside [0, 1).
    """
    rows, u = checked_rows(rows), checks.uniform("u", u).double()
    if u.shape != (len(rows),):
        raise ValueError(f"u must be ({len(rows)},), one for each row; got {tuple(u.shape)}")
    mirrored = u < TURNED
    # uniform again, and independent of mirrored
    rest = torch.where(mirrored, u / TURNED, (u - TURNED) / (1 - TURNED))
    subset = (rest / SHORTENED * 2 ** len(OPTIONAL)).long()  # its bits say which words to keep
    bits = subset[:, None] >> torch.arange(len(OPTIONAL), device=u.device) & 1  # (n, 5)
    return wording(rows, mirrored, (rest >= SHORTENED)[:, None] | bits.bool())


def wording(rows: Tensor, mirrored: Tensor, keep: Tensor | None = None) -> Tensor:
    """``captions`` as token numbers: int64 (n, LENGTH), filled up with PAD.

    Raises ValueError for rows that are no scenes, and for other choices than bool (n,), (n, 5).
    """
    rows = checked_rows(rows)
    n = len(rows)
    if keep is None:
        keep = torch.ones(n, len(OPTIONAL), dtype=torch.bool)
    keep = _choices("keep", keep, (n, len(OPTIONAL)))
    swap = _choices("mirrored", mirrored, (n,))[:, None]
    # The two objects' words; what is left out becomes PAD.
    said = torch.stack([_tokens(i)[rows[:, i]] for i in range(2, 10)], dim=1)  # (n, 8)
    spoken = torch.ones_like(said, dtype=torch.bool)
    spoken[:, [0, 1, 4, 5]] = keep[:, :4]  # size and fill of each
    first, second = torch.where(spoken, said, PAD).split(4, dim=1)
    one, two = torch.where(swap, second, first), torch.where(swap, first, second)  # (n, 4)
    relation = torch.where(swap[:, :, None], _relations(True), _relations(False))  # (n, 2, 2)
    relation = relation[torch.arange(n), rows[:, 1]]  # (n, 2): "left of" has two words
    a, on = (torch.full((n, 1), NUMBER[word]) for word in ("a", "on"))
    background = torch.cat([on, _tokens(0)[rows[:, 0]][:, None]], dim=1)  # (n, 2)
    background = torch.where(keep[:, 4:], background, PAD)
    tokens = torch.cat([a, one, relation, a, two, background], dim=1)  # (n, LENGTH)
    # Close the gaps: every word moves to the left, the others behind the end.
    place = torch.where(tokens != PAD, (tokens != PAD).cumsum(1) - 1, LENGTH)  # (n, LENGTH)
    closed = tokens.new_full((n, LENGTH + 1), PAD).scatter_(1, place, tokens)
    return closed[:, :LENGTH]


def _choices(name: str, value: Tensor, shape: tuple[int, ...]) -> Tensor:
    found = inputs.values(name, value)
    if found.dtype != torch.bool or found.shape != shape:
        raise ValueError(f"{name} must be bool {shape}; got {found.dtype} {tuple(found.shape)}")
    return found


def _tokens(attribute: int) -> Tensor:
    """Token numbers of the values of a one-word attribute."""
    return torch.tensor([NUMBER[word] for word in ATTRIBUTES[attribute]])


def _relations(mirrored: bool) -> Tensor:
    """Token numbers (relations, 2) of the relations' words, PAD where there is only one."""
    phrases = [(MIRRORED[name] if mirrored else name).split() for name in RELATIONS]
    return torch.tensor([[NUMBER[word] for word in p] + [PAD] * (2 - len(p)) for p in phrases])


# --- reading --------------------------------------------------------------------------------------


def read(text: str) -> Request:
    """What a text asks for, the left or upper object first; see the grammar above.

    Raises ValueError for a word outside the vocabulary (naming the nearest ones) and for a text
    outside the grammar (naming the place and what may stand there).
    """
    words = split(text)
    one, place = _read_thing(text, words, 0)
    relation, place = _read_relation(text, words, place)
    two, place = _read_thing(text, words, place)
    background = None
    if place < len(words):
        _, place = _take(text, words, place, ("on",), "'on' or the end")
        background, place = _take(text, words, place, ATTRIBUTES[0], "a background")
    if place < len(words):
        raise _misplaced(text, words, place, "the end")
    if relation in RELATIONS:
        return Request(background, relation, one, two)
    turned = {said: name for name, said in MIRRORED.items()}
    return Request(background, turned[relation], two, one)


GRAMMARS["captions"] = read


def text_config(**sizes: int) -> TextEncoderConfig:
    """The config of an encoder of captions: their words, length, grammar; ``sizes`` as in there."""
    return TextEncoderConfig(WORDS, LENGTH, **sizes, grammar="captions")


def split(text: str) -> list[str]:
    """The words of a text, in lower case. ValueError names all that the grammar does not have."""
    if not isinstance(text, str):
        raise ValueError(f"a text is a string; got {text!r}")
    words = text.lower().strip(" .\n\t").split()
    unknown = [word for word in words if word not in WORDS]
    if unknown:
        raise unknown_words(unknown, text, WORDS, SYNONYMS)
    return words


def _read_thing(text: str, words: list[str], place: int) -> tuple[Thing, int]:
    sizes, fills, colours, shapes = THING
    _, place = _take(text, words, place, ("a",), "'a'")
    size = fill = None
    if words[place : place + 1] and words[place] in sizes:
        size, place = words[place], place + 1
    if words[place : place + 1] and words[place] in fills:
        fill, place = words[place], place + 1
    open_to = [name for name, value in (("size", size), ("fill", fill)) if value is None]
    before = "a colour" if size or fill else f"a {', '.join(open_to)} or colour"
    colour, place = _take(text, words, place, colours, before)
    shape, place = _take(text, words, place, shapes, "a shape")
    return Thing(size, fill, colour, shape), place


def _read_relation(text: str, words: list[str], place: int) -> tuple[str, int]:
    for phrase in (*RELATIONS, *MIRRORED.values()):
        if words[place : place + len(phrase.split())] == phrase.split():
            return phrase, place + len(phrase.split())
    names = ", ".join((*RELATIONS, *MIRRORED.values()))
    if place < len(words) and words[place] in ("left", "right"):
        raise _misplaced(text, words, place + 1, "'of'")
    raise _misplaced(text, words, place, f"a relation to a second object ({names})")


def _take(text: str, words: list[str], place: int, known: Any, expected: str) -> tuple[str, int]:
    if place < len(words) and words[place] in known:
        return words[place], place + 1
    names = f" ({', '.join(known)})" if len(known) > 1 else ""
    raise _misplaced(text, words, place, expected + names)


def _misplaced(text: str, words: list[str], place: int, expected: str) -> ValueError:
    found = f"{words[place]!r} as word {place + 1}" if place < len(words) else "the end"
    return ValueError(
        f"{text!r} is outside the grammar: expected {expected}, found {found}. A full example: "
        "a small striped red circle above a large solid blue star on grey"
    )


# --- comparing ------------------------------------------------------------------------------------


def agree(rows: Tensor, wanted: Tensor) -> Tensor:
    """Attribute by attribute: scene rows (n, 10), ``request_rows`` (n, 10) -> bool (n, 10).

    One row is compared with all. Raises ValueError for rows that are none.
    """
    rows, wanted = checked_rows(rows), checked_rows(wanted, "wanted", least=-1)
    if len(rows) != len(wanted) and 1 not in (len(rows), len(wanted)):
        raise ValueError(f"rows and wanted are as many; got {len(rows)} and {len(wanted)}")
    return (rows == wanted) | (wanted < 0)


def request_rows(requests: Sequence[Request]) -> Tensor:
    """Requests as integers like ``to_rows``: int64 (n, 10), with -1 for what is not said.

    Raises ValueError for a value that is no attribute.
    """
    return numbered("requests", requests, [(None, *known) for known in ATTRIBUTES]) - 1
