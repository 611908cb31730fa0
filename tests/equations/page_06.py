"""What the letters of chapters 6 and 7 stand for: values that the package computed."""

from itertools import pairwise

import torch
from chapter_06 import SCHEDULE, TEXT, model, pictures
from chapter_07 import DENOISE, STEPS
from chapter_07 import SCHEDULE as LINEAR
from pageforms import shows
from registry import points
from symbols import average, exact, last_norm, table

from book.ch06_applications import editing
from book.ch07_tools import rosetta
from book.ch07_tools.beside_diffusers import heun_over_sigma
from minildm.latent import REPLACE
from minildm.noise import keyed_normal
from minildm.predict import V
from minildm.process import diffuse
from minildm.samplers import ddim, heun
from minildm.schedule import FlowSchedule

TABLE = table(SCHEDULE)


@shows("6.1")
def start_of_image_to_image():
    small, x, steps = model(), pictures(), 10
    z0, eps = small.encode(x).double(), small.noise(2, 3).double()
    for strength in (0.04, 0.33, 0.6, 1.0):
        small.seen.clear()
        small.image_to_image(x, [TEXT] * 2, strength, steps=steps, guidance=1.0, seed=3)
        k, (t, z_t) = len(small.seen), small.seen[0]
        start = SCHEDULE.times(steps)[steps - k]
        yield TABLE | {
            "z_t": z_t, "z_0": z0, r"\epsilon": eps, "t": int(t), "k": k, "tolerance": 1e-5,
            r"\text{where the last} k \text{steps start}": int(start),
            r"\text{strength}": strength, r"\text{steps}": steps,
        }  # fmt: skip


@shows("6.2")
def kept_latents():
    small, x, count = model(), pictures(), 2
    mask = torch.zeros(count, 1, 16, 16)
    mask[..., :8] = 1
    small.inpaint(x, mask, [TEXT] * count, steps=5, guidance=1.0, seed=4)
    denoise = small.denoiser([TEXT] * count, 1.0)
    for (t, z_t), (s, z_s) in pairwise(list(small.seen)):
        eps = keyed_normal((4, REPLACE, int(s * 1e6)), range(count), (2, 4, 4)).double()

        moved = ddim(z_t, t, s, denoise, SCHEDULE)[0]

        def becomes(old, new, pair=(moved, z_s)):
            return old is pair[0] and (new - pair[1]).abs().max() < 1e-5

        def standard(noise, law, eps=eps):
            return noise is eps and abs(eps.mean()) < 0.5 and tuple(law) == (0.0, 1.0, None)

        yield TABLE | {
            "z_s": moved, "m": mask[:, :, ::4, ::4].double(),
            "z_0": small.encode(x).double(), r"\epsilon_s": eps, "s": int(s), "I": 1.0,
            r"\leftarrow": becomes, r"\sim": standard,
        }  # fmt: skip


@shows(
    "6.3",
    harmless={
        r"plus for minus: ,z_a+u\,z": "the average of z_a z_b is 0",
        r"subscripts swapped: u)\,z_a+u\,z_b\rVer": "both are drawn from one distribution",
    },
)
def length_of_the_line():
    both = exact(300, 8)
    z_a, z_b = both[:, :4], both[:, 4:]
    for u in (0.0, 0.3, 0.5, 1.0):
        truth = float(editing.straight(z_a, z_b, u).square().sum(1).mean())
        yield {
            r"\mathbb E": average, r"\lVert": last_norm, "u": u, "z_a": z_a, "z_b": z_b, "d": 4,
            "=": lambda a, b, truth=truth: abs(a - truth) < 1e-6 and abs(b - truth) < 1e-6,
        }  # fmt: skip


@shows("6.4")
def arc_between():
    z_a, z_b = points(1, 3, 4, seed=1), points(1, 3, 4, seed=2)
    a, b = z_a.flatten(), z_b.flatten()
    omega = torch.arccos(a @ b / (a.norm() * b.norm()))
    for u in (0.0, 0.25, 0.6, 1.0):
        yield {
            "z_u": editing.arc(z_a, z_b, u),
            "z_a": z_a,
            "z_b": z_b,
            "u": u,
            r"\omega": omega,
        }


@shows("6.5")
def upwards():
    """The small model's v is z_t / 2, so that its guesses are known."""
    small, x = model(), pictures()
    editing.invert(small, x, [TEXT] * 2, steps=4)
    times = SCHEDULE.times(4).flip(0).tolist()
    for k in (1, 2):
        (_, z_t), (_, z_s) = small.seen[k], small.seen[k + 1]
        yield TABLE | {
            "z_s": z_s, "z_t": z_t, "t": times[k], "s": times[k + 1], "tolerance": 1e-5,
            r"\hat z_0": lambda z, t: V.solve(z / 2, z, *SCHEDULE(t))[0],
            r"\hat\epsilon": lambda z, t: V.solve(z / 2, z, *SCHEDULE(t))[1],
        }  # fmt: skip


# --- chapter 7 ------------------------------------------------------------------------------------


@shows("7.1")
def over_sigma():
    z0, eps = points(7, 2), points(7, 2, seed=1)
    for t in (1, 500, 1000):
        bar, z_t = float(LINEAR.alpha_bar[t]), diffuse(LINEAR, z0, t, eps)
        yield table(LINEAR) | {
            "x_t": rosetta.rescaled(z_t, bar, "book", "k-diffusion"), "z_t": z_t, "z_0": z0, "t": t,
            r"\sigma_t": rosetta.convert("noise level", bar, "book", "k-diffusion"),
            r"\epsilon": eps, "tolerance": 1e-6,
        }  # fmt: skip


def _sigma(t) -> float:
    signal, noise = LINEAR(t)
    return float(noise / signal)


@shows("7.2")
def euler_is_ddim():
    z = points(7, 2)
    for t, s in STEPS:
        z_s = ddim(z, torch.tensor(t), torch.tensor(s), DENOISE, LINEAR)[0]
        yield {
            "x_s": z_s / LINEAR(s)[0], "x_t": z / LINEAR(t)[0], r"\hat z_0": DENOISE(z, t).z0,
            r"\sigma_": _sigma, "t": t, "s": s,
        }  # fmt: skip


@shows("7.3")
def two_heuns():
    """The estimate is read off a step of each rule."""
    z = points(7, 2)
    for t, s in STEPS:
        (signal_t, noise_t), (signal_s, noise_s) = LINEAR(t), LINEAR(s)
        times = torch.tensor(t), torch.tensor(s)
        landed = ddim(z, *times, DENOISE, LINEAR)[0]
        for case, step in enumerate((heun, heun_over_sigma)):
            end = step(z, *times, DENOISE, LINEAR)[0]
            estimate = (end - noise_s / noise_t * z) / (signal_s - noise_s / noise_t * signal_t)
            yield {
                r"\hat z": estimate, r"\hat z_0(t)": DENOISE(z, t).z0, "cases": case, "t": t,
                "s": s,
                r"\hat z_0(s)": DENOISE(landed, s).z0, r"\sigma_": _sigma, "tolerance": 1e-6,
                "r": (1.0, _sigma(t) / _sigma(s))[case],
            }  # fmt: skip


@shows("7.4")
def shift():
    for time in (0.02, 0.4, 0.98):
        for k in (0.5, 3.0, 6.0):
            tau = torch.tensor(time, dtype=torch.float64)
            moved = rosetta.shifted(tau, k)
            (signal, noise), (signal_k, noise_k) = FlowSchedule()(tau), FlowSchedule()(moved)
            yield {
                r"\tau'": moved, r"\tau": tau, "k": k, r"\sigma'": noise_k / signal_k,
                r"\sigma": noise / signal,
            }  # fmt: skip
