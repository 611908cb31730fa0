"""The transformer of Stable Diffusion 3: equal to that of diffusers."""

import pytest
import torch
from sd_reference import error
from sd_reference_text import reference_mmdit
from torch import nn

from minildm.stable_diffusion.mmdit import MMDiT, MMDiTConfig, positions

# Where queries and keys have an RMS norm, the reference takes its mean of squares in float32, in a
# float64 model too; that alone makes 3e-8 (below). With an eps of 1e-5 for 1e-6 it were 2e-6.
BOUND = {
    ("sd3", torch.float64): 1e-12, ("sd3", torch.float32): 1e-6,
    ("sd3.5", torch.float64): 1e-7, ("sd3.5", torch.float32): 1e-6,
}  # fmt: skip
SD3_MEDIUM = {  # as published
    "_class_name": "SD3Transformer2DModel", "attention_head_dim": 64,
    "caption_projection_dim": 1536, "in_channels": 16, "joint_attention_dim": 4096,
    "num_attention_heads": 24, "num_layers": 24, "out_channels": 16, "patch_size": 2,
    "pooled_projection_dim": 2048, "pos_embed_max_size": 192, "sample_size": 128,
}  # fmt: skip


def inputs(h, w, dtype):
    generator = torch.Generator().manual_seed(7)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    flow_time = torch.tensor([0.004, 0.98], dtype=torch.float64)
    return draw(2, 4, h, w), 1000 * flow_time, draw(2, 7, 10), draw(2, 12)


def pair(kind, dtype):
    """(reference, ours) with the same weights."""
    reference = reference_mmdit(kind, dtype)
    ours = MMDiT(MMDiTConfig.of(dict(reference.config))).to(dtype)
    ours.load_state_dict(reference.state_dict(), strict=True)
    return reference, ours


@pytest.mark.parametrize("size", [(16, 16), (6, 10), (24, 22), (2, 2)])
@pytest.mark.parametrize(("kind", "dtype"), BOUND)
def test_the_output_is_that_of_the_reference(kind, dtype, size):
    """Also for grids of 3 x 5 and 12 x 11 patches, the middle of the 12 x 12 that are known."""
    reference, ours = pair(kind, dtype)
    z_t, t, context, pooled = inputs(*size, dtype)
    with torch.no_grad():
        said = reference(z_t, context, pooled, t).sample
        assert error(ours(z_t, t, context, pooled), said) < BOUND[kind, dtype]


class SquaresInFloat32(nn.Module):
    """The reference's RMS norm in a float64 model, with the eps of ours."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, x):
        squares = x.float().square().mean(dim=-1, keepdim=True)
        return x * torch.rsqrt(squares + self.norm.eps) * self.norm.weight


def test_all_that_differs_in_float64_is_a_norm_in_float32():
    reference, ours = pair("sd3.5", torch.float64)
    for block in ours.transformer_blocks:
        for name in ("norm_q", "norm_k", "norm_added_q", "norm_added_k"):
            setattr(block.attn, name, SquaresInFloat32(getattr(block.attn, name)))
    z_t, t, context, pooled = inputs(6, 10, torch.float64)
    with torch.no_grad():
        said = reference(z_t, context, pooled, t).sample
        assert error(ours(z_t, t, context, pooled), said) < 1e-12


def test_the_places_begin_as_those_of_the_reference():
    """They are stored; a model that is trained from nothing needs them as well."""
    reference, ours = pair("sd3", torch.float32)
    fresh = positions(ours.config)
    assert fresh.dtype == torch.float32
    assert (fresh - reference.pos_embed.pos_embed).abs().max() < 1e-6


def test_the_published_size():
    with torch.device("meta"):
        network = MMDiT(MMDiTConfig.of(SD3_MEDIUM))
        words, pooled = torch.zeros(1, 154, 4096), torch.zeros(1, 2048)
        out = network(torch.zeros(1, 16, 64, 48), torch.zeros(1), words, pooled)
    assert MMDiTConfig.of(SD3_MEDIUM) == MMDiTConfig()
    assert out.shape == (1, 16, 64, 48)
    assert len(network.state_dict()) == 683
    assert sum(x.numel() for x in network.parameters()) == 2_028_328_000


def test_errors_name_what_does_not_fit():
    for change, words in [
        ({"dual_attention_layers": [0, 1]}, r"dual_attention_layers = \[0, 1\] is not supported"),
        ({"qk_norm": "layer_norm"}, "qk_norm = 'layer_norm' .* only None or 'rms_norm'"),
        ({"out_channels": 32}, "out_channels = 32 is not supported, only None or 16"),
        ({"caption_projection_dim": 1}, "caption_projection_dim = 1 .* only 1536"),
        ({"num_layers": 0}, "layers must be"),
    ]:
        with pytest.raises(ValueError, match=words):
            MMDiTConfig.of({**SD3_MEDIUM, **change})
    with pytest.raises(ValueError, match="this config has no pos_embed_max_size"):
        MMDiTConfig.of({k: v for k, v in SD3_MEDIUM.items() if k != "pos_embed_max_size"})
    _, ours = pair("sd3", torch.float32)
    for h, w in [(5, 6), (6, 26)]:
        z_t, *told = inputs(h, w, torch.float32)
        with pytest.raises(ValueError, match=f"multiples of 2, at most 24; got {h}, {w}"):
            ours(z_t, *told)
