"""What a picture's size costs: diffusion on its pixels, and on latents of an eighth of its side."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.measure import Options, Row, interleaved, scaled
from book.ch05_6_gpu.memory import saved_bytes
from book.pixel_space import PixelTraining
from minildm.autoencoder import Autoencoder, Folding
from minildm.shapes.training import ShapesTraining
from minildm.text import TextUNetConfig
from minildm.unet import UNet

NAME = "picture_size"
QUESTION = "What does one evaluation cost on pixels and on latents, for pictures of each size?"
PIXELS = "pixels, folded 4 x 4"


def networks() -> tuple[nn.Module, Autoencoder, nn.Module, Folding]:
    """The book's two models of captioned shapes: on latents, and on pixels.

    The one on pixels is on *folded* ones: 4 x 4 pixels of 3 colours become 48 channels. That is
    diffusion on pixels all the same, and on a CPU much faster than on a grid of single pixels.
    """
    latents, pixels = ShapesTraining(), PixelTraining()
    models = (latents.denoiser.model, pixels.denoiser.model)
    first, second = (UNet(m.conditioned_unet) for m in models if isinstance(m, TextUNetConfig))
    return first, Autoencoder(latents.autoencoder.model), second, Folding(pixels.folding)


def evaluation(net: nn.Module, space: Autoencoder, side: int) -> tuple[Callable, Tensor]:
    """One call of the network for a picture side x side, and the latent it is made on."""
    device = space.scale.device
    z = torch.randn(1, *space.latent_shape((side, side)), device=device)
    t, context = torch.full((1,), 500, device=device), torch.randn(1, 14, 128, device=device)
    return lambda: net(z, t, context), z


def run(options: Options) -> dict:
    net, autoencoder, pixel_net, folding = networks()
    seconds, kept = {}, {}
    with torch.no_grad():
        for side in options.sizes:
            on_latents, z = evaluation(net, autoencoder, side)
            on_pixels, _ = evaluation(pixel_net, folding, side)
            calls = {"latents": on_latents, "decoder": lambda z=z: autoencoder.decode(z)}
            seconds[str(side)] = interleaved({**calls, "pixels": on_pixels}, options)
    with torch.device("meta"):
        net, autoencoder, pixel_net, folding = networks()
        for side in options.sizes:
            pairs = {"latents": (net, autoencoder), "pixels": (pixel_net, folding)}
            kept[str(side)] = {
                name: saved_bytes(a, evaluation(a, b, side)[0]) for name, (a, b) in pairs.items()
            }
    return {"steps": options.steps, "seconds": seconds, "bytes_kept_for_backward": kept}


def rows(result: dict) -> list[Row]:
    table, steps = [], result["steps"]
    for side, seconds in result["seconds"].items():
        pairs = zip(seconds["latents"], seconds["decoder"], strict=True)
        mine = [evaluation + decoder / steps for evaluation, decoder in pairs]
        what = f"{side} x {side}: evaluation, and 1/{steps} of the decoder"
        pixels = scaled(seconds["pixels"], 1e3)
        table.append(Row(what, "ms", scaled(mine, 1e3), pixels, PIXELS))
    for side, kept in result["bytes_kept_for_backward"].items():
        what = f"{side} x {side}: kept of a picture for the backward pass"
        mine, pixels = ([kept[name] / 1e6] for name in ("latents", "pixels"))
        table.append(Row(what, "MB", mine, pixels, PIXELS))
    return table
