"""What the networks of Stable Diffusion (arXiv 2112.10752) are built of, named as in its files.

tests/library/test_sd_unet.py and its neighbour compare them with the reference, diffusers.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from minildm.checks import inputs


def supported(config: Mapping[str, Any], only: Mapping[str, Sequence[Any]]) -> None:
    """ValueError for a field of a published ``config`` with another value than ``only`` lists."""
    for field, values in only.items():
        if field in config and config[field] not in values:
            known = " or ".join(map(repr, values))
            raise ValueError(f"{field} = {config[field]!r} is not supported, only {known}")


def per_level(name: str, value: Any, levels: int, least: int = 1) -> tuple[int, ...]:
    """A number for each level, where one number stands for all; ValueError for another count."""
    values = value if isinstance(value, list | tuple) else (value,) * levels
    if len(values) != levels:
        raise ValueError(f"{name} must have {levels} entries, one per level; got {value!r}")
    return inputs.whole_tuple(name, values, least, 2**14)


class ResnetBlock(nn.Module):
    """x (B, c_in, H, W) -> (B, c_out, H, W), two convolutions around which x passes:

        x + conv2(silu(norm2(conv1(silu(norm1(x))) + time_emb_proj(embedding))))

    It passes through a 1 x 1 convolution where c_in != c_out. No time without ``embedding_dim``.
    """

    def __init__(
        self, c_in: int, c_out: int, groups: int, eps: float, embedding_dim: int = 0
    ) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, c_in, eps)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.time_emb_proj = nn.Linear(embedding_dim, c_out) if embedding_dim else None
        self.norm2 = nn.GroupNorm(groups, c_out, eps)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else None

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        """``embedding`` (B, embedding_dim): that of the time, after its silu."""
        h = self.conv1(F.silu(self.norm1(x), inplace=True))  # (B, c_out, H, W)
        if self.time_emb_proj is not None:
            h += self.time_emb_proj(embedding)[:, :, None, None]  # (B, c_out, 1, 1)
        h = self.conv2(F.silu(self.norm2(h), inplace=True))
        return (x if self.conv_shortcut is None else self.conv_shortcut(x)) + h


class Downsample(nn.Module):
    """(B, C, H, W) -> (B, C, H/2, W/2); ``padding`` 1: on all sides, 0: one below, one right."""

    def __init__(self, channels: int, padding: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=padding)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x if self.conv.padding[0] else F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """(B, C, H, W) -> (B, C, 2H, 2W), or of ``size`` (H, W): each pixel is repeated, then mixed."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, size: Sequence[int] = ()) -> Tensor:
        return self.conv(F.interpolate(x, size=list(size) or [2 * side for side in x.shape[2:]]))


class Attention(nn.Module):
    """softmax(Q Kᵀ / √d) V of tokens (B, L, C); keys and values from them, or from a context."""

    def __init__(
        self, channels: int, heads: int, context_dim: int | None = None, bias: bool = False
    ) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(channels, channels, bias)
        self.to_k = nn.Linear(context_dim or channels, channels, bias)
        self.to_v = nn.Linear(context_dim or channels, channels, bias)
        self.to_out = nn.Sequential(nn.Linear(channels, channels))

    def forward(self, tokens: Tensor, context: Tensor | None = None) -> Tensor:
        """``context`` (B, M, context_dim); None: the tokens themselves."""
        context = tokens if context is None else context
        q, k, v = self.to_q(tokens), self.to_k(context), self.to_v(context)
        h = F.scaled_dot_product_attention(self._split(q), self._split(k), self._split(v))
        return self.to_out(h.transpose(1, 2).flatten(2))  # (B, heads, L, d) -> (B, L, C)

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(2, (self.heads, -1)).transpose(1, 2)  # (B, heads, L, d)


class PictureAttention(Attention):
    """x (B, C, H, W) + attention of its pixels, with one head and its own norm."""

    def __init__(self, channels: int, groups: int, eps: float) -> None:
        super().__init__(channels, heads=1, bias=True)
        self.group_norm = nn.GroupNorm(groups, channels, eps)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        tokens = self.group_norm(x).flatten(2).transpose(1, 2)  # (B, H·W, C)
        h = super().forward(tokens, context)
        return h.transpose(1, 2).reshape(x.shape) + x  # (B, C, H, W)
