"""Stable Diffusion's autoencoder computes what the reference computes."""

import pytest
import torch
from sd_reference import VAES, error, reference_autoencoder

from book.ch07_6_stable_diffusion.live import peak
from minildm.stable_diffusion.autoencoder import KLAutoencoder, KLAutoencoderConfig

# float64 tells mistakes from rounding; in float32 a processor may be 6e-6 off, or 0
BOUND = {torch.float64: 1e-12, torch.float32: 2e-5}
PUBLISHED = {  # vae/config.json of Stable Diffusion 1.5
    "_class_name": "AutoencoderKL", "_diffusers_version": "0.6.0", "act_fn": "silu",
    "block_out_channels": [128, 256, 512, 512], "down_block_types": ["DownEncoderBlock2D"] * 4,
    "in_channels": 3, "latent_channels": 4, "layers_per_block": 2, "norm_num_groups": 32,
    "out_channels": 3, "sample_size": 512, "up_block_types": ["UpDecoderBlock2D"] * 4,
}  # fmt: skip


def of(theirs) -> KLAutoencoder:
    """Ours, with the sizes, the weights and the dtype of a reference."""
    ours = KLAutoencoder(KLAutoencoderConfig.of(theirs.config)).to(theirs.dtype).eval()
    ours.load_state_dict(theirs.state_dict())
    return ours


def pictures(dtype: torch.dtype = torch.float64, size: tuple[int, int] = (20, 36)):
    generator = torch.Generator().manual_seed(5)
    return torch.rand(2, 3, *size, generator=generator, dtype=torch.float64).to(dtype) * 2 - 1


def latents(*shape: int, dtype: torch.dtype = torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(6), dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("kind", VAES)
@torch.no_grad()
def test_it_encodes_and_decodes_as_the_reference_does(kind, dtype):
    theirs = reference_autoencoder(kind, dtype)
    ours, x = of(theirs), pictures(dtype)
    for given in x, x[:1], x.to(memory_format=torch.channels_last):
        q, wanted = ours.encode(given), theirs.encode(given).latent_dist
        assert error(q.mean + ours.config.shift_factor, wanted.mean) <= BOUND[dtype]
        assert error(q.var, wanted.var) <= BOUND[dtype]
        z = q.sample(latents(*q.mean.shape, dtype=dtype))
        decoded = theirs.decode(z + ours.config.shift_factor).sample
        assert error(ours.decode(z), decoded) <= BOUND[dtype]


@torch.no_grad()
def test_the_variance_is_cut_off_where_the_reference_cuts_it_off():
    theirs = reference_autoencoder()
    theirs.quant_conv.bias[4:] += torch.tensor([-40.0, 40.0, 0.0, 0.0])  # of the log variances
    q, wanted = of(theirs).encode(pictures()), theirs.encode(pictures()).latent_dist
    assert (q.var[:, 0] == torch.tensor(-30.0).double().exp()).all()
    assert torch.allclose(q.var, wanted.var, rtol=1e-12, atol=0)


@torch.no_grad()
def test_the_scale_is_exact_in_every_precision():
    ours = of(reference_autoencoder("sd3"))
    assert float(ours.scale) == 1.5305
    assert float(ours.float().scale) == float(torch.tensor(1.5305))
    assert "scale" not in ours.state_dict()
    measured = ours.measure_scale(pictures(torch.float32))
    assert float(ours.scale) == pytest.approx(measured, rel=1e-6)
    means = ours.encode(pictures(torch.float32)).mean
    assert float((means * ours.scale).double().std()) == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@torch.no_grad()
def test_half_precision_runs(dtype):
    theirs = reference_autoencoder()
    ours, x = of(theirs).to(dtype), pictures(dtype)
    q = ours.encode(x)
    assert (q.mean.dtype, ours.decode(q.mean).dtype, ours.scale.dtype) == (dtype,) * 3
    wanted = theirs.encode(x.double()).latent_dist.mean
    assert error(q.mean.double(), wanted) <= 20 * torch.finfo(dtype).eps


@torch.no_grad()
def test_one_tile_is_the_whole_picture():
    ours, z = of(reference_autoencoder()), latents(1, 4, 6, 8)
    assert torch.equal(ours.decode(z, tile=8), ours.decode(z))
    with pytest.raises(ValueError, match="tile must be a whole number >= 4; got 3"):
        ours.decode(z, tile=3)


@pytest.mark.parametrize(("size", "tile"), [((6, 23), 8), ((9, 8), 8), ((17, 12), 5), ((30, 3), 4)])
@torch.no_grad()
def test_tiles_are_blended_without_a_seam(size, tile):
    """Where each latent only becomes its own pixels, tiles must give what the whole gives."""
    ours, z = of(reference_autoencoder()), latents(2, 4, *size)
    own_pixels = torch.nn.Sequential(
        torch.nn.Conv2d(4, 3, 1).double(), torch.nn.Upsample(scale_factor=4)
    )
    ours.decoder = own_pixels
    assert error(ours.decode(z, tile), ours.decode(z)) <= 1e-14


@torch.no_grad()
def test_tiles_differ_little_from_the_whole_and_need_less_memory():
    ours, z = of(reference_autoencoder(dtype=torch.float32)), latents(1, 4, 32, 32).float()
    whole, tiled = ours.decode(z), ours.decode(z, tile=16)
    assert float((whole - tiled).std() / whole.std()) < 0.5  # norms see other numbers
    one = peak(lambda: ours.decode(z[:, :, :16, :16]))
    assert peak(lambda: ours.decode(z, tile=16)) < 1.5 * one
    assert peak(lambda: ours.decode(z)) > 3 * one


@torch.no_grad()
def test_all_goes_where_the_weights_are():
    """A device that holds no numbers stands for one that is not the processor."""
    ours = of(reference_autoencoder()).to("meta")
    assert ours.decode(latents(1, 4, 9, 20).to("meta"), tile=8).shape == (1, 3, 36, 80)
    assert ours.encode(pictures().to("meta")).var.is_meta
    assert ours.scale.is_meta


@torch.no_grad()
def test_it_needs_no_more_memory_than_the_reference():
    theirs = reference_autoencoder(dtype=torch.float32)
    ours, x, z = of(theirs), pictures(torch.float32, (64, 64)), latents(2, 4, 16, 16).float()
    assert peak(lambda: ours.decode(z)) <= peak(lambda: theirs.decode(z))
    assert peak(lambda: ours.encode(x)) <= peak(lambda: theirs.encode(x))


def test_the_published_sizes_have_the_tensors_of_the_reference():
    diffusers = pytest.importorskip("diffusers")
    with torch.device("meta"):
        ours = KLAutoencoder(KLAutoencoderConfig.of(PUBLISHED))
        theirs = diffusers.AutoencoderKL.from_config(PUBLISHED)
    shapes = [{k: v.shape for k, v in net.state_dict().items()} for net in (ours, theirs)]
    assert shapes[0] == shapes[1]
    assert len(shapes[0]) == 248
    assert sum(p.numel() for p in ours.parameters()) == 83_653_863
    assert ours.config == KLAutoencoderConfig(force_upcast=True)
    assert ours.latent_shape((512, 768)) == (4, 64, 96)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"act_fn": "gelu"}, "act_fn = 'gelu' is not supported, only 'silu' or 'swish'"),
        ({"latents_mean": [0.0] * 4}, "latents_mean = "),
        ({"down_block_types": ["AttnDownEncoderBlock2D"] * 4}, "down_block_types = "),
        ({"up_block_types": ["UpDecoderBlock2D"] * 3}, "up_block_types = "),
        ({"out_channels": 1}, "out_channels = 1"),
        ({"_class_name": "AutoencoderTiny"}, "_class_name = 'AutoencoderTiny'"),
        ({"norm_num_groups": 48}, "widths must be multiples of groups = 48"),
        ({"scaling_factor": 0}, "scaling_factor must be a finite number"),
    ],
)
def test_what_is_not_built_is_refused_by_name(change, said):
    with pytest.raises(ValueError, match=said):
        KLAutoencoderConfig.of({**PUBLISHED, **change})


def test_what_does_not_fit_is_named():
    ours = of(reference_autoencoder())
    with pytest.raises(ValueError, match="multiples of factor = 4: pad the images"):
        ours.encode(pictures(size=(20, 37)))
    with pytest.raises(ValueError, match=r"z must be \(B, 4, h, w\); got \(1, 3, 4, 4\)"):
        ours.decode(latents(1, 3, 4, 4))
