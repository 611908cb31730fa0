"""Make the pictures of the README and the data card in docs/images.

python tools/readme_picture.py
"""

import base64
import io
import sys

import nbformat
import torch
from book_rules import BOOK, CHAPTERS

sys.path.insert(0, str(CHAPTERS))

from book.figures import captioned
from minildm.files.checkpoint import replace_files
from minildm.latent import LatentDiffusion
from minildm.samplers import dpmpp_2m
from minildm.shapes.captions import asked_texts, captions
from minildm.shapes.scenes import Pictures, splits
from minildm.shapes.training import GUIDANCE

IMAGES = BOOK / "docs" / "images"
SHOWN = 8


def digits() -> bytes:
    """The PNG that the cell `samples` of chapter 3 shows."""
    notebook = nbformat.read(CHAPTERS / "03_algorithm.ipynb", as_version=4)
    cell = next(cell for cell in notebook.cells if cell.id == "samples")
    data = next(
        out["data"]["image/png"] for out in cell.outputs if "image/png" in out.get("data", {})
    )
    return base64.b64decode(data)


def shapes() -> bytes:
    """Pictures that the text-to-image model learns from, with their captions."""
    pictures = Pictures(splits().train, SHOWN, seed=4)
    return _png(pictures[:], captions(pictures.rows, torch.arange(SHOWN) % 4 == 3))


def text_to_image() -> bytes:
    """What the text-to-image model draws for captions that it has never seen."""
    texts = asked_texts(splits().test[:SHOWN])
    options = {"steps": 25, "sampler": dpmpp_2m, "guidance": GUIDANCE, "seed": 0}
    return _png(LatentDiffusion.load("shapes").text_to_image(texts, **options), texts)


def _png(x: torch.Tensor, texts: list[str]) -> bytes:
    file = io.BytesIO()
    captioned(x, texts, columns=4).savefig(file, format="png", dpi=130)
    return file.getvalue()


if __name__ == "__main__":
    IMAGES.mkdir(parents=True, exist_ok=True)
    for make in (digits, shapes, text_to_image):
        target = IMAGES / f"{make.__name__}.png"
        replace_files(IMAGES, {target.name: make()})
        print(f"{target.relative_to(BOOK)}: {target.stat().st_size:,} bytes")
