"""Exercises of chapter 5.1, the autoencoder."""

import math

from book.exercises import Exercise

# --- 5.1-1 ----------------------------------------------------------------------------------------


def _check_learned(answer) -> str | None:
    squared, absolute = (float(value) for value in answer)
    if math.isclose(squared, -0.4, abs_tol=1e-3) and math.isclose(absolute, -1, abs_tol=1e-3):
        return None
    if math.isclose(squared, -1, abs_tol=1e-3) and math.isclose(absolute, -0.4, abs_tol=1e-3):
        return "the other way round: the mean belongs to the squared error, the median to the other"
    if math.isclose(squared, 0.3, abs_tol=1e-3):
        return "0.3 is the probability of a 1; the mean of 1 and -1 with these weights is smaller"
    if math.isclose(absolute, 0, abs_tol=1e-3):
        return (
            "0 is half way between the two values; the median is the value in the middle by count"
        )
    if not math.isclose(squared, -0.4, abs_tol=1e-3):
        return "the squared error's best guess is the mean: 0.3 · 1 + 0.7 · (-1)"
    return "the absolute error's best guess is the median: the value of more than half of the cases"


LEARNED = Exercise(
    id="5.1-1",
    title="what two losses make of an uncertain pixel",
    stub="learned = (..., ...)  # YOUR CODE HERE: (squared, absolute)",
    solution="""
learned = (0.3 * 1 + 0.7 * (-1), -1.0)  # mean and median
""",
    answer="learned",
    check=_check_learned,
    hint="(5.1.1) and (5.1.2): one of them is a mean, the other a median.",
    wrong=(
        ((-1.0, -0.4), "other way round"),
        ((0.3, -1.0), "probability of a 1"),
        ((-0.4, 0.0), "half way"),
        ((0.4, -1.0), "best guess is the mean"),
        ((-0.4, 1.0), "best guess is the median"),
    ),
    praise="a grey that no picture has, and a black that is right in 7 cases of 10.",
)

# --- 5.1-2 ----------------------------------------------------------------------------------------


def _check_really(value) -> str | None:
    value, s, ab = float(value), 3.0, 0.1
    if math.isclose(value, s**2 * ab / (s**2 * ab + 1 - ab), rel_tol=1e-3):
        return None
    if math.isclose(value, s**2 * ab, rel_tol=1e-3):
        return "that is the power of the signal; divide by the whole power, signal and noise"
    if math.isclose(value, s**2 * ab / (1 - ab), rel_tol=1e-3):
        return "that is the SNR; turn it into a share: SNR / (SNR + 1)"
    if math.isclose(value, s * ab / (s * ab + 1 - ab), rel_tol=1e-3):
        return "a standard deviation of 3 multiplies the *power* by 9"
    if math.isclose(value, (ab / s**2) / (ab / s**2 + 1 - ab), rel_tol=1e-3):
        return "the other way round: larger latents hide less, so more signal is left"
    return "put s = 3 and alpha_bar = 0.1 into (5.1.5)"


REALLY = Exercise(
    id="5.1-2",
    title="the noise level that unscaled latents really have",
    stub="really = ...  # YOUR CODE HERE: alpha_bar' at the step where alpha_bar is 0.1",
    solution="""
s, alpha_bar = 3, 0.1
really = s**2 * alpha_bar / (s**2 * alpha_bar + 1 - alpha_bar)
""",
    answer="really",
    check=_check_really,
    hint="(5.1.5), left formula.",
    wrong=(
        (0.9, "whole power"),
        (1.0, "that is the SNR"),
        (0.25, "*power* by 9"),
        (0.01220, "hide less"),
        (0.1, "put s = 3"),
    ),
    praise="half signal, half noise, where the network was told that nine tenths are noise.",
)

# --- 5.1-3 ----------------------------------------------------------------------------------------


def _check_fewer(fewer) -> str | None:
    for C, c, f in ((3, 4, 8), (1, 2, 4), (3, 16, 16)):
        wanted, got = C * f * f / c, float(fewer(C, c, f))
        if math.isclose(got, wanted, rel_tol=1e-6):
            continue
        if math.isclose(got, 1 / wanted, rel_tol=1e-6):
            return "that is the share that is left; the question is how many times fewer"
        if math.isclose(got, f * f, rel_tol=1e-6):
            return "places shrink by f²; channels count too"
        if math.isclose(got, C * f / c, rel_tol=1e-6):
            return "height *and* width shrink by f"
        return f"for C = {C}, c = {c}, f = {f} it should be {wanted:g}; yours is {got:g}"
    return None


FEWER = Exercise(
    id="5.1-3",
    title="how many times fewer numbers a latent has",
    stub="""
def fewer(C, c, f):
    return ...  # YOUR CODE HERE
""",
    solution="""
def fewer(C, c, f):
    return C * f**2 / c
""",
    answer="fewer",
    check=_check_fewer,
    hint="C H W numbers become c (H/f) (W/f).",
    wrong=(
        ("def fewer(C, c, f):\n    return c / (C * f**2)", "share that is left"),
        ("def fewer(C, c, f):\n    return f**2", "channels count"),
        ("def fewer(C, c, f):\n    return C * f / c", "*and* width"),
        ("def fewer(C, c, f):\n    return 48", "it should be"),
    ),
    praise="48 for our model, as for Stable Diffusion: 3 · 64 / 4.",
)

# --- 5.1-4 ----------------------------------------------------------------------------------------


def _check_off(value) -> str | None:
    value, scale = float(value), 0.18215
    if math.isclose(value, scale, rel_tol=1e-2):
        return None
    if math.isclose(value, 1 / scale, rel_tol=1e-2):
        return "that is how large they should be: samples have a standard deviation of 1"
    if math.isclose(value, scale**2, rel_tol=1e-2) or math.isclose(value, scale**-2, rel_tol=1e-2):
        return "the factor was forgotten once, not twice; squares belong to powers"
    if math.isclose(value, 1, rel_tol=1e-2):
        return "samples have std 1, but the decoder was trained on std 1 / scale"
    return "compare the std of a sample, 1, with the std that the decoder knows, 1 / scale"


OFF_BY = Exercise(
    id="5.1-4",
    title="decoding without undoing the scale",
    stub="off_by = ...  # YOUR CODE HERE: one number",
    solution="""
off_by = 1 / (1 / 0.18215)  # what arrives has std 1; what the decoder knows has std 1 / scale
""",
    answer="off_by",
    check=_check_off,
    hint="Which standard deviation do samples have, and which do latents have that come from E?",
    wrong=(
        (5.49, "how large they should be"),
        (0.0332, "not twice"),
        (1.0, "std 1 / scale"),
        (2.0, "compare the std"),
    ),
    praise="more than five times too small: the decoder draws a pale, flat picture.",
)

EXERCISES = [LEARNED, REALLY, FEWER, OFF_BY]
