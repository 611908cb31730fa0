"""Text conditioning: words become numbers, numbers vectors, and the vectors steer a UNet.

    tokenize     texts -> token numbers (n, LENGTH)
    TextEncoder  token numbers -> one vector per word that knows its neighbours (a transformer)
    TextUNet     a UNet that reads those vectors by cross-attention, or gets them concatenated

"No text" is the NULL token, alone: a text like any other, with an embedding that is trained by
dropping captions. Vaswani et al. 2017 (arXiv 1706.03762), with the norms first; Rombach et al. 2022
(arXiv 2112.10752), section 3.3; Ho and Salimans 2022 (arXiv 2207.12598) for the null token.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minildm.checks import inputs
from minildm.layers import MOST_BLOCKS, WIDEST, check_latents, masked_mean
from minildm.shapes.captions import LENGTH, NULL, NUMBER, PAD, VOCABULARY, read, split
from minildm.unet import UNet, UNetConfig


def tokenize(texts: str | Sequence[str], length: int = LENGTH) -> Tensor:
    """Texts as token numbers: int64 (n, length), filled up with PAD; "" is NULL: no text.

    Knows words, not grammar. Raises ValueError for unknown words, for texts that are too long, and
    for what is no text.
    """
    rows, length = [], inputs.whole("length", length, 1, WIDEST)
    for text in listed(texts):
        numbers = [NUMBER[word] for word in split(text)] or [NULL]
        if len(numbers) > length:
            raise ValueError(f"{text!r} has {len(numbers)} words; at most {length} can be read")
        rows.append(numbers + [PAD] * (length - len(numbers)))
    return torch.tensor(rows, dtype=torch.int64).reshape(-1, length)  # (n, length)


def listed(texts: str | Sequence[str]) -> list[str]:
    """One text or several as a list; ValueError for anything that is no text: 3, None, [None]."""
    found = [texts] if isinstance(texts, str) else texts
    known = isinstance(found, Sequence | np.ndarray | set) and not isinstance(found, bytes)
    for text in found if known else [texts]:
        if not isinstance(text, str):
            raise ValueError(
                f'give a text or a list of texts ("" is no text); got {repr(text)[:100]}'
            )
    return list(found)


@dataclass(frozen=True)
class TextEncoderConfig:
    """Sizes of a `TextEncoder`: length of its vectors, layers, attention heads, longest text.

    Raises ValueError where the heads do not divide dim, and for values that make no sense.
    """

    dim: int = 128
    layers: int = 2
    heads: int = 4
    length: int = LENGTH
    vocabulary: int = len(VOCABULARY)

    def __post_init__(self) -> None:
        inputs.whole_fields(self, 1, WIDEST, "dim", "heads", "length")
        inputs.whole_fields(self, 1, MOST_BLOCKS, "layers")
        inputs.whole_fields(self, len(VOCABULARY), 10**6, "vocabulary")
        if self.dim % self.heads:
            raise ValueError(f"heads must divide dim = {self.dim}; got {self.heads}")


class TextBlock(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)): one layer of a transformer."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query_key_value = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, L, dim), mask (B, L) bool: the words that may be read."""
        B, L, dim = x.shape
        qkv = self.query_key_value(self.norm1(x)).reshape(B, L, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, L, dim/heads)
        h = F.scaled_dot_product_attention(q, k, v, mask[:, None, None])
        x = x + self.out(h.transpose(1, 2).reshape(B, L, dim))  # heads side by side again
        return x + self.mlp(self.norm2(x))


class TextEncoder(nn.Module):
    """Token numbers (B, L) -> vectors (B, L, dim); exactly zero where a token is PAD."""

    def __init__(self, config: TextEncoderConfig | None = None) -> None:
        super().__init__()
        self.config = cfg = config or TextEncoderConfig()
        self.words = nn.Embedding(cfg.vocabulary, cfg.dim)
        self.positions = nn.Parameter(torch.empty(cfg.length, cfg.dim))
        for table in (self.words.weight, self.positions):  # word and place weigh the same
            nn.init.normal_(table, std=0.3)
        self.blocks = nn.ModuleList(TextBlock(cfg.dim, cfg.heads) for _ in range(cfg.layers))
        self.norm = nn.LayerNorm(cfg.dim)

    def forward(self, tokens: Tensor) -> Tensor:
        mask = tokens != PAD
        x = self.words(tokens) + self.positions[: tokens.shape[1]]  # (B, L, dim)
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x) * mask[..., None]


@dataclass(frozen=True)
class TextUNetConfig:
    """A text encoder, a UNet, and how the one speaks to the other.

    conditioning  "cross": every attention layer of the UNet is followed by one over the words;
                  "concat": the mean of the words' vectors, as a map of constants beside z_t
    pool          with "cross": that mean is also added to the time embedding

    ``unet`` says nothing about a condition, except ``concat_channels`` if not text.dim of them are
    wanted; ``conditioned_unet`` is what is built. Raises ValueError where it says something else.
    """

    text: TextEncoderConfig = field(default_factory=TextEncoderConfig)
    unet: UNetConfig = field(default_factory=UNetConfig)
    conditioning: str = "cross"
    pool: bool = True

    def __post_init__(self) -> None:
        for name, kind in (("text", TextEncoderConfig), ("unet", UNetConfig)):
            if isinstance(getattr(self, name), dict):  # as it comes from JSON
                object.__setattr__(self, name, _from_json(name, kind, getattr(self, name)))
            if not isinstance(getattr(self, name), kind):
                got = type(getattr(self, name)).__name__
                raise ValueError(f"{name} must be a {kind.__name__}; got {got}")
        inputs.flag_fields(self, "pool")
        if self.conditioning not in ("cross", "concat"):
            raise ValueError(f"conditioning must be cross or concat; got {self.conditioning!r}")
        plain = {"classes": 0, "context_dim": 0, "pool": False, "concat_channels": 0}
        if self.conditioning == "concat":
            del plain["concat_channels"]
        for name, value in plain.items():
            if getattr(self.unet, name) != value:
                raise ValueError(
                    f"unet.{name} must be {value}; got {getattr(self.unet, name)}: it follows from "
                    "the text's settings"
                )

    @property
    def conditioned_unet(self) -> UNetConfig:
        """``unet`` with its condition filled in."""
        if self.conditioning == "cross":
            return replace(self.unet, context_dim=self.text.dim, pool=self.pool)
        return replace(self.unet, concat_channels=self.unet.concat_channels or self.text.dim)

    @property
    def channels(self) -> int:
        """Channels c of the latents."""
        return self.unet.channels


class TextUNet(nn.Module):
    """net(z_t, t, condition) -> output, like ``UNet``; the condition is a text.

    condition  int64 (B, L) token numbers; or (B, L, dim), what ``encode`` makes of them: then a
               text that is used at every step of a sampler is encoded once; None: no text
    """

    def __init__(self, config: TextUNetConfig | None = None) -> None:
        super().__init__()
        self.config = cfg = config or TextUNetConfig()
        self.text = TextEncoder(cfg.text)
        self.unet = UNet(cfg.conditioned_unet)
        self.unet.null_context = None  # the encoded NULL token takes its place
        concat = cfg.conditioning == "concat"
        self.to_map = nn.Linear(cfg.text.dim, self.unet.config.concat_channels) if concat else None

    def forward(
        self, z_t: Tensor, t: Tensor, condition: Tensor | None = None, drop: Tensor | None = None
    ) -> Tensor:
        """The output for z_t (B, c, h, w) at t (B,); see ``UNet.forward``.

        ``drop``: (B,) bool, in training: these samples see the NULL token instead of their text.
        Raises ValueError for a condition of the wrong kind, shape or range.
        """
        z_t, t = check_latents(z_t, t, self.config.channels, self.text.positions, drop)
        if condition is None:
            condition = self.null(torch.empty(len(z_t), 1, dtype=torch.int64, device=z_t.device))
        condition = inputs.tensor("condition", condition, z_t).to(z_t.device)
        self._check_condition(condition, len(z_t))
        if drop is not None:
            drop = drop.to(z_t.device).reshape(-1, *[1] * (condition.dim() - 1))  # (B, 1, ..)
            condition = torch.where(drop, self.null(condition), condition)
        words = condition if condition.is_floating_point() else self.encode(condition)
        mask = words.any(dim=2)  # (B, L): PAD is exactly zero
        if self.to_map is None:
            return self.unet(z_t, t, words, mask=mask)
        concat = self.to_map(masked_mean(words, mask))[:, :, None, None]  # (B, channels, 1, 1)
        return self.unet(z_t, t, concat.expand(-1, -1, *z_t.shape[2:]))

    def _check_condition(self, condition: Tensor, B: int) -> None:
        """Token numbers (B, L), or vectors (B, L, dim); ``encode`` looks at the tokens."""
        dim, shape = self.config.text.dim, tuple(condition.shape)
        wanted = 3 if condition.is_floating_point() else 2
        if len(shape) == wanted and shape[0] != B:
            raise ValueError(f"condition has {shape[0]} texts for {B} latents")
        if len(shape) != wanted or 0 in shape or (wanted == 3 and shape[2] != dim):
            raise ValueError(
                f"condition must be token numbers (B, L) or vectors (B, L, {dim}); got "
                f"{condition.dtype} {shape}"
            )

    def encode(self, tokens: Tensor) -> Tensor:
        """Token numbers (B, L) -> the condition (B, L, dim) that ``forward`` takes as well."""
        cfg, tokens = self.config.text, inputs.tensor("tokens", tokens, self.text.positions)
        whole = not (
            tokens.is_floating_point() or tokens.is_complex() or tokens.dtype == torch.bool
        )
        if not whole or tokens.dim() != 2 or 0 in tokens.shape or tokens.shape[1] > cfg.length:
            raise ValueError(
                f"tokens must be whole numbers (B, L), L <= {cfg.length}; got {tokens.dtype} "
                f"{tuple(tokens.shape)}: use tokenize"
            )
        tokens = tokens.long().to(self.text.positions.device)
        if tokens.min() < 0 or tokens.max() >= cfg.vocabulary or (tokens[:, 0] == PAD).any():
            raise ValueError(
                f"tokens must be in 0..{cfg.vocabulary - 1} and no text may begin with {PAD} (PAD)"
            )
        return self.text(tokens)

    def null(self, condition: Tensor) -> Tensor:
        """No text, shaped like ``condition``: NULL and then PAD, encoded if the condition is."""
        tokens = torch.full(condition.shape[:2], PAD, dtype=torch.int64, device=condition.device)
        tokens[:, 0] = NULL
        if not condition.is_floating_point():
            return tokens
        return self.text(tokens[:1]).to(condition.dtype).expand_as(condition)

    def tokens(self, prompts: str | Sequence[str]) -> Tensor:
        """Prompts as token numbers; "" is no text. ValueError outside the grammar of captions."""
        prompts = listed(prompts)
        for prompt in prompts:
            if prompt:
                read(prompt)
        return tokenize(prompts, self.config.text.length)


def _from_json(name: str, kind: type, sizes: dict):
    try:
        return kind(**sizes)
    except TypeError as error:  # a field that there is not
        raise ValueError(f"{name}: {error}") from None


def build_network(config: UNetConfig | TextUNetConfig) -> UNet | TextUNet:
    """A fresh network of the kind that the config describes."""
    return TextUNet(config) if isinstance(config, TextUNetConfig) else UNet(config)
