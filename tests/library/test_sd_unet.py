"""Stable Diffusion's UNet computes what the reference computes."""

import pytest
import torch
from sd_reference import UNETS, call_unet, error, reference_unet, unet_inputs

from book.ch07_6_stable_diffusion.live import peak
from minildm.stable_diffusion.unet import ConditionalUNet, ConditionalUNetConfig

# float64 tells mistakes from rounding; in float32 a processor may be 6e-6 off, or 0
BOUND = {torch.float64: 1e-12, torch.float32: 2e-5}
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


def of(theirs) -> ConditionalUNet:
    """Ours, with the sizes, the weights and the dtype of a reference."""
    ours = ConditionalUNet(ConditionalUNetConfig.of(theirs.config)).to(theirs.dtype).eval()
    ours.load_state_dict(theirs.state_dict())
    return ours


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("kind", UNETS)
@torch.no_grad()
def test_it_computes_what_the_reference_computes(kind, dtype):
    theirs = reference_unet(kind, dtype)
    ours = of(theirs)
    for size, batch in ((8, 8), 2), ((9, 14), 1), ((5, 3), 2):
        given = unet_inputs(kind, dtype, size, batch)
        assert error(ours(*given), call_unet(theirs, *given)) <= BOUND[dtype]


@pytest.mark.parametrize("kind", ["sd1", "sd2"])
@torch.no_grad()
def test_the_layout_in_memory_makes_no_difference(kind):
    theirs, (z_t, *given) = reference_unet(kind), unet_inputs(kind, size=(9, 14))
    ours, wanted = of(theirs), call_unet(theirs, z_t, *given)
    assert error(ours(z_t.to(memory_format=torch.channels_last), *given), wanted) <= 1e-12
    ours.to(memory_format=torch.channels_last)
    assert error(ours(z_t, *given), wanted) <= 1e-12


@torch.no_grad()
def test_time_may_be_a_fraction_and_one_for_all():
    theirs, (z_t, _, context, _) = reference_unet(), unet_inputs("sd1")
    ours = of(theirs)
    for t in torch.tensor([978.6122, 6.73]), torch.tensor(500), torch.tensor([500]):
        wanted = call_unet(theirs, z_t, t.expand(2), context, None)
        assert error(ours(z_t, t, context), wanted) <= 1e-12


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", UNETS)
@torch.no_grad()
def test_half_precision_is_near_the_whole(kind, dtype):
    theirs = reference_unet(kind)
    z_t, t, context, added = unet_inputs(kind, dtype)
    output = of(theirs).to(dtype)(z_t, t, context, added)
    added = added and tuple(each.double() for each in added)
    wanted = call_unet(theirs, z_t.double(), t, context.double(), added)
    assert output.dtype == dtype
    assert error(output.double(), wanted) <= 10 * torch.finfo(dtype).eps


@torch.no_grad()
def test_times_are_not_rounded_to_half_precision():
    """The waves of t are computed in float32, and cast once: bfloat16 knows no t = 501."""
    theirs, (z_t, _, context, _) = reference_unet(), unet_inputs("sd1", torch.bfloat16)
    ours, heard = of(theirs).bfloat16(), []
    ours.time_embedding.register_forward_pre_hook(lambda _, given: heard.append(given[0]))
    t = torch.tensor([501, 997])
    ours(z_t, t, context)
    assert torch.equal(heard[0], theirs.time_proj(t).bfloat16())


@pytest.mark.parametrize(("kind", "side"), [("sd1", 32), ("sd2", 16), ("sdxl", 16)])
@torch.no_grad()
def test_it_needs_no_more_memory_than_the_reference(kind, side):
    theirs, given = reference_unet(kind), unet_inputs(kind, size=(side, side))
    ours = of(theirs)
    most = peak(lambda: call_unet(theirs, *given))
    assert peak(lambda: ours(*given)) <= most


@torch.no_grad()
def test_all_goes_where_the_latents_are():
    """A device that holds no numbers stands for one that is not the processor."""
    ours, (z_t, t, context, added) = of(reference_unet("sdxl")), unet_inputs("sdxl")
    output = ours.to("meta")(z_t.to("meta"), t, context, added)
    assert output.shape == z_t.shape
    assert output.is_meta


def test_it_can_be_trained():
    """Every parameter has a gradient, the reference's: in-place steps forget nothing."""
    theirs, given = reference_unet("sdxl"), unet_inputs("sdxl")
    ours = of(theirs)
    ours(*given).square().sum().backward()
    extra = {"text_embeds": given[3][0], "time_ids": given[3][1]}
    theirs(*given[:3], added_cond_kwargs=extra).sample.square().sum().backward()
    found = dict(ours.named_parameters())
    for name, parameter in theirs.named_parameters():
        assert error(found[name].grad, parameter.grad) <= 1e-10, name


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


def test_the_published_sizes_are_those_that_the_config_stands_at():
    assert ConditionalUNetConfig.of(SD1) == ConditionalUNetConfig()
    inpainting = ConditionalUNetConfig.of({**SD1, "in_channels": 9})
    assert (inpainting.channels, inpainting.concat_channels) == (4, 5)
    assert ConditionalUNetConfig.of(SD2).heads == (5, 10, 20, 20)
    assert ConditionalUNetConfig.of(SDXL).depths == (0, 2, 10)
    assert ConditionalUNetConfig.of(SDXL).latent_size == (128, 128)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"act_fn": "gelu"}, "act_fn = 'gelu' is not supported, only 'silu' or 'swish'"),
        ({"class_embed_type": "timestep"}, "class_embed_type = 'timestep'"),
        ({"addition_embed_type": "text"}, "addition_embed_type = 'text'"),
        ({"flip_sin_to_cos": False}, "flip_sin_to_cos = False"),
        ({"freq_shift": 1}, "freq_shift = 1"),
        ({"mid_block_type": None}, "mid_block_type = None"),
        ({"encoder_hid_dim": 320}, "encoder_hid_dim = 320"),
        ({"layers_per_block": [1, 2, 2, 2]}, "layers_per_block"),
        ({"up_block_types": ["UpBlock2D"] * 4}, "up_block_types"),
        ({"down_block_types": ["DownBlock2D"] * 3}, "down_block_types must have 4 entries"),
        ({"down_block_types": ["AttnDownBlock2D"] * 4}, "down_block_types"),
        ({"attention_head_dim": [8, 8]}, "attention_head_dim must have 4 entries"),
        ({"_class_name": "UNet2DModel"}, "_class_name = 'UNet2DModel'"),
        ({"norm_num_groups": 48}, "widths must be multiples of groups = 48"),
        ({"in_channels": 3}, "concat_channels must be a whole number in 0"),
        ({"cross_attention_dim": [1, 2]}, "context_dim must be a whole number"),
    ],
)
def test_what_is_not_built_is_refused_by_name(change, said):
    published = {**SD1, **change}
    if "down_block_types" in change:
        published["up_block_types"] = [
            kind.replace("Down", "Up") for kind in change["down_block_types"][::-1]
        ]
    with pytest.raises(ValueError, match=said):
        ConditionalUNetConfig.of(published)


def test_what_does_not_fit_is_named():
    z_t, t, context, added = unet_inputs("sdxl", torch.float32)
    ours, plain = of(reference_unet("sdxl")), of(reference_unet("sd1"))
    with pytest.raises(ValueError, match=r"context must be \(2, L, 24\); got \(2, 7, 23\)"):
        ours(z_t, t, context[..., 1:], added)
    with pytest.raises(ValueError, match=r"context must be \(2, L, 24\); got \(1, 7, 24\)"):
        ours(z_t, t, context[:1], added)
    with pytest.raises(ValueError, match=r"z_t must be \(B, 4, h, w\); got \(2, 3, 8, 8\)"):
        ours(z_t[:, :3], t, context, added)
    with pytest.raises(ValueError, match="added must be given, as SDXL needs it"):
        ours(z_t, t, context)
    with pytest.raises(ValueError, match="added must be None for this network"):
        plain(z_t, t, context, added)
    for pooled, numbers in (added[0][:, 1:], added[1]), (added[0], added[1][:1]):
        with pytest.raises(ValueError, match=r"added must be \(2, 16\) and \(2, 6\); got"):
            ours(z_t, t, context, (pooled, numbers))
