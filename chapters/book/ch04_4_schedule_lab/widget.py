"""Sliders for the reader. Everything that they show comes from pure functions (explorer.py).

ScheduleExplorer()            chapter 4.4: drag a beta schedule and see what it does
ScheduleExplorer(my_betas)    the same, with a schedule of your own among the kinds
"""

from pathlib import Path

import anywidget
import torch
import traitlets
from torch import Tensor

from book.ch04_4_schedule_lab.explorer import (
    Settings,
    data_points,
    draw_samples,
    make_schedule,
    noise_points,
)
from book.language import told, widget_texts
from minildm import checks


class ScheduleExplorer(anywidget.AnyWidget):
    """A beta schedule with sliders: its curves, its gauges, a cloud that it dissolves, samples.

    Curves and cloud are drawn in the browser (schedule_explorer.js); samples are drawn in Python,
    with the book's samplers and the exact denoiser, when the button is pressed.

    ``betas``: float64 (T,), shown as kind "your own"; ``settings``: where the sliders start.
    Raises ValueError for betas that are no schedule.
    """

    _esm = Path(__file__).with_name("schedule_explorer.js")
    kind = traitlets.Unicode("linear").tag(sync=True)
    T = traitlets.Int(1000).tag(sync=True)
    first = traitlets.Float(1e-4).tag(sync=True)
    last = traitlets.Float(0.02).tag(sync=True)
    zero_terminal = traitlets.Bool(False).tag(sync=True)
    own = traitlets.List(traitlets.Float()).tag(sync=True)
    place = traitlets.Float(0.3).tag(sync=True)
    sampler = traitlets.Unicode("ddim").tag(sync=True)
    steps = traitlets.Int(20).tag(sync=True)
    request = traitlets.Int(0).tag(sync=True)
    clean = traitlets.Bytes().tag(sync=True)
    noise = traitlets.Bytes().tag(sync=True)
    samples = traitlets.Bytes(b"").tag(sync=True)
    figures = traitlets.Dict().tag(sync=True)
    messages = traitlets.Dict().tag(sync=True)  # texts in the reader's language

    def __init__(self, betas: Tensor | None = None, settings: Settings | None = None) -> None:
        chosen = settings or Settings()
        own = [] if betas is None else checks.betas(betas).tolist()
        super().__init__(
            kind="your own" if own else chosen.kind, T=chosen.T, first=chosen.first,
            last=chosen.last, zero_terminal=chosen.zero_terminal, own=own,
            clean=_bytes(data_points()), noise=_bytes(noise_points()),
            messages=widget_texts(),
        )  # fmt: skip
        self.observe(self._sample, "request")

    @property
    def settings(self) -> Settings:
        """Where the sliders stand."""
        return Settings(
            self.kind, self.T, self.first, self.last, self.zero_terminal, tuple(self.own)
        )

    def _sample(self, _change) -> None:
        drawn = draw_samples(make_schedule(self.settings), self.sampler, self.steps)
        self.samples = _bytes(drawn.samples)
        self.figures = {
            "samples": len(drawn.samples), "sampler": self.sampler, "steps": self.steps,
            "text": told(drawn.text), "request": self.request,
        }  # fmt: skip

    def __repr__(self) -> str:
        return f"ScheduleExplorer({self.kind}, T = {self.T})"


def _bytes(points: Tensor) -> bytes:
    """Points (n, 2) as the float32 numbers that the browser reads."""
    return points.to(torch.float32).numpy().tobytes()
