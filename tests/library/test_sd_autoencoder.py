"""Stable Diffusion's autoencoder computes what the reference computes."""

import pytest
import torch
from sd_reference import VAES, error, reference_autoencoder

from minildm.stable_diffusion.autoencoder import KLAutoencoder, KLAutoencoderConfig

PUBLISHED = {  # vae/config.json of Stable Diffusion 1.5
    "_class_name": "AutoencoderKL", "_diffusers_version": "0.6.0", "act_fn": "silu",
    "block_out_channels": [128, 256, 512, 512], "down_block_types": ["DownEncoderBlock2D"] * 4,
    "in_channels": 3, "latent_channels": 4, "layers_per_block": 2, "norm_num_groups": 32,
    "out_channels": 3, "sample_size": 512, "up_block_types": ["UpDecoderBlock2D"] * 4,
}  # fmt: skip
BOUND = {torch.float64: 1e-12, torch.float32: 1e-6}


def pair(kind: str, dtype: torch.dtype):
    """Ours and the reference, with the same weights."""
    theirs = reference_autoencoder(kind, dtype)
    ours = KLAutoencoder(KLAutoencoderConfig.of(theirs.config)).to(dtype).eval()
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def pictures(dtype: torch.dtype, size: tuple[int, int] = (20, 36), batch: int = 2):
    generator = torch.Generator().manual_seed(5)
    return torch.rand(batch, 3, *size, generator=generator, dtype=torch.float64).to(dtype) * 2 - 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("kind", VAES)
@torch.no_grad()
def test_it_encodes_and_decodes_as_the_reference_does(kind, dtype):
    ours, theirs = pair(kind, dtype)
    x, shift = pictures(dtype), ours.config.shift_factor
    q, wanted = ours.encode(x), theirs.encode(x).latent_dist
    assert error(q.mean + shift, wanted.mean) <= BOUND[dtype]
    assert error(q.var, wanted.var) <= BOUND[dtype]
    z = q.sample(torch.randn_like(q.mean))
    assert error(ours.decode(z), theirs.decode(z + shift).sample) <= BOUND[dtype]


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
