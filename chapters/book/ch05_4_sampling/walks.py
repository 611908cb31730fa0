"""What happens on the way: a walk as a film, and when each part of its picture is settled.

text_denoiser  a model and its captions as one denoiser, for samplers of your own
settled        from which step on a reading stays what it is at the end
by_kind        shares of ten attributes as shares of seven kinds
replay         go on from the middle of a walk, with fresh noise
moving         frames as a small animated picture
"""

import base64
import html
import io
from collections.abc import Callable, Sequence
from functools import partial

import torch
from IPython.display import HTML
from PIL import Image
from torch import Tensor

from book.display import MIN_ALT
from book.pictures import pixels
from minildm.denoise import Denoiser
from minildm.latent import LatentDiffusion
from minildm.noise import seeded
from minildm.samplers import ddpm, sample
from minildm.shapes.scenes import NAMES
from minildm.shapes.training import GUIDANCE

# The ten columns of a scene table, both objects' together: {"size": [2, 6], ...}
KINDS = {
    kind: [i for i, name in enumerate(NAMES) if name.split()[0] == kind]
    for kind in dict.fromkeys(name.split()[0] for name in NAMES)
}


def text_denoiser(
    model: LatentDiffusion, texts: Sequence[str], guidance: float = GUIDANCE
) -> Denoiser:
    """A model as a denoiser of one latent per text: guided from no text towards each text."""
    return model.denoiser(list(texts), guidance)


def settled(rows: Tensor) -> Tensor:
    """Is the reading after step i that of the end, there and ever after? bool like rows.

    ``rows`` (S, n, 10): what was read after each of S steps in each of n pictures.
    """
    same = rows == rows[-1]
    return same.flip(0).cumprod(0).flip(0).bool()  # one disagreement undoes all steps before it


def by_kind(flags: Tensor) -> dict[str, Tensor]:
    """Shares of pictures, and of objects, for each kind of attribute: (.., n, 10) -> kind -> (..,).

    Kinds: background, relation, size, fill, colour, shape.
    """
    shares = flags.double().mean(-2)
    return {kind: shares[..., columns].mean(-1) for kind, columns in KINDS.items()}


def replay(
    denoise: Denoiser, schedule: Callable, z_t: Tensor, times: Tensor, seed: int = 0
) -> Tensor:
    """Go on from z_t at times[0] by ``ddpm``, with noise of this seed: the z at the end.

    What two replays of one z_t share was settled at times[0]; where they differ, it was not.
    """
    generator = seeded(seed)
    draw = partial(_draw, generator=generator)
    *_, last = sample(denoise, schedule, z_t, times, partial(ddpm, draw=draw))
    return last.z


def _draw(z: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(z.shape, generator=generator).to(z)


def moving(
    frames: Sequence[Tensor], columns: int, seconds: float = 0.25, colours: int = 64
) -> bytes:
    """Frames, each a batch of images (n, C, H, W) in [-1, 1], as an animated GIF: its bytes.

    It plays three times and rests on the last frame, so that nothing moves for ever. All frames
    share one palette of ``colours``. Raises ValueError without frames.
    """
    if not frames:
        raise ValueError("frames must hold at least one batch of images; got none")
    blocks = [pixels(x, columns) for x in frames]  # (h, w, 3)
    palette = Image.fromarray(torch.cat(blocks).numpy()).quantize(colours)
    pictures = [Image.fromarray(block.numpy()) for block in blocks]
    first, *rest = [p.quantize(palette=palette, dither=Image.Dither.NONE) for p in pictures]
    out = io.BytesIO()
    wait = [round(1000 * seconds)] * len(rest) + [1500]
    first.save(out, "GIF", save_all=True, append_images=rest, duration=wait, loop=2, optimize=True)
    return out.getvalue()


def show_moving(gif: bytes, alt: str, width: int) -> HTML:
    """An animated GIF with the sentence that replaces it, ``width`` pixels wide on the page.

    Raises ValueError where the sentence is missing or shorter than 20 characters.
    """
    text = " ".join(alt.split())
    if len(text) < MIN_ALT:
        raise ValueError(f"alt must say in at least {MIN_ALT} characters what moves; got {alt!r}")
    data = base64.b64encode(gif).decode()
    style = f'width="{width}" style="image-rendering: pixelated"'
    return HTML(f'<img alt="{html.escape(text)}" {style} src="data:image/gif;base64,{data}">')
