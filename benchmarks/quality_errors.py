"""One error for every run of time_to_quality.py: how much of the noise its network guesses wrong.

    python benchmarks/quality_errors.py --names ours stock    (and the --set of the runs)

Each recipe has a loss of its own, so that their losses cannot be compared. Here the averaged
weights of each point guess the noise in the same noisy latents of unseen scenes, at all noise
levels of DDPM's linear schedule alike: the stock recipe minimises just that, and ours does not.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # when this file itself is run
    sys.path[:0] = [str(ROOT / "chapters"), str(ROOT)]

from benchmarks.quality_record import Record, read_run  # noqa: E402
from benchmarks.time_to_quality import FOLDER, Common, common, weights_at  # noqa: E402
from minildm import predict  # noqa: E402
from minildm.engine.settings import override  # noqa: E402
from minildm.files.checkpoint import load_checkpoint  # noqa: E402
from minildm.noise import seeded  # noqa: E402
from minildm.schedule import expand  # noqa: E402
from minildm.shapes.captions import caption_tokens  # noqa: E402
from minildm.shapes.scenes import Pictures, splits  # noqa: E402
from minildm.shapes.training import SCHEDULE, ShapesTraining  # noqa: E402
from minildm.text import TextEncoderConfig, TextUNetConfig, build_network  # noqa: E402

Guess = Callable[[Tensor, Tensor, Tensor], Tensor]  # (z_t, index of DDPM's time, tokens) -> eps


class Probe(NamedTuple):
    """Noisy latents z_t (n, c, h, w), the noise in them, DDPM's times 0..999 (n,), captions."""

    z_t: Tensor
    eps: Tensor
    t: Tensor
    tokens: Tensor


def levels() -> tuple[Tensor, Tensor]:
    """(signal, noise), float64 (1000,) each, of DDPM's linear schedule."""
    from diffusers import DDPMScheduler

    alpha_bar: Tensor = DDPMScheduler().alphas_cumprod.double()
    return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()


@torch.no_grad()
def probe(start: Common, n: int, seed: int = 0) -> Probe:
    """``n`` unseen scenes at times that are evenly spread over the 1,000."""
    pictures, generator = Pictures(splits().validation, n, seed), seeded(seed, n)
    z0 = start.autoencoder.encode(pictures[:]).mean * start.autoencoder.scale
    eps, t = torch.randn(z0.shape, generator=generator), torch.arange(n) * 1000 // n
    signal, noise = (expand(c[t], z0) for c in levels())
    tokens = caption_tokens(pictures.rows, torch.rand(n, generator=generator))
    return Probe(signal * z0 + noise * eps, eps, t, tokens)


@torch.no_grad()
def noise_error(guess: Guess, x: Probe, batch: int = 250) -> float:
    """Mean of (eps_hat - eps)^2."""
    total = 0.0
    for part in torch.arange(len(x.t)).split(batch):
        z_t, eps, t, tokens = (values[part] for values in x)
        total += float((guess(z_t, t, tokens) - eps).square().sum())
    return total / x.eps.numel()


def ours(about: Mapping) -> tuple[Any, Guess]:
    """The network of a run of ours, and its guess: asked at the time of our own schedule at which
    there is as much noise."""
    told = about["denoiser"]
    net = build_network(TextUNetConfig(**told["model"])).eval()
    signal, noise = levels()
    mine = SCHEDULE.half_log_snr(torch.arange(1, SCHEDULE.T + 1))  # falls with t
    wanted = signal.log() - noise.log()
    times = 1 + (mine[:, None] - wanted).abs().argmin(dim=0)  # (1000,): the nearest of ours

    def guess(z_t: Tensor, t: Tensor, tokens: Tensor) -> Tensor:
        output = net(z_t, times[t], tokens)
        return getattr(predict, told["parameterization"]).solve(output, z_t, signal[t], noise[t])[1]

    return net, guess


def stock(about: Mapping) -> tuple[Any, Guess]:
    """The network of a run of the stock recipe, and its guess."""
    from benchmarks.stock_recipe import StockNetwork, StockSettings

    told = {field.name: about[field.name] for field in fields(StockSettings)}
    told |= {"text": TextEncoderConfig(**told["text"]), "widths": tuple(told["widths"])}
    net = StockNetwork(StockSettings(**told)).eval()
    return net, net


def note_errors(folder: Path, x: Probe) -> None:
    """Write ``noise_error`` to each point of a run that has none yet."""
    record = Record(folder, read_run(folder)["about"])
    about = record.data["about"]
    net, guess = {"ours": ours, "stock": stock}[about["recipe"]](about)
    for point in record.data["points"]:
        if "noise_error" not in point:
            net.load_state_dict(load_checkpoint(weights_at(record, point["step"]))[0])
            point["noise_error"] = round(noise_error(guess, x), 5)
            print(f"{folder}: step {point['step']}, error {point['noise_error']:.4f}", flush=True)
            record.write()


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--names", nargs="+", default=["ours", "stock"])
    parser.add_argument("--set", nargs="+", default=[], help="as for the runs")
    parser.add_argument("--scenes", type=int, default=2000)
    args = parser.parse_args()
    start = common(override(ShapesTraining(), args.set), args.folder / "autoencoder", False)
    x = probe(start, args.scenes)
    for name in args.names:
        note_errors(args.folder / name, x)


if __name__ == "__main__":
    main()
