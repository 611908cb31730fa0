"""The denoising network: a UNet that knows the time and, if asked, a condition.

Ronneberger et al. 2015 (arXiv 1505.04597) for the shape, Ho et al. 2020 (arXiv 2006.11239) for
residual blocks and time, Dhariwal and Nichol 2021 (arXiv 2105.05233, section 3) for scale and
shift, Rombach et al. 2022 (arXiv 2112.10752, section 3.3) for cross-attention.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minildm.checks import inputs
from minildm.condition import Condition
from minildm.interfaces import Schedule
from minildm.layers import (
    GROUPS,
    MOST_BLOCKS,
    MOST_LEVELS,
    WIDEST,
    Attention,
    ResidualBlock,
    check_latents,
    masked_mean,
    time_embedding,
    zero_,
)

KINDS = {"classes": "labels", "context_dim": "vectors", "concat_channels": "maps"}


@dataclass(frozen=True)
class UNetConfig:
    """Sizes of a `UNet`.  At most one kind of condition is switched on.

    channels         channels c of the latents
    width            channels of the first level
    multipliers      width of each level, in units of `width`; each level halves height and width
    blocks           residual blocks per level, on the way down and on the way up
    attention        levels (0 = finest) with attention; the middle always has it
    heads            attention heads
    classes          > 0: the condition is a class label, int64 (B,), 0..classes-1; `classes` = null
    context_dim      > 0: the condition is a sequence of vectors (B, L, context_dim), read by
                     cross-attention wherever there is self-attention
    pool             with context_dim: the mean of those vectors is also added to the time
                     embedding, so that every block hears a summary
    concat_channels  > 0: the condition is a map (B, concat_channels, h, w), concatenated to z_t
    time_scale       a float t in [0, 1] is multiplied by this before it is embedded

    Raises ValueError for several kinds of condition, for sizes that do not divide, and for any
    other value that makes no sense: each is named with its range.
    """

    channels: int = 4
    width: int = 64
    multipliers: tuple[int, ...] = (1, 2)
    blocks: int = 1
    attention: tuple[int, ...] = ()
    heads: int = 4
    classes: int = 0
    context_dim: int = 0
    pool: bool = False
    concat_channels: int = 0
    time_scale: float = 1000.0

    def __post_init__(self) -> None:
        inputs.whole_fields(self, 1, WIDEST, "channels", "width", "heads")
        inputs.whole_fields(self, 0, WIDEST, "context_dim", "concat_channels")
        inputs.whole_fields(self, 0, 10**6, "classes")
        inputs.whole_fields(self, 1, MOST_BLOCKS, "blocks")
        inputs.real_fields(self, 0, 1e9, "time_scale", open=True)
        inputs.flag_fields(self, "pool")
        self._check_levels()
        kinds = [field for field in KINDS if getattr(self, field)]
        if len(kinds) > 1:
            raise ValueError(f"switch on one kind of condition, not {' and '.join(kinds)}")
        if self.pool and not self.context_dim:
            raise ValueError("pool needs context_dim > 0: there is nothing to take the mean of")
        if self.width % GROUPS:
            raise ValueError(f"width must be a multiple of {GROUPS} (group norm); got {self.width}")
        if self.width % self.heads:
            raise ValueError(f"heads must divide width = {self.width}; got {self.heads}")

    def _check_levels(self) -> None:
        multipliers = inputs.whole_tuple("multipliers", self.multipliers, 1, 1024)
        if not 1 <= len(multipliers) <= MOST_LEVELS:
            raise ValueError(
                f"multipliers must have 1 to {MOST_LEVELS} entries, one per level; got "
                f"{len(multipliers)}"
            )
        attention = inputs.whole_tuple("attention", self.attention, 0, len(multipliers) - 1)
        object.__setattr__(self, "multipliers", multipliers)
        object.__setattr__(self, "attention", attention)

    @property
    def condition(self) -> Condition:
        """The kind of condition that is switched on."""
        sizes = {kind: getattr(self, field) for field, kind in KINDS.items()}
        return next((Condition(kind, size) for kind, size in sizes.items() if size), Condition())

    @property
    def embedding_dim(self) -> int:
        """Length of the vector that carries time and label to every block."""
        return 4 * self.width


class TrainedWith(NamedTuple):
    """What a denoising network was trained with; ``train_denoiser`` notes it as ``trained_with``.

    parameterization  the name of what it predicts: "V", "EPS", "Z0" or "FLOW"
    schedule          at which noise levels
    latent_size       (h, w) of the latents that it saw
    """

    parameterization: str
    schedule: Schedule
    latent_size: tuple[int, ...]


class Stage(nn.Module):
    """One residual block, followed (where asked) by self-attention and cross-attention."""

    def __init__(self, c_in: int, c_out: int, cfg: UNetConfig, attend: bool) -> None:
        super().__init__()
        self.block = ResidualBlock(c_in, c_out, cfg.embedding_dim)
        self.attend = Attention(c_out, cfg.heads) if attend else None
        cross = attend and cfg.context_dim > 0
        self.read = Attention(c_out, cfg.heads, cfg.context_dim) if cross else None

    def forward(
        self, x: Tensor, embedding: Tensor, context: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        x = self.block(x, embedding)
        if self.attend is not None:
            x = self.attend(x)
        return x if self.read is None else self.read(x, context, mask)


class Halve(nn.Module):
    """Half the height and width, rounded up: 7 -> 4. Called like a ``Stage``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor, *_: Tensor | None) -> Tensor:
        return self.conv(x)


class UNet(nn.Module):
    """net(z_t, t, condition) -> output, shaped like z_t (B, c, h, w); any h and w, odd ones too.

    On the way down every result is kept; on the way up it is concatenated to the input of the
    matching stage, which lets fine detail pass around the coarse levels.
    """

    trained_with: TrainedWith  # noted by its training

    def __init__(self, config: UNetConfig | None = None) -> None:
        super().__init__()
        self.config = cfg = config or UNetConfig()
        emb = cfg.embedding_dim
        self.embed_time = nn.Sequential(nn.Linear(cfg.width, emb), nn.SiLU(), nn.Linear(emb, emb))
        self.embed_label = nn.Embedding(cfg.classes + 1, emb) if cfg.classes else None
        self.embed_pooled = nn.Linear(cfg.context_dim, emb) if cfg.pool else None
        null = torch.randn(1, 1, cfg.context_dim)
        self.null_context = nn.Parameter(null) if cfg.context_dim else None
        self.enter = nn.Conv2d(cfg.channels + cfg.concat_channels, cfg.width, 3, padding=1)
        self.down, skips = self._build_down()
        c = skips[-1]
        self.middle = Stage(c, c, cfg, attend=True)
        self.up, c = self._build_up(skips)
        last = zero_(nn.Conv2d(c, cfg.channels, 3, padding=1))
        self.leave = nn.Sequential(nn.GroupNorm(GROUPS, c), nn.SiLU(), last)
        # about a quarter faster on a CPU; PyTorch's own types do not know this form
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _build_down(self) -> tuple[nn.ModuleList, list[int]]:
        cfg, layers, c = self.config, nn.ModuleList(), self.config.width
        skips = [c]  # channels of everything that is kept for the way up
        for level, multiplier in enumerate(cfg.multipliers):
            if level > 0:
                layers.append(Halve(c))
                skips.append(c)
            for _ in range(cfg.blocks):
                layers.append(Stage(c, cfg.width * multiplier, cfg, level in cfg.attention))
                c = cfg.width * multiplier
                skips.append(c)
        return layers, skips

    def _build_up(self, skips: list[int]) -> tuple[nn.ModuleList, int]:
        cfg, layers, c = self.config, nn.ModuleList(), skips[-1]
        for level, multiplier in reversed(list(enumerate(cfg.multipliers))):
            for _ in range(cfg.blocks + 1):
                c_in, c = c + skips.pop(), cfg.width * multiplier
                layers.append(Stage(c_in, c, cfg, level in cfg.attention))
        return layers, c

    def forward(
        self, z_t: Tensor, t: Tensor, condition: Tensor | None = None, drop: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """The output for z_t (B, c, h, w) at t (B,): int64 1..T, or float in [0, 1].

        ``condition``: see ``UNetConfig``; None is the null condition for all.
        ``drop``: (B,) bool, in training: these samples see the null condition.
        ``mask``: (B, L) bool, with context_dim: which of the L vectors may be read; None: all.
        Raises ValueError for a condition of the wrong kind, shape or range.
        """
        z_t, t = check_latents(z_t, t, self.config.channels, self.enter.weight, drop)
        kind, _ = self.config.condition
        condition = self.config.condition.told(z_t, condition, drop, self.null)
        context = condition if kind == "vectors" else None  # (B, L, context_dim)
        if mask is not None:
            _check_mask(mask, context)
        embedding = time_embedding(t.to(z_t.device), self.config.width, self.config.time_scale)
        embedding = self.embed_time(embedding.to(z_t.dtype))  # (B, width) -> (B, embedding_dim)
        if self.embed_label is not None:
            embedding = embedding + self.embed_label(condition)
        if self.embed_pooled is not None and context is not None:
            embedding = embedding + self.embed_pooled(masked_mean(context, mask))
        embedding = F.silu(embedding)
        maps = condition if kind == "maps" else None
        x = z_t if maps is None else torch.cat([z_t, maps], dim=1)  # (B, c + concat_channels, h, w)
        h = self.enter(x)
        kept = [h]
        for layer in self.down:
            h = layer(h, embedding, context, mask)
            kept.append(h)
        h = self.middle(h, embedding, context, mask)
        for layer in self.up:
            skip = kept.pop()
            h = F.interpolate(h, size=skip.shape[-2:]) if h.shape[-2:] != skip.shape[-2:] else h
            h = layer(torch.cat([h, skip], dim=1), embedding, context, mask)
        return self.leave(h)

    def null(self, condition: Tensor) -> Tensor:
        """The null condition, shaped like ``condition``: what "no condition" means to this net."""
        if self.null_context is None:
            return self.config.condition.null(condition)
        # L equal vectors are, to attention, the same as one
        return self.null_context.to(condition).expand_as(condition)


def _check_mask(mask: Tensor, context: Tensor | None) -> None:
    if context is None:
        raise ValueError("mask is for a sequence of vectors; this network has no context_dim")
    if mask.dtype != torch.bool or mask.shape != context.shape[:2]:
        raise ValueError(
            f"mask must be bool {tuple(context.shape[:2])}; got {mask.dtype} {tuple(mask.shape)}"
        )
