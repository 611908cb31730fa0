"""Exercises of chapter 0: the first page."""

import functools

import torch

from book.exercises import Exercise
from minildm.latent import LatentDiffusion
from minildm.shapes.captions import agree, read, request_rows
from minildm.shapes.judge import judge
from minildm.shapes.scenes import NAMES

FIRST = "a large solid yellow star above a small striped blue triangle on white"  # of the page


@functools.cache
def _model() -> LatentDiffusion:
    return LatentDiffusion.load("shapes")


# --- 0-1 ------------------------------------------------------------------------------------------


def _check_caption(text) -> str | None:
    if not isinstance(text, str):
        return 'the answer is a text, in quotes: "a small solid red circle above ..."'
    try:
        request = read(text)
    except ValueError as error:
        return f"the model cannot read that: {error}"
    wanted = request_rows([request])
    unsaid = [name for name, value in zip(NAMES, wanted[0].tolist(), strict=True) if value < 0]
    if unsaid:
        return (
            f"your text leaves open: {', '.join(unsaid)}. Say all ten attributes, so that there "
            "is something to judge"
        )
    if text == FIRST:
        return "that is the text of the first cell; ask for another picture"
    if request == read(FIRST):
        return "that is the picture of the first cell in other words; ask for another one"
    verdict = judge(_model().text_to_image([text], guidance=2.5, seed=0))
    right = agree(verdict.rows, wanted)[0]
    if bool(verdict.accepted) and bool(right.all()):
        return None
    wrong = [name for name, fine in zip(NAMES, right.tolist(), strict=True) if not fine]
    return (
        f"the judge does not find what you asked for ({', '.join(wrong) or 'no clear picture'}). "
        "Your text is fine: the model fails in about 2 of 100. Ask for something else"
    )


CAPTION = Exercise(
    id="0-1",
    title="a text of your own, with all ten attributes",
    stub="my_caption = ...  # YOUR CODE HERE: a text in quotes",
    solution='my_caption = "a small solid green cross left of a large striped red circle on grey"',
    answer="my_caption",
    check=_check_caption,
    hint="Take the text of the first cell and change one word at a time.",
    wrong=(
        (7, "in quotes"),
        ("my_caption = 'a small solid red dog above a large solid blue star on grey'", "'dog'"),
        ("my_caption = 'a red circle'", "a relation to a second object"),
        ("my_caption = 'a red circle above a blue star'", "leaves open: background, size 1"),
        (f"my_caption = {FIRST!r}", "ask for another picture"),
        (
            "my_caption = 'a small striped blue triangle below a large solid yellow star on white'",
            "in other words",
        ),
    ),
    praise="drawn, read, and right in all ten attributes.",
)


# --- 0-2 ------------------------------------------------------------------------------------------


def _check_signal(value) -> str | None:
    schedule, value = _model().schedule, float(value)
    signal, noise = (float(part) for part in schedule(300))

    def near(other) -> bool:
        return abs(value - float(other)) < 1e-4

    if near(signal):
        return None
    if near(noise):
        return "that is the factor of the noise; the question is for the signal"
    if near(schedule.alpha_bar[300]):
        return "that is the power that is left, alpha_bar; the factor is its square root"
    if near(schedule.alpha[300]) or near(schedule.alpha[300] ** 0.5):
        return "that is what step 300 alone keeps; what all 300 steps keep is their product"
    if near(schedule(299)[0]) or near(schedule(301)[0]):
        return "that belongs to a neighbour of t = 300: the tables start at t = 0"
    if abs(value - signal) < 6e-3:
        return "near, but rounded: compute it, do not type it in"
    if not 0 <= value <= 1:
        return f"a factor of the signal is between 0 and 1; yours is {value:.4g}"
    return f"not {value:.4g}: look for the row with the factor of the signal"


SIGNAL = Exercise(
    id="0-2",
    title="the factor of the signal at t = 300",
    stub="signal_300 = ...  # YOUR CODE HERE: one number",
    solution="signal_300 = float(model.schedule(300)[0])  # or alpha_bar[300] ** 0.5",
    answer="signal_300",
    check=_check_signal,
    hint="model.schedule(t) gives two numbers: which is which, the cell with the pencil says.",
    setup='from minildm.latent import LatentDiffusion\nmodel = LatentDiffusion.load("shapes")',
    wrong=(
        ("signal_300 = model.schedule(300)[1]", "factor of the noise"),
        ("signal_300 = model.schedule.alpha_bar[300]", "square root"),
        ("signal_300 = model.schedule.alpha[300]", "their product"),
        ("signal_300 = model.schedule(299)[0]", "neighbour of t = 300"),
        (0.3, "look for the row"),
        (0.89, "rounded"),
        (88.7, "between 0 and 1"),
        (float("nan"), "between 0 and 1"),
    ),
    praise="the two factors are like two sides of a right triangle: their squares sum to 1.",
)


# --- 0-3 ------------------------------------------------------------------------------------------


def _check_stops(stops) -> str | None:
    stops = torch.as_tensor(stops).flatten().tolist()
    wanted = _model().schedule.times(4).tolist()
    if stops == wanted:
        return None
    if stops == wanted[::-1]:
        return "the right places in the wrong order: a walk goes from noise to data"
    if stops == wanted[:-1]:
        return "four steps have five ends: the last one is clean data"
    if stops == wanted[1:]:
        return "the walk starts one stop earlier, where there is nothing but noise"
    if stops == [4, 3, 2, 1, 0]:
        return "those are the numbers of the steps; the question is for the times t, of 1,000"
    if max(stops, default=0) <= 1 and len(stops) == 5:
        return "times are whole numbers here, the noise levels of the model: 1 is nearly clean"
    if stops == list(range(0, 1000, 250)):
        return "four steps have five ends, and a walk goes from noise to data"
    if len(stops) == 5 and stops[0] == 999:
        return "in this book the last time is T = 1000, and 0 is clean data"
    return f"five times, evenly spread, from T to 0; yours: {stops[:6]}"


STOPS = Exercise(
    id="0-3",
    title="the times at which a walk of four steps stops",
    stub="stops = ...  # YOUR CODE HERE: a list of times, in the order of the walk",
    solution="stops = [1000, 750, 500, 250, 0]  # or model.schedule.times(4)",
    answer="stops",
    check=_check_stops,
    hint="Where does it start, where does it end? Then divide the way into four equal parts.",
    wrong=(
        ([0, 250, 500, 750, 1000], "wrong order"),
        ([1000, 750, 500, 250], "five ends"),
        ([750, 500, 250, 0], "one stop earlier"),
        ([4, 3, 2, 1, 0], "numbers of the steps"),
        ([999, 749, 499, 249, 0], "T = 1000"),
        ([1000, 0], "evenly spread"),
        ([1, 0.75, 0.5, 0.25, 0], "whole numbers"),
        ([0, 250, 500, 750], "from noise to data"),
        ([], "evenly spread"),
    ),
    praise="T belongs to the model; the number of steps is yours to choose.",
)

EXERCISES = [CAPTION, SIGNAL, STOPS]
