"""Exercises of chapters 0 to 3: other right answers count too, in torch, NumPy and Python."""

import pytest

from book.exercises import find, verdict

SETUP = """
import math
import numpy as np
import torch
from minildm.latent import LatentDiffusion
from minildm.schedule import DiscreteSchedule, cosine_betas
schedule = DiscreteSchedule(cosine_betas(1000))
"""
# id -> (what holds the answer, other ways to write it)
RIGHT = {
    "0-2": ("a", (
        "a = float(schedule(300)[0])", "a = schedule.alpha_bar[300].sqrt()",
        "a = np.sqrt(schedule.alpha_bar[300].numpy())", "a = schedule(300)[0].float()",
    )),
    "0-3": ("a", (
        "a = [1000, 750, 500, 250, 0]", "a = (1000, 750, 500, 250, 0)", "a = schedule.times(4)",
        "a = np.linspace(1000, 0, 5)", "a = torch.linspace(1000, 0, 5)",
    )),
    "1-1": ("a", (
        "a = [0.993] + 7 * [0.001]", "a = np.array([0.001] * 7 + [0.993])",
        "a = torch.tensor([0.993] + 7 * [0.001])", "a = (0.99, *[0.01 / 7] * 7)",
    )),
    "1-2": ("a", (
        "a = (0.636, 0.693, math.inf)", "a = [2 * math.log(2) - 0.75, math.log(2), float('inf')]",
        "a = (torch.tensor(0.25).log() * -1 - 0.75, torch.tensor(2.0).log(), torch.inf)",
        "a = (np.log(4) - 0.75, np.log(2), np.inf)",
    )),
    "1-3": ("f", (
        "f = lambda c: max(max(c[:i + 1]) - c[i] for i in range(len(c)))",
        "f = lambda c: (np.maximum.accumulate(c.numpy()) - c.numpy()).max()",
        "f = lambda c: (torch.cummax(c, 0).values - c).max()",
    )),
    "1-4": ("f", (
        "def f(by, p):\n"
        "    good = [n for n in sorted(by) if all(x >= p for x in by[n])]\n"
        "    return good[0] if good else math.inf",
        "f = lambda by, p: min([n for n, v in by.items() if np.min(v) >= p] + [np.inf])",
        "f = lambda by, p: min((n for n, v in by.items() if min(v) >= p), default=torch.inf)",
    )),
    "2-1": ("a", ("a = 191", "a = torch.tensor(191)", "a = np.int64(191)", "a = 191.0")),
    "2-2": ("a", (
        "a = int((schedule.snr < 1).nonzero()[0])", "a = (schedule.snr < 1).nonzero()[0]",
        "a = np.argmax(schedule.snr.numpy() < 1)",
        "a = next(t for t in range(1001) if schedule.snr[t] < 1)",
    )),
    "2-3": ("f", (
        "f = lambda p, k: (k * p - 1) / (k - 1)", "f = lambda p, k: 1 - (1 - p) * k / (k - 1)",
        "f = lambda p, k: torch.tensor((p - 1 / k) / (1 - 1 / k))",
        "f = lambda p, k: np.float32((p - 1 / k) / (1 - 1 / k))",
    )),
    "2-4": ("a", (
        "a = {'text encoder', 'unet', 'decoder'}", "a = ['unet', 'decoder', 'text encoder']",
        "a = ('UNet', 'decoder', 'text encoder')",
    )),
    "3-1": ("f", (
        "f = lambda snr, t, s: (s**2 * snr <= snr[t]).nonzero()[0]",
        "f = lambda snr, t, s: np.argmax(s**2 * snr.numpy() <= float(snr[t]))",
        "f = lambda snr, t, s: (s**2 * snr - snr[t]).abs().argmin()",
        "f = lambda snr, t, s: next(u for u in range(1001) if s * s * snr[u] <= snr[t])",
    )),
    "3-2": ("f", (
        "f = lambda z, e, s, t: torch.sqrt(t / s) * z + torch.sqrt(1 - t / s) * e",
        "f = lambda z, e, s, t: (t.sqrt() / s.sqrt() * z + ((s - t) / s).sqrt() * e).float()",
        "f = lambda z, e, s, t: np.sqrt(t / s).numpy() * z.numpy()"
        " + math.sqrt(1 - t / s) * e.numpy()",
    )),
    "3-3": ("a", (
        "a = (0.36, 0.45)", "a = [torch.tensor(0.36), torch.tensor(0.45)]",
        "a = (np.float32(0.36), np.float64(0.45))",
    )),
    "3-4": ("f", (
        "f = lambda z, e, b, a: (z - b / torch.sqrt(1 - a) * e) / torch.sqrt(1 - b)",
        "f = lambda z, e, b, a: (1 - b) ** -0.5 * z - b * e / ((1 - a) * (1 - b)) ** 0.5",
        "f = lambda z, e, b, a: (z.numpy() - float(b / (1 - a) ** 0.5) * e.numpy())"
        " / math.sqrt(1 - b)",
    )),
    "3-5": ("f", (
        "def f(z0, labels, size):\n"
        "    i = torch.from_numpy(np.random.randint(0, len(z0), size))\n"
        "    y = labels[i].clone()\n"
        "    y[torch.rand(size) < 0.1] = 10\n"
        "    return z0[i], y",
        "def f(z0, labels, size):\n"
        "    i = torch.randint(0, len(z0), (size,))\n"
        "    return z0[i], labels[i].masked_fill(torch.rand(size) < 0.1, 10)",
        "def f(z0, labels, size):\n"
        "    i = [int(k) for k in torch.randint(0, len(z0), (size,))]\n"
        "    y = [10 if torch.rand(()) < 0.1 else int(labels[k]) for k in i]\n"
        "    return z0[i], y",
    )),
    "3-6": ("f", (
        "f = lambda z, e, t, s: torch.sqrt(s / t) * (z - torch.sqrt(1 - t) * e)"
        " + torch.sqrt(1 - s) * e",
        "f = lambda z, e, t, s: (s / t).sqrt() * z"
        " + ((1 - s).sqrt() - (s * (1 - t) / t).sqrt()) * e",
        "f = lambda z, e, t, s: math.sqrt(s / t) * (z.numpy() - math.sqrt(1 - t) * e.numpy())"
        " + math.sqrt(1 - s) * e.numpy()",
    )),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("id", "code"), [(id, code) for id, (_, codes) in RIGHT.items() for code in codes]
)
def test_another_right_answer_counts(id, code):
    names: dict = {}
    exec(SETUP + code, names)
    assert verdict(find(id), names[RIGHT[id][0]]).startswith("[ok]")


def test_each_exercise_has_three():
    assert all(len(codes) >= 3 for _, codes in RIGHT.values())
