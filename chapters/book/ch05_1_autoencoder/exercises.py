"""Exercises of chapter 5.1, the autoencoder."""

import math

import torch
from torch import nn

from book.ch05_1_autoencoder.written import (
    PARTS,
    RIGHT,
    Toy,
    block_with,
    compare_block,
    loss_with,
    shipped_block,
    toy_losses,
)
from book.exercises import Exercise

# --- 5.1-1 ----------------------------------------------------------------------------------------


def _check_block(block) -> str | None:
    if not (isinstance(block, type) and issubclass(block, nn.Module)):
        return "give the class itself, a subclass of nn.Module; not a function, nor one made of it"
    weights, h, wanted = shipped_block()
    mine = block(64)
    own = {name: tuple(value.shape) for name, value in mine.state_dict().items()}
    if set(own) != set(PARTS):
        return f"the shipped weights are called {', '.join(PARTS)}; yours {', '.join(own) or 'not'}"
    for name, value in weights.items():
        if own[name] != tuple(value.shape):
            return f"{name} has shape {own[name]}; the shipped one {tuple(value.shape)}"
    if not {mine.conv1.padding, mine.conv2.padding} <= {(1, 1), "same"}:
        return "padding=1 in both convolutions, or the sum has two different sizes"
    if mine.norm1.num_groups != 8 or mine.norm2.num_groups != 8:
        return f"groups of channels: the shipped norm has 8, yours has {mine.norm1.num_groups}"
    mine.load_state_dict(weights)
    with torch.no_grad():
        return compare_block(mine, h, mine(h), wanted)


BLOCK = Exercise(
    id="5.1-1",
    title="a residual block that loads the shipped weights",
    stub="""
class NamedBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        ...  # YOUR CODE HERE: self.norm1, self.conv1, self.norm2, self.conv2

    def forward(self, x):
        return ...  # YOUR CODE HERE
""",
    solution="""
class NamedBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm1 = nn.GroupNorm(8, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(8, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        h = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(h)))
""",
    answer="NamedBlock",
    check=_check_block,
    hint="The four layers with weights get names; SiLU has none, so F.silu in forward will do.",
    wrong=(
        (nn.Identity(), "the class itself"),
        (block_with(RIGHT, second="convolution2"), "are called"),
        (block_with(RIGHT.replace("x + ", "", 1)), "the input itself"),
        (block_with(RIGHT, padding=0), "padding=1"),
        (block_with(RIGHT, groups=32), "yours has 32"),
        (block_with(RIGHT.replace("F.silu", "F.relu")), "not ReLU"),
        (
            block_with("x + self.conv2(self.norm2(self.conv1(self.norm1(x))))"),
            "is missing between",
        ),
        (
            block_with("x + F.silu(self.norm2(self.conv2(F.silu(self.norm1(self.conv1(x))))))"),
            "first the norm",
        ),
        (block_with(RIGHT.replace("norm2", "norm1")), "its weights fit"),
        (
            block_with(RIGHT).replace("channels, 3, padding=1", "channels, 5, padding=1"),
            "has shape",
        ),
    ),
    setup="import torch.nn.functional as F\nfrom torch import nn\n",
    praise="the weights of the shipped model, in a class that you wrote.",
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
    hint="Which standard deviation do samples have, and which do latents have that come from E?",
    wrong=(
        (5.49, "how large they should be"),
        (0.0332, "not twice"),
        (1.0, "std 1 / scale"),
        (2.0, "compare the std"),
    ),
    praise="more than five times too small: the decoder draws a pale, flat picture.",
)

EXERCISES = [BLOCK, LOSS, LEARNED, REALLY, OFF_BY]
