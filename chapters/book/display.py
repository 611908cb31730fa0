"""Show a figure together with the sentence that replaces it for readers who cannot see it.

`show(fig, alt)` displays one PNG and puts the text in the three places where programs look for it:

- the `alt` metadata of the PNG: nbconvert, nbviewer, Sphinx and other static renderers;
- an HTML `<img alt="...">`: JupyterLab ignores that metadata, but prefers HTML while you work;
- plain text: terminals and text browsers.

The build of the book drops the HTML copy, so that a stored notebook holds each picture once.
"""

import base64
import html
import io

from IPython.display import display
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

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
    data = base64.b64encode(png(fig, dpi)).decode()
    plt.close(fig)  # or the inline backend would show it a second time
    bundle = {
        "image/png": data,
        "text/html": f'<img alt="{html.escape(text)}" src="data:image/png;base64,{data}">',
        "text/plain": text,
    }
    display(bundle, raw=True, metadata={"image/png": {"alt": text}, "alt": text})
