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
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minildm.autoencoder import Autoencoder
from minildm.checks import inputs
from minildm.checks import model as checks
from minildm.denoise import Denoiser, guided, network_denoiser
from minildm.files.checkpoint import CheckpointError, load_weights
from minildm.files.model import read_model, write_model
from minildm.files.places import check_target, is_foreign
from minildm.interfaces import Network, ReadsText, Schedule
from minildm.noise import keyed_normal
from minildm.predict import Parameterization
from minildm.process import diffuse
from minildm.samplers import Snapshot, ddim, sample
from minildm.unet import UNet
from minildm.words import listed

START, DRAW, REPLACE = range(20, 23)  # what a key of noise is used for


class LatentDiffusion(nn.Module):
    """A model that draws images.

        LatentDiffusion(autoencoder, network)                              what training noted
        LatentDiffusion(autoencoder, network, schedule, image_size=(64, 64), parameterization=V)

    ``schedule``, ``parameterization`` (V where nobody says) and the size, as ``latent_size`` (h, w)
    or ``image_size`` (H, W), are taken from a network that ``train_denoiser`` made, and must agree
    with it where they are given: ValueError otherwise.

    A condition is what the network was trained with: class labels (B,), as a list, an array or a
    tensor; or texts, for a ``TextUNet``: a list of strings, or token numbers (B, L); one label or
    one string is for all images. None, or the text "", is no condition.

    ``generate``, ``text_to_image``, ``image_to_image``, ``inpaint`` and ``interpolate`` share
    these options:

    steps     steps of the sampler, spread evenly over 1..T
    sampler   a step of samplers.py: ddim, heun, dpmpp_2m, ddpm, or a partial of one
    guidance  w: 0 ignores the condition, 1 follows it, more exaggerates it; -1,000..1,000; None: 2
    negative  the condition to move away from; None: the null condition
    seed      makes image i depend on (seed, i) only, not on the batch; None: a random seed
    """

    usual_guidance = 2.0  # where nobody says

    def __init__(
        self, autoencoder: Autoencoder, network: UNet | ReadsText, schedule: Schedule | None = None,
        latent_size: Sequence[int] | None = None, parameterization: Parameterization | None = None,
        *, image_size: Sequence[int] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        n, c = network.config.channels, autoencoder.config.latent_channels
        if n != c:
            made = f"the network denoises {n} channels, but the autoencoder's latents have {c}"
            raise ValueError(f"{made}; build both with the same number")
        self.autoencoder, self.network = autoencoder, network
        self.schedule = checks.agreed_schedule(network, schedule)
        self.parameterization = checks.agreed_parameterization(
            network, parameterization, self.schedule
        )
        self.latent_shape = (c, *checks.agreed_size(network, autoencoder, latent_size, image_size))
        self.eval()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.autoencoder.scale.device

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images that it draws."""
        cfg, (_, h, w) = self.autoencoder.config, self.latent_shape
        return cfg.image_channels, cfg.factor * h, cfg.factor * w

    @torch.no_grad()
    def encode(self, x: Tensor, batch: int = 500) -> Tensor:
        """Scaled latents of images (B, C, H, W) in [-1, 1]: the mean of q(z | x) times scale.

        H and W may be any multiples of the autoencoder's factor. Here all pictures come in: NumPy
        arrays and other real dtypes are converted. Raises ValueError for bytes, 0..255, NaN and
        another number of channels; warns where no value is negative, as in [0, 1].
        """
        x = inputs.images("x", x, self.autoencoder.config.image_channels)
        batch, to = inputs.whole("batch", batch, 1), self.autoencoder.scale
        parts = [self.autoencoder.encode(part.to(to)).mean for part in x.split(batch)]
        return torch.cat(parts) * self.autoencoder.scale

    @torch.no_grad()
    def decode(self, z0: Tensor, batch: int = 500, **how) -> Tensor:
        """Images of scaled latents (B, c, h, w): decode(z0 / scale), clamped to [-1, 1].

        ``how``: options of the autoencoder's own ``decode``, if it has any. Raises ValueError for
        another number of channels, for NaN, and for numbers so large that the decoder overflows.
        """
        z0 = inputs.latents("z0", z0, self.autoencoder.scale, self.latent_shape[0])
        unscaled = z0 / self.autoencoder.scale
        parts = unscaled.split(inputs.whole("batch", batch, 1))
        x = torch.cat([self.autoencoder.decode(part, **how) for part in parts])
        if not torch.isfinite(x).all():
            most = f"{float(z0.abs().max()):.3g}"
            raise ValueError(f"z0 reaches {most}, and the decoder overflows; latents have std 1")
        return x.clamp(-1, 1)

    def noise(self, count: int, seed: int | None = None) -> Tensor:
        """Starting noise z_T (count, c, h, w); row i depends on (seed, i) only."""
        return self._normal(a_seed(seed), START, 0, inputs.whole("count", count, 1, checks.MOST))

    def walk(
        self, condition, *, steps: int = 25, sampler: Callable = ddim,
        guidance: float | None = None, negative=None, seed: int | None = None,
        z_T: Tensor | None = None, count: int | None = None, times: Tensor | None = None,
    ) -> Iterator[Snapshot]:  # fmt: skip
        """Like ``generate``, but yields a latent Snapshot(t, z, z0) after each step.

        ``times``: a grid of one's own in the place of ``steps``; z_T is then as noisy as its first.
        """
        seed = a_seed(seed)
        if z_T is not None:
            z_T = inputs.latents("z_T", z_T, self.autoencoder.scale, *self.latent_shape)
        count = checks.how_many(condition, z_T, count)
        z_T = self.noise(count, seed) if z_T is None else z_T
        times = self.schedule.times(steps) if times is None else times
        denoise = self.denoiser(condition, guidance, negative, count)
        return sample(denoise, self.schedule, z_T, times, self._keyed(sampler, seed, count))

    def generate(self, condition, **options) -> Tensor:
        """Images (B, C, H, W) from noise, one for each entry of ``condition``.

            generate(condition, *, steps=25, sampler=ddim, guidance=None, negative=None, seed=None,
                     z_T=None, count=None)

        ``condition``: None or one for all: ``count`` images.
        ``z_T`` (B, c, h, w): the noise to start from, instead of the seed's.
        Raises ValueError where condition, z_T and count do not agree, and for any option that
        makes no sense, before the first step.
        """
        *_, last = self.walk(condition, **options)
        return self.decode(last.z)

    def text_to_image(self, prompts: str | Sequence[str], **options) -> Tensor:
        """``generate`` for texts: one image (C, H, W) in [-1, 1] for each prompt.

        Raises ValueError for a model without text, and for a prompt outside its grammar: the error
        names the vocabulary and the nearest words.
        """
        if not isinstance(self.network, ReadsText):
            raise ValueError("this model does not read text: use generate with its own condition")
        listed(prompts)
        return self.generate(prompts, **options)

    def image_to_image(
        self, x: Tensor, condition, strength: float = 0.6, *, steps: int = 25,
        sampler: Callable = ddim, guidance: float | None = None, negative=None,
        seed: int | None = None,
    ) -> Tensor:  # fmt: skip
        """Noise the images x to time strength · T, then denoise under ``condition``.

        strength 0 < s <= 1: the share of the steps that is run; 1 keeps almost nothing of x.
        x has the size that the model draws. Raises ValueError as ``encode`` and ``generate`` do.
        Meng et al. 2022, SDEdit (arXiv 2108.01073), algorithm 1.
        """
        strength, steps = inputs.real("strength", strength), inputs.whole("steps", steps)
        times = self.schedule.times(steps)
        if not 0 < strength <= 1:
            raise ValueError(f"strength must be in (0, 1]; got {strength}: try 0.6")
        x, seed, times = self.images(x), a_seed(seed), times[-max(1, round(strength * steps)) - 1 :]
        z_t = diffuse(self.schedule, self.encode(x), times[0], self.noise(len(x), seed))
        options = {"sampler": sampler, "guidance": guidance, "negative": negative, "seed": seed}
        *_, last = self.walk(condition, z_T=z_t, times=times, **options)
        return self.decode(last.z)

    def inpaint(
        self, x: Tensor, mask: Tensor, condition, *, steps: int = 25, sampler: Callable = ddim,
        guidance: float | None = None, negative=None, seed: int | None = None,
    ) -> Tensor:  # fmt: skip
        """Draw anew where ``mask`` (B, 1, H, W) is 1; pixels where it is 0 are returned as given.

        After each step the kept latents are replaced by the encoded image at that noise level:
        Lugmayr et al. 2022, RePaint (arXiv 2201.09865), eq. 8, without its resampling.
        Raises ValueError as ``image_to_image`` does, and for a mask of other numbers than 0 and 1.
        """
        x, seed = self.images(x), a_seed(seed)
        mask = inputs.mask("mask", mask, x).to(x)
        z0, step = self.encode(x), self._keyed(sampler, seed, len(x))
        draw = F.adaptive_max_pool2d(mask, self.latent_shape[1:])  # 1 where any pixel is drawn

        def step_and_replace(z, t, s, denoise, schedule, memory):
            z, z0_hat, memory = step(z, t, s, denoise, schedule, memory)
            kept = diffuse(schedule, z0, s, self._normal(seed, REPLACE, int(s * 1e6), len(x)))
            return draw * z + (1 - draw) * kept, z0_hat, memory

        options = {"guidance": guidance, "negative": negative, "z_T": self.noise(len(x), seed)}
        *_, last = self.walk(condition, steps=steps, sampler=step_and_replace, **options)
        return mask * self.decode(last.z) + (1 - mask) * x

    def interpolate(self, a: int, b: int, n: int, condition=None, **options) -> Tensor:
        """n images (n, C, H, W) on the way from the noise of seed ``a`` to that of seed ``b``.

        ``condition``: one for all. The path is an arc, cos(u) z_a + sin(u) z_b, because a
        straight line would leave the radius that noise has: Song et al. 2021 (arXiv 2010.02502),
        section 5.3. Exact ends: the first image is generate([condition], seed=a)[0].
        """
        a, b, n = inputs.whole("a", a), inputs.whole("b", b), inputs.whole("n", n, 2, checks.MOST)
        angle = torch.linspace(0, torch.pi / 2, n, dtype=torch.float64)
        z_a, z_b = self.noise(1, a), self.noise(1, b)
        cos, sin = (u.to(z_a)[:, None, None, None] for u in (angle.cos(), angle.sin()))
        return self.generate(condition, z_T=cos * z_a + sin * z_b, seed=a, **options)

    def save(
        self, folder: str | Path, dtype: torch.dtype | None = None, overwrite: bool = False
    ) -> None:
        """Write model.safetensors and config.json; ``load`` gives the same model, bit for bit.

        ``dtype``: torch.float16 makes the file half as large; weights are rounded to 11 bits.
        Raises ValueError for a model of the book's name and place (unless ``overwrite``), and for
        what could not be read again; CheckpointError for weights that are NaN. What was in the
        folder is then still there.
        """
        check_target(folder, overwrite)
        write_model(folder, self, dtype)

    @classmethod
    def load(cls, folder: str | Path) -> "LatentDiffusion":
        """The model of the book of that name ("digits"), or the one in ``folder``.

        A folder of diffusers, or one .safetensors file, is what ``stable_diffusion.load`` loads.
        Raises FileNotFoundError if there is none, saying where it was looked for, and
        CheckpointError if it is damaged.
        """
        if is_foreign(folder):
            from minildm.stable_diffusion.load import load  # which builds on this module

            return load(folder)
        autoencoder, network, tensors, place = read_model(folder)
        try:
            model = cls(autoencoder, network)  # what else it needs, the network has noted
        except ValueError as error:
            raise CheckpointError(f"{place}/config.json: {error}") from error
        load_weights(model, tensors, place)
        return model

    @torch.no_grad()
    def denoiser(
        self, condition, guidance: float | None = None, negative=None, count: int | None = None,
        network: Network | None = None,
    ) -> Denoiser:  # fmt: skip
        """The network as a denoiser, guided from ``negative`` (or null) towards ``condition``.

        For samplers of your own; ``count``: latents, if ``condition`` does not say how many;
        ``network``: what is called in the place of the network, as one is that is shown more.
        """
        guidance = self.usual_guidance if guidance is None else inputs.real("guidance", guidance)
        if abs(guidance) > 1000:  # beyond this the latents of some samplers overflow
            raise ValueError(f"guidance must be in -1000..1000; got {guidance}: lower guidance")
        count = checks.how_many(condition, None, None) if count is None else count
        count = inputs.whole("count", count, 1, checks.MOST)
        net = self.network if network is None else network
        read = partial(network_denoiser, net, self.schedule, self.parameterization)
        if condition is None:
            if negative is not None:
                raise ValueError("negative needs a condition to move towards; give both")
            return read()
        towards: Any = checks.prepared(self.network, condition, count)
        if negative is None:
            away: Any = self.network.null(towards)
        else:
            away = checks.prepared(self.network, negative, count, "negative")
        return guided(read(towards), read(away), guidance)

    def images(self, x: Tensor) -> Tensor:
        """x as the model's dtype, on its device; ValueError unless it has its ``image_shape``."""
        channels, *size = self.image_shape
        return inputs.images("x", x, channels, size).to(self.autoencoder.scale)

    def _keyed(self, sampler: Callable, seed: int, count: int) -> Callable:
        """The step with its noise keyed by (seed, image), where it takes noise at all."""
        if not callable(sampler):
            wanted = "a step function, such as ddim of minildm.samplers"
            raise ValueError(f"sampler must be {wanted}; got {sampler!r}")
        given = getattr(sampler, "keywords", {})  # of a partial
        if "draw" not in inspect.signature(sampler).parameters or "draw" in given:
            return sampler
        calls = iter(range(10**9))  # a fresh key at each draw
        return partial(sampler, draw=lambda z: self._normal(seed, DRAW, next(calls), count).to(z))

    def _normal(self, seed: int, purpose: int, number: int, count: int) -> Tensor:
        noise = keyed_normal((seed, purpose, number), range(count), self.latent_shape)
        return noise.to(self.autoencoder.scale)


def a_seed(seed: int | None) -> int:
    """The seed, or a random one."""
    return int(torch.randint(2**62, ())) if seed is None else inputs.whole("seed", seed)
