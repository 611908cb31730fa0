"""Exercises of chapter 4.1, the mathematical model."""

import math

import torch
from torch import Tensor

from book.exercises import Exercise
from minildm.losses import kl_loss, reconstruction_loss
from minildm.process import Gaussian

# --- 4.1-1 ----------------------------------------------------------------------------------------


def _example() -> tuple[Tensor, ...]:
    """Images, reconstructions, means and variances without any symmetry."""
    wave = torch.linspace(-3, 3, 192).sin()
    x = wave.reshape(2, 3, 4, 8)
    mean, var = wave[:48].reshape(2, 4, 2, 3) * 2, wave[48:96].reshape(2, 4, 2, 3).exp()
    return x, x.flip(1) * 0.8 + 0.1, mean, var


def _check_loss(autoencoder_loss) -> str | None:
    x, x_hat, mean, var = _example()
    weight = 0.01
    got = torch.as_tensor(autoencoder_loss(x, x_hat, mean, var, weight)).float()
    if got.shape != (2,):
        shape = tuple(got.shape)
        return f"one value per image is asked: shape (2,) for two images; you return {shape}"
    recon, kl = reconstruction_loss(x_hat, x), kl_loss(Gaussian(mean, var))
    if torch.allclose(got, recon + weight * kl, rtol=1e-4):
        return None
    log_of_std = (mean**2 + var - 1 - var.sqrt().log()).flatten(1).mean(1) / 2
    known = {
        "only the first half: the weighted KL term is missing": recon,
        "the KL term must be multiplied by the weight": recon + kl,
        "take means, not sums, over the pixels and over the latent numbers": (
            (x - x_hat).square().flatten(1).sum(1)
            + weight * (mean**2 + var - 1 - var.log()).flatten(1).sum(1) / 2
        ),
        "the KL term has a factor 1/2": recon + 2 * weight * kl,
        "the logarithm is that of the variance σ², not of σ": recon + weight * log_of_std,
        "squares: it is the squared difference that counts": (
            (x - x_hat).abs().flatten(1).mean(1) + weight * kl
        ),
        "the -1 is missing: at mean 0 and variance 1 the KL term is 0": recon + weight * (kl + 0.5),
    }
    for complaint, value in known.items():
        if torch.allclose(got, value, rtol=1e-4):
            return complaint
    if not got.isfinite().all():
        return "the result is not a number: is there a logarithm of something that is not positive?"
    return "compare with (4.1.1) and (4.1.4): mean((x - x_hat)²), and half the mean of four terms"


def _loss(result: str) -> str:
    return f"def autoencoder_loss(x, x_hat, m, v, w):\n    d = (1, 2, 3)\n    return {result}"


LOSS = Exercise(
    id="4.1-1",
    title="the loss of an autoencoder, one value per image",
    setup="import torch",
    stub='''
def autoencoder_loss(x, x_hat, mean, var, weight):
    """L_recon + weight L_KL: images (B, C, H, W), latents (B, c, h, w) -> (B,)."""
    return ...  # YOUR CODE HERE
''',
    solution='''
def autoencoder_loss(x, x_hat, mean, var, weight):
    """L_recon + weight L_KL: images (B, C, H, W), latents (B, c, h, w) -> (B,)."""
    recon = ((x - x_hat) ** 2).mean(dim=(1, 2, 3))
    kl = ((mean**2 + var - 1 - var.log()) / 2).mean(dim=(1, 2, 3))
    return recon + weight * kl
''',
    answer="autoencoder_loss",
    check=_check_loss,
    hint="tensor.mean(dim=(1, 2, 3)) takes the mean over everything but the first dimension. "
    "(4.1.4) writes σ² for the variance.",
    wrong=(
        (_loss("((x - x_hat)**2).mean()"), "one value per image"),
        (_loss("((x - x_hat)**2).mean(dim=d)"), "is missing"),
        (
            _loss("((x - x_hat)**2).mean(dim=d) + ((m**2 + v - 1 - v.log()) / 2).mean(dim=d)"),
            "multiplied by the weight",
        ),
        (
            _loss("((x - x_hat)**2).sum(dim=d) + w * ((m**2 + v - 1 - v.log()) / 2).sum(dim=d)"),
            "means, not sums",
        ),
        (
            _loss("((x - x_hat)**2).mean(dim=d) + w * (m**2 + v - 1 - v.log()).mean(dim=d)"),
            "factor 1/2",
        ),
        (
            _loss(
                "((x - x_hat)**2).mean(dim=d)"
                " + w * ((m**2 + v - 1 - v.sqrt().log()) / 2).mean(dim=d)"
            ),
            "not of σ",
        ),
        (
            _loss("(x - x_hat).abs().mean(dim=d) + w * ((m**2 + v - 1 - v.log()) / 2).mean(dim=d)"),
            "squared difference",
        ),
        (
            _loss("((x - x_hat)**2).mean(dim=d) + w * ((m**2 + v - v.log()) / 2).mean(dim=d)"),
            "-1 is missing",
        ),
        (_loss("0 * x[:, 0, 0, 0]"), "half the mean of four terms"),
    ),
    praise="with weight 1e-5 this is the loss that the autoencoder of this chapter was trained on.",
)


# --- 4.1-2 ----------------------------------------------------------------------------------------


def _check_factors(answer) -> str | None:
    signal, noise = (float(part) for part in answer)
    if not (math.isfinite(signal) and math.isfinite(noise)):
        return "both must be finite numbers"
    if abs(signal - 0.8**0.5) < 5e-3 and abs(noise - 0.2**0.5) < 5e-3:
        return None  # two digits are enough
    if signal < 0 or noise < 0:
        return "both are roots, and the positive ones: a negative factor would turn z_0 round"
    if abs(signal - 0.8) < 5e-3 and abs(noise - 0.2) < 5e-3:
        return "these are the shares of the *power*, alpha_bar and 1 - alpha_bar; take their roots"
    if abs(signal**2 + noise**2 - 1) > 5e-3:
        return (
            f"signal² + noise² must be 1, so that variances are preserved; yours is "
            f"{signal**2 + noise**2:.3g}"
        )
    if noise > 0 and abs(signal / noise - 4) < 1e-2:
        return "the SNR is a ratio of powers: signal² / noise², not signal / noise"
    if abs(signal - 0.2**0.5) < 5e-3:
        return "the other way round: at SNR 4 there is more signal than noise"
    return (
        f"signal² / noise² should be 4; yours is {signal**2 / noise**2 if noise else math.inf:.3g}"
    )


FACTORS = Exercise(
    id="4.1-2",
    title="signal and noise factor at SNR = 4",
    setup="",
    stub="""
signal_at_4, noise_at_4 = ..., ...  # YOUR CODE HERE: two numbers
""",
    solution="""
alpha_bar = 4 / (1 + 4)  # from SNR = alpha_bar / (1 - alpha_bar)
signal_at_4, noise_at_4 = alpha_bar**0.5, (1 - alpha_bar) ** 0.5
answer = (signal_at_4, noise_at_4)
""",
    answer="answer",
    check=_check_factors,
    hint="Solve SNR = alpha_bar / (1 - alpha_bar) for alpha_bar. The factors are the roots of "
    "alpha_bar and of 1 - alpha_bar.",
    wrong=(
        ("answer = (0.8, 0.2)", "take their roots"),
        ("answer = (2.0, 1.0)", "must be 1"),
        ("answer = (4 / 17**0.5, 1 / 17**0.5)", "ratio of powers"),
        ("answer = (0.2**0.5, 0.8**0.5)", "other way round"),
        ("answer = (0.6, 0.8)", "should be 4"),
        ("answer = (-signal_at_4, -noise_at_4)", "the positive ones"),
        ("answer = (float('nan'), 1.0)", "finite"),
    ),
    praise="any schedule passes through this point somewhere; only the t differs.",
)


# --- 4.1-3 ----------------------------------------------------------------------------------------


def _check_v_error(v_error) -> str | None:
    for alpha_bar in (0.9, 0.5, 0.04):
        given = (torch.tensor(value, dtype=torch.float64) for value in (0.3, alpha_bar))
        got, truth = float(v_error(*given)), 0.3 / alpha_bar
        if abs(got - truth) <= 1e-5 * truth:
            continue
        known = {
            "errors are squared here, so the factor is squared too": 0.3 / alpha_bar**0.5,
            "the other way round: near pure noise a small error in eps is a large one in v": (
                0.3 * alpha_bar
            ),
            "that is the error of z0; v also contains eps itself": 0.3
            * (1 - alpha_bar)
            / alpha_bar,
        }
        for complaint, value in known.items():
            if abs(got - value) <= 1e-5 * value:
                return complaint
        return (
            f"at alpha_bar = {alpha_bar} an error of 0.3 in eps should be {truth:.4g} in v; "
            f"yours is {got:.4g}"
        )
    return None


def _v_error(result: str) -> str:
    return f"def v_error(e, a):\n    return {result}"


V_ERROR = Exercise(
    id="4.1-3",
    title="an error in eps as an error in v",
    setup="",
    stub='''
def v_error(eps_error, alpha_bar):
    """|v_hat - v|^2, given |eps_hat - eps|^2 and alpha_bar_t."""
    return ...  # YOUR CODE HERE
''',
    solution='''
def v_error(eps_error, alpha_bar):
    """|v_hat - v|^2, given |eps_hat - eps|^2 and alpha_bar_t."""
    # z0 = (z_t - noise eps) / signal, so an error d in eps is -(noise / signal) d in z0, and
    # signal d + noise (noise / signal) d = d / signal in v.
    return eps_error / alpha_bar
''',
    answer="v_error",
    check=_check_v_error,
    hint="z_t is known, so an error d in eps is an error of -(noise / signal) d in z0. Put both "
    "into v = signal eps - noise z0, and use signal² + noise² = 1.",
    wrong=(
        (_v_error("e / a**0.5"), "squared too"),
        (_v_error("e * a"), "other way round"),
        (_v_error("e * (1 - a) / a"), "error of z0"),
        (_v_error("e"), "should be"),
    ),
    praise="a plain loss on v is the loss on eps with weight 1 / alpha_bar, or SNR + 1 on z0.",
)


# --- 4.1-4 ----------------------------------------------------------------------------------------


def _check_width(decoder_width) -> str | None:
    for weight, pixels, numbers in ((1e-5, 12288, 256), (0.02, 300, 60)):
        given = (torch.tensor(value, dtype=torch.float64) for value in (weight, pixels, numbers))
        got, truth = float(decoder_width(*given)), (weight * pixels / (2 * numbers)) ** 0.5
        if abs(got - truth) <= 1e-4 * truth:
            continue
        known = {
            "that is the variance sigma_x²; the width is its root": truth**2,
            "the other way round: the latent has fewer numbers than the image": (
                weight * numbers / (2 * pixels)
            )
            ** 0.5,
            "the factor 2 of (4.1.13) is missing: the Gaussian has it in its exponent": (
                truth * 2**0.5
            ),
            "the factor 2 belongs below: lambda is twice the variance": 2 * truth,
            "the numbers of pixels and of latent numbers count too: both losses are means": (
                weight / 2
            )
            ** 0.5,
        }
        for complaint, value in known.items():
            if abs(got - value) <= 1e-4 * value:
                return complaint
        return (
            f"for a weight of {weight:g}, {pixels} pixels and {numbers} numbers sigma_x is "
            f"{truth:.4g}; yours is {got:.4g}"
        )
    return None


def _width(result: str) -> str:
    return f"def decoder_width(w, p, n):\n    return {result}"


WIDTH = Exercise(
    id="4.1-4",
    title="the decoder's width that a KL weight stands for",
    setup="import torch",
    stub='''
def decoder_width(weight, pixels, numbers):
    """sigma_x that a KL weight stands for: pixels = C H W, numbers = c h w."""
    return ...  # YOUR CODE HERE
''',
    solution='''
def decoder_width(weight, pixels, numbers):
    """sigma_x that a KL weight stands for: pixels = C H W, numbers = c h w."""
    # weight = 2 sigma_x² numbers / pixels, so sigma_x² = weight pixels / (2 numbers)
    return (weight * pixels / (2 * numbers)) ** 0.5
''',
    answer="decoder_width",
    check=_check_width,
    hint="lambda = 2 sigma_x² chw / CHW: bring everything but sigma_x² to the other side, and "
    "take the root.",
    wrong=(
        (_width("w * p / (2 * n)"), "that is the variance"),
        (_width("(w * n / (2 * p)) ** 0.5"), "other way round"),
        (_width("(w * p / n) ** 0.5"), "is missing"),
        (_width("(2 * w * p / n) ** 0.5"), "belongs below"),
        (_width("(w / 2) ** 0.5"), "both losses are means"),
        (_width("w"), "sigma_x is"),
    ),
    praise="with 1e-5, 12,288 pixels and 256 numbers: 0.0155, two of the 256 grey levels.",
)

EXERCISES = [LOSS, FACTORS, V_ERROR, WIDTH]
