"""Text conditioning: words become numbers, numbers vectors, and the vectors steer a UNet.

    TextEncoder    token numbers -> one vector per word that knows its neighbours (a transformer)
    TextUNet       a UNet that reads those vectors by cross-attention, or gets them concatenated

"No text" is the NULL token, alone: a text like any other, with an embedding that is trained by
dropping captions. Vaswani et al. 2017 (arXiv 1706.03762), with the norms first; Rombach et al. 2022
(arXiv 2112.10752), section 3.3; Ho and Salimans 2022 (arXiv 2207.12598) for the null token.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minildm.checks import inputs
from minildm.condition import Condition
from minildm.layers import MOST_BLOCKS, WIDEST, check_latents, masked_mean
from minildm.unet import TrainedWith, UNet, UNetConfig
from minildm.words import GRAMMARS, NULL, PAD, Language, listed, tokenize


@dataclass(frozen=True)
class TextEncoderConfig(Language):
    """What a `TextEncoder` reads, and its sizes: length of its vectors, layers, attention heads.

    ``TextEncoderConfig.of(captions)`` is for the words of your own captions.
    Raises ValueError where the heads do not divide dim, and for values that make no sense.
    """

    dim: int = 128
    layers: int = 2
    heads: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        inputs.whole_fields(self, 1, WIDEST, "dim", "heads")
        inputs.whole_fields(self, 1, MOST_BLOCKS, "layers")
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

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.config = cfg = config
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

    text: TextEncoderConfig
    unet: UNetConfig = field(default_factory=UNetConfig)
    conditioning: str = "cross"
    pool: bool = True

    def __post_init__(self) -> None:
        for name, kind in (("text", TextEncoderConfig), ("unet", UNetConfig)):
            value = getattr(self, name)
            if isinstance(value, dict):  # as it comes from JSON
                try:
                    value = kind(**value)
                except TypeError as error:  # a field that there is not
                    raise ValueError(f"{name}: {error}") from None
                object.__setattr__(self, name, value)
            if not isinstance(value, kind):
                raise ValueError(f"{name} must be a {kind.__name__}; got {type(value).__name__}")
        inputs.flag_fields(self, "pool")
        if self.conditioning not in ("cross", "concat"):
            raise ValueError(f"conditioning must be cross or concat; got {self.conditioning!r}")
        said = {"classes": 0, "context_dim": 0, "pool": False, "concat_channels": 0}
        if self.conditioning == "concat":
            del said["concat_channels"]
        for name, nothing in said.items():
            value = getattr(self.unet, name)
            if value != nothing:
                raise ValueError(
                    f"unet.{name} must be {nothing}; got {value}: it follows from the text's "
                    "settings"
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

    @property
    def condition(self) -> Condition:
        """What the network is told: texts."""
        return Condition("texts", self.text.dim)


class TextUNet(nn.Module):
    """net(z_t, t, condition) -> output, like ``UNet``; the condition is a text.

    condition  int64 (B, L) token numbers; or (B, L, dim), what ``encode`` makes of them: then a
               text that is used at every step of a sampler is encoded once; None: no text
    """

    trained_with: TrainedWith  # noted by its training

    def __init__(self, config: TextUNetConfig) -> None:
        super().__init__()
        self.config = cfg = config
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
        condition = self.config.condition.heard(z_t, condition, drop, self.null)
        words = condition if condition.is_floating_point() else self.encode(condition)
        # PAD up to a multiple of 16: full vectors of a processor, attention in half the time
        words = F.pad(words, (0, 0, 0, -words.shape[1] % 16))  # (B, L, dim), L a multiple of 16
        mask = words.any(dim=2)  # (B, L): PAD is exactly zero
        if self.to_map is None:
            return self.unet(z_t, t, words, mask=mask)
        concat = self.to_map(masked_mean(words, mask))[:, :, None, None]  # (B, channels, 1, 1)
        return self.unet(z_t, t, concat.expand(-1, -1, *z_t.shape[2:]))

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
        """Prompts as token numbers; "" is no text. ValueError for other words and grammars."""
        prompts, check = listed(prompts), GRAMMARS.get(self.config.text.grammar)
        for prompt in prompts:
            if prompt and check:
                check(prompt)
        return tokenize(prompts, self.config.text)


def build_network(config: UNetConfig | TextUNetConfig) -> UNet | TextUNet:
    """A fresh network of the kind that the config describes."""
    return TextUNet(config) if isinstance(config, TextUNetConfig) else UNet(config)
