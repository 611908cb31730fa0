"""Pictures in and out: files, PIL images and arrays become tensors in [-1, 1], and go back.

A picture of your own goes through a model in three lines:

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
# What Pillow's modes are read as; the others as RGB. La and RGBa are multiplied by their alpha.
PLAIN = {mode: mode for mode in ("1", "L", "LA", "RGB", "RGBA", "F")} | {"La": "LA", "RGBa": "RGBA"}
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
    made = [(name, _channels(x, MODES[mode])) for name, x in _several(pictures)]
    made = [(name, x if size is None else _fitted(x, size, fit)) for name, x in made]
    first_name, first = made[0]
    for name, x in made:
        if x.shape != first.shape:
            (h, w), (H, W) = x.shape[1:], first.shape[1:]
            sizes = f"{name} is {h} x {w} and {first_name} is {H} x {W} (height x width)"
            raise ValueError(f"{sizes}: give size, so that all become alike")
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
    path, pictures = png_path(path), to_pil(x)
    square = math.ceil(math.sqrt(len(pictures)))
    columns = square if columns is None else inputs.whole("columns", columns, 1)
    columns = min(columns, len(pictures))
    rows, (width, height) = -(-len(pictures) // columns), pictures[0].size
    size = columns * (width + GAP) - GAP, rows * (height + GAP) - GAP
    sheet, data = Image.new(pictures[0].mode, size, "white"), io.BytesIO()
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (i % columns * (width + GAP), i // columns * (height + GAP)))
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
        folder = Path(pictures)
        pictures = sorted(p for p in folder.iterdir() if p.suffix.lower() in FILES)
        if not pictures:
            raise ValueError(f"there is no picture in the folder {folder}: {', '.join(FILES)}")
    many = isinstance(pictures, list | tuple) or getattr(pictures, "ndim", 0) == 4
    pictures = pictures if many else [pictures]
    if len(pictures) == 0:
        raise ValueError("pictures is empty; give at least one")
    files = [isinstance(p, str | Path) for p in pictures]
    names = [str(pictures[i]) if file else f"picture {i}" for i, file in enumerate(files)]
    return [(name, _one(picture, name)) for name, picture in zip(names, pictures, strict=True)]


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
    known = "a path, a PIL image, a NumPy array or a tensor (C, H, W)"
    raise ValueError(f"{name} must be {known}; got {type(picture).__name__}")


def _from_pil(image: Image.Image, name: str) -> Tensor:
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits per pixel; Pillow's own conversion cuts at 255
        levels = np.asarray(image).astype(np.int64)
        low, high = levels.min(), levels.max()
        if low < 0 or high > 65535:
            raise ValueError(f"{name} holds {low}..{high}; grey levels must be in 0..65535")
        return _from_array(levels.astype(np.uint16), name)
    # transparency: a palette's, or one colour that means "nothing here"
    mode = "RGBA" if "transparency" in image.info else PLAIN.get(image.mode, "RGB")
    try:
        image = image.convert(mode)
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
        kinds = "bytes, 16-bit integers or real numbers in [0, 1]"
        raise ValueError(f"{name} must hold {kinds}; got {array.dtype}: use .astype(np.uint8)")
    values = array.astype(np.float32) / (top or 1)
    if not (values.min() >= 0 and values.max() <= 1):  # written so that NaN is refused
        got = f"{values.min():.3g}..{values.max():.3g}"
        use = "use .astype(np.uint8) for 0..255, and (x + 1) / 2 for [-1, 1]"
        raise ValueError(f"{name} must hold real numbers in [0, 1]; got {got}: {use}")
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))


# --- (C, H, W) in [0, 1] --------------------------------------------------------------------------


def _channels(x: Tensor, channels: int) -> Tensor:
    """1 to 4 channels as 1 or 3, on white: the last of 2 or 4 says how opaque a pixel is."""
    if len(x) in (2, 4):
        x = x[-1:] * x[:-1] + (1 - x[-1:])
    if len(x) == 3 and channels == 1:
        return (torch.tensor(LUMA)[:, None, None] * x).sum(0, keepdim=True)
    return x.expand(channels, -1, -1)


def _fitted(x: Tensor, size: tuple[int, int], fit: str) -> Tensor:
    """At size (H, W), each new pixel an average over all old ones that it covers."""
    (H, W), (h, w) = size, x.shape[1:]
    if (h, w) == (H, W):
        return x
    if fit == "stretch":
        h, w = H, W
    else:
        fits = max if fit == "crop" else min  # of the two scales, and then of rounding
        scale = fits(H / h, W / w)
        h, w = fits(max(1, round(h * scale)), H), fits(max(1, round(w * scale)), W)
    x = F.interpolate(x[None], size=(h, w), mode="bicubic", antialias=True)[0].clamp(0, 1)
    top, left = (h - H) // 2, (w - W) // 2  # cut off, or where negative, added in white
    return F.pad(x, (-left, W - w + left, -top, H - h + top), value=1.0)


def _size(size: int | Sequence[int]) -> tuple[int, int]:
    pair = tuple(size) if isinstance(size, list | tuple | Tensor | np.ndarray) else (size, size)
    if len(pair) != 2:
        raise ValueError(f"size must be (height, width), or one number for both; got {size!r}")
    height, width = (inputs.whole("size", n, 1, 2**16) for n in pair)
    return height, width
