"""Show a figure together with the sentence that replaces it for readers who cannot see it.

`show(fig, alt)` displays one PNG and puts the text in the three places where programs look for it:

- the `alt` metadata of the PNG: nbviewer (nbconvert's template "classic") and the book's own site.
  nbconvert's other templates do not look there, nor does JupyterLab before the cell is run;
- an HTML `<img alt="...">`: JupyterLab ignores that metadata, but prefers HTML while you work;
- plain text: terminals and text browsers.

The build of the book drops the HTML copy, so that a stored notebook holds each picture once.

`show_moving(moving(frames, columns), alt, width)` does the same for an animation. `tile` and
`pixels` put many images into one block.
"""

import base64
import html
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from IPython.display import HTML, display
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from book.language import told, translate_figure

if TYPE_CHECKING:
    from torch import Tensor  # not loaded to show a figure

MIN_ALT = 20  # characters: less than this names a picture ("loss curve"), it does not describe it


def png(fig: Figure, dpi: float = 100) -> bytes:
    """Draw a figure as small PNG bytes that depend on nothing but the picture.

    At most 256 colours are kept: the file gets about half as large, and in a chart nobody sees it.
    No program name and no date go into the file: the same figure gives the same bytes, so a rebuilt
    notebook differs only where a picture really changed.
    """
    drawn, packed = io.BytesIO(), io.BytesIO()
    # White behind the figure, whatever the style says: the page around it may be dark.
    fig.savefig(drawn, format="png", dpi=dpi, facecolor="white", bbox_inches="tight")
    picture = Image.open(drawn).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
    return packed.getvalue()


def show(fig: Figure, alt: str, *, dpi: float = 100) -> None:
    """Display one PNG of `fig` with alternative text, then close the figure.

    `alt` says in a sentence or two what a reader would see, for those who cannot see it: "The curve
    falls from 1 to almost 0 within the first third of the steps", not "signal curve".
    Raises `ValueError` when it is missing or shorter than 20 characters.
    """
    if not isinstance(fig, Figure):
        kind = type(fig).__name__
        raise ValueError(f"fig must be a matplotlib Figure, got {kind}: pass the figure itself")
    text = " ".join(alt.split()) if isinstance(alt, str) else ""
    if len(text) < MIN_ALT:
        raise ValueError(
            f"alt must say in at least {MIN_ALT} characters what the figure shows, got {alt!r}"
        )
    text = told(text)
    translate_figure(fig)
    data = base64.b64encode(png(fig, dpi)).decode()
    plt.close(fig)  # or the inline backend would show it a second time
    bundle = {
        "image/png": data,
        "text/html": f'<img alt="{html.escape(text)}" src="data:image/png;base64,{data}">',
        "text/plain": text,
    }
    display(bundle, raw=True, metadata={"image/png": {"alt": text}, "alt": text})


# --- images ---------------------------------------------------------------------------------------


def moving(
    frames: "Sequence[Tensor]", columns: int, seconds: float = 0.25, colours: int = 64
) -> bytes:
    """Frames, each a batch of images (n, C, H, W) in [-1, 1], as an animated GIF: its bytes.

    It plays three times and rests on the last frame, so that nothing moves for ever. All frames
    share one palette of ``colours``. Raises ValueError without frames.
    """
    if not frames:
        raise ValueError("frames must hold at least one batch of images; got none")
    blocks = [pixels(x, columns) for x in frames]  # (h, w, 3)
    palette = Image.fromarray(np.concatenate(blocks)).quantize(colours)
    pictures = [Image.fromarray(block) for block in blocks]
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
    text = told(text)
    data = base64.b64encode(gif).decode()
    style = f'width="{width}" style="image-rendering: pixelated"'
    return HTML(f'<img alt="{html.escape(text)}" {style} src="data:image/gif;base64,{data}">')


def tile(x: "Tensor", columns: int) -> np.ndarray:
    """Images (n, C, H, W) as one block (rows (H + 2), columns (W + 2), C) in [-1, 1].

    Gaps and free places are white.
    """
    n, C, H, W = x.shape
    rows = -(-n // columns)
    full = np.ones((rows * columns, C, H + 2, W + 2), np.float32)
    full[:n, :, 1:-1, 1:-1] = x.detach().float().cpu().clamp(-1, 1).numpy()
    full = full.reshape(rows, columns, C, H + 2, W + 2).transpose(0, 3, 1, 4, 2)
    return full.reshape(rows * (H + 2), columns * (W + 2), C)


def pixels(x: "Tensor", columns: int) -> np.ndarray:
    """``tile`` as colours 0..255, as files of pictures want them: uint8 (h, w, 3)."""
    block = ((tile(x, columns) + 1) * 127.5).round().astype(np.uint8)
    return np.broadcast_to(block, (*block.shape[:2], 3)).copy()
