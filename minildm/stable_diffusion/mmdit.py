"""The network of Stable Diffusion 3: a transformer over picture and text at once.

Two streams, patches of the latents and words, each with weights of its own; they meet in one
attention over both. Esser et al. 2024 (arXiv 2403.03206), section 4; Peebles and Xie 2023 (arXiv
2212.09748) for norms that the time shifts, scales and gates. It predicts the velocity ε - z_0 of
the flow z_t = (1 - t) z_0 + t ε. diffusers calls it ``SD3Transformer2DModel``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minildm.checks import inputs
from minildm.layers import MOST_BLOCKS, WIDEST, check_latents, time_embedding
from minildm.stable_diffusion.blocks import Attention, supported
from minildm.stable_diffusion.unet import perceptron

NORM_EPS = 1e-6  # of every norm
WAVES = 256  # numbers that the time becomes
FIELDS = {  # of config.json -> here
    "in_channels": "channels", "patch_size": "patch", "num_layers": "layers",
    "num_attention_heads": "heads", "attention_head_dim": "head_dim",
    "joint_attention_dim": "context_dim", "pooled_projection_dim": "pooled_dim",
    "sample_size": "size", "pos_embed_max_size": "places",
}  # fmt: skip
ONLY: dict[str, Sequence[Any]] = {
    "_class_name": ("SD3Transformer2DModel",), "dual_attention_layers": (None, (), []),
    "qk_norm": (None, "rms_norm"),
}  # fmt: skip


@dataclass(frozen=True)
class MMDiTConfig:
    """Sizes of an ``MMDiT``; as they stand, those of Stable Diffusion 3 medium. See ``of``."""

    channels: int = 16  # of the latents
    patch: int = 2  # height and width of the patches: each becomes a vector of dim numbers
    layers: int = 24
    heads: int = 24  # of the attention
    head_dim: int = 64  # numbers of each; dim = heads·head_dim
    context_dim: int = 4096  # numbers of each of the words' vectors
    pooled_dim: int = 2048  # and of the one that stands for the whole text
    size: int = 128  # height and width of the latents that it was trained on
    places: int = 192  # it knows places·places positions; smaller latents lie in the middle
    qk_norm: bool = False  # queries and keys get an RMS norm (Stable Diffusion 3.5)

    def __post_init__(self) -> None:
        inputs.whole_fields(self, 1, WIDEST, *FIELDS.values())
        inputs.whole_fields(self, 1, MOST_BLOCKS, "layers")
        inputs.flag_fields(self, "qk_norm")
        if self.dim % 4 or self.size < self.patch:
            raise ValueError(
                f"heads·head_dim must be a multiple of 4, and size at least patch; got {self}"
            )

    @property
    def dim(self) -> int:
        """Length of the vector of a patch, and of a word."""
        return self.heads * self.head_dim

    @classmethod
    def of(cls, json: Mapping[str, Any]) -> Self:
        """The config of a published transformer/config.json; ValueError for what is not built."""
        if missing := FIELDS.keys() - json.keys():
            raise ValueError(f"this config has no {', '.join(sorted(missing))}")
        supported(json, ONLY)
        sizes = {here: json[name] for name, here in FIELDS.items()}
        cfg = cls(**sizes, qk_norm=json.get("qk_norm") is not None)
        same = {"out_channels": (None, cfg.channels), "caption_projection_dim": (cfg.dim,)}
        supported(json, same)
        return cfg


def positions(cfg: MMDiTConfig) -> Tensor:
    """A vector for each place (1, places², dim): sines and cosines of its column, then its row."""
    place = torch.arange(cfg.places, dtype=torch.float64) * (cfg.size // cfg.patch) / cfg.places
    omega = 10_000.0 ** -torch.linspace(0, 1, cfg.dim // 4 + 1, dtype=torch.float64)[:-1]
    angle = place[:, None] * omega  # (places, dim/4)
    waves = torch.cat([angle.sin(), angle.cos()], dim=1)  # (places, dim/2)
    row, column = waves[:, None].expand(-1, cfg.places, -1), waves.expand(cfg.places, -1, -1)
    return torch.cat([column, row], dim=2).flatten(0, 1)[None].float()


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """norm(x)·(1 + scale) + shift: x (B, N, dim), shift and scale (B, 1, dim)."""
    return F.layer_norm(x, x.shape[-1:], eps=NORM_EPS) * (1 + scale) + shift


class Modulation(nn.Module):
    """What time and text do to the norms: c (B, dim) -> ``parts`` times (B, 1, dim)."""

    def __init__(self, dim: int, parts: int) -> None:
        super().__init__()
        self.parts, self.linear = parts, nn.Linear(dim, parts * dim)

    def forward(self, c: Tensor) -> tuple[Tensor, ...]:
        return self.linear(F.silu(c))[:, None].chunk(self.parts, dim=2)


class GELU(nn.Module):
    """gelu of a matrix's output, with the tanh that approximates it: (.., dim) -> (.., 4 dim)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Linear(dim, 4 * dim)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.proj(x), approximate="tanh")


def feed_forward(dim: int) -> nn.ModuleDict:
    """(.., dim) -> (.., 4 dim) -> (.., dim), for each token alone."""
    net = nn.Sequential(GELU(dim), nn.Identity(), nn.Linear(4 * dim, dim))
    return nn.ModuleDict({"net": net})


class JointAttention(Attention):
    """softmax(Q Kᵀ / √d) V over patches and words together; each has its own matrices."""

    def __init__(self, cfg: MMDiTConfig, last: bool) -> None:
        super().__init__(cfg.dim, cfg.heads, bias=True)
        dim = cfg.dim
        self.add_q_proj, self.add_k_proj, self.add_v_proj = (nn.Linear(dim, dim) for _ in range(3))
        self.to_add_out = None if last else nn.Linear(dim, dim)
        self.norm_q, self.norm_k, self.norm_added_q, self.norm_added_k = (
            nn.RMSNorm(cfg.head_dim, NORM_EPS) if cfg.qk_norm else nn.Identity() for _ in range(4)
        )

    def both(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """What patches x (B, N, dim) and words y (B, L, dim) have read; same shapes."""
        q_x, k_x = self.norm_q(self._split(self.to_q(x))), self.norm_k(self._split(self.to_k(x)))
        q_y = self.norm_added_q(self._split(self.add_q_proj(y)))
        k_y = self.norm_added_k(self._split(self.add_k_proj(y)))
        v_x, v_y = self._split(self.to_v(x)), self._split(self.add_v_proj(y))
        q, k, v = (torch.cat(pair, dim=2) for pair in ((q_x, q_y), (k_x, k_y), (v_x, v_y)))
        h = F.scaled_dot_product_attention(q, k, v)  # (B, heads, N + L, head_dim)
        h = h.transpose(1, 2).flatten(2)  # (B, N + L, dim): heads side by side again
        h_x, h_y = h.split([x.shape[1], y.shape[1]], dim=1)
        return self.to_out(h_x), h_y if self.to_add_out is None else self.to_add_out(h_y)


class JointBlock(nn.Module):
    """One layer over patches x (B, N, dim) and words y (B, L, dim), told c (B, dim).

    In the last one only the patches read: nobody asks for the words after it.
    """

    def __init__(self, cfg: MMDiTConfig, last: bool) -> None:
        super().__init__()
        self.norm1 = Modulation(cfg.dim, 6)
        self.norm1_context = Modulation(cfg.dim, 2 if last else 6)
        self.attn = JointAttention(cfg, last)
        self.ff, self.ff_context = feed_forward(cfg.dim), None if last else feed_forward(cfg.dim)

    def forward(self, x: Tensor, y: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        shift, scale, *rest = self.norm1(c)
        shift_y, scale_y, *rest_y = self.norm1_context(c)
        if self.ff_context is None:  # the files have a last layer's scale first, then its shift
            shift_y, scale_y = scale_y, shift_y
        read, read_y = self.attn.both(modulated(x, shift, scale), modulated(y, shift_y, scale_y))
        x = self._finish(x, read, self.ff, rest)
        return x, y if self.ff_context is None else self._finish(y, read_y, self.ff_context, rest_y)

    @staticmethod
    def _finish(x: Tensor, read: Tensor, ff: nn.ModuleDict, rest: Sequence[Tensor]) -> Tensor:
        gate, shift, scale, gate_ff = rest
        x = x + gate * read
        return x + gate_ff * ff["net"](modulated(x, shift, scale))


class MMDiT(nn.Module):
    """net(z_t, t, context, pooled) -> velocity ε - z_0, shaped like z_t (B, c, h, w).

    ``t`` is 1000 times the flow's time. The ``state_dict`` has the keys of its file.
    """

    def __init__(self, config: MMDiTConfig | None = None) -> None:
        super().__init__()
        self.config = cfg = config or MMDiTConfig()
        dim, patch = cfg.dim, cfg.patch
        self.pos_embed = nn.ModuleDict({"proj": nn.Conv2d(cfg.channels, dim, patch, stride=patch)})
        self.pos_embed.register_buffer("pos_embed", positions(cfg))
        self.time_text_embed = nn.ModuleDict({
            "timestep_embedder": perceptron(WAVES, dim),
            "text_embedder": perceptron(cfg.pooled_dim, dim),
        })  # fmt: skip
        self.context_embedder = nn.Linear(cfg.context_dim, dim)
        last = cfg.layers - 1
        self.transformer_blocks = nn.ModuleList(JointBlock(cfg, i == last) for i in range(last + 1))
        self.norm_out = Modulation(dim, 2)
        self.proj_out = nn.Linear(dim, patch**2 * cfg.channels)

    def forward(self, z_t: Tensor, t: Tensor, context: Tensor, pooled: Tensor) -> Tensor:
        """The output for z_t (B, c, h, w) at t (B,); h and w are multiples of the patch.

        ``context`` (B, L, context_dim): the words; ``pooled`` (B, pooled_dim): the whole text.
        Raises ValueError for latents of another size.
        """
        z_t, t = check_latents(z_t, t, self.config.channels, self.proj_out.weight)
        waves = time_embedding(t.to(z_t.device), WAVES, 1.0).to(z_t.dtype)  # (B, 256)
        c = self.time_text_embed["timestep_embedder"](waves)  # (B, dim)
        c = c + self.time_text_embed["text_embedder"](pooled)
        places = self._places(*z_t.shape[2:])  # (H, W, dim)
        x = self.pos_embed["proj"](z_t).flatten(2).transpose(1, 2)  # (B, H·W, dim)
        x, y = x + places.flatten(0, 1), self.context_embedder(context)  # y (B, L, dim)
        for block in self.transformer_blocks:
            x, y = block(x, y, c)
        scale, shift = self.norm_out(c)  # in this order, as in the last layer
        x = self.proj_out(modulated(x, shift, scale))  # (B, H·W, p·p·c)
        p = self.config.patch
        x = x.unflatten(1, places.shape[:2]).unflatten(3, (p, p, -1))  # (B, H, W, p, p, c)
        return x.permute(0, 5, 1, 3, 2, 4).reshape(z_t.shape)  # (B, c, H·p, W·p)

    def _places(self, h: int, w: int) -> Tensor:
        """The vectors of the places in the middle: (H, W, dim), H = h/p and W = w/p."""
        patch, known = self.config.patch, self.config.places
        if h % patch or w % patch or max(h, w) > known * patch:
            raise ValueError(
                f"h, w of z_t must be multiples of {patch}, at most {known * patch}; got {h}, {w}"
            )
        H, W = h // patch, w // patch
        top, left = (known - H) // 2, (known - W) // 2
        table = self.pos_embed.get_buffer("pos_embed").unflatten(1, (known, known))[0]
        return table[top : top + H, left : left + W]
