"""Exercises of chapters 0 to 4: other right answers count too, in torch, NumPy and Python."""

import pytest

from book.exercises import find, registry, verdict

SETUP = """
import math
import numpy as np
import torch
from minildm.latent import LatentDiffusion
from minildm.schedule import DiscreteSchedule, cosine_betas
from minildm.losses import kl_loss, reconstruction_loss
from minildm.process import Gaussian
schedule = DiscreteSchedule(cosine_betas(1000))
"""
MOMENTS = "def f(s, m, C, t):\n    a, b = s(t)\n    return {}"
TRUE_STEP = (
    "from book.ch04_3_gaussian.gaussian_case import backward, normal, root\n"
    "tilted = normal([1, 2], [[1, 0.8], [0.8, 2]])\n"
    "def f(z, t, s, denoise, schedule, memory=None, draw=torch.randn_like):\n    {}"
)
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
    "4.1-1": ("f", (
        "f = lambda x, y, m, v, w: reconstruction_loss(y, x) + w * kl_loss(Gaussian(m, v))",
        "f = lambda x, y, m, v, w: (x - y).double().pow(2).flatten(1).mean(1)"
        " + w / 2 * (m * m + v - torch.log(v) - 1).flatten(1).mean(1)",
        "f = lambda x, y, m, v, w: np.mean((x - y).numpy() ** 2, (1, 2, 3))"
        " - w * np.mean(1 + np.log(v.numpy()) - m.numpy() ** 2 - v.numpy(), (1, 2, 3)) / 2",
    )),
    "4.1-2": ("a", (
        "a = (0.894, 0.447)", "a = [2 / math.sqrt(5), 1 / math.sqrt(5)]",
        "a = torch.tensor([0.8, 0.2]).sqrt()", "a = np.sqrt([0.8, 0.2])",
        "a = (torch.tensor(0.8, dtype=torch.float64).sqrt(), np.float32(0.2**0.5))",
    )),
    "4.1-3": ("f", (
        "f = lambda e, a: e + e * (1 - a) / a", "f = lambda e, a: (e / a).float()",
        "f = lambda e, a: np.float32(e) / np.float32(a)", "f = lambda e, a: float(e) / float(a)",
        "f = lambda e, a: (torch.sqrt(a) + (1 - a) / a.sqrt()) ** 2 * e",
    )),
    "4.1-4": ("f", (
        "f = lambda w, p, n: torch.sqrt(w * p / n / 2)",
        "f = lambda w, p, n: np.sqrt(w * p / (n + n))",
        "f = lambda w, p, n: math.sqrt(w / 2) * math.sqrt(p / n)",
        "f = lambda w, p, n: ((w / 2 * p / n) ** 0.5).float()",
    )),
    "4.2-1": ("f", (
        "f = lambda m, v, n, u: ((m * u + n * v) / (v + u), v * u / (v + u))",
        "f = lambda m, v, n, u: (m + v / (v + u) * (n - m), (v - v**2 / (v + u)).float())",
        "f = lambda m, v, n, u: np.array([(m / v + n / u), 1]) / float(1 / v + 1 / u)",
        "f = lambda m, v, n, u: [float(x) for x in ((m * u + n * v) / (v + u), v * u / (v + u))]",
    )),
    "4.2-2": ("f", (
        "f = lambda v, z, a, b: -z - a / b * v",
        "f = lambda v, z, a, b: (-(z + a * v / b)).double()",
        "f = lambda v, z, a, b: -(b.numpy() * z.numpy() + a.numpy() * v.numpy()) / b.numpy()",
        "f = lambda v, z, a, b: (a * (a * z - b * v) - z) / b**2",
    )),
    "4.2-3": ("f", (
        "f = lambda z, e, a, b, c, d: c / a * z + (d - c * b / a) * e",
        "f = lambda z, e, a, b, c, d: (c * (z - b * e) / a + d * e).double()",
        "f = lambda z, e, a, b, c, d: float(c / a) * z.numpy() + float(d - c * b / a) * e.numpy()",
        "f = lambda z, e, a, b, c, d: c * (z / a + (d / c - b / a) * e)",
    )),
    "4.2-4": ("f", (
        "f = lambda m, v, n, u, w: (((1 - w) * m * u + w * n * v) / ((1 - w) * u + w * v),"
        " v * u / ((1 - w) * u + w * v))",
        "f = lambda m, v, n, u, w: [float(x) for x in"
        " (m + w * v * (n - m) / (u + w * (v - u)), v * u / (u + w * (v - u)))]",
        "f = lambda m, v, n, u, w: torch.stack([m + w * v * (n - m) / (u + w * (v - u)),"
        " v * u / (u + w * (v - u))]).float()",
        "f = lambda m, v, n, u, w: np.array([m + w * v * (n - m) / (u + w * (v - u)),"
        " v * u / (u + w * (v - u))])",
    )),
    "4.3-1": ("f", (
        MOMENTS.format("a * m, a * a * C + b**2 * torch.eye(2)"),
        MOMENTS.format("(a * m).float(), (a**2 * (C - torch.eye(2)) + torch.eye(2)).float()"),
        MOMENTS.format("(a * m).numpy(), (a**2 * C).numpy() + float(b) ** 2 * np.eye(2)"),
        MOMENTS.format("[float(a * x) for x in m], [[float(a**2 * C[i, j] + b**2 * (i == j))"
                       " for j in range(2)] for i in range(2)]"),
    )),
    "4.3-2": ("a", (
        "a = 1 - ((100 - torch.arange(1, 101)) / (101 - torch.arange(1, 101))).double() ** 2",
        "a = (1 - ((100 - torch.arange(1, 101)) / (101 - torch.arange(1, 101))) ** 2).float()",
        "a = 1 - (np.arange(99, -1, -1) / np.arange(100, 0, -1)) ** 2",
        "a = [1 - ((100 - t) / (101 - t)) ** 2 for t in range(1, 101)]",
    )),
    "4.3-3": ("f", (
        TRUE_STEP.format("A, b, C = backward(schedule, tilted, t, s)\n"
                         "    return b + z @ A.T + draw(z) @ torch.linalg.cholesky(C).T, z, None"),
        TRUE_STEP.format("A, b, C = backward(schedule, tilted, t, s)\n"
                         "    return (z @ A.T + b + draw(z) @ root(C)).float(), z, None"),
        TRUE_STEP.format("A, b, C = backward(schedule, tilted, t, s)\n"
                         "    values, axes = torch.linalg.eigh(C)\n"
                         "    noise = draw(z) * values.sqrt() @ axes.T\n"
                         "    return torch.einsum('ij,nj->ni', A, z) + b + noise, z, memory"),
    )),
    "4.3-4": ("a", (
        "from minildm.schedule import scaled_linear_betas as betas\n"
        "s, n = DiscreteSchedule(betas(1000))(torch.arange(1001))\n"
        "a = (n**2 / (2 * s**2 + n**2) <= 0.01).sum() - 1",
        "from minildm.schedule import scaled_linear_betas as betas\n"
        "snr = DiscreteSchedule(betas(1000)).snr.numpy()\na = np.argmax(2 * snr + 1 < 100) - 1",
        "from minildm.schedule import scaled_linear_betas as betas\n"
        "snr = DiscreteSchedule(betas(1000)).snr\n"
        "a = float(max(t for t in range(1001) if 2 * snr[t] + 1 >= 100))",
    )),
    "4.3-5": ("a", (
        "a = np.linspace(1e-3, 0.2, 100)", "a = torch.linspace(1e-3, 0.2, 100)",
        "a = [0.001 + 0.199 * t / 99 for t in range(100)]",
        "a = torch.linspace(1e-3, 0.2, 100, dtype=torch.float64)",
    )),
    "4.4-1": ("f", (
        "f = lambda T, p, q: torch.exp(-T * (p + torch.sqrt(p * q) + q) / 6)",
        "f = lambda T, p, q: np.exp(-T / 6 * float(p + (p * q) ** 0.5 + q))",
        "f = lambda T, p, q: math.exp(-T / 6 * (p + math.sqrt(p * q) + q))",
        "f = lambda T, p, q: (1 - torch.linspace(p**0.5, q**0.5, T) ** 2).prod().sqrt()",
    )),
    "4.4-2": ("a", (
        "b = np.cos(np.linspace(0, 0.995 * np.pi / 2, 51)) ** 2\na = 1 - b[1:] / b[:-1]",
        "b = torch.linspace(0, 0.995 * math.pi / 2, 51).cos() ** 2\na = 1 - b[1:] / b[:-1]",
        "b = [math.cos(0.995 * math.pi / 2 * k / 50) ** 2 for k in range(51)]\n"
        "a = [1 - q / p for p, q in zip(b, b[1:])]",
        "a = (torch.tensor(math.pi / 100 * 0.996) * torch.arange(51)).double().cos() ** 2\n"
        "a = 1 - a[1:] / a[:-1]",
    )),
    "4.4-3": ("a", (
        "a = 0.0016", "a = torch.tensor(0.12**2 / (9 + 0.12**2))",
        "a = np.float32(0.0144 / 9.0144)",
        "a = torch.tensor(0.1 * 0.0144 / (0.9 + 0.00144)).double()",
    )),
    "4.5-1": ("f", (
        "f = lambda v, a, b: (-1 / (a * a * v + b * b), v - a**2 * v**2 / (a**2 * v + b**2))",
        "f = lambda v, a, b: (-torch.ones(1) / (a**2 * v + b**2),"
        " (1 / (1 / v + (a / b) ** 2)).float())",
        "f = lambda v, a, b: np.array([-1, v * b**2]) / float(a**2 * v + b**2)",
        "f = lambda v, a, b: (-1 / float(a**2 * v + b**2), float(v / (1 + v * (a / b) ** 2)))",
    )),
    "4.5-2": ("f", (
        "f = lambda z, x, t: (z - (1 - t) * x) / t - x",
        "f = lambda z, x, t: ((z - x) / t).double()",
        "f = lambda z, x, t: (z.numpy() - x.numpy()) / float(t)",
        "f = lambda z, x, t: [float((p - q) / t) for p, q in zip(z, x)]",
    )),
    "4.5-3": ("f", (
        "f = lambda p, q: (p / q / 2 - 0.5, (p - q) / (2 + 2 * q))",
        "f = lambda p, q: torch.stack([(p - q) / q, (p - q) / (1 + q)]).float() / 2",
        "f = lambda p, q: np.array([1 / q, 1 / (1 + q)]) * float(p - q) / 2",
        "f = lambda p, q: [float(p - q) / 2 / float(x) for x in (q, 1 + q)]",
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
    here = {id for id in registry() if id.split("-")[0] in ("1", "2", "3") or id[:2] == "4."}
    assert here <= RIGHT.keys()
    assert all(len(codes) >= 3 for _, codes in RIGHT.values())
