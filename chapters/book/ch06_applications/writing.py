"""Exercises of chapter 6 that write: guidance away from a text, and a step of inpainting."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from book.ch05_4_sampling.line_data import THREE
from book.exercises import Exercise
from minildm.denoise import guided
from minildm.interfaces import Denoised
from minildm.samplers import ddim, dpmpp_2m
from minildm.schedule import DiscreteSchedule, cosine_betas

SCHEDULE = DiscreteSchedule(cosine_betas(1000))


def _tensor(given: Any) -> Tensor:
    return torch.as_tensor(given).double()


def _close(got: Any, wanted: Tensor) -> bool:
    """Up to the rounding of float32; NumPy's arrays count like tensors."""
    got = _tensor(got)
    return got.shape == wanted.shape and torch.allclose(got, wanted, rtol=1e-4, atol=1e-4)


# --- 6-1 ------------------------------------------------------------------------------------------


def _check_guide(guide: Callable) -> str | None:
    towards, away = (THREE.denoiser(SCHEDULE, shift) for shift in (0.4, -0.2))
    z = torch.linspace(-2, 2, 6, dtype=torch.float64)[:, None]
    for w in (2.5, 1.0, 0.0):
        for t in (torch.tensor(700), torch.tensor(200)):
            result = guide(towards, away, w, z, t)
            if not isinstance(result, tuple | list) or len(result) != 2:
                return "return two guesses, z0 and eps"
            wanted = guided(towards, away, w)(z, t)
            if _close(result[0], wanted.z0) and _close(result[1], wanted.eps):
                continue
            return _guidance_mistake(result, towards(z, t), away(z, t), w)
    return None


def _guidance_mistake(result: Any, towards: Denoised, away: Denoised, w: float) -> str:
    z0, _ = result
    if _close(z0, towards.eps + (w - 1) * (towards.eps - away.eps)):
        return "z0 comes first, then eps"
    if _close(z0, away.z0 + w * (towards.z0 - away.z0)):
        return "z0 is right; eps has to be moved in the same way, or the two contradict each other"
    if _close(z0, towards.z0 + w * (away.z0 - towards.z0)):
        return "that goes from towards to away: begin at away"
    if _close(z0, towards.z0 + w * (towards.z0 - away.z0)):
        return "that is (1 + w): here w = 1 is `towards` itself, so begin at away"
    if _close(z0, w * (towards.z0 - away.z0)):
        return "the way is right, but it has to begin somewhere: at away"
    return f"with w = {w:g} it should be away + w (towards - away), for z0 and for eps"


def _guide(body: str) -> str:
    return (
        "def guide(towards, away, w, z, t):\n"
        f"    a, b = towards(z, t), away(z, t)\n    return {body}"
    )


GUIDE = Exercise(
    id="6-1",
    title="guidance from one text towards another",
    stub='''
def guide(towards, away, w, z, t):
    """Ask both denoisers about z at time t -> (z0, eps), w times the way from away to towards."""
    return ...  # YOUR CODE HERE
''',
    solution='''
def guide(towards, away, w, z, t):
    """Ask both denoisers about z at time t -> (z0, eps), w times the way from away to towards."""
    (z0, eps), (z0_away, eps_away) = towards(z, t), away(z, t)
    return z0_away + w * (z0 - z0_away), eps_away + w * (eps - eps_away)
''',
    answer="guide",
    check=_check_guide,
    hint="Ask both. Begin at what `away` says, and go w times the difference; for both guesses.",
    wrong=(
        (_guide("b.eps + w * (a.eps - b.eps), b.z0 + w * (a.z0 - b.z0)"), "z0 comes first"),
        (_guide("b.z0 + w * (a.z0 - b.z0), a.eps"), "in the same way"),
        (_guide("a.z0 + w * (b.z0 - a.z0), a.eps + w * (b.eps - a.eps)"), "begin at away"),
        (_guide("a.z0 + w * (a.z0 - b.z0), a.eps + w * (a.eps - b.eps)"), "(1 + w)"),
        (_guide("w * (a.z0 - b.z0), w * (a.eps - b.eps)"), "begin somewhere"),
        (_guide("a"), "it should be away"),
        (_guide("b.z0 + w * (a.z0 - b.z0)"), "two guesses"),
    ),
    praise="with no text in the place of `away` it is classifier-free guidance.",
)


# --- 6-2 ------------------------------------------------------------------------------------------


def _check_inpainting(step_and_keep: Callable) -> str | None:
    random = torch.Generator().manual_seed(0)
    z0, z_T = torch.randn(2, 2, 1, 4, 4, dtype=torch.float64, generator=random)
    draw = torch.zeros(2, 1, 4, 4, dtype=torch.float64)
    draw[..., 1:, 2:] = 1
    denoise = THREE.denoiser(SCHEDULE)

    def points(z: Tensor, t: Tensor) -> Denoised:
        """Each number of z is a point of its own."""
        return Denoised(*(x.view_as(z) for x in denoise(z.reshape(-1, 1), t)))

    noise = torch.randn(2, 1, 4, 4, dtype=torch.float64, generator=random)
    for step in (ddim, dpmpp_2m):
        z, memory = z_T, None
        for t, s in pairwise(map(torch.tensor, (900, 600, 300, 0))):
            given = (z, t, s, points, SCHEDULE, memory)
            result = step_and_keep(step, given, z0, draw, noise)
            if not isinstance(result, tuple | list) or len(result) != 3:
                return "a step returns three things: the new z, the guess, the memory"
            drawn, _, remembered = step(*given)
            (a_s, b_s), (a_t, b_t) = SCHEDULE(s), SCHEDULE(t)
            known = a_s * z0 + b_s * noise
            wanted = draw * drawn + (1 - draw) * known
            if not _close(result[0], wanted):
                mistakes = {
                    "the known part must be as noisy as z is after the step: use the time s": draw
                    * drawn + (1 - draw) * (a_t * z0 + b_t * noise),
                    "the known part is put back clean: it needs the noise of time s": draw * drawn
                    + (1 - draw) * z0,
                    "the mask is the wrong way round: 1 is drawn anew": draw * known
                    + (1 - draw) * drawn,
                    "nothing is kept: that is the step alone": drawn,
                    "the variance is 1 - alpha_bar; noise is multiplied by its root, b_s": draw
                    * drawn + (1 - draw) * (a_s * z0 + b_s**2 * noise),
                }  # fmt: skip
                for hint, mistaken in mistakes.items():
                    if _close(result[0], mistaken):
                        return hint
                return f"after the step to s = {int(s)} z should be draw z + (1 - draw) known"
            if (remembered is None) != (result[2] is None):
                return "hand on what the step remembers: 2M lives on it"
            z, memory = wanted, remembered
    return None


def _inpainting(body: str, known: str = "a_s * z0 + b_s * eps") -> str:
    return (
        "def step_and_keep(step, given, z0, draw, eps):\n"
        "    z, t, s, denoise, schedule, memory = given\n"
        "    (a_s, b_s), (a_t, b_t) = schedule(s), schedule(t)\n"
        f"    known = {known}\n"
        "    z, guess, memory = step(*given)\n"
        f"    return {body}"
    )


_RIGHT = "draw * z + (1 - draw) * known"

INPAINTING = Exercise(
    id="6-2",
    title="a step that keeps the known part",
    stub='''
def step_and_keep(step, given, z0, draw, eps):
    """given: z, t, s, denoise, schedule, memory, as any step takes them; z0 (n, c, h, w): the known
    latents; draw (n, 1, h, w): 1 is drawn anew; eps like z0: noise -> z, guess, memory."""
    return ...  # YOUR CODE HERE
''',
    solution='''
def step_and_keep(step, given, z0, draw, eps):
    """given: z, t, s, denoise, schedule, memory, as any step takes them; z0 (n, c, h, w): the known
    latents; draw (n, 1, h, w): 1 is drawn anew; eps like z0: noise -> z, guess, memory."""
    z, t, s, denoise, schedule, memory = given
    z, guess, memory = step(z, t, s, denoise, schedule, memory)
    a_s, b_s = schedule(s)
    return draw * z + (1 - draw) * (a_s * z0 + b_s * eps), guess, memory
''',
    answer="step_and_keep",
    check=_check_inpainting,
    hint="First the step that you were given, step(*given); then (6.2) on the z that it returns.",
    wrong=(
        (_inpainting(f"{_RIGHT}, guess, memory", "a_t * z0 + b_t * eps"), "use the time s"),
        (_inpainting(f"{_RIGHT}, guess, memory", "z0"), "put back clean"),
        (_inpainting("draw * known + (1 - draw) * z, guess, memory"), "wrong way round"),
        (_inpainting("z, guess, memory"), "nothing is kept"),
        (_inpainting(f"{_RIGHT}, guess, memory", "a_s * z0 + b_s**2 * eps"), "its root"),
        (_inpainting("z + known, guess, memory"), "should be draw z"),
        (_inpainting(f"{_RIGHT}, guess, None"), "what the step remembers"),
        (_inpainting(_RIGHT), "three things"),
    ),
    praise="any sampler can fill a hole with it: that is all of RePaint but its repetitions.",
)

WRITING = [GUIDE, INPAINTING]
