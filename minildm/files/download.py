"""Full data sets from the network, only when asked: MNIST, Fashion-MNIST and CIFAR-10.

    python -m minildm download mnist     once; goes on where an interrupted download stopped
    full("mnist")                        reads what is there; never uses the network

Every file is checked against its SHA-256 before it gets its name, and again when it is read: it may
have been put there by hand, or cut off since.
"""

import gzip
import hashlib
import tarfile
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pooch
import requests
import torch
from torch import Tensor
from tqdm import tqdm

from minildm.data import LabelledSplit, to_unit_range

TIMEOUT = 30  # seconds without an answer
CHUNK = 1 << 16  # bytes
LIMIT = 1 << 28  # bytes of a file; the largest one has 170 million
CLASSES = 10  # of every data set


class Source(NamedTuple):
    """Where a data set is: SHA-256 of each file, the folders it can be had from, how to read it."""

    files: dict[str, str]
    mirrors: tuple[str, ...]
    read: Callable[[Path, bool], tuple[Tensor, Tensor]]


# --- formats --------------------------------------------------------------------------------------


def read_idx(path: Path) -> np.ndarray:
    """An array of bytes in the IDX format of MNIST, gzipped.

    Two zero bytes, 8 for "unsigned byte", the number of dimensions; each dimension as a big-endian
    32-bit integer; the data. Raises ValueError for anything else.
    """
    try:
        with gzip.open(path) as file:
            data = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} cannot be unpacked: {error}") from error
    if len(data) < 4 or data[:3] != b"\0\0\x08":
        raise ValueError(f"{path} is no IDX file of bytes: it begins with {data[:4]!r}")
    start = 4 + 4 * data[3]
    shape = tuple(np.frombuffer(data[4:start], ">u4").tolist())
    if len(data) - start != int(np.prod(shape)):
        raise ValueError(f"{path} has {len(data) - start} bytes of data; its header says {shape}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _read_mnist_like(folder: Path, training: bool) -> tuple[Tensor, Tensor]:
    part = "train" if training else "t10k"
    images = read_idx(folder / f"{part}-images-idx3-ubyte.gz")  # (n, 28, 28)
    labels = read_idx(folder / f"{part}-labels-idx1-ubyte.gz")  # (n,)
    return _images(images[:, None]), _labels(labels)


def _read_cifar(folder: Path, training: bool) -> tuple[Tensor, Tensor]:
    """Records of 3,073 bytes: the label, then 32 x 32 red, green and blue values."""
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] if training else ["test_batch.bin"]
    path = folder / "cifar-10-binary.tar.gz"
    try:
        with tarfile.open(path) as archive:
            found = {Path(member.name).name: member for member in archive.getmembers()}
            data = b"".join(archive.extractfile(found[name]).read() for name in names)
    except (tarfile.TarError, OSError, EOFError, KeyError, AttributeError, zlib.error) as error:
        raise ValueError(f"{path} cannot be unpacked, or lacks a part: {error}") from error
    if len(data) % 3073:
        raise ValueError(f"{path} does not hold whole records of 3,073 bytes: {len(data):,} bytes")
    records = np.frombuffer(data, np.uint8).reshape(-1, 3073)  # (n, 1 + 3 * 32 * 32)
    return _images(records[:, 1:].reshape(-1, 3, 32, 32)), _labels(records[:, 0])


def _images(values: np.ndarray) -> Tensor:
    return to_unit_range(torch.from_numpy(values.copy()), 255)  # (n, C, H, W)


def _labels(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.int64))


SOURCES = {
    "mnist": Source(
        {
            "train-images-idx3-ubyte.gz":
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "train-labels-idx1-ubyte.gz":
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "t10k-images-idx3-ubyte.gz":
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "t10k-labels-idx1-ubyte.gz":
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist",
            "https://storage.googleapis.com/cvdf-datasets/mnist",
        ),
        _read_mnist_like,
    ),
    "fashion-mnist": Source(
        {
            "train-images-idx3-ubyte.gz":
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "train-labels-idx1-ubyte.gz":
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "t10k-images-idx3-ubyte.gz":
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "t10k-labels-idx1-ubyte.gz":
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
        ),
        _read_mnist_like,
    ),
    "cifar-10": Source(
        {
            "cifar-10-binary.tar.gz":
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        },
        ("https://www.cs.toronto.edu/~kriz",),
        _read_cifar,
    ),
}  # fmt: skip


# --- reading and fetching -------------------------------------------------------------------------


def home(name: str, folder: str | Path | None = None) -> Path:
    """Where the files of a data set are: in ``folder``, or in the user's cache."""
    _source(name)
    return (Path(folder) if folder else Path(pooch.os_cache("minildm"))) / name


def full(name: str, folder: str | Path | None = None) -> LabelledSplit:
    """A whole data set: its training part, and its test part as what is held out.

    Images (n, C, H, W) in [-1, 1]: mnist and fashion-mnist (1, 28, 28), 60,000 and 10,000; cifar-10
    (3, 32, 32), 50,000 and 10,000. Labels int64 (n,), 0..9. Uses no network.
    Raises ValueError for another name and for a file that is not the one it should be,
    FileNotFoundError if a file is not there yet.
    """
    source, place = _source(name), home(name, folder)
    missing = [file for file in source.files if not (place / file).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{', '.join(missing)}: not in {place}. Fetch {name} once, with the network: "
            f"python -m minildm download {name}"
        )
    for file, sha256 in source.files.items():
        if hashlib.sha256((place / file).read_bytes()).hexdigest() != sha256:
            raise ValueError(
                f"{place / file} is not the file of {name} (other SHA-256): it is damaged, or "
                f"another one. Delete it, then python -m minildm download {name}, or copy it again"
            )
    return LabelledSplit(*_pairs(name, *source.read(place, True)),
                         *_pairs(name, *source.read(place, False)))  # fmt: skip


def download(
    name: str, folder: str | Path | None = None, mirrors: Sequence[str] = (), progress: bool = True
) -> Path:
    """Fetch the files of a data set that are not there yet; returns their folder.

    ``mirrors``: where to look instead of the usual places. An interrupted download is continued.
    Raises OSError if no mirror gives a file with the right SHA-256, saying what was tried.
    """
    source, place = _source(name), home(name, folder)
    place.mkdir(parents=True, exist_ok=True)
    for file, sha256 in source.files.items():
        _fetch(file, sha256, place, list(mirrors or source.mirrors), progress)
    return place


def _pairs(name: str, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """(x, labels), if there is one label for each picture, and each is a class."""
    if len(x) != len(labels) or not ((labels >= 0) & (labels < CLASSES)).all():
        raise ValueError(
            f"{name} needs one label in 0..{CLASSES - 1} per picture; got {len(x)} pictures and "
            f"{len(labels)} labels, up to {int(labels.max()) if len(labels) else 'none'}"
        )
    return x, labels


def _fetch(file: str, sha256: str, place: Path, mirrors: list[str], progress: bool) -> None:
    """One file, from the first mirror that has it; nothing to do if it is there."""
    part, failures = place / f"{file}.part", []
    if part.exists():
        mirrors = [*mirrors, mirrors[0]]  # what was there may be damaged: then once more, anew
    for mirror in mirrors:
        go_on = partial(_continue_download, part=part, progress=progress)
        try:
            pooch.retrieve(f"{mirror}/{file}", f"sha256:{sha256}", file, place, downloader=go_on)
            return
        except (requests.RequestException, ValueError, OSError) as error:
            said = (str(error).splitlines() or [type(error).__name__])[0]
            failures.append(f"{mirror}: {said[:200]}")
    raise OSError(
        f"{file} could not be fetched ({'; '.join(failures)}). If this computer has no network, "
        f"copy the file into {place} from one that has; run the same command again to go on"
    )


def _source(name: str) -> Source:
    if name not in SOURCES:
        raise ValueError(f"there is no data set {name!r}; there are {', '.join(SOURCES)}")
    return SOURCES[name]


def _continue_download(url: str, output_file: str, _: object, part: Path, progress: bool) -> None:
    """What pooch calls to fetch ``url``, and then checks.

    Bytes are added to ``part``, which outlives an interruption; a complete one becomes the output.
    """
    had = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={had}-"} if had else {}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        # 416: there is nothing after what we have
        if not (had and answer.status_code == requests.codes.requested_range_not_satisfiable):
            answer.raise_for_status()
            goes_on = answer.headers.get("Content-Range", "").startswith(f"bytes {had}-")
            _write(answer, part, had if goes_on else 0, progress)
    part.replace(output_file)


def _write(answer: requests.Response, part: Path, had: int, progress: bool) -> None:
    """Append the answer's bytes to what is there.

    Raises OSError if fewer come than were announced, and if more come than any data set has: then
    nothing of them is kept.
    """
    length = answer.headers.get("Content-Length")
    total = None if length is None else had + int(length)
    with (
        open(part, "ab" if had else "wb") as file,
        tqdm(
            total=total, initial=had, unit="B", unit_scale=True, desc=part.stem,
            disable=not progress,
        ) as bar,
    ):  # fmt: skip
        size = file.tell()
        for chunk in answer.iter_content(CHUNK):
            size += len(chunk)
            if size > LIMIT:
                break
            file.write(chunk)
            bar.update(len(chunk))
    if size > LIMIT:
        part.unlink()
        raise OSError(f"the answer has more than {LIMIT:,} bytes: this is not the file")
    if total is not None and size < total:
        raise OSError(f"the connection broke after {size:,} of {total:,} bytes")
