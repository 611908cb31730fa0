"""What the letters of chapter 4.4 stand for: values that the package computed."""

from latexvalue import WORDS, Operator
from pageforms import shows
from symbols import cell_value, table

from book.ch04_4_schedule_lab.explorer import Settings, gauges, make_schedule

CHAPTER = "04_4_schedule_lab"


@shows("4.4.1")
def three_gauges():
    for settings in (
        Settings("linear", 100),
        Settings("cosine", 60),
        Settings("scaled linear", 40),
    ):
        schedule = make_schedule(settings)
        got, T = gauges(schedule), schedule.T

        def count(rest, T=T):
            return sum(
                all((found[0] == t, found[1])) for t in range(1, T + 1) if (found := rest({"t": t}))
            )

        yield table(schedule) | {
            r"\text{signal left at} T": WORDS, r"\mathrm{SNR}_T": got.last, "t": 1,
            r"\#": Operator(count),
            "values": [got.left, got.useful],
        }  # fmt: skip


@shows("4.4.2")
def betas_from_signal():
    """The betas are those that the cell ``straight-snr`` makes of its alpha_bar."""
    bars = cell_value(CHAPTER, "log_snr", "alpha_bar").tolist()
    betas = cell_value(CHAPTER, "log_snr", "alpha_bar", "my_betas").tolist()
    for t in (1, 2, 100, 200):
        yield {
            r"\beta_t": betas[t - 1], "t": t, r"\bar\alpha_": lambda t: bars[round(t)],
            "a_": lambda t: bars[round(t)] ** 0.5,
        }  # fmt: skip
