"""CLIP's text encoder: 77 token numbers become 77 vectors, which a UNet reads.

Radford et al. 2021 (arXiv 2103.00020), section 2.4: a transformer in which a word knows those
before it. transformers calls it ``CLIPTextModel``; the modules have its names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minildm.checks import inputs
from minildm.layers import MOST_BLOCKS, WIDEST
from minildm.stable_diffusion.blocks import supported

ACTIVATIONS = {"quick_gelu": lambda x: x * torch.sigmoid(1.702 * x), "gelu": F.gelu}
FIELDS = {  # of config.json -> here
    "vocab_size": "vocabulary", "hidden_size": "dim", "intermediate_size": "hidden",
    "num_hidden_layers": "layers", "num_attention_heads": "heads",
    "max_position_embeddings": "length", "hidden_act": "activation", "layer_norm_eps": "norm_eps",
    "eos_token_id": "end",
}  # fmt: skip


@dataclass(frozen=True)
class TextConfig:
    """Sizes of a ``TextEncoder``; as they stand, those of CLIP-L, for Stable Diffusion 1."""

    vocabulary: int = 49408
    dim: int = 768  # numbers of each vector
    hidden: int = 3072  # and within the two layers that each word goes through alone
    layers: int = 12
    heads: int = 12
    length: int = 77  # token numbers at most
    activation: str = "quick_gelu"  # x·sigmoid(1.702 x), or "gelu" (OpenCLIP)
    norm_eps: float = 1e-5
    projection: int = 0  # > 0: numbers of the pooled vector
    end: int = 49407  # the token whose vector is the pooled one; 2, in old files: the largest

    def __post_init__(self) -> None:
        inputs.whole_fields(self, 1, WIDEST, "dim", "hidden", "heads", "length")
        inputs.whole_fields(self, 1, 10**6, "vocabulary")
        inputs.whole_fields(self, 0, 10**6, "projection", "end")
        inputs.whole_fields(self, 1, MOST_BLOCKS, "layers")
        inputs.real_fields(self, 0, 1, "norm_eps")
        if self.activation not in ACTIVATIONS:
            known = " or ".join(ACTIVATIONS)
            raise ValueError(f"activation (hidden_act) must be {known}; got {self.activation!r}")
        if self.dim % self.heads:
            raise ValueError(f"heads must divide dim = {self.dim}; got {self.heads}")

    @classmethod
    def of(cls, json: Mapping[str, Any]) -> Self:
        """From the config.json of a ``CLIPTextModel``, also one ``WithProjection``."""
        supported(json, {"model_type": ("clip_text_model",)})
        if missing := [name for name in list(FIELDS)[:5] if name not in json]:
            raise ValueError(f"this config has no {', '.join(missing)}")
        projects = "CLIPTextModelWithProjection" in (json.get("architectures") or ())
        values = {here: json[name] for name, here in FIELDS.items() if name in json}
        return cls(**values, projection=json["projection_dim"] if projects else 0)


class TextStates(NamedTuple):
    """What a text becomes, for the models that read more than the last vectors."""

    last: Tensor  # (B, L, dim) after the last layer and the final norm
    penultimate: Tensor  # (B, L, dim) before the last layer, without a norm
    pooled: Tensor  # (B, projection): END's vector of ``last``, projected; without that (B, dim)


class CausalAttention(nn.Module):
    """softmax(Q Kᵀ / √d) V, each word over itself and those before it."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.v_proj, self.out_proj = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            vectors.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for vectors in (self.q_proj(x), self.k_proj(x), self.v_proj(x))
        )  # each (B, heads, L, dim/heads)
        h = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out_proj(h.transpose(1, 2).flatten(2))  # (B, L, dim): heads side by side again


class TextLayer(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)): (B, L, dim) -> (B, L, dim)."""

    def __init__(self, cfg: TextConfig) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[cfg.activation]
        self.layer_norm1 = nn.LayerNorm(cfg.dim, eps=cfg.norm_eps)
        self.self_attn = CausalAttention(cfg.dim, cfg.heads)
        self.layer_norm2 = nn.LayerNorm(cfg.dim, eps=cfg.norm_eps)
        fc1, fc2 = nn.Linear(cfg.dim, cfg.hidden), nn.Linear(cfg.hidden, cfg.dim)
        self.mlp = nn.ModuleDict({"fc1": fc1, "fc2": fc2})

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp["fc2"](self.activation(self.mlp["fc1"](self.layer_norm2(x))))


class TextEncoder(nn.Module):
    """text_encoder(ids) -> (B, L, dim): token numbers (B, L) int64, as a `Tokenizer` makes them."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = cfg = config
        words = nn.Embedding(cfg.vocabulary, cfg.dim)
        places = nn.Embedding(cfg.length, cfg.dim)
        self.embeddings = nn.ModuleDict({"token_embedding": words, "position_embedding": places})
        layers = nn.ModuleList(TextLayer(cfg) for _ in range(cfg.layers))
        self.encoder = nn.ModuleDict({"layers": layers})
        self.final_layer_norm = nn.LayerNorm(cfg.dim, eps=cfg.norm_eps)
        project = nn.Linear(cfg.dim, cfg.projection, bias=False) if cfg.projection else None
        self.text_projection = project

    def forward(self, ids: Tensor, skip: int = 0) -> Tensor:
        """The vectors (B, L, dim); without the last ``skip`` layers, but with the final norm."""
        return self.final_layer_norm(self._run(ids)[self.config.layers - skip])

    def states(self, ids: Tensor) -> TextStates:
        """All that the different models read, from one pass."""
        run = self._run(ids)
        last = self.final_layer_norm(run[-1])
        end = self.config.end
        place = ids.argmax(1) if end == 2 else (ids == end).int().argmax(1)  # (B,) the first END
        pooled = last[torch.arange(len(ids)), place]  # (B, dim)
        project = self.text_projection
        return TextStates(last, run[-2], pooled if project is None else project(pooled))

    def _run(self, ids: Tensor) -> list[Tensor]:
        """What goes into each layer, and what comes out of the last: layers + 1 of (B, L, dim)."""
        self._check(ids)
        places = torch.arange(ids.shape[1], device=ids.device)
        embed = self.embeddings
        run = [embed["token_embedding"](ids) + embed["position_embedding"](places)]
        for layer in self.encoder["layers"].children():
            run.append(layer(run[-1]))
        return run

    def _check(self, ids: Tensor) -> None:
        cfg = self.config
        if ids.dtype != torch.int64 or ids.dim() != 2 or not 1 <= ids.shape[1] <= cfg.length:
            raise ValueError(
                f"ids must be int64 (B, L), L <= {cfg.length}; got {ids.dtype} "
                f"{tuple(ids.shape)}: use the tokenizer"
            )
        if not ids.is_meta and ids.numel() and not 0 <= ids.min() <= ids.max() < cfg.vocabulary:
            raise ValueError(
                f"ids must be in 0..{cfg.vocabulary - 1}; got {int(ids.min())}..{int(ids.max())}: "
                "is it the tokenizer of another model?"
            )
