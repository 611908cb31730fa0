"""The numbered equations of chapter 4.4, the schedule lab, each checked against the package."""

import math

import torch
from registry import Equation

from book.ch04_4_schedule_lab.explorer import Settings, gauges, make_schedule
from minildm.schedule import DiscreteSchedule

CHAPTER = "04_4_schedule_lab"


def three_gauges() -> None:
    """Counted by hand from the products."""
    for settings in (Settings("linear", 100), Settings("cosine", 60), Settings("ramp", 40)):
        schedule = make_schedule(settings)
        bars = [
            math.prod((1 - schedule.beta[1 : t + 1]).tolist()) for t in range(1, schedule.T + 1)
        ]
        got = gauges(schedule)
        assert math.isclose(got.left, bars[-1] ** 0.5, rel_tol=1e-9, abs_tol=1e-12)
        assert math.isclose(got.last, bars[-1] / (1 - bars[-1]), rel_tol=1e-9, abs_tol=1e-20)
        assert math.isclose(got.useful, sum(0.1 <= a / (1 - a) <= 10 for a in bars) / len(bars))


def betas_from_signal() -> None:
    alpha_bar = torch.linspace(1, 0.01, 31, dtype=torch.float64) ** 2
    schedule = DiscreteSchedule(1 - alpha_bar[1:] / alpha_bar[:-1])
    torch.testing.assert_close(schedule.alpha_bar, alpha_bar, rtol=1e-10, atol=0)
    torch.testing.assert_close(schedule(torch.arange(31))[0], alpha_bar.sqrt())


EQUATIONS = [
    Equation("4.4.1", CHAPTER, "the three gauges",
             "book.ch04_4_schedule_lab.explorer.gauges", three_gauges),
    Equation("4.4.2", CHAPTER, "betas from a signal", "cell straight-snr", betas_from_signal),
]
