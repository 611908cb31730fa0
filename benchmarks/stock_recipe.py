"""The recipe that diffusers ships for text to image, at our size: what time_to_quality.py races.

    UNet2DConditionModel · MSE of eps at DDPMScheduler's 1,000 linear steps · AdamW · gradients
    clipped at 1 · constant rate after 500 steps of warm-up · EMAModel · 25 steps of its solver

as its script ``train_text_to_image.py`` has them. What is not its own is given to it as a help: our
text encoder, which learns along, and whose padding it need not read; 10 % of the captions dropped,
for guidance; batches that are sliced from one tensor, without a loader.
"""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
)
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from benchmarks import rivals
from book.ch05_2_unet.cost import parameters
from minildm.engine.fit import build
from minildm.engine.optim import restore_optimizer
from minildm.files.checkpoint import load_checkpoint, save_checkpoint
from minildm.noise import batch_indices, seeded
from minildm.shapes.captions import text_config
from minildm.text import TextEncoder, TextEncoderConfig
from minildm.words import NULL, PAD

SAMPLERS: dict[str, Callable] = {
    "dpm": lambda: DPMSolverMultistepScheduler(algorithm_type="dpmsolver++"),  # 2M
    "ddim": lambda: DDIMScheduler(clip_sample=False, timestep_spacing="trailing"),
}


@dataclass(frozen=True)
class StockSettings:
    """What its script takes as options; the defaults are the script's, but for batch and steps."""

    steps: int = 7000
    batch: int = 64
    rate: float = 1e-4
    warmup: int = 500
    decay: float = 0.9999  # of the average: at update k it is (1 + k) / (10 + k) at most
    drop: float = 0.1
    seed: int = 0
    text: TextEncoderConfig = field(default_factory=text_config)
    widths: tuple[int, int] = (80, 88)


class StockNetwork(nn.Module):
    """eps of z_t (B, 4, h, w) at its time t = 0..999 under tokens (B, L)."""

    def __init__(self, settings: StockSettings, channels: int = 4, size: int = 8) -> None:
        super().__init__()
        self.text = TextEncoder(settings.text)
        latent = channels, size, size
        self.unet = rivals.of_diffusers(*settings.widths, latent, settings.text.dim)

    def forward(self, z_t: Tensor, t: Tensor, tokens: Tensor) -> Tensor:
        words = self.text(tokens)  # (B, L, dim)
        return self.unet(z_t, t, words, encoder_attention_mask=tokens != PAD).sample


def widths_like(wanted: int, text: TextEncoderConfig) -> tuple[int, int]:
    """The widths of two levels with which its network has as many parameters, or nearly."""
    choices = [(w, w + more) for w in range(16, 257, 8) for more in (0, 8)]  # from small to large

    def size(widths: tuple[int, int]) -> int:
        with torch.device("meta"):  # nothing is allocated
            return parameters(StockNetwork(StockSettings(text=text, widths=widths)))

    place = bisect_left(choices, wanted, 1, len(choices) - 1, key=size)
    return min(choices[place - 1 : place + 1], key=lambda widths: abs(size(widths) - wanted))


def no_text(tokens: Tensor) -> Tensor:
    """Like tokens (B, L): NULL, then PAD."""
    null = torch.full_like(tokens, PAD)
    null[:, 0] = NULL
    return null


class StockTraining:
    """Its training loop on latents z0 (n, c, h, w) and tokens (n, L): ``one_step``, as often as
    wanted. The random numbers of a step depend on its number only, so that a kill changes nothing.
    """

    def __init__(self, settings: StockSettings, z0: Tensor, tokens: Tensor) -> None:
        self.settings, self.z0, self.tokens, self.step = settings, z0, tokens, 0
        self.net = build(self._network, settings.seed).train()
        self.optimizer = torch.optim.AdamW(self.net.parameters(), settings.rate, weight_decay=1e-2)
        self.average = EMAModel(self.net.parameters(), decay=settings.decay)
        self.noise = DDPMScheduler()

    def _network(self) -> StockNetwork:
        return StockNetwork(self.settings, self.z0.shape[1], self.z0.shape[2])

    def one_step(self) -> float:
        """One step; returns its loss."""
        s, generator = self.settings, seeded(self.settings.seed, self.step)
        i = batch_indices(len(self.z0), s.batch, self.step, s.seed)
        z0, tokens = self.z0[i], self.tokens[i]  # (B, c, h, w), (B, L)
        eps = torch.randn(z0.shape, generator=generator)
        t = torch.randint(self.noise.config.num_train_timesteps, (s.batch,), generator=generator)
        dropped = torch.rand(s.batch, generator=generator) < s.drop
        tokens = torch.where(dropped[:, None], no_text(tokens), tokens)

        predicted = self.net(self.noise.add_noise(z0, eps, t), t, tokens)
        loss = F.mse_loss(predicted, eps)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = s.rate * min(1.0, (self.step + 1) / max(1, s.warmup))
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average.step(self.net.parameters())
        self.step += 1
        return loss.item()

    def averaged(self) -> dict[str, Tensor]:
        """The averaged weights, by name."""
        names = [name for name, _ in self.net.named_parameters()]
        average = dict(zip(names, self.average.shadow_params, strict=True))
        return {**self.net.state_dict(), **average}

    def save(self, folder: Path) -> None:
        """Write all that the next steps depend on."""
        tensors = {f"net.{name}": value for name, value in self.net.state_dict().items()}
        for i, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{name}": value for name, value in values.items()}
        tensors |= {f"average.{i}": value for i, value in enumerate(self.average.shadow_params)}
        about = {"step": self.step, "settings": asdict(self.settings)}
        save_checkpoint(folder, tensors, about)

    def restore(self, folder: Path) -> None:
        """Go on where ``save`` was called."""
        tensors, about = load_checkpoint(folder)

        def under(prefix: str) -> dict[str, Tensor]:
            return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}

        self.step = self.average.optimization_step = about["step"]
        self.net.load_state_dict(under("net."))
        restore_optimizer(self.optimizer, under("optimizer."))
        average = under("average.")
        self.average.shadow_params = [average[str(i)] for i in range(len(average))]


@torch.no_grad()
def draw_latents(
    net: StockNetwork, tokens: Tensor, shape: tuple[int, ...], sampler: str = "dpm",
    guidance: float = 2.5, steps: int = 25, seed: int = 0, batch: int = 250,
) -> Tensor:  # fmt: skip
    """Latents (n, *shape) for tokens (n, L) by its own loop: eps_u + guidance (eps_c - eps_u)."""
    noise = torch.randn(len(tokens), *shape, generator=seeded(seed, len(tokens)))
    parts = []
    for asked, z in zip(tokens.split(batch), noise.split(batch), strict=True):
        both = torch.cat([no_text(asked), asked])  # (2B, L)
        words, mask = net.text(both), both != PAD  # encoded once
        scheduler = SAMPLERS[sampler]()
        scheduler.set_timesteps(steps)
        for t in scheduler.timesteps:
            eps = net.unet(torch.cat([z, z]), t, words, encoder_attention_mask=mask).sample
            eps_u, eps_c = eps.chunk(2)
            z = scheduler.step(eps_u + guidance * (eps_c - eps_u), t, z).prev_sample
        parts.append(z)
    return torch.cat(parts)
