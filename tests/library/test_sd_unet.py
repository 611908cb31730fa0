"""Stable Diffusion's UNet computes what the reference computes."""

import pytest
import torch
from sd_reference import UNETS, call_unet, error, reference_unet, unet_inputs

from minildm.stable_diffusion.unet import ConditionalUNet, ConditionalUNetConfig

BOUND = {torch.float64: 1e-12, torch.float32: 1e-6}
SD1 = {  # unet/config.json of Stable Diffusion 1.5
    "_class_name": "UNet2DConditionModel", "_diffusers_version": "0.6.0", "act_fn": "silu",
    "attention_head_dim": 8, "block_out_channels": [320, 640, 1280, 1280],
    "center_input_sample": False, "cross_attention_dim": 768,
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"], "downsample_padding": 1,
    "flip_sin_to_cos": True, "freq_shift": 0, "in_channels": 4, "layers_per_block": 2,
    "mid_block_scale_factor": 1, "norm_eps": 1e-05, "norm_num_groups": 32, "out_channels": 4,
    "sample_size": 64, "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
}  # fmt: skip
SD2 = {  # of 2.1, where it differs
    **SD1, "attention_head_dim": [5, 10, 20, 20], "cross_attention_dim": 1024,
    "dual_cross_attention": False, "num_class_embeds": None, "only_cross_attention": False,
    "sample_size": 96, "upcast_attention": True, "use_linear_projection": True,
}  # fmt: skip
SDXL = {  # of SDXL base 1.0
    **SD2, "attention_head_dim": [5, 10, 20], "block_out_channels": [320, 640, 1280],
    "down_block_types": ["DownBlock2D"] + ["CrossAttnDownBlock2D"] * 2,
    "up_block_types": ["CrossAttnUpBlock2D"] * 2 + ["UpBlock2D"], "cross_attention_dim": 2048,
    "addition_embed_type": "text_time", "addition_time_embed_dim": 256, "sample_size": 128,
    "projection_class_embeddings_input_dim": 2816, "transformer_layers_per_block": [1, 2, 10],
}  # fmt: skip


def pair(kind: str, dtype: torch.dtype):
    """Ours and the reference, with the same weights."""
    theirs = reference_unet(kind, dtype)
    ours = ConditionalUNet(ConditionalUNetConfig.of(theirs.config)).to(dtype).eval()
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("kind", UNETS)
@torch.no_grad()
def test_it_computes_what_the_reference_computes(kind, dtype):
    ours, theirs = pair(kind, dtype)
    for size, batch in ((8, 8), 2), ((9, 14), 1), ((5, 3), 2):
        given = unet_inputs(kind, dtype, size, batch)
        assert error(ours(*given), call_unet(theirs, *given)) <= BOUND[dtype]


@pytest.mark.parametrize(
    ("published", "tensors", "numbers"),
    [(SD1, 686, 859_520_964), (SD2, 686, 865_910_724), (SDXL, 1680, 2_567_463_684)],
    ids=["SD 1.5", "SD 2.1", "SDXL"],
)
def test_the_published_sizes_have_the_tensors_of_the_reference(published, tensors, numbers):
    diffusers = pytest.importorskip("diffusers")
    with torch.device("meta"):
        ours = ConditionalUNet(ConditionalUNetConfig.of(published))
        theirs = diffusers.UNet2DConditionModel.from_config(published)
    shapes = [{k: v.shape for k, v in net.state_dict().items()} for net in (ours, theirs)]
    assert shapes[0] == shapes[1]
    assert len(shapes[0]) == tensors
    assert sum(p.numel() for p in ours.parameters()) == numbers
