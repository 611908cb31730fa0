"""What a denoising network is made of: time embedding, residual block, attention."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minildm.checks import inputs

GROUPS = 8  # of every group norm
WIDEST, MOST_BLOCKS, MOST_LEVELS = 2**14, 100, 16  # far beyond use: a slip of the pen ends here


def time_embedding(t: Tensor, dim: int, time_scale: float = 1000.0) -> Tensor:
    """Sinusoidal embedding of t (B,) -> (B, dim): cos and sin of t·ω, ω from 1 to 1/10,000.

    Integer t (steps 1..T) is used as it is; a float t in [0, 1] is first multiplied by
    `time_scale`.  Vaswani et al. 2017 (arXiv 1706.03762), section 3.5.
    """
    t = t.reshape(-1)
    t = t.float() * time_scale if t.is_floating_point() else t.float()
    half = dim // 2
    omega = torch.exp(-math.log(10_000.0) * torch.arange(half, device=t.device) / half)
    angle = t[:, None] * omega  # (B, half)
    return torch.cat([angle.cos(), angle.sin()], dim=1)  # (B, dim)


def check_latents(
    z_t: Tensor, t: Tensor, channels: int, weight: Tensor, drop: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """(z_t, t) for a network of ``channels`` and such a ``weight``; ValueError if they do not fit.

    z_t (B, channels, h, w) real, t (B,) or one time for all, drop (B,) bool. Their values are not
    looked at: that would cost time at each step; samplers and trainings look at them.
    """
    z_t, t = inputs.tensor("z_t", z_t, weight), inputs.tensor("t", t, weight)
    if z_t.dim() != 4 or z_t.shape[1] != channels or 0 in z_t.shape:
        raise ValueError(f"z_t must be (B, {channels}, h, w); got {tuple(z_t.shape)}")
    if not z_t.is_floating_point():
        raise ValueError(f"z_t must be real numbers; got {z_t.dtype}: use .float()")
    if t.dim() > 1 or (t.dim() == 1 and len(t) not in (1, len(z_t))) or t.is_complex():
        raise ValueError(f"t must be ({len(z_t)},), one time per latent; got {tuple(t.shape)}")
    if drop is not None and (drop.dtype != torch.bool or drop.shape != (len(z_t),)):
        raise ValueError(f"drop must be bool ({len(z_t)},); got {drop.dtype} {tuple(drop.shape)}")
    if drop is not None:
        inputs.tensor("drop", drop, weight)
    return z_t.to(weight.dtype), t


def zero_(layer: nn.Module) -> nn.Module:
    """Set weight and bias to zero: a residual branch that begins as "do nothing"."""
    for numbers in layer.parameters():
        nn.init.zeros_(numbers)
    return layer


def masked_mean(vectors: Tensor, mask: Tensor | None) -> Tensor:
    """Mean of vectors (B, L, C) over the L where mask (B, L) is True; None: all -> (B, C)."""
    if mask is None:
        return vectors.mean(dim=1)
    share = mask.to(vectors.dtype) / mask.sum(dim=1, keepdim=True)  # (B, L), rows sum to 1
    return (share[:, None] @ vectors)[:, 0]  # (B, 1, L) (B, L, C) -> (B, C)


class ResidualBlock(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))) scaled and shifted by the embedding))."""

    def __init__(self, channels_in: int, channels_out: int, embedding_dim: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.modulate = nn.Linear(embedding_dim, 2 * channels_out)
        self.norm2 = nn.GroupNorm(GROUPS, channels_out)
        self.conv2 = zero_(nn.Conv2d(channels_out, channels_out, 3, padding=1))
        same = channels_in == channels_out
        self.skip = nn.Identity() if same else nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.modulate(embedding)[:, :, None, None].chunk(2, dim=1)  # (B, C, 1, 1)
        h = torch.addcmul(shift, self.norm2(h), 1 + scale)  # norm2(h) (1 + scale) + shift
        return self.skip(x) + self.conv2(F.silu(h))


class Attention(nn.Module):
    """softmax(Q Kᵀ / √d) V: queries from the picture, keys and values from picture or condition."""

    def __init__(self, channels: int, heads: int, context_dim: int | None = None) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.query = nn.Linear(channels, channels, bias=False)
        self.key_value = nn.Linear(context_dim or channels, 2 * channels, bias=False)
        self.out = zero_(nn.Linear(channels, channels))

    def forward(
        self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """x (B, C, H, W), context (B, L, context_dim), mask (B, L) bool: which of L may be read."""
        B, C, H, W = x.shape
        tokens = self.norm(x).flatten(2).transpose(1, 2)  # (B, H·W, C)
        q = self._split(self.query(tokens))  # (B, heads, H·W, C/heads)
        k, v = self.key_value(tokens if context is None else context).chunk(2, dim=-1)
        allowed = None if mask is None else mask[:, None, None]  # (B, 1, 1, L)
        h = F.scaled_dot_product_attention(q, self._split(k), self._split(v), allowed)
        h = h.transpose(1, 2).reshape(B, H * W, C)  # (B, H·W, C): heads side by side again
        return x + self.out(h).transpose(1, 2).reshape(B, C, H, W)  # (B, C, H, W)

    def _split(self, tokens: Tensor) -> Tensor:
        B, L, C = tokens.shape
        return tokens.reshape(B, L, self.heads, C // self.heads).transpose(1, 2)  # (B, heads, L, d)
