"""Exercises of chapter 9.1, the bug museum."""

import torch

from book.ch09_1_museum import EXHIBITS, HIDDEN, Package, planted
from book.ch09_1_museum.exhibit import quietly
from book.exercises import Exercise

# --- 9.1-1 ----------------------------------------------------------------------------------------

REPORTS = ("eta-on-the-variance", "next-time", "sum-of-means")
REMARKS = {
    ("eta-on-the-variance", "stale-noise"): "stale eps would not mind what eta is",
    ("next-time", "grid-without-T"): "a missing start hurts any small number of steps, 10 too",
    ("next-time", "noise-at-the-end"): "noise at the end would show with 50 steps, too",
    ("sum-of-means", "average-left-in"): "the average does not know in how many parts a batch came",
}


def _check_names(names) -> str | None:
    names = [str(name) for name in names]
    if len(names) != 3:
        return f"three names are needed, one for each report; you gave {len(names)}"
    known = {exhibit.name for exhibit in EXHIBITS}
    for letter, name, wanted in zip("abc", names, REPORTS, strict=True):
        if name not in known:
            return f"({letter}) there is no exhibit {name!r}; their names are in the calls of visit"
        if name != wanted:
            why = REMARKS.get((wanted, name), "look again at when the symptom comes and goes")
            return f"({letter}) it is not {name}: {why}"
    return None


NAMES = Exercise(
    id="9.1-1",
    title="name the exhibits behind three reports",
    stub="names = [..., ..., ...]  # YOUR CODE HERE: three names of exhibits",
    solution="""
names = ["eta-on-the-variance", "next-time", "sum-of-means"]
""",
    answer="names",
    check=_check_names,
    hint="Ask of each report: when is everything fine? That is where the wrong line is right.",
    wrong=(
        (["eta-on-the-variance", "next-time"], "three names"),
        (["eta", "next-time", "sum-of-means"], "there is no exhibit"),
        (["stale-noise", "next-time", "sum-of-means"], "would not mind"),
        (["eta-on-the-variance", "grid-without-T", "sum-of-means"], "10 too"),
        (["eta-on-the-variance", "next-time", "off-by-one"], "comes and goes"),
    ),
    praise="a symptom that comes and goes tells more than one that is always there.",
)

# --- 9.1-2 ----------------------------------------------------------------------------------------


def _check_detector(detector) -> str | None:
    if not callable(detector):
        return "a detector is a function of a package: def looks_right(package): ..."
    right = quietly(detector, Package())
    if str(getattr(right, "dtype", type(right).__name__)).removeprefix("torch.") != "bool":
        return f"return True or False; for the right package yours returns {str(right)[:30]!r}"
    if not right:
        return "it says that the right package is wrong: a false alarm"
    with planted(HIDDEN) as package:
        if quietly(detector, package):
            return (
                "it takes the planted package for right: one error alone may be small in both, so "
                "compare how fast it falls with the number of steps"
            )
    return None


_IMPORT = "from book.ch09_1_museum.scene import gaussian_error\n"
_DEF = "def looks_right(package):\n"

DETECTOR = Exercise(
    id="9.1-2",
    title="a detector for the fault in dpmpp_2m",
    stub="""
def looks_right(package):
    ...  # YOUR CODE HERE: True if package.samplers.dpmpp_2m is right, else False
""",
    setup=_IMPORT,
    solution="""
def looks_right(package):
    step = package.samplers.dpmpp_2m
    coarse, fine = (gaussian_error(package, step, steps) for steps in (40, 80))
    return coarse / fine > 3  # 4 for order 2, 2 for order 1
""",
    answer="looks_right",
    check=_check_detector,
    hint="gaussian_error(package, step, steps) for two numbers of steps: what is their ratio?",
    wrong=(
        (42, "a function of a package"),
        (_DEF + "    return 'fine'", "True or False"),
        (_DEF + "    return False", "false alarm"),
        (
            _DEF + "    return gaussian_error(package, package.samplers.dpmpp_2m, 80) < 0.1",
            "how fast",
        ),
    ),
    praise="an order of convergence sees a factor of two that no picture shows.",
)

# --- 9.1-3 ----------------------------------------------------------------------------------------

GRIDS = (  # grid, T, is it good?, what is the matter with it
    ([50, 25, 0], 50, True, ""),
    ([50, 0], 50, True, ""),
    ([1000, 667, 333, 0], 1000, True, ""),
    ([40, 20, 0], 50, False, "does not start at T"),
    ([50, 25, 1], 50, False, "does not end at clean data"),
    ([0, 25, 50], 50, False, "goes up"),
    ([50, 25, 25, 0], 50, False, "stands still"),
    ([50, 20, 30, 0], 50, False, "goes up once on the way"),
)


def _check_grids(good) -> str | None:
    if not callable(good):
        return "good_grid must be a function of (times, T)"
    for grid, T, wanted, matter in GRIDS:
        got = bool(good(torch.tensor(grid), T))
        if got and not wanted:
            return f"good_grid accepts {grid} with T = {T}, which {matter}"
        if wanted and not got:
            return f"good_grid refuses {grid} with T = {T}, and nothing is the matter with it"
    return None


GRID = Exercise(
    id="9.1-3",
    title="a function that knows a good grid from a bad one",
    setup="import torch",
    stub="""
def good_grid(times, T):
    ...  # YOUR CODE HERE: True or False; times is int64, (steps + 1,)
""",
    solution="""
def good_grid(times, T):
    return times[0] == T and times[-1] == 0 and bool((times.diff() < 0).all())
""",
    answer="good_grid",
    check=_check_grids,
    hint="Where does it start, where does it end, and what is the sign of each difference?",
    wrong=(
        (True, "must be a function"),
        ("def good_grid(times, T):\n    return times[0] == T", "does not end"),
        ("def good_grid(times, T):\n    return times[-1] == 0", "does not start"),
        (
            "def good_grid(times, T):\n    return times[0] == T and times[-1] == 0",
            "stands still",
        ),
        (
            "def good_grid(times, T):\n"
            "    return times[0] == T and times[-1] == 0 and (times.diff() <= 0).all()",
            "stands still",
        ),
        ("def good_grid(times, T):\n    return len(times) > 2", "refuses [50, 0]"),
    ),
    praise="three conditions, and two exhibits can no longer happen to you.",
)

# --- 9.1-4 ----------------------------------------------------------------------------------------

SUSPECTS = {
    1: "the table is that of the right package: the third measurement says so",
    2: "a posterior mean with wrong factors would differ; the second measurement says it does not",
    3: "the variance that posterior returns is right; the second measurement says so",
    5: "that line only asks posterior for a sample and hands the noise on, the same as in ddim",
}


def _check_suspect(number) -> str | None:
    if number == 4:
        return None
    return SUSPECTS.get(number, "the answer is the number of a line, 1 to 5")


SUSPECT = Exercise(
    id="9.1-4",
    title="the line behind a symptom",
    stub="my_line = ...  # YOUR CODE HERE: 1, 2, 3, 4 or 5",
    solution="""
my_line = 4
""",
    answer="my_line",
    check=_check_suspect,
    hint="The mean and the variance are right, the sample is wrong: what lies between them?",
    wrong=(
        (1, "third measurement"),
        (2, "mean"),
        (3, "variance"),
        (5, "hands"),
        (7, "1 to 5"),
        (4.7, "1 to 5"),
    ),
    praise="a fault is cornered by what is still right.",
)

EXERCISES = [NAMES, DETECTOR, GRID, SUSPECT]
