"""What the checks of exercises 5.1-1 and 5.1-2 compare with, and typical mistakes as code."""

from torch import Tensor

# --- space to depth -------------------------------------------------------------------------------


def mixed_up(x: Tensor, p: int) -> dict[str, Tensor]:
    """x (B, C, H, W) as typical mistakes rearrange it, (B, C p², H/p, W/p), by what to say."""
    B, C, H, W = x.shape
    shape = B, C * p * p, H // p, W // p
    pairs = x.reshape(B, C, H // p, p, W // p, p)
    apart = x.reshape(B, C, p, H // p, p, W // p)
    return {
        "one reshape keeps the order in memory: bring the two p to the front with permute": (
            x.reshape(shape)
        ),
        "a square holds neighbours: split H into (H/p, p), not (p, H/p), or they are H/p apart": (
            apart.permute(0, 1, 2, 4, 3, 5).reshape(shape)
        ),
        "channels come colour by colour: first C, then the two p": (
            pairs.permute(0, 3, 5, 1, 2, 4).reshape(shape)
        ),
        "the pixels of a square go line by line: first the p of H, then that of W": (
            pairs.permute(0, 1, 5, 3, 2, 4).reshape(shape)
        ),
    }


DEPTH_CODE = """
def space_to_depth(x, p):
    B, C, H, W = x.shape
    x = x.reshape(B, C, H // p, p, W // p, p)         # (B, C, H/p, p, W/p, p)
    x = x.permute(0, 1, 3, 5, 2, 4)                   # (B, C, p, p, H/p, W/p)
    return x.reshape(B, C * p * p, H // p, W // p)    # (B, C·p·p, H/p, W/p)
"""


def depth_with(old: str, new: str) -> str:
    """The code with a mistake: ``new`` in the place of ``old``, which must be there."""
    if old not in DEPTH_CODE:
        raise ValueError(f"old must be in DEPTH_CODE; got {old!r}")
    return DEPTH_CODE.replace(old, new)


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
