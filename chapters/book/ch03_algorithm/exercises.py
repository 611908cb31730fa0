"""Exercises of chapter 3, the algorithm from end to end."""

import math

import torch

from book.exercises import Exercise
from minildm.schedule import DiscreteSchedule, cosine_betas


def _check_level(answer) -> str | None:
    snr = DiscreteSchedule(cosine_betas(1000)).snr  # (1001,), from infinity down
    cases = [(500, 5.5), (300, 3.0), (700, 0.5), (400, 1.0)]
    given = [float(answer(snr, t, s)) for t, s in cases]
    for power, words in (
        (2, None),
        (0, "that is t again; of larger latents more shows through at t"),
        (1, "s multiplies the amplitude; the SNR is a ratio of powers"),
        (-2, "turned round: larger latents need a noisier level, not a calmer one"),
    ):
        wanted = [int((snr * s**power <= snr[t]).nonzero()[0]) for t, s in cases]
        if all(abs(a - b) <= 1 for a, b in zip(given, wanted, strict=True)):  # NaN is not near
            return words
    if not all(math.isfinite(g) and g == int(g) for g in given):
        return "a level is asked for, a whole number from 0 to 1000, and not an SNR"
    return "which SNR do latents of standard deviation s have at a level? Compare it with snr[t]"


def _check_jump(answer) -> str | None:
    generator = torch.Generator().manual_seed(0)
    z, eps = torch.randn(2, 4, 3, 3, generator=generator, dtype=torch.float64)
    s, t = torch.tensor([0.6, 0.2], dtype=torch.float64)  # alpha_bar of the two levels
    given = torch.as_tensor(answer(z, eps, s, t)).double()
    ratio = t / s
    for wrong, hint in [
        (t**0.5 * z + (1 - t) ** 0.5 * eps, "that is (3.4) from z_0; part of the way is done"),
        (
            ratio**0.5 * z + (1 - t) ** 0.5 * eps,
            "z_s has noise in it already; all of 1 - alpha_bar_t would be too much",
        ),
        (ratio * z + (1 - ratio) * eps, "amplitudes are the roots of these"),
        (
            ratio**0.5 * z + (s - t) ** 0.5 * eps,
            "the noise that is added: is the variance still 1, if that of z_s is?",
        ),
        (
            (1 - s + t) ** 0.5 * z + (s - t) ** 0.5 * eps,
            "the factors of the steps are multiplied: what is left is a ratio, no difference",
        ),
    ]:
        if torch.allclose(given, wrong, atol=1e-6):
            return hint
    if not torch.allclose(given, ratio**0.5 * z + (1 - ratio) ** 0.5 * eps, atol=1e-6):
        return "the product of 1 - beta_i over s < i <= t is alpha_bar_t / alpha_bar_s"
    return None


def _check_errors(answer) -> str | None:
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        return "two numbers: the error of z0, and that of v"
    z0, v = (float(part) for part in answer)
    for (first, second), words in (
        ((0.36, 0.45), None),
        (
            (0.0225, 0.1125),
            "the other way round: where there is much noise, the error of z0 is the larger",
        ),
        ((0.36, 0.36), "right for z0; the error of v is the sum of the other two"),
        ((0.27, 0.36), "an SNR of 1/4 is alpha_bar / (1 - alpha_bar): alpha_bar is 1/5, not 1/4"),
        ((0.18, 0.27), "these are squared errors: the SNR itself is their ratio, not its root"),
    ):
        if abs(z0 - first) < 1e-3 and abs(v - second) < 1e-3:
            return words
    return "err(eps) = alpha_bar err(v), err(z0) = (1 - alpha_bar) err(v): first find alpha_bar"


def _check_reverse_mean(answer) -> str | None:
    generator = torch.Generator().manual_seed(0)
    z_t, eps = torch.randn(2, 4, 3, 3, generator=generator, dtype=torch.float64)
    beta, alpha_bar = torch.tensor([0.02, 0.3], dtype=torch.float64)  # as tables have them
    given = torch.as_tensor(answer(z_t, eps, beta, alpha_bar))
    rest = (1 - alpha_bar) ** 0.5
    hints = [
        (z_t - eps, "eps_hat is all the noise in z_t; one step removes only a part of it"),
        (
            z_t - beta / rest * eps,
            "the Markov step also shrank the latent by sqrt(1 - beta): undo it",
        ),
        (
            (z_t - rest * eps) / alpha_bar**0.5,
            "that is the estimate of z0, the whole way back; the step to t - 1 is much shorter",
        ),
        (
            (z_t - beta * eps) / (1 - beta) ** 0.5,
            "the share of eps_hat is beta_t / sqrt(1 - alpha_bar_t): divide by the noise level",
        ),
        (
            (z_t - beta / rest * eps) / (1 - beta),
            "divide by the root of alpha_t = 1 - beta_t, not by alpha_t: latents scale with roots",
        ),
    ]
    for wrong, hint in hints:
        if torch.allclose(given, wrong):
            return hint
    if not torch.allclose(given, (z_t - beta / rest * eps) / (1 - beta) ** 0.5):
        return "compare with equation (3.7), factor by factor; alpha_t is 1 - beta_t"
    return None


def _check_ddim(answer) -> str | None:
    generator = torch.Generator().manual_seed(0)
    z_t, eps = torch.randn(2, 4, 3, 3, generator=generator, dtype=torch.float64)
    t, s = torch.tensor([0.2, 0.6], dtype=torch.float64)  # alpha_bar of the two levels
    given = torch.as_tensor(answer(z_t, eps, t, s)).double()
    z0 = (z_t - (1 - t) ** 0.5 * eps) / t**0.5
    for wrong, hint in [
        (z0, "that is the estimate of z0, the end of the walk; add the noise of level s again"),
        (s**0.5 * z0, "the noise of level s is missing: at s there is still sqrt(1 - alpha_bar_s)"),
        (s**0.5 * z0 + (1 - t) ** 0.5 * eps, "at level s there is less noise than at t"),
        (z_t, "that is z_t again: put it together with the factors of s, not of t"),
        (
            s * (z_t - (1 - t) * eps) / t + (1 - s) * eps,
            "signal and noise are the roots of alpha_bar and of 1 - alpha_bar",
        ),
        (
            s**0.5 * (t**0.5 * z_t - (1 - t) ** 0.5 * eps) + (1 - s) ** 0.5 * eps,
            "(3.6) is for a v; from eps, solve (3.4) for z0: divide by sqrt(alpha_bar_t)",
        ),
    ]:
        if torch.allclose(given, wrong, atol=1e-6):
            return hint
    if not torch.allclose(given, s**0.5 * z0 + (1 - s) ** 0.5 * eps, atol=1e-6):
        return "solve (3.4) at level t for z0; then use (3.4) again, at level s, with the same eps"
    return None


def _check_batch(answer) -> str | None:
    size, kept = 2000, 300
    number = torch.arange(kept, dtype=torch.float32)
    z0, labels = number.view(-1, 1, 1, 1).expand(-1, 2, 7, 7), torch.arange(kept) % 10
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        z, label = (torch.as_tensor(part) for part in answer(z0, labels, size))
        if z.shape == (size, 2, 7, 7):
            one = (torch.as_tensor(answer(z0, labels, 1)[1]) for _ in range(200))
            alone = [int(label) == 10 for label in one]  # hidden?
    if z.shape != (size, 2, 7, 7) or label.shape != (size,):
        got = f"{tuple(z.shape)} and {tuple(label.shape)}"
        return f"latents (size, 2, 7, 7) and labels (size,) are asked for; yours have {got}"
    which = z[:, 0, 0, 0].double()  # z0[k] is full of k
    known = torch.isin(which, number.double()).all() and torch.isin(label, torch.arange(11)).all()
    if not known:
        return "latents as they are in z0, and labels from 0 to 10"
    hidden, own = label == 10, which.long() % 10 == label
    share = float(hidden.double().mean())
    if not own[~hidden & (label > 0)].all():
        return "label k must be that of latent k: one draw of indices for both"
    if not own[~hidden].all():
        return "0 is a digit: a tenth of all pictures would count as zeros; hidden labels are 10"
    if len(which.unique()) < kept // 2:
        return "always the same latents: draw the indices anew each time, from all of them"
    if not any(alone) and not hidden.any():
        return "no label is ever hidden, so the network never learns what to do without one"
    if (share < 0.05 and any(alone)) or (share > 0.95 and not all(alone)):
        return "all labels of a batch are hidden at once, or none: draw for each"
    return None if 0.06 < share < 0.14 else f"one label in ten is hidden; of yours {share:.0%}"


def _ddim(value: str) -> str:
    """A mistake of exercise 3-5: another value, of z, e, t, s and the right z0."""
    return (
        "def ddim_from_eps(z, e, t, s):\n"
        "    z0 = (z - (1 - t) ** 0.5 * e) / t ** 0.5\n"
        f"    return {value}"
    )


EXERCISES = [
    Exercise(
        id="3-1",
        title="what the scale of the latents does to a level",
        setup="import torch",
        stub="""def level_for(snr, t, s):
    return ...   # YOUR CODE HERE: a level, 0 to 1000""",
        solution="""def level_for(snr, t, s):
    return int((s**2 * snr <= snr[t]).nonzero()[0])""",
        answer="level_for",
        check=_check_level,
        hint="A factor s on the latents multiplies signal², and with it the SNR, by s².",
        wrong=(
            ("level_for = lambda snr, t, s: t", "that is t again"),
            ("level_for = lambda snr, t, s: int((s * snr <= snr[t]).nonzero()[0])", "powers"),
            (
                "level_for = lambda snr, t, s: int((snr / s**2 <= snr[t]).nonzero()[0])",
                "turned round",
            ),
            ("level_for = lambda snr, t, s: snr[t] / s**2", "not an SNR"),
            ("level_for = lambda snr, t, s: 1000", "Compare it"),
        ),
        praise="for 5.5, Stable Diffusion's, t = 500 becomes nearly 890: it is late.",
    ),
    Exercise(
        id="3-2",
        title="the jump from one level to any later one",
        stub="""def jump_on(z_s, eps, alpha_bar_s, alpha_bar_t):
    return ...   # YOUR CODE HERE: z_t, shaped like z_s""",
        solution="""def jump_on(z_s, eps, alpha_bar_s, alpha_bar_t):
    left = alpha_bar_t / alpha_bar_s
    return left ** 0.5 * z_s + (1 - left) ** 0.5 * eps""",
        answer="jump_on",
        check=_check_jump,
        hint="Write out the product of 1 - beta_i from s + 1 to t, with two values of alpha_bar.",
        wrong=(
            ("jump_on = lambda z, e, s, t: t ** 0.5 * z + (1 - t) ** 0.5 * e", "from z_0"),
            (
                "jump_on = lambda z, e, s, t: (t / s) ** 0.5 * z + (1 - t) ** 0.5 * e",
                "noise in it already",
            ),
            ("jump_on = lambda z, e, s, t: t / s * z + (1 - t / s) * e", "the roots"),
            (
                "jump_on = lambda z, e, s, t: (t / s) ** 0.5 * z + (s - t) ** 0.5 * e",
                "still 1",
            ),
            (
                "jump_on = lambda z, e, s, t: (1 - s + t) ** 0.5 * z + (s - t) ** 0.5 * e",
                "no difference",
            ),
            ("jump_on = lambda z, e, s, t: z", "the product of"),
        ),
        praise="with s = 0, where alpha_bar is 1, it is (3.4); with s = t - 1, the single step.",
    ),
    Exercise(
        id="3-3",
        title="from the error of eps to those of z0 and v",
        stub="error_of_z0, error_of_v = ..., ...   # YOUR CODE HERE: two numbers",
        solution="""alpha_bar = 0.25 / (1 + 0.25)        # SNR = alpha_bar / (1 - alpha_bar)
error_of_v = 0.09 / alpha_bar
error_of_z0 = (1 - alpha_bar) * error_of_v
both = error_of_z0, error_of_v""",
        answer="both",
        check=_check_errors,
        hint="The legend of the figure has both factors. What is alpha_bar at an SNR of 1/4?",
        wrong=(
            ("both = 0.09 * 0.25, 0.09 * 1.25", "the other way round"),
            ("both = 0.36, 0.36", "right for z0"),
            ("both = 0.27, 0.36", "1/5"),
            ("both = 0.18, 0.27", "squared errors"),
            ("both = 0.09, 0.09", "first find"),
            ("both = 0.36", "two numbers"),
        ),
        praise="at a noisy level a small error of eps is cheap: that of z0 is four times as large.",
    ),
    Exercise(
        id="3-4",
        title="the mean of one reverse step, from the predicted noise",
        stub="""def reverse_mean(z_t, eps_hat, beta_t, alpha_bar_t):
    return ...   # YOUR CODE HERE""",
        solution="""def reverse_mean(z_t, eps_hat, beta_t, alpha_bar_t):
    return (z_t - beta_t / (1 - alpha_bar_t) ** 0.5 * eps_hat) / (1 - beta_t) ** 0.5""",
        answer="reverse_mean",
        check=_check_reverse_mean,
        hint="Equation (3.7) without its last term. alpha_t is 1 - beta_t.",
        wrong=(
            ("reverse_mean = lambda z, e, b, a: z - e", "all the noise"),
            ("reverse_mean = lambda z, e, b, a: z - b / (1 - a) ** 0.5 * e", "shrank"),
            (
                "reverse_mean = lambda z, e, b, a: (z - (1 - a) ** 0.5 * e) / a ** 0.5",
                "estimate of z0",
            ),
            ("reverse_mean = lambda z, e, b, a: (z - b * e) / (1 - b) ** 0.5", "noise level"),
            ("reverse_mean = lambda z, e, b, a: (z - b / (1 - a) ** 0.5 * e) / (1 - b)", "root"),
            ("reverse_mean = lambda z, e, b, a: z", "factor by factor"),
        ),
        praise="this is the deterministic half of the step; sigma_t xi is the other.",
    ),
    Exercise(
        id="3-5",
        title="a batch for training, without the two faults",
        setup="import torch",
        stub="""def batch(z0, labels, size):
    return ...   # YOUR CODE HERE: latents (size, 2, 7, 7) and their labels (size,)""",
        solution="""def batch(z0, labels, size):
    i = torch.randint(len(z0), (size,))                   # the same for both
    return z0[i], torch.where(torch.rand(size) < 0.1, 10, labels[i])""",
        answer="batch",
        check=_check_batch,
        hint="Which label belongs to z0[7]? And what does the network take a 0 for?",
        wrong=(
            (
                "def batch(z0, labels, size):\n"
                "    i, j = torch.randint(len(z0), (2, size))\n"
                "    return z0[i], torch.where(torch.rand(size) < 0.1, 10, labels[j])",
                "one draw of indices",
            ),
            (
                "def batch(z0, labels, size):\n"
                "    i = torch.randint(len(z0), (size,))\n"
                "    return z0[i], torch.where(torch.rand(size) < 0.1, 0, labels[i])",
                "0 is a digit",
            ),
            (
                "def batch(z0, labels, size):\n"
                "    i = torch.randint(len(z0), (size,))\n"
                "    return z0[i], torch.where(torch.rand(1) < 0.1, 10, labels[i])",
                "draw for each",
            ),
            (
                "def batch(z0, labels, size):\n"
                "    i = torch.randint(len(z0), (size,))\n"
                "    return z0[i], labels[i]",
                "no label is ever hidden",
            ),
            (
                "def batch(z0, labels, size):\n"
                "    i = torch.arange(size) % 8\n"
                "    return z0[i], torch.where(torch.rand(size) < 0.1, 10, labels[i])",
                "always the same",
            ),
            (
                "def batch(z0, labels, size):\n"
                "    i = torch.randint(len(z0), (size,))\n"
                "    return z0[i], torch.where(torch.rand(size) < 0.9, 10, labels[i])",
                "one label in ten",
            ),
            ("batch = lambda z0, labels, size: (z0, labels)", "yours have"),
        ),
        praise="labels drawn apart say nothing, so a network learns to overlook them.",
    ),
    Exercise(
        id="3-6",
        title="one step of DDIM, for a network that predicts the noise",
        stub="""def ddim_from_eps(z_t, eps_hat, alpha_bar_t, alpha_bar_s):
    return ...   # YOUR CODE HERE: z_s, shaped like z_t""",
        solution="""def ddim_from_eps(z_t, eps_hat, alpha_bar_t, alpha_bar_s):
    z0_hat = (z_t - (1 - alpha_bar_t) ** 0.5 * eps_hat) / alpha_bar_t ** 0.5
    return alpha_bar_s ** 0.5 * z0_hat + (1 - alpha_bar_s) ** 0.5 * eps_hat""",
        answer="ddim_from_eps",
        check=_check_ddim,
        hint="Use (3.4) twice: at level t, solved for z0; then at level s.",
        wrong=(
            (_ddim("z0"), "the end of the walk"),
            (_ddim("s ** 0.5 * z0"), "is missing"),
            (_ddim("s ** 0.5 * z0 + (1 - t) ** 0.5 * e"), "less noise"),
            (_ddim("t ** 0.5 * z0 + (1 - t) ** 0.5 * e"), "z_t again"),
            (_ddim("s * (z - (1 - t) * e) / t + (1 - s) * e"), "are the roots"),
            (
                _ddim("s ** 0.5 * (t ** 0.5 * z - (1 - t) ** 0.5 * e) + (1 - s) ** 0.5 * e"),
                "is for a v",
            ),
            (_ddim("s ** 0.5 * z0 + (1 - s) * e"), "solve (3.4) at level t"),
        ),
        praise="with the v of this chapter only the first line is another one.",
    ),
]
