"""Exercises of chapter 3, the algorithm from end to end."""

import torch

from book.exercises import Exercise


def _check_compression(answer) -> str | None:
    small, large = float(answer(3, 512, 512, 4, 64, 64)), float(answer(1, 28, 28, 4, 7, 7))
    if abs(small - 64) < 1e-9:
        return (
            "64 counts positions only; a position of the image has C numbers, one of the latent c"
        )
    if abs(small - 1 / 48) < 1e-9:
        return "that is latent per image; turn the fraction round: larger means smaller latents"
    if not (abs(small - 48) < 1e-9 and abs(large - 4) < 1e-9):  # NaN is not close either
        return (
            "count the numbers on both sides: C H W in the image, c h w in the latent; then divide"
        )
    if not abs(float(answer(3, 8, 8, 16, 4, 4)) - 0.75) < 1e-9:
        return "do not round: a latent can be larger than its image, and the ratio below 1"
    return None


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


def _check_guide(answer) -> str | None:
    u, c = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([1.0, -1.0, 2.5])
    given = answer(u, c, 3.0)
    if torch.allclose(given, u + 4.0 * (c - u)):
        return "w = 1 must give the conditional estimate alone; yours amplifies it already there"
    if torch.allclose(given, c + 3.0 * (u - c)):
        return "this moves away from the condition: the arrow goes from u to c"
    if torch.allclose(given, 3.0 * (c - u)):
        return "start somewhere: the arrow c - u has to be added to the unconditional estimate"
    if torch.allclose(given, (u + 3.0 * c) / 4.0):
        return "that is an average, and stays between the two; guidance goes beyond the second"
    if not torch.allclose(given, u + 3.0 * (c - u)):
        return "start at eps_u and go w times along the arrow from eps_u to eps_c"
    return None


def _check_scale(answer) -> str | None:
    generator = torch.Generator().manual_seed(0)
    z = 3.0 + 5.0 * torch.randn(64, 4, 7, 7, generator=generator)
    z[:, 1] *= 0.2
    given = torch.as_tensor(answer(z)).float()
    if given.numel() > 1:
        return "one number for all latents: scaled apart, channels or digits would change meaning"
    std = float(z.std())
    for wrong, hint in [
        (std, "multiplying by the standard deviation makes it larger still; which factor gives 1?"),
        (1 / std**2, "the variance is a square; a factor on z acts on the standard deviation"),
        (float(1 / z.square().mean().sqrt()), "a mean is no spread: subtract it, as std does"),
        (1 / float(z.abs().max()), "one outlier would decide; use the spread of all latents"),
    ]:
        if abs(float(given) / wrong - 1) < 1e-3:
            return hint
    if not abs(float(given) * std - 1) < 1e-3:
        return "after the scaling, (scale * z).std() should be 1"
    return None


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
        title="how many times fewer numbers a latent holds than its image",
        stub="""def compression(C, H, W, c, h, w):
    return ...   # YOUR CODE HERE""",
        solution="""def compression(C, H, W, c, h, w):
    return (C * H * W) / (c * h * w)""",
        answer="compression",
        check=_check_compression,
        hint="A tensor of shape (C, H, W) holds C * H * W numbers.",
        wrong=(
            ("compression = lambda C, H, W, c, h, w: (H * W) / (h * w)", "positions only"),
            (
                "compression = lambda C, H, W, c, h, w: (c * h * w) / (C * H * W)",
                "turn the fraction",
            ),
            ("compression = lambda C, H, W, c, h, w: (C * H * W) // (c * h * w)", "do not round"),
            ("compression = lambda C, H, W, c, h, w: H / h", "count the numbers"),
        ),
        praise="Stable Diffusion diffuses 48 times fewer numbers than its pictures have.",
    ),
    Exercise(
        id="3-2",
        title="the factor that gives latents a standard deviation of 1",
        stub="""def latent_scale(z):
    return ...   # YOUR CODE HERE""",
        solution="""def latent_scale(z):
    return 1 / z.std()""",
        answer="latent_scale",
        check=_check_scale,
        hint="Multiplying z by a number multiplies its standard deviation by the same number.",
        wrong=(
            ("latent_scale = lambda z: z.std()", "larger still"),
            ("latent_scale = lambda z: 1 / z.var()", "variance is a square"),
            ("latent_scale = lambda z: 1 / z.square().mean().sqrt()", "subtract it"),
            ("latent_scale = lambda z: 1 / z.abs().max()", "outlier"),
            ("latent_scale = lambda z: 1 / z.std(dim=(0, 2, 3))", "one number"),
            ("latent_scale = lambda z: 0.18215", "should be 1"),
        ),
        praise="0.18215 is this number for Stable Diffusion's autoencoder and data.",
    ),
    Exercise(
        id="3-3",
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
        id="3-4",
        title="classifier-free guidance in one line",
        stub="""def guide(eps_u, eps_c, w):
    return ...   # YOUR CODE HERE""",
        solution="""def guide(eps_u, eps_c, w):
    return eps_u + w * (eps_c - eps_u)""",
        answer="guide",
        check=_check_guide,
        hint="w = 0 must return eps_u, w = 1 must return eps_c; elsewhere: a straight line.",
        wrong=(
            ("guide = lambda u, c, w: u + (1 + w) * (c - u)", "w = 1"),
            ("guide = lambda u, c, w: c + w * (u - c)", "away from the condition"),
            ("guide = lambda u, c, w: w * (c - u)", "start somewhere"),
            ("guide = lambda u, c, w: (u + w * c) / (1 + w)", "average"),
            ("guide = lambda u, c, w: u", "go w times"),
        ),
        praise="`minildm.denoise.guided` does the same for z0 and eps together.",
    ),
    Exercise(
        id="3-5",
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
