"""What the checks of exercises 5.1-1 and 5.1-2 compare with, and typical mistakes as code."""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minildm.latent import LatentDiffusion

# --- the block ------------------------------------------------------------------------------------

NAMES = {"layers.0": "norm1", "layers.2": "conv1", "layers.3": "norm2", "layers.5": "conv2"}
PARTS = [f"{part}.{kind}" for part in NAMES.values() for kind in ("weight", "bias")]


@functools.cache
def shipped_block() -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """The weights of a block of the shipped encoder, renamed; an input, and its output."""
    block = LatentDiffusion.load("shapes").autoencoder.encoder[2]
    h = torch.randn(2, 64, 8, 8, generator=torch.Generator().manual_seed(0))
    weights = {}
    for name, value in block.state_dict().items():
        layer, kind = name.rsplit(".", 1)
        weights[f"{NAMES[layer]}.{kind}"] = value
    with torch.no_grad():
        return weights, h, block(h)


def compare_block(mine: nn.Module, h: Tensor, out: Tensor, wanted: Tensor) -> str | None:
    """None if a block's output is the wanted one, else what its author has mixed up."""
    norm1, conv1, norm2, conv2 = (getattr(mine, name) for name in NAMES.values())

    def same(other: Tensor) -> bool:
        return out.shape == other.shape and torch.allclose(out, other, atol=1e-4)

    if same(wanted):
        return None
    if same(wanted - h):
        return "the input itself is missing: the block *adds* its correction to x"
    if same(h + F.silu(norm2(conv2(F.silu(norm1(conv1(h))))))):
        return "first the norm, then the activation, then the convolution, and that twice"
    if same(h + conv2(norm2(conv1(norm1(h))))):
        return "an activation is missing between norm and convolution: two convolutions are one"
    if same(h + conv2(F.relu(norm2(conv1(F.relu(norm1(h))))))):
        return "the activation is SiLU, x sigmoid(x), not ReLU"
    return "its weights fit, its output does not: x + conv2(silu(norm2(conv1(silu(norm1(x))))))"


RIGHT = "x + self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))"


def block_with(forward: str, groups: int = 8, padding: int = 1, second: str = "conv2") -> str:
    """Code of a block with a mistake."""
    conv = f"nn.Conv2d(channels, channels, 3, padding={padding})"
    return f"""
class NamedBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm({groups}, channels), nn.GroupNorm({groups}, channels)
        self.conv1, self.{second} = {conv}, {conv}

    def forward(self, x):
        return {forward}
"""


# --- the loss of a batch --------------------------------------------------------------------------


class Toy:
    """An "autoencoder" that can be computed by hand: 16 pixel numbers, 4 latent numbers."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = 0.5 * x[..., ::2, ::2] + 0.1
        return mean, 0.3 * mean - 1

    def decode(self, z: Tensor) -> Tensor:
        return 0.9 * z.repeat_interleave(2, -1).repeat_interleave(2, -2)


def toy_losses(model: Toy, x: Tensor, eps: Tensor, w: float) -> dict[str, Tensor]:
    """The losses that typical mistakes give, by what to say of them; the right one is first."""
    mean, log_var = model.encode(x)
    var, std = log_var.exp(), (log_var / 2).exp()

    def error(z: Tensor) -> Tensor:
        return (model.decode(z) - x).square()

    pull = (mean**2 + var - 1 - log_var) / 2
    squares = error(mean + std * eps)
    both, B = squares.mean() + w * pull.mean(), len(x)
    return {
        "": both,
        "the decoder gets a sample, mean + sigma eps, not the mean": (
            error(mean).mean() + w * pull.mean()
        ),
        "sigma is the root of the variance: halve log_var before exp": (
            error(mean + var * eps).mean() + w * pull.mean()
        ),
        "log_var is a logarithm: sigma = exp(log_var / 2)": (
            error(mean + log_var * eps).mean() + w * pull.mean()
        ),
        "the KL term is twice as large as it should be: it has a 1/2": both + w * pull.mean(),
        "the sign of log_var: a small variance costs, so it is subtracted": (
            both + w * log_var.mean()
        ),
        "the KL term is a cost as well: it is added": squares.mean() - w * pull.mean(),
        "the weight of the KL term is missing": squares.mean() + pull.mean(),
        "the KL term is missing": squares.mean(),
        "means over all elements, please, not sums": (squares.sum() + w * pull.sum()) / B,
        "the KL term has the variance, exp(log_var), not sigma": both + w * (std - var).mean() / 2,
    }


_LOSS = """
def batch_loss(model, x, eps, weight):
    mean, log_var = model.encode(x)
    z = {z}
    error = {error}
    pull = (mean**2 + log_var.exp() - 1 - log_var) / 2
    return {total}
"""
_WROTE = {
    "z": "mean + (log_var / 2).exp() * eps",
    "error": "(model.decode(z) - x).square()",
    "total": "error.mean() + weight * pull.mean()",
}


def loss_with(**parts: str) -> str:
    """Code of a loss with a mistake in its ``z``, its ``error`` or its ``total``."""
    return _LOSS.format(**{**_WROTE, **parts})
