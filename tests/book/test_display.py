"""Figures carry a sentence for those who cannot see them; equal figures give equal bytes."""

import base64
import io
import re

import numpy as np
import pytest
import torch
from book_rules import check_alt
from matplotlib import pyplot as plt
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

from book import display
from book.display import moving, png, show, show_moving

ALT = 'The curve "rises" from 0 to 1 & stays <below> 2.'


@pytest.fixture
def shown(monkeypatch):
    """The (bundle, keywords) pairs that show() hands to IPython."""
    calls = []
    monkeypatch.setattr(display, "display", lambda bundle, **kw: calls.append((bundle, kw)))
    return calls


@pytest.fixture(autouse=True)
def no_figure_left():
    yield
    plt.close("all")


def line(slope=1.0):
    fig, ax = plt.subplots(figsize=(3, 2))
    ax.plot([0, slope], color="#0072B2")
    return fig


def test_alt_text_reaches_every_kind_of_reader(shown):
    show(line(), ALT)
    [(bundle, keywords)] = shown
    assert keywords["raw"] is True
    assert keywords["metadata"]["image/png"]["alt"] == keywords["metadata"]["alt"] == ALT
    assert bundle["text/plain"] == ALT
    # The markup characters of the text must not end the attribute.
    assert (
        'alt="The curve &quot;rises&quot; from 0 to 1 &amp; stays &lt;below&gt; 2."'
        in (bundle["text/html"])
    )
    assert bundle["image/png"] in bundle["text/html"]
    assert Image.open(io.BytesIO(base64.b64decode(bundle["image/png"]))).format == "PNG"


def test_the_figure_is_closed_so_that_it_is_shown_once(shown):
    fig = line()
    show(fig, ALT)
    assert not plt.fignum_exists(fig.number)


def test_line_breaks_in_the_text_are_joined(shown):
    show(line(), alt="The curve rises\n        from 0 to 1.")
    assert shown[0][0]["text/plain"] == "The curve rises from 0 to 1."


@pytest.mark.parametrize("alt", ["", "a curve", " " * 40, None, 3])
def test_missing_or_short_text_is_refused(alt):
    with pytest.raises(ValueError, match="alt must say in at least 20 characters"):
        show(line(), alt)


def test_something_else_than_a_figure_is_refused():
    with pytest.raises(ValueError, match="fig must be a matplotlib Figure, got Axes"):
        show(line().axes[0], ALT)


def test_bytes_depend_on_the_picture_only():
    first, again, other = png(line()), png(line()), png(line(slope=0.5))
    assert first == again != other
    assert not Image.open(io.BytesIO(first)).info, "no program name, no date, no resolution"


def test_packing_keeps_the_picture():
    fig = line()
    drawn = io.BytesIO()
    fig.savefig(drawn, dpi=100, facecolor="white", bbox_inches="tight")
    before = np.asarray(Image.open(drawn).convert("RGB"), dtype=int)
    after = np.asarray(Image.open(io.BytesIO(png(fig))).convert("RGB"), dtype=int)
    assert np.abs(before - after).max() <= 8  # of 255, after packing into 256 colours


# --- animations -----------------------------------------------------------------------------------


def frames(n=4):
    x = torch.full((n, 2, 3, 8, 8), -1.0)
    for i in range(n):
        x[i, 0, 0] = -1 + 2 * i / (n - 1)
    return list(x)


def test_an_animation_has_all_frames_in_order_and_stops():
    data = moving(frames(), columns=2, seconds=0.3)
    film = Image.open(io.BytesIO(data))
    assert (film.format, film.n_frames, film.size) == ("GIF", 4, (20, 10))
    assert film.info["loop"] == 2  # twice more, then rest
    red = []
    for i in range(4):
        film.seek(i)
        red.append(film.convert("RGB").getpixel((4, 4))[0])
        assert film.info["duration"] == (300 if i < 3 else 1500)
    assert red == pytest.approx([0, 85, 170, 255], abs=3)
    with pytest.raises(ValueError, match="frames"):
        moving([], 2)


def test_an_animation_keeps_the_books_rule_on_pictures():
    gif = moving(frames(), columns=2)
    text = show_moving(gif, 'A square that turns "red" in <four> frames.', 40).data
    assert base64.b64decode(re.search(r"base64,([^\"]+)", text).group(1)) == gif
    cell = new_code_cell("x", id="a")
    cell.outputs = [new_output("display_data", {"text/html": text})]
    assert check_alt(new_notebook(cells=[cell])) == []
    cell.outputs[0].data["text/html"] = text.replace("alt=", "title=")
    assert len(check_alt(new_notebook(cells=[cell]))) == 1
    with pytest.raises(ValueError, match="alt"):
        show_moving(gif, "a square", 40)
