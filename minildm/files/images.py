"""Pictures in and out: files, PIL images and arrays become tensors in [-1, 1], and go back.

    to_tensor  pictures of any kind -> float32 (B, C, H, W) in [-1, 1]
    to_pil     a tensor of pictures -> PIL images
    save_png   a tensor of pictures -> one PNG file, several side by side

So a picture of your own goes through a model in three lines:

    x = to_tensor("cat.jpg", size=(64, 64))
    x_hat = model.decode(model.encode(x))
    save_png(x_hat, "cat through the model.png")
"""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from minildm.checks import inputs
from minildm.files.checkpoint import replace_files

MODES = {"L": 1, "RGB": 3}
FITS = ("crop", "pad", "stretch")
FILES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")  # looked for in folders
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue in grey: ITU-R BT.601, as in Pillow
GAP = 2  # white pixels between the pictures of a grid


def to_tensor(
    pictures: Any, size: int | Sequence[int] | None = None, mode: str = "RGB", fit: str = "crop"
) -> Tensor:
    """One picture or several as float32 (B, C, H, W) in [-1, 1], C = 3 ("RGB") or 1 ("L", grey).

    A picture is a path, a PIL image of any mode, or a NumPy array (H, W) or (H, W, 1 to 4) of
    bytes, of 16-bit integers, or of real numbers in [0, 1]. Several are a list, an array
    (n, H, W, C), or the path of a folder: all its pictures, sorted by name. A tensor (B, C, H, W)
    in [-1, 1] is taken as it is. Photographs are turned as their camera noted (EXIF); what is
    transparent becomes white.

    size  (H, W), or one number for both; None: as they are, and then all must be alike
    fit   "crop" fills the size and cuts off what is too much at both ends; "pad" shows all of it
          on white; "stretch" changes the proportions

    Raises FileNotFoundError for a path that is not there, ValueError for what is no picture.
    """
    if mode not in MODES:
        raise ValueError(f'mode must be "RGB" or "L"; got {mode!r}')
    if fit not in FITS:
        raise ValueError(f"fit must be one of {', '.join(FITS)}; got {fit!r}")
    size = None if size is None else _size(size)
    named = [(name, _on_white(x)) for name, x in _several(pictures)]
    made = [(name, _as_mode(x, MODES[mode])) for name, x in named]
    if size is not None:
        made = [(name, _fitted(x, size, fit)) for name, x in made]
    first_name, first = made[0]
    for name, x in made:
        if x.shape != first.shape:
            raise ValueError(
                f"{name} is {_hw(x)} and {first_name} is {_hw(first)} (height x width): give size, "
                "so that all become alike"
            )
    return 2 * torch.stack([x for _, x in made]) - 1


def to_pil(x: Tensor) -> list[Image.Image]:
    """Pictures (B, C, H, W) in [-1, 1], C = 1 or 3, as PIL images of 8 bits each.

    A single (C, H, W) gives a list of one. Raises ValueError for another shape, for NaN, and for
    values outside [-1, 1].
    """
    x = inputs.tensor("x", x)
    x = inputs.images("x", x[None] if x.dim() == 3 else x).detach().cpu()
    if x.shape[1] not in (1, 3):
        raise ValueError(f"x must have 1 or 3 channels; got {tuple(x.shape)}")
    levels = ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)  # (B, C, H, W)
    arrays = levels.permute(0, 2, 3, 1).numpy()  # (B, H, W, C)
    return [Image.fromarray(a[:, :, 0] if a.shape[2] == 1 else a) for a in arrays]


def save_png(x: Tensor, path: str | Path, columns: int | None = None) -> Path:
    """Write pictures (B, C, H, W) in [-1, 1] to one PNG file; returns its path.

    Several stand side by side, ``columns`` in a row (None: as many rows as columns), with two white
    pixels between them. The file is written at once: a write that fails leaves the old one.
    Raises ValueError and FileNotFoundError as ``png_path`` does, before any work.
    """
    path = png_path(path)
    pictures = to_pil(x)
    columns = math.ceil(math.sqrt(len(pictures))) if columns is None else columns
    columns = inputs.whole("columns", columns, 1)
    sheet = pictures[0] if len(pictures) == 1 else _sheet(pictures, min(columns, len(pictures)))
    data = io.BytesIO()
    sheet.save(data, format="PNG")
    replace_files(path.parent, {path.name: data.getvalue()})
    return path


def png_path(path: str | Path) -> Path:
    """``path``, if a PNG file can be written there.

    Raises ValueError unless it ends in .png and is no folder, FileNotFoundError where the folder
    that it would lie in is missing.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"path must end in .png; got {str(path)!r}")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the name of a file in it")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent}: create it, or write elsewhere")
    return path


# --- reading --------------------------------------------------------------------------------------


def _several(pictures: Any) -> list[tuple[str, Tensor]]:
    """Whatever was given as (what to call it, (C, H, W) in [0, 1], C = 1 to 4), at least one."""
    if isinstance(pictures, Tensor):
        x = inputs.images("pictures", pictures).detach().cpu()
        return [(f"picture {i}", (row + 1) / 2) for i, row in enumerate(x)]
    if isinstance(pictures, str | Path) and Path(pictures).is_dir():
        found = sorted(p for p in Path(pictures).iterdir() if p.suffix.lower() in FILES)
        if not found:
            raise ValueError(f"there is no picture in the folder {pictures}: {', '.join(FILES)}")
        return [(str(p), _one(p, str(p))) for p in found]
    many = isinstance(pictures, np.ndarray) and pictures.ndim == 4
    if not many and not isinstance(pictures, list | tuple):
        pictures = [pictures]
    if len(pictures) == 0:
        raise ValueError("pictures is empty; give at least one")
    names = [
        str(p) if isinstance(p, str | Path) else f"picture {i}" for i, p in enumerate(pictures)
    ]
    return [(name, _one(p, name)) for name, p in zip(names, pictures, strict=True)]


def _one(picture: Any, name: str) -> Tensor:
    if isinstance(picture, str | Path):
        if not Path(picture).is_file():
            raise FileNotFoundError(f"there is no picture {picture} (looked in {Path.cwd()})")
        try:
            with Image.open(picture) as image:
                return _from_pil(image, name)
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise ValueError(
                f"{picture} is damaged, or no picture that Pillow reads: {error}"
            ) from error
    if isinstance(picture, Image.Image):
        return _from_pil(picture, name)
    if isinstance(picture, np.ndarray):
        return _from_array(picture, name)
    if isinstance(picture, Tensor) and picture.dim() == 3:
        return (inputs.images(name, picture[None])[0].detach().cpu() + 1) / 2
    raise ValueError(
        f"{name} must be a path, a PIL image, a NumPy array or a tensor (C, H, W); got "
        f"{type(picture).__name__}"
    )


def _from_pil(image: Image.Image, name: str) -> Tensor:
    image = ImageOps.exif_transpose(image)
    premultiplied = {"La": "LA", "RGBa": "RGBA"}
    if image.mode.startswith("I"):  # 16 bits per pixel; Pillow's own conversion cuts at 255
        levels = np.asarray(image).astype(np.int64)
        if levels.min() < 0 or levels.max() > 65535:
            raise ValueError(
                f"{name} holds {levels.min()}..{levels.max()}; grey levels must be in 0..65535"
            )
        return _from_array(levels.astype(np.uint16), name)
    if "transparency" in image.info:  # a palette, or one colour that means "nothing here"
        image = image.convert("RGBA")
    elif image.mode in premultiplied:
        image = image.convert(premultiplied[image.mode])
    elif image.mode not in ("1", "L", "LA", "RGB", "RGBA", "F"):
        try:
            image = image.convert("RGB")
        except ValueError as error:
            raise ValueError(f"{name} has mode {image.mode}, which has no way to RGB") from error
    return _from_array(np.asarray(image), name)


def _from_array(array: np.ndarray, name: str) -> Tensor:
    """(H, W) or (H, W, C) as float32 (C, H, W) in [0, 1]."""
    shape = array.shape
    array = array[:, :, None] if array.ndim == 2 else array
    if array.ndim != 3 or not 1 <= array.shape[2] <= 4 or 0 in array.shape:
        channels_first = array.ndim == 3 and array.shape[0] in (1, 3)
        hint = ": channels come last, use .transpose(1, 2, 0)" if channels_first else ""
        raise ValueError(f"{name} must be (H, W) or (H, W, 1 to 4); got {shape}{hint}")
    top = {"bool": 1, "uint8": 255, "uint16": 65535}.get(array.dtype.name)
    if top is None and array.dtype.kind != "f":
        raise ValueError(
            f"{name} must hold bytes, 16-bit integers or real numbers in [0, 1]; got "
            f"{array.dtype}: use .astype(np.uint8)"
        )
    values = array.astype(np.float32) / (top or 1)
    if not (values.min() >= 0 and values.max() <= 1):  # written so that NaN is refused
        raise ValueError(
            f"{name} must hold real numbers in [0, 1]; got {values.min():.3g}..{values.max():.3g}: "
            "use .astype(np.uint8) for 0..255, and (x + 1) / 2 for [-1, 1]"
        )
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))


# --- (C, H, W) in [0, 1] --------------------------------------------------------------------------


def _on_white(x: Tensor) -> Tensor:
    """Without the last of 2 or 4 channels, which says how opaque a pixel is."""
    if len(x) not in (2, 4):
        return x
    return x[-1:] * x[:-1] + (1 - x[-1:])


def _as_mode(x: Tensor, channels: int) -> Tensor:
    if len(x) == channels:
        return x
    if channels == 3:
        return x.expand(3, -1, -1)
    return (torch.tensor(LUMA)[:, None, None] * x).sum(0, keepdim=True)


def _fitted(x: Tensor, size: tuple[int, int], fit: str) -> Tensor:
    """At size (H, W), each new pixel an average over all old ones that it covers."""
    (H, W), (h, w) = size, x.shape[1:]
    if (h, w) == (H, W):
        return x
    if fit != "stretch":
        scale = (max if fit == "crop" else min)(H / h, W / w)
        h, w = max(1, round(h * scale)), max(1, round(w * scale))
        inner = (max(h, H), max(w, W)) if fit == "crop" else (min(h, H), min(w, W))
    else:
        inner = H, W
    x = F.interpolate(x[None], size=inner, mode="bicubic", antialias=True)[0].clamp(0, 1)
    top, left = (inner[0] - H) // 2, (inner[1] - W) // 2  # negative where white is to be added
    if fit == "crop":
        return x[:, top : top + H, left : left + W]
    rest = (-left, W - inner[1] + left, -top, H - inner[0] + top)
    return F.pad(x, rest, value=1.0)


def _size(size: int | Sequence[int]) -> tuple[int, int]:
    pair = tuple(size) if isinstance(size, list | tuple | Tensor | np.ndarray) else (size, size)
    if len(pair) != 2:
        raise ValueError(f"size must be (height, width), or one number for both; got {size!r}")
    height, width = (inputs.whole("size", n, 1, 2**16) for n in pair)
    return height, width


def _hw(x: Tensor) -> str:
    return f"{x.shape[1]} x {x.shape[2]}"


def _sheet(pictures: Sequence[Image.Image], columns: int) -> Image.Image:
    """The pictures in rows of ``columns``, with a white gap between them."""
    width, height = pictures[0].size
    rows = -(-len(pictures) // columns)
    size = columns * (width + GAP) - GAP, rows * (height + GAP) - GAP
    sheet = Image.new(pictures[0].mode, size, "white")
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (i % columns * (width + GAP), i // columns * (height + GAP)))
    return sheet
