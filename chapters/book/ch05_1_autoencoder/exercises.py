"""Exercises of chapter 5.1, the autoencoder."""

import math

import torch
from torch import nn

from book.ch05_1_autoencoder.written import (
    DEPTH_CODE,
    Toy,
    depth_with,
    loss_with,
    mixed_up,
    toy_losses,
)
from book.exercises import Exercise

# --- 5.1-1 ----------------------------------------------------------------------------------------


def _check_space_to_depth(space_to_depth) -> str | None:
    for shape, p in (((2, 3, 8, 12), 4), ((1, 2, 4, 6), 2)):
        x = torch.arange(math.prod(shape), dtype=torch.float32).reshape(shape)
        got, wanted = torch.as_tensor(space_to_depth(x, p)), nn.functional.pixel_unshuffle(x, p)
        if got.shape != wanted.shape:
            shapes = tuple(got.shape), tuple(wanted.shape)
            return f"x {shape} with p = {p} becomes {shapes[1]}; yours has shape {shapes[0]}"
        if torch.equal(got.double(), wanted.double()):
            continue
        for words, mistaken in mixed_up(x, p).items():
            if torch.equal(got.double(), mistaken.double()):
                return words
        return "the shape is right, but numbers stand elsewhere; try x = torch.arange(16.) as 4 x 4"
    return None


DEPTH = Exercise(
    id="5.1-1",
    title="space to depth, without a layer",
    stub="""
def space_to_depth(x, p):
    return ...  # YOUR CODE HERE: x (B, C, H, W) -> (B, C·p·p, H/p, W/p)
""",
    solution=DEPTH_CODE,
    answer="space_to_depth",
    check=_check_space_to_depth,
    hint="Give each of the two sides a pair of axes, (H/p, p) and (W/p, p); permute; reshape.",
    wrong=(
        (
            DEPTH_CODE.replace("H // p, p, W // p, p)", "p, H // p, p, W // p)").replace(
                "1, 3, 5, 2, 4", "1, 2, 4, 3, 5"
            ),
            "H/p apart",
        ),
        (depth_with("0, 1, 3, 5", "0, 3, 5, 1"), "colour by colour"),
        (depth_with("3, 5, 2, 4", "5, 3, 2, 4"), "line by line"),
        (depth_with("1, 3, 5, 2, 4", "1, 2, 3, 4, 5"), "order in memory"),
        (depth_with("C * p * p,", "C, p * p,"), "yours has shape"),
        (depth_with("5, 2, 4", "5, 4, 2"), "stand elsewhere"),
    ),
    praise="the first layer of the encoder, and nothing was computed.",
)

# --- 5.1-2 ----------------------------------------------------------------------------------------


def _check_loss(batch_loss) -> str | None:
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(3, 1, 4, 4, generator=generator, dtype=torch.float64) * 2 - 1
    eps = torch.randn(3, 1, 2, 2, generator=generator, dtype=torch.float64)
    got = torch.as_tensor(batch_loss(Toy(), x, eps, 0.2)).detach().double()
    if got.numel() != 1:
        return f"one number is wanted, the mean over the batch; yours has shape {tuple(got.shape)}"
    if not torch.isfinite(got).all():
        return f"your function returned {float(got)}: every term is finite here"
    for words, value in toy_losses(Toy(), x, eps, 0.2).items():
        if math.isclose(float(got), float(value), rel_tol=1e-5):
            return words or None
    return "encode x, make z from mean, log_var and the given eps, decode, and add the two losses"


LOSS = Exercise(
    id="5.1-2",
    title="the loss of one batch, from memory",
    stub="""
def batch_loss(model, x, eps, weight):
    return ...  # YOUR CODE HERE: one number
""",
    solution="""
def batch_loss(model, x, eps, weight):
    mean, log_var = model.encode(x)
    z = mean + (log_var / 2).exp() * eps
    pull = (mean**2 + log_var.exp() - 1 - log_var) / 2
    return (model.decode(z) - x).square().mean() + weight * pull.mean()
""",
    answer="batch_loss",
    check=_check_loss,
    hint="Three lines: a sample z, the KL of each latent number, and the sum of two means.",
    wrong=(
        (loss_with(z="mean"), "a sample"),
        (loss_with(z="mean + log_var.exp() * eps"), "root of the variance"),
        (loss_with(z="mean + log_var * eps"), "is a logarithm"),
        (loss_with(total="error.mean() + 2 * weight * pull.mean()"), "has a 1/2"),
        (loss_with(total="error.mean() + weight * (pull + log_var).mean()"), "sign of log_var"),
        (loss_with(total="error.mean() - weight * pull.mean()"), "it is added"),
        (loss_with(total="error.mean() + pull.mean()"), "weight of the KL"),
        (loss_with(total="error.mean()"), "the KL term is missing"),
        (loss_with(total="(error.sum() + weight * pull.sum()) / len(x)"), "not sums"),
        (
            loss_with(total="error.mean() + weight * (pull + ((log_var / 2).exp() "
                             "- log_var.exp()) / 2).mean()"),
            "not sigma",
        ),
        (loss_with(total="(error.flatten(1) + weight * pull.mean()).mean(1)"), "has shape"),
        (loss_with(z="mean - (log_var / 2).exp() * eps"), "the given eps"),
    ),
    praise="sample, decode, compare, pull: that is all that trains an autoencoder.",
)  # fmt: skip

# --- 5.1-3 ----------------------------------------------------------------------------------------


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
    id="5.1-3",
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

# --- 5.1-4 ----------------------------------------------------------------------------------------


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
    id="5.1-4",
    title="the noise level that unscaled latents really have",
    stub="really = ...  # YOUR CODE HERE: alpha_bar' at the noise level where alpha_bar is 0.1",
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

# --- 5.1-5 ----------------------------------------------------------------------------------------


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
    id="5.1-5",
    title="decoding without undoing the scale",
    stub="off_by = ...  # YOUR CODE HERE: one number",
    solution="""
off_by = 1 / (1 / 0.18215)  # what arrives has std 1; what the decoder knows has std 1 / scale
""",
    answer="off_by",
    check=_check_off,
    hint="Which standard deviation do samples have, and which do the encoder's latents have?",
    wrong=(
        (5.49, "how large they should be"),
        (0.0332, "not twice"),
        (1.0, "std 1 / scale"),
        (2.0, "compare the std"),
    ),
    praise="more than five times too small: the decoder draws a pale, flat picture.",
)

EXERCISES = [DEPTH, LOSS, LEARNED, REALLY, OFF_BY]
