"""A transformer in the place of the UNet: the diffusion transformer, DiT.

    picture (B, c, h, w) -> squares, each a token -> the same block again and again -> picture

Every token sees every other one in each block; nothing is halved, nothing is kept for later. Time
and label reach a block through six vectors per sample: shift, scale and gate of its two branches.
Peebles and Xie 2022 (arXiv 2212.09748), section 3.2, with adaLN-Zero.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minildm.checks import inputs
from minildm.condition import Condition
from minildm.layers import MOST_BLOCKS, WIDEST, check_latents, time_embedding, zero_


@dataclass(frozen=True)
class DiTConfig:
    """Sizes of a `DiT`.

    channels    channels c of the latents
    width       numbers per token
    depth       blocks
    heads       attention heads
    patch       a token is a square of patch x patch latent pixels
    classes     > 0: the condition is a class label, int64 (B,), 0..classes-1; `classes` = null
    time_scale  a float t in [0, 1] is multiplied by this before it is embedded

    Raises ValueError for sizes that make no sense.
    """

    channels: int = 4
    width: int = 64
    depth: int = 6
    heads: int = 4
    patch: int = 1
    classes: int = 0
    time_scale: float = 1000.0

    def __post_init__(self) -> None:
        inputs.whole_fields(self, 1, WIDEST, "channels", "width", "heads", "patch")
        inputs.whole_fields(self, 1, 10 * MOST_BLOCKS, "depth")
        inputs.whole_fields(self, 0, 10**6, "classes")
        inputs.real_fields(self, 0, 1e9, "time_scale", open=True)
        if self.width % 4 or self.width % self.heads:
            raise ValueError(
                f"width must be a multiple of 4 (sine and cosine of row and column) and of heads = "
                f"{self.heads}; got {self.width}"
            )

    @property
    def condition(self) -> Condition:
        """The kind of condition that is switched on."""
        return Condition("labels", self.classes) if self.classes else Condition()


def patchify(z: Tensor, patch: int) -> Tensor:
    """Cut (B, c, h, w) into squares, row by row: tokens (B, N, c patch^2).

    N = ceil(h / patch) ceil(w / patch); below and at the right zeros fill up what is missing.
    """
    B, c, h, w = z.shape
    rows, columns = grid(h, w, patch)
    z = F.pad(z, (0, columns * patch - w, 0, rows * patch - h))  # (B, c, rows p, columns p)
    z = z.reshape(B, c, rows, patch, columns, patch)
    z = z.permute(0, 2, 4, 1, 3, 5)  # (B, rows, columns, c, p, p)
    return z.reshape(B, rows * columns, c * patch * patch)  # (B, N, c p^2)


def unpatchify(tokens: Tensor, patch: int, h: int, w: int) -> Tensor:
    """The inverse of ``patchify``: tokens (B, N, c patch^2) -> (B, c, h, w), the filling cut off.

    Raises ValueError where the tokens are not those of a picture of this size.
    """
    B, N, size = tokens.shape
    rows, columns = grid(h, w, patch)
    if rows * columns != N or size % patch**2:
        raise ValueError(
            f"tokens {tuple(tokens.shape)} are no {h} x {w} picture in squares of {patch}: that "
            f"has {rows * columns} tokens of a multiple of {patch**2} numbers"
        )
    c = size // patch**2
    z = tokens.reshape(B, rows, columns, c, patch, patch)
    z = z.permute(0, 3, 1, 4, 2, 5)  # (B, c, rows, p, columns, p)
    return z.reshape(B, c, rows * patch, columns * patch)[:, :, :h, :w]  # (B, c, h, w)


def grid(h: int, w: int, patch: int) -> tuple[int, int]:
    """How many squares lie below and beside each other: (rows, columns), rounded up."""
    return -(-h // patch), -(-w // patch)


def positions(rows: int, columns: int, width: int) -> Tensor:
    """Where each token is: cos and sin of its row, then of its column: (rows columns, width)."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    halves = [time_embedding(n.flatten(), width // 2) for n in (y, x)]  # each (N, width / 2)
    return torch.cat(halves, dim=1)  # (N, width)


class DiTBlock(nn.Module):
    """x + gate F((1 + scale) norm(x) + shift), with F first attention, then a small network.

    The six vectors are linear in the embedding, and zero at the start: then the block is x.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width)
        )
        self.modulate = zero_(nn.Linear(width, 6 * width))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """x (B, N, width), embedding (B, width) -> (B, N, width)."""
        six = self.modulate(embedding)[:, None].chunk(6, dim=-1)  # each (B, 1, width)
        shift1, scale1, gate1, shift2, scale2, gate2 = six
        x = x + gate1 * self.attend(modulated(x, shift1, scale1))
        return x + gate2 * self.mlp(modulated(x, shift2, scale2))

    def attend(self, x: Tensor) -> Tensor:
        """Every token reads every token: (B, N, width) -> (B, N, width)."""
        B, N, width = x.shape
        qkv = self.query_key_value(x).reshape(B, N, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, N, width/heads)
        h = F.scaled_dot_product_attention(q, k, v)
        return self.out(h.transpose(1, 2).reshape(B, N, width))  # heads side by side again


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """(1 + scale) norm(x) + shift: each token has mean 0 and variance 1 before; (B, N, width)."""
    return (1 + scale) * F.layer_norm(x, x.shape[-1:], eps=1e-6) + shift


class DiT(nn.Module):
    """net(z_t, t, condition) -> output, shaped like z_t (B, c, h, w): called like ``UNet``."""

    def __init__(self, config: DiTConfig | None = None) -> None:
        super().__init__()
        self.config = cfg = config or DiTConfig()
        width, numbers = cfg.width, cfg.channels * cfg.patch**2
        self.embed_time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.embed_label = nn.Embedding(cfg.classes + 1, width) if cfg.classes else None
        self.enter = nn.Linear(numbers, width)
        self.blocks = nn.ModuleList(DiTBlock(width, cfg.heads) for _ in range(cfg.depth))
        self.modulate = zero_(nn.Linear(width, 2 * width))
        self.leave = zero_(nn.Linear(width, numbers))

    def forward(
        self, z_t: Tensor, t: Tensor, condition: Tensor | None = None, drop: Tensor | None = None
    ) -> Tensor:
        """The output for z_t (B, c, h, w) at t (B,): int64 1..T, or float in [0, 1].

        ``condition``: labels (B,); None is the null condition for all.
        ``drop``: (B,) bool, in training: these samples see the null condition.
        Raises ValueError for labels of the wrong kind, shape or range.
        """
        z_t, t = check_latents(z_t, t, self.config.channels, self.enter.weight, drop)
        h, w = z_t.shape[2:]
        tokens = patchify(z_t, self.config.patch)  # (B, N, c p^2)
        places = positions(*grid(h, w, self.config.patch), self.config.width).to(z_t)
        tokens = self.read(tokens, places, self.embed(z_t, t, condition, drop))
        return unpatchify(tokens, self.config.patch, h, w)  # (B, c, h, w)

    def read(self, tokens: Tensor, places: Tensor, embedding: Tensor) -> Tensor:
        """Tokens (B, N, c p^2) at places (N, width) -> the output's tokens (B, N, c p^2).

        Their order means nothing here: only ``places`` says where a token is.
        """
        x = self.enter(tokens) + places  # (B, N, width)
        for block in self.blocks:
            x = block(x, embedding)
        shift, scale = self.modulate(embedding)[:, None].chunk(2, dim=-1)  # each (B, 1, width)
        return self.leave(modulated(x, shift, scale))

    def embed(
        self, z_t: Tensor, t: Tensor, condition: Tensor | None = None, drop: Tensor | None = None
    ) -> Tensor:
        """The vector (B, width) that carries time and label to every block."""
        cfg = self.config
        embedding = time_embedding(t.to(z_t.device), cfg.width, cfg.time_scale)
        embedding = self.embed_time(embedding.to(self.enter.weight.dtype))
        condition = cfg.condition.told(z_t, condition, drop, self.null)
        if condition is None:
            return F.silu(embedding)
        return F.silu(embedding + self.embed_label(condition))

    def null(self, condition: Tensor) -> Tensor:
        """The null condition, shaped like ``condition``: what "no condition" means to this net."""
        return self.config.condition.null(condition)
