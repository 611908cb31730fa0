"""The latent diffusion model: autoencoder, denoising network and schedule, put together.

    x --encode--> z0 --noise--> z_T          training: the network learns the way back
    x <--decode-- z0 <--sample-- z_T         generation starts from noise; no image goes in

Latents in here are *scaled*: encode multiplies by ``autoencoder.scale``, decode divides by it.
Rombach et al. 2022 (arXiv 2112.10752).
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minildm import schedule as schedules
from minildm.autoencoder import Autoencoder
from minildm.checkpoint import load_weights
from minildm.denoise import Denoiser, guided, network_denoiser
from minildm.model_file import read_model, write_model
from minildm.noise import keyed_normal
from minildm.predict import Parameterization, V
from minildm.process import diffuse
from minildm.samplers import Snapshot, ddim, sample
from minildm.text import TextUNet
from minildm.unet import UNet

START, DRAW, REPLACE = range(20, 23)  # what a key of noise is used for


class LatentDiffusion(nn.Module):
    """A model that draws images. ``latent_size``: (h, w) of its latents.

    A condition is what the network was trained with: class labels (B,); or texts, for a
    ``TextUNet``: a list of strings, or token numbers (B, L); one label or one string is for all
    images. None, or the text "", is no condition.

    ``generate``, ``text_to_image``, ``image_to_image``, ``inpaint`` and ``interpolate`` share
    these options:

    steps     steps of the sampler, spread evenly over 1..T
    sampler   a step of samplers.py: ddim, heun, dpmpp_2m, ddpm, or a partial of one
    guidance  w: 0 ignores the condition, 1 follows it, more exaggerates it
    negative  the condition to move away from; None: the null condition
    seed      makes image i depend on (seed, i) only, not on the batch; None: a random seed
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        network: UNet | TextUNet,
        schedule: Callable,
        latent_size: Sequence[int],
        parameterization: Parameterization = V,
    ) -> None:
        super().__init__()
        c = autoencoder.config.latent_channels
        if network.config.channels != c:
            raise ValueError(
                f"the network denoises {network.config.channels} channels, but the autoencoder's "
                f"latents have {c}; build both with the same number"
            )
        self.autoencoder, self.network = autoencoder, network
        self.schedule, self.parameterization = schedule, parameterization
        self.latent_shape = (c, *(int(n) for n in latent_size))
        self.eval()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.autoencoder.scale.device

    @torch.no_grad()
    def encode(self, x: Tensor, batch: int = 500) -> Tensor:
        """Scaled latents of images (B, C, H, W) in [-1, 1]: the mean of q(z | x) times scale."""
        parts = [self.autoencoder.encode(part.to(self.device)).mean for part in x.split(batch)]
        return torch.cat(parts) * self.autoencoder.scale

    @torch.no_grad()
    def decode(self, z0: Tensor, batch: int = 500) -> Tensor:
        """Images of scaled latents (B, c, h, w): decode(z0 / scale), clamped to [-1, 1]."""
        unscaled = z0.to(self.device) / self.autoencoder.scale
        x = torch.cat([self.autoencoder.decode(part) for part in unscaled.split(batch)])
        return x.clamp(-1, 1)

    def noise(self, count: int, seed: int | None = None) -> Tensor:
        """Starting noise z_T (count, c, h, w); row i depends on (seed, i) only."""
        return self._normal(_seed(seed), START, 0, count)

    def walk(
        self, condition, *, steps: int = 25, sampler: Callable = ddim, guidance: float = 2.0,
        negative=None, seed: int | None = None, z_T: Tensor | None = None, count: int | None = None,
    ) -> Iterator[Snapshot]:  # fmt: skip
        """Like ``generate``, but yields a latent Snapshot(t, z, z0) after each step."""
        seed = _seed(seed)
        count = _count(condition, z_T, count)
        z_T = self.noise(count, seed) if z_T is None else z_T.to(self.device)
        denoise = self.denoiser(condition, guidance, negative, count)
        times = self.schedule.times(steps)
        return sample(denoise, self.schedule, z_T, times, self._keyed(sampler, seed, count))

    def generate(self, condition, **options) -> Tensor:
        """Images (B, C, H, W) from noise, one for each entry of ``condition``.

            generate(condition, *, steps=25, sampler=ddim, guidance=2.0, negative=None, seed=None,
                     z_T=None, count=None)

        ``condition``: None or one for all: ``count`` images.
        ``z_T`` (B, c, h, w): the noise to start from, instead of the seed's.
        """
        *_, last = self.walk(condition, **options)
        return self.decode(last.z)

    def text_to_image(self, prompts: str | Sequence[str], **options) -> Tensor:
        """``generate`` for texts: one image (C, H, W) in [-1, 1] for each prompt.

        Raises ValueError for a model without text, and for a prompt outside its grammar: the error
        names the vocabulary and the nearest words.
        """
        if not isinstance(self.network, TextUNet):
            raise ValueError("this model does not read text: use generate with its own condition")
        return self.generate(prompts, **options)

    def image_to_image(
        self, x: Tensor, condition, strength: float = 0.6, *, steps: int = 25,
        sampler: Callable = ddim, guidance: float = 2.0, negative=None, seed: int | None = None,
    ) -> Tensor:  # fmt: skip
        """Noise the images x to time strength · T, then denoise under ``condition``.

        strength 0 < s <= 1: the share of the steps that is run; 1 keeps almost nothing of x.
        Meng et al. 2022, SDEdit (arXiv 2108.01073), algorithm 1.
        """
        if not 0 < strength <= 1:
            raise ValueError(f"strength must be in (0, 1]; got {strength}: try 0.6")
        seed, count = _seed(seed), len(x)
        times = self.schedule.times(steps)[-max(1, round(strength * steps)) - 1 :]
        z_t = diffuse(self.schedule, self.encode(x), times[0], self.noise(count, seed))
        denoise = self.denoiser(condition, guidance, negative, count)
        *_, last = sample(denoise, self.schedule, z_t, times, self._keyed(sampler, seed, count))
        return self.decode(last.z)

    def inpaint(
        self, x: Tensor, mask: Tensor, condition, *, steps: int = 25, sampler: Callable = ddim,
        guidance: float = 2.0, negative=None, seed: int | None = None,
    ) -> Tensor:  # fmt: skip
        """Draw anew where ``mask`` (B, 1, H, W) is 1; pixels where it is 0 are returned as given.

        After each step the kept latents are replaced by the encoded image at that noise level:
        Lugmayr et al. 2022, RePaint (arXiv 2201.09865), eq. 8, without its resampling.
        """
        _check_mask(mask, x)
        seed, count = _seed(seed), len(x)
        z0, x, mask = self.encode(x), x.to(self.device), mask.to(self.device, x.dtype)
        draw = F.adaptive_max_pool2d(mask, self.latent_shape[1:])  # 1 where any pixel is drawn
        step = self._keyed(sampler, seed, count)

        def step_and_replace(z, t, s, denoise, schedule, memory):
            z, z0_hat, memory = step(z, t, s, denoise, schedule, memory)
            kept = diffuse(schedule, z0, s, self._normal(seed, REPLACE, int(s * 1e6), count))
            return draw * z + (1 - draw) * kept, z0_hat, memory

        denoise = self.denoiser(condition, guidance, negative, count)
        times = self.schedule.times(steps)
        *_, last = sample(denoise, self.schedule, self.noise(count, seed), times, step_and_replace)
        return mask * self.decode(last.z) + (1 - mask) * x

    def interpolate(self, a: int, b: int, n: int, condition=None, **options) -> Tensor:
        """n images (n, C, H, W) on the way from the noise of seed ``a`` to that of seed ``b``.

        ``condition``: one for all. The path is an arc, cos(u) z_a + sin(u) z_b, because a
        straight line would leave the radius that noise has: Song et al. 2021 (arXiv 2010.02502),
        section 5.3. Exact ends: the first image is generate([condition], seed=a)[0].
        """
        if n < 2:
            raise ValueError(f"n must be at least 2 (both ends); got {n}")
        angle = torch.linspace(0, torch.pi / 2, n, dtype=torch.float64)
        z_a, z_b = self.noise(1, a), self.noise(1, b)
        to_z = partial(schedules.expand, like=z_a.expand(n, -1, -1, -1))
        z_T = to_z(angle.cos()) * z_a + to_z(angle.sin()) * z_b  # (n, c, h, w)
        labels = None if condition is None else [condition] * n
        return self.generate(labels, z_T=z_T, seed=a, **options)

    def save(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write model.safetensors and config.json; ``load`` gives the same model, bit for bit.

        ``dtype``: torch.float16 makes the file half as large; weights are rounded to 11 bits.
        """
        write_model(folder, self, dtype)

    @classmethod
    def load(cls, folder: str | Path) -> "LatentDiffusion":
        """The model in ``folder``, or the one of that name in data/checkpoints.

        Raises FileNotFoundError if there is none, CheckpointError if it is damaged.
        """
        arguments, tensors, place = read_model(folder)
        model = cls(*arguments)
        load_weights(model, tensors, place)
        return model

    @torch.no_grad()
    def denoiser(
        self, condition, guidance: float = 2.0, negative=None, count: int | None = None
    ) -> Denoiser:
        """The network as a denoiser, guided from ``negative`` (or null) towards ``condition``.

        For samplers of your own; ``count``: latents, if ``condition`` does not say how many.
        """
        count = _count(condition, None, None) if count is None else count
        read = partial(network_denoiser, self.network, self.schedule, self.parameterization)
        if condition is None:
            return read()
        towards = self._condition(condition, count)
        away = self.network.null(towards) if negative is None else self._condition(negative, count)
        return guided(read(towards), read(away), guidance)

    def _condition(self, condition, count: int) -> Tensor:
        """The condition as the network takes it, (count, ..); texts are encoded, once."""
        if _is_text(condition):
            if not isinstance(self.network, TextUNet):
                raise ValueError(f"this model does not read text; got {condition!r}")
            one = isinstance(condition, str)
            tokens = self.network.tokens(condition)  # (1 or count, L)
            condition = tokens[0].expand(count, -1) if one else tokens
        condition = torch.as_tensor(condition).to(self.device)
        if condition.dim() == 0:
            condition = condition.expand(count)
        if len(condition) != count:
            raise ValueError(
                f"condition has {len(condition)} entries for {count} images; give one each"
            )
        if isinstance(self.network, TextUNet) and not condition.is_floating_point():
            condition = self.network.encode(condition)  # (count, L, dim)
        return condition

    def _keyed(self, sampler: Callable, seed: int, count: int) -> Callable:
        """The step with its noise keyed by (seed, image), where it takes noise at all."""
        given = sampler.keywords if isinstance(sampler, partial) else {}
        if "draw" not in inspect.signature(sampler).parameters or "draw" in given:
            return sampler
        calls = iter(range(10**9))  # a fresh key at each draw
        return partial(sampler, draw=lambda z: self._normal(seed, DRAW, next(calls), count).to(z))

    def _normal(self, seed: int, purpose: int, number: int, count: int) -> Tensor:
        noise = keyed_normal((seed, purpose, number), range(count), self.latent_shape)
        return noise.to(self.device)


def _seed(seed: int | None) -> int:
    return int(torch.randint(2**62, ())) if seed is None else seed


def _count(condition, z_T: Tensor | None, count: int | None) -> int:
    """How many images: as many as conditions or noises there are, else ``count``, else 1."""
    for given in (z_T, condition):
        if isinstance(given, list | tuple) or getattr(given, "ndim", 0) > 0:
            return len(given)
    return 1 if count is None else count


def _is_text(condition) -> bool:
    if isinstance(condition, list | tuple):
        return bool(condition) and isinstance(condition[0], str)
    return isinstance(condition, str)


def _check_mask(mask: Tensor, x: Tensor) -> None:
    if mask.shape != (len(x), 1, *x.shape[2:]):
        raise ValueError(
            f"mask must be {(len(x), 1, *x.shape[2:])} for these images; got {tuple(mask.shape)}"
        )
    if not ((mask == 0) | (mask == 1)).all():
        raise ValueError("mask must hold 0 (keep) and 1 (draw anew) only; use (mask > 0.5).float()")
