"""Exercises of chapter 5.7, real drawings."""

from collections.abc import Callable, Sequence
from itertools import combinations, product

import torch

from book.exercises import Exercise

# --- 5.7-1 ----------------------------------------------------------------------------------------

ROLES = ("cook", "pilot", "judge", "farmer")
WHO, TONES = ("woman", "man", "person"), ("light", "medium", "dark")
EVERY = [*product(ROLES, WHO, TONES)]
Combination = tuple[str, str, str]


def _pairs(one: Combination) -> set:
    """The pairs of parts, each with its two places."""
    return {(i, j, one[i], one[j]) for i, j in combinations(range(3), 2)}


def _known(train: Sequence[Combination], parts: Callable[[Combination], set]) -> set:
    return {part for one in train for part in parts(one)}


def _fair(train: Sequence[Combination], asked: Sequence[Combination]) -> list[Combination]:
    known = _known(train, _pairs)
    return [one for one in asked if one not in train and _pairs(one) <= known]


def _single(train: Sequence[Combination], asked: Sequence[Combination]) -> list[Combination]:
    known = _known(train, lambda one: {*enumerate(one)})
    return [one for one in asked if one not in train and {*enumerate(one)} <= known]


def _placeless(train: Sequence[Combination], asked: Sequence[Combination]) -> list[Combination]:
    known = _known(train, lambda one: {*combinations(one, 2)})
    return [one for one in asked if one not in train and {*combinations(one, 2)} <= known]


def _with_training(train: Sequence[Combination], asked: Sequence[Combination]) -> list[Combination]:
    return [one for one in asked if _pairs(one) <= _known(train, _pairs)]


def _trials() -> list[tuple[list[Combination], list[Combination]]]:
    """Some trainings, and what is asked after each; in the last, words stand in several places."""
    draw = torch.Generator().manual_seed(0)
    trials = []
    for share in (0.4, 0.6, 0.8):
        order = torch.randperm(len(EVERY), generator=draw).tolist()
        train = [EVERY[i] for i in order[: int(share * len(EVERY))]]
        trials.append((train, EVERY))
    odd = [("x", "a", "b"), ("a", "y", "c"), ("y", "b", "c")]
    return [*trials, (odd, [("a", "b", "c"), ("a", "b", "x")])]


def _check_fair(function: Callable) -> str | None:
    trials = _trials()
    found = []
    for train, asked in trials:
        answer = list(function(list(train), list(asked)))
        if any(isinstance(one, str) or not hasattr(one, "__len__") for one in answer):
            return "return a list of the combinations themselves"
        found.append([tuple(one) for one in answer])
    if found == [_fair(*trial) for trial in trials]:
        return None
    if [sorted(one) for one in found] == [sorted(_fair(*trial)) for trial in trials]:
        return "these are the right ones; keep the order of asked"
    for complaint, rule in {
        "what is in train is no test: leave it out": _with_training,
        "single parts are not enough: each *pair* of parts must occur in train": _single,
        "a pair counts in its places: role and gender, role and tone, gender and tone": _placeless,
        "the other way round: these are the unfair ones": lambda train, asked: [
            one for one in asked if one not in train and one not in _fair(train, asked)
        ],
    }.items():
        if found == [rule(*trial) for trial in trials]:
            return complaint
    return "not in train; and each of its three pairs of parts, in their places, is in train"


FAIR = Exercise(
    id="5.7-1",
    title="which combinations are fair to ask",
    setup="from itertools import combinations",
    stub="""
def fair(train, asked):
    return ...  # YOUR CODE HERE: those of asked, a list, in their order
""",
    solution="""
def pairs(one):
    return {(i, j, one[i], one[j]) for i, j in combinations(range(3), 2)}


def fair(train, asked):
    known = {pair for one in train for pair in pairs(one)}
    return [one for one in asked if one not in train and pairs(one) <= known]
""",
    answer="fair",
    check=_check_fair,
    hint="Collect all pairs of parts that occur in train, each with its two places, in a set.",
    wrong=(
        (
            "def fair(train, asked):\n"
            "    known = {pair for one in train for pair in pairs(one)}\n"
            "    return [one for one in asked if pairs(one) <= known]",
            "in train is no test",
        ),
        (
            "def fair(train, asked):\n"
            "    known = {(i, part) for one in train for i, part in enumerate(one)}\n"
            "    return [one for one in asked if one not in train and {*enumerate(one)} <= known]",
            "single parts are not enough",
        ),
        (
            "def fair(train, asked):\n"
            "    known = {pair for one in train for pair in combinations(one, 2)}\n"
            "    return [one for one in asked\n"
            "            if one not in train and {*combinations(one, 2)} <= known]",
            "in its places",
        ),
        (
            "def fair(train, asked):\n"
            "    known = {pair for one in train for pair in pairs(one)}\n"
            "    return [one for one in asked if one not in train and not pairs(one) <= known]",
            "the other way round",
        ),
        (
            "right = fair\ndef fair(train, asked):\n    return sorted(right(train, asked))",
            "keep the order",
        ),
        (
            "right = fair\n"
            "def fair(train, asked):\n"
            "    return [one in right(train, asked) for one in asked]",
            "combinations themselves",
        ),
    ),
    praise="a test is only as good as what is held out: the parts known, their company not.",
)

# --- 5.7-2 ----------------------------------------------------------------------------------------

DISTANCES = torch.tensor([0.5, 0.2, 0.9, 0.2, 0.7, 0.1, 0.9, 0.4], dtype=torch.float64)


def _check_rank(function: Callable) -> str | None:
    d, m = DISTANCES, len(DISTANCES)
    found = [int(function(d, k)) for k in range(m)]
    if found == [int((d <= d[k]).sum()) for k in range(m)]:
        return None
    for complaint, value in {
        "a tie counts against it: else a judge that finds all alike would say that all is right":
            [int((d < d[k]).sum()) + 1 for k in range(m)],
        "the best rank is 1: count the drawing itself, too": [int((d < d[k]).sum())
                                                              for k in range(m)],
        "nearest is smallest: count those that are *nearer* than the asked one":
            [int((d >= d[k]).sum()) for k in range(m)],
        "that is the number of the nearest drawing, not the place of the asked one":
            [int(d.argmin())] * m,
        "that is the drawing at place k, not the place of drawing k": d.argsort().tolist(),
    }.items():
        if found == value:
            return complaint
    return "how many distances are at most d[k]? That one itself is among them"


RANK = Exercise(
    id="5.7-2",
    title="the place of a drawing among all",
    stub="""
def rank_of(d, k):
    return ...  # YOUR CODE HERE: d (m,), k a whole number; 1 is best
""",
    solution="""
def rank_of(d, k):
    return (d <= d[k]).sum()
""",
    answer="rank_of",
    check=_check_rank,
    hint="Compare all distances with d[k], and count.",
    wrong=(
        ("def rank_of(d, k):\n    return (d < d[k]).sum() + 1", "a tie counts against it"),
        ("def rank_of(d, k):\n    return (d < d[k]).sum()", "best rank is 1"),
        ("def rank_of(d, k):\n    return (d >= d[k]).sum()", "nearest is smallest"),
        ("def rank_of(d, k):\n    return d.argmin()", "number of the nearest"),
        ("def rank_of(d, k):\n    return d.argsort()[k]", "not the place of drawing k"),
        ("def rank_of(d, k):\n    return (d <= d[k])[0]", "at most d[k]"),
    ),
    praise="a network that says 0 to everything now has rank m, not rank 1.",
)

# --- 5.7-3 ----------------------------------------------------------------------------------------

TABLE = {*"abcdefghijklmnopqrstuvwxyz", "fire", "fight", "er", "fi", "re", "dino", "no", "saur"}
CUT = ("firefighter", "firefigter", "dinosaur", "z", "firer", "fire", "")


def _pieces(word: str, table: set[str], longest: bool = True) -> list[str]:
    """Greedy from the left: the longest, or else the shortest, piece that is in the table."""
    found = []
    while word:
        sizes = range(1, len(word) + 1)
        size = next(n for n in (reversed(sizes) if longest else sizes) if word[:n] in table)
        found.append(word[:size])
        word = word[size:]
    return found


def _from_the_right(word: str, table: set[str]) -> list[str]:
    found: list[str] = []
    while word:
        size = next(n for n in range(len(word), 0, -1) if word[-n:] in table)
        found.insert(0, word[-size:])
        word = word[:-size]
    return found


def _check_pieces(function: Callable) -> str | None:
    found = []
    for word in CUT:
        answer = function(word, set(TABLE))
        if isinstance(answer, str):
            return "return a list of pieces, not one text"
        found.append([str(piece) for piece in answer])
    if found == [_pieces(word, TABLE) for word in CUT]:
        return None
    if found == [_pieces(word, TABLE, longest=False) for word in CUT]:
        return "these are the shortest pieces, single letters: try the longest first"
    if any("".join(answer) != word for answer, word in zip(found, CUT, strict=True)):
        return "joined, the pieces must give the word again, with no letter lost or twice"
    if any(piece not in TABLE for answer in found for piece in answer):
        return "every piece must be in the table; single letters are"
    if found == [_from_the_right(word, TABLE) for word in CUT]:
        return "from the left: the first piece is the longest that the word begins with"
    return "cut off the longest piece that the word begins with, then go on with what is left"


PIECES = Exercise(
    id="5.7-3",
    title="a tokenizer that refuses no word",
    stub="""
def pieces(word, table):
    return ...  # YOUR CODE HERE: a list of texts that give word when joined
""",
    solution="""
def pieces(word, table):
    found = []
    while word:
        end = len(word)
        while word[:end] not in table:
            end -= 1
        found.append(word[:end])
        word = word[end:]
    return found
""",
    answer="pieces",
    check=_check_pieces,
    hint="Try word[:end] from the whole word downwards; cut off the first that is in the table.",
    wrong=(
        ("def pieces(word, table):\n    return list(word)", "shortest pieces"),
        ("def pieces(word, table):\n    return [word]", "must be in the table"),
        (
            "def pieces(word, table):\n"
            "    return [p for p in sorted(table, key=len, reverse=True) if p in word]",
            "give the word again",
        ),
        (
            "def pieces(word, table):\n"
            "    found = []\n"
            "    while word:\n"
            "        start = 0\n"
            "        while word[start:] not in table:\n"
            "            start += 1\n"
            "        found.insert(0, word[start:])\n"
            "        word = word[:start]\n"
            "    return found",
            "from the left",
        ),
        ("def pieces(word, table):\n    return word", "not one text"),
    ),
    praise="'firefigter' is fire + fi + g + t + er now: drawn as something, and never refused.",
)

EXERCISES = [FAIR, RANK, PIECES]
