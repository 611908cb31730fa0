"""Stable Diffusion as the book's own ``LatentDiffusion``: the same samplers, guidance and edits.

The files' networks count time from 0 to 999 and know nothing of prompts. ``Prompted`` wraps one of
them, once: it reads prompts, and takes the book's t.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minildm.checks import inputs
from minildm.condition import Condition
from minildm.denoise import Denoiser
from minildm.interfaces import Network, Told
from minildm.latent import LatentDiffusion, a_seed
from minildm.samplers import ddim, sample
from minildm.schedule import FlowSchedule
from minildm.stable_diffusion.mmdit import MMDiT
from minildm.stable_diffusion.text import TextEncoder
from minildm.stable_diffusion.tokenizer import Tokenizer
from minildm.stable_diffusion.unet import ConditionalUNet

T5_LENGTH = 256  # tokens of Stable Diffusion 3's third text encoder, which is left out


class ShiftedFlowSchedule(FlowSchedule):
    """Rectified flow whose grids spend more of their steps on much noise: t' = k t / (1 + (k-1) t).

    Esser et al. 2024 (arXiv 2403.03206), section 5.3.2: k = ``shift`` = 3 for 1024 x 1024 pixels.
    """

    def __init__(self, shift: float = 3.0) -> None:
        self.shift = inputs.real("shift", shift, 0, 1e3, open=True)

    def times(self, steps: int, spacing: str = "uniform") -> Tensor:
        """1 = t_0 > ... > t_steps = 0, shifted: float64 (steps+1,). Raises ValueError."""
        t = super().times(steps, spacing)
        return self.shift * t / (1 + (self.shift - 1) * t)


class PromptedConfig(NamedTuple):
    """What ``LatentDiffusion`` asks of a network: channels of its latents, and what it is told."""

    channels: int
    condition: Condition
    classes: int = 0


class Prompted(nn.Module):
    """net(z_t, t, condition) in the book's time, for texts; condition: what ``encode`` gives.

    condition  the context (B, 77, d); of SDXL and Stable Diffusion 3 a tuple (context, pooled text)
    zero_null  no text is zeros (SDXL), not the empty text
    factor     pixels of a latent's side: SDXL is told how large the picture will be
    batched    both branches of guidance in one call; set it False for half the memory
    """

    batched = True
    net: ConditionalUNet | MMDiT
    text_encoders: Any  # a ModuleList of TextEncoder

    def __init__(
        self, net: ConditionalUNet | MMDiT, tokenizers: Sequence[Tokenizer],
        text_encoders: Sequence[TextEncoder], zero_null: bool = False, factor: int = 8,
    ) -> None:  # fmt: skip
        super().__init__()
        self.net, self.tokenizers = net, list(tokenizers)
        self.zero_null, self.factor = zero_null, factor
        self.text_encoders = nn.ModuleList(text_encoders)
        told = Condition("texts", net.config.context_dim)
        self.config = PromptedConfig(net.config.channels, told)
        self.beside = getattr(net.config, "concat_channels", 0)
        if self.beside not in (0, self.config.channels + 1):
            known = "only an inpainting network's, mask and masked latents, are known here"
            raise ValueError(f"in_channels has {self.beside} beside the latents': {known}")

    def forward(self, z_t: Tensor, t: Tensor, condition: Told) -> Tensor:
        """The output (B, c, h, w); z_t has 5 channels more where it was trained to inpaint."""
        if self.beside and z_t.shape[1] == self.config.channels:
            raise ValueError("this network was trained to inpaint: call inpaint(x, mask, prompts)")
        context, *pooled = condition if isinstance(condition, tuple) else (condition,)
        if isinstance(self.net, MMDiT):
            return self.net(z_t, 1000 * t, context, *pooled)
        if not pooled:
            return self.net(z_t, t - 1, context)
        height, width = (self.factor * side for side in z_t.shape[2:])
        size = torch.tensor([height, width, 0, 0, height, width], device=z_t.device)  # not cropped
        return self.net(z_t, t - 1, context, (*pooled, size.expand(len(z_t), -1)))

    def tokens(self, prompts: str | Sequence[str]) -> Tensor:
        """Token numbers (B, 77), or (B, n, 77) for n text encoders."""
        if not self.tokenizers:
            raise ValueError(
                "this model came without its tokenizer: load(..., tokenizer=FOLDER), a folder with "
                "vocab.json and merges.txt, or tokenizer.json"
            )
        ids = [tokenizer(prompts) for tokenizer in self.tokenizers]
        return ids[0] if len(ids) == 1 else torch.stack(ids, dim=1)

    def encode(self, tokens: Tensor) -> Told:
        """Token numbers as ``tokens`` gives them -> the condition; equal texts are encoded once."""
        device = next(self.parameters()).device
        tokens, where = tokens.long().to(device).unique(dim=0, return_inverse=True)
        if len(self.text_encoders) == 1:
            return self.text_encoders[0](tokens)[where]  # (B, 77, d)
        pairs = zip(self.text_encoders, tokens.unbind(1), strict=True)
        read = [encoder.states(ids) for encoder, ids in pairs]
        context = torch.cat([each.penultimate for each in read], dim=2)  # (B, 77, d_1 + d_2)
        pooled = read[-1].pooled  # (B, d_2)
        if isinstance(self.net, MMDiT):  # zeros, where the third encoder would have spoken
            missing = self.config.condition.size - context.shape[2]
            context = F.pad(context, (0, missing, 0, T5_LENGTH))  # (B, 77 + 256, context_dim)
            pooled = torch.cat([each.pooled for each in read], dim=1)  # (B, d_1 + d_2)
        return context[where], pooled[where]

    def null(self, condition: Told) -> Told:
        """No text, shaped like ``condition``."""
        rows = condition if isinstance(condition, tuple) else (condition,)
        if self.zero_null:
            empty: tuple[Tensor, ...] = tuple(map(torch.zeros_like, rows))
        else:
            told = self.encode(self.tokens([""]))
            empty = told if isinstance(told, tuple) else (told,)
            empty = tuple(e.expand_as(row) for e, row in zip(empty, rows, strict=True))
        return empty if isinstance(condition, tuple) else empty[0]


class StableDiffusion(LatentDiffusion):
    """A ``LatentDiffusion`` with Stable Diffusion's weights; its parts can be used alone.

        ids = model.tokenizer(["a cat"])              (B, 77)
        context = model.text_encoder(ids)             (B, 77, d)
        output = model.network(z_t, t, context)       t = 1..1000
        z = model.autoencoder.encode(x).mean          unscaled

    Without a word ``guidance`` is 7.5. Pictures are encoded and decoded one by one, and decoded in
    squares of ``tile`` x ``tile`` latents if that is set, which saves memory.
    """

    network: Prompted
    usual_guidance = 7.5
    tile: int | None = None

    @property
    def tokenizer(self) -> Tokenizer:
        """The first text encoder's tokenizer."""
        return self.network.tokenizers[0]

    @property
    def text_encoder(self) -> TextEncoder:
        """The first text encoder; all of them: ``network.text_encoders``."""
        return self.network.text_encoders[0]

    def encode(self, x: Tensor, batch: int = 1) -> Tensor:
        """Scaled latents of pictures, as ``LatentDiffusion.encode``; one by one."""
        return super().encode(x, batch)

    def decode(self, z0: Tensor, batch: int = 1, **how: Any) -> Tensor:
        """Pictures of scaled latents, as ``LatentDiffusion.decode``; one by one, or in tiles."""
        return super().decode(z0, batch, **{"tile": self.tile, **how})

    def denoiser(
        self, condition: Any, guidance: float | None = None, negative: Any = None,
        count: int | None = None, network: Network | None = None,
    ) -> Denoiser:  # fmt: skip
        """As ``LatentDiffusion.denoiser``; no condition is the empty text."""
        if condition is None and negative is None:
            condition, guidance = "", 1.0
        return super().denoiser(condition, guidance, negative, count, network)

    def inpaint(
        self, x: Tensor, mask: Tensor, condition: Any, *, steps: int = 25, sampler: Callable = ddim,
        guidance: float | None = None, negative: Any = None, seed: int | None = None,
    ) -> Tensor:  # fmt: skip
        """As ``LatentDiffusion.inpaint``; a network that was trained to inpaint is shown the mask.

        It sees [z_t, mask, latents of what is kept] in 9 channels, and nothing is replaced.
        """
        options: dict = {"guidance": guidance, "negative": negative}
        if not self.network.beside:
            options |= {"steps": steps, "sampler": sampler, "seed": seed}
            return super().inpaint(x, mask, condition, **options)
        x, seed = self.images(x), a_seed(seed)
        mask = inputs.mask("mask", mask, x).to(x)
        draw = F.interpolate(mask, self.latent_shape[1:])  # (B, 1, h, w), as in its training
        beside = torch.cat([draw, self.encode(x * (1 - mask))], dim=1)  # (B, 1 + c, h, w)

        def seeing(z_t: Tensor, t: Tensor, told: Told) -> Tensor:
            shown = beside.repeat(len(z_t) // len(beside), 1, 1, 1)  # both branches of guidance
            return self.network(torch.cat([z_t, shown], dim=1), t, told)

        seeing.batched = self.network.batched  # type: ignore[attr-defined]
        denoise = self.denoiser(condition, count=len(x), network=seeing, **options)
        step, times = self._keyed(sampler, seed, len(x)), self.schedule.times(steps)
        *_, last = sample(denoise, self.schedule, self.noise(len(x), seed), times, step)
        return mask * self.decode(last.z) + (1 - mask) * x
