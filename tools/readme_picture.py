"""Copy the picture of chapter 3's samples out of its notebook, for the README.

python tools/readme_picture.py
"""

import base64

import nbformat
from book_rules import BOOK, CHAPTERS


def samples_png() -> bytes:
    """The PNG that the cell `samples` of chapter 3 shows."""
    notebook = nbformat.read(CHAPTERS / "03_algorithm.ipynb", as_version=4)
    cell = next(cell for cell in notebook.cells if cell.id == "samples")
    data = next(
        out["data"]["image/png"] for out in cell.outputs if "image/png" in out.get("data", {})
    )
    return base64.b64decode(data)


if __name__ == "__main__":
    target = BOOK / "docs" / "images" / "digits.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(samples_png())
    print(f"{target.relative_to(BOOK)}: {target.stat().st_size:,} bytes")
