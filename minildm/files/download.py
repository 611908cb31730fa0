"""Full data sets from the network, only when asked: MNIST, Fashion-MNIST and CIFAR-10.

    python -m minildm download mnist     once; needs the extra: pip install "minildm[data]"
    full("mnist")                        reads what is there; never uses the network

Every file is checked against its SHA-256 before it gets its name, and again when it is read: it may
have been put there by hand.
"""

import gzip
import hashlib
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from minildm.data import LabelledSplit, to_unit_range

TIMEOUT = 30  # seconds without an answer


class Source(NamedTuple):
    """Where a data set is: SHA-256 of each file, the folders it can be had from, how to read it."""

    files: dict[str, str]
    mirrors: tuple[str, ...]
    read: Callable[[Path, bool], tuple[Tensor, Tensor]]


# --- formats --------------------------------------------------------------------------------------


def read_idx(path: Path) -> np.ndarray:
    """An array of bytes in the IDX format of MNIST, gzipped.

    Two zero bytes, 8 for "unsigned byte", the number of dimensions; each dimension as a big-endian
    32-bit integer; the data.
    """
    data = gzip.decompress(path.read_bytes())
    start = 4 + 4 * data[3]
    shape = np.frombuffer(data[4:start], ">u4")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _read_mnist_like(folder: Path, training: bool) -> tuple[Tensor, Tensor]:
    part = "train" if training else "t10k"
    x = read_idx(folder / f"{part}-images-idx3-ubyte.gz")  # (n, 28, 28)
    labels = read_idx(folder / f"{part}-labels-idx1-ubyte.gz")  # (n,)
    return _tensors(x[:, None], labels)


def _read_cifar(folder: Path, training: bool) -> tuple[Tensor, Tensor]:
    """Records of 3,073 bytes: the label, then 32 x 32 red, green and blue values."""
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] if training else ["test_batch.bin"]
    with tarfile.open(folder / "cifar-10-binary.tar.gz") as archive:
        files = [archive.extractfile(f"cifar-10-batches-bin/{name}") for name in names]
        parts = [file.read() for file in files if file]  # None: a folder, not a file
    records = np.frombuffer(b"".join(parts), np.uint8).reshape(-1, 3073)  # (n, 1 + 3 * 32 * 32)
    return _tensors(records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0])


def _tensors(x: np.ndarray, labels: np.ndarray) -> tuple[Tensor, Tensor]:
    return to_unit_range(torch.from_numpy(x.copy()), 255), torch.from_numpy(labels.astype(np.int64))


def _mnist_files(*sha256: str) -> dict[str, str]:
    names = "train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"
    return {f"{name}-ubyte.gz": sums for name, sums in zip(names, sha256, strict=True)}


SOURCES = {
    "mnist": Source(
        _mnist_files(
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist",
            "https://storage.googleapis.com/cvdf-datasets/mnist",
        ),
        _read_mnist_like,
    ),
    "fashion-mnist": Source(
        _mnist_files(
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
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
    return (Path(folder) if folder else Path(_pooch().os_cache("minildm"))) / name


def full(name: str, folder: str | Path | None = None) -> LabelledSplit:
    """A whole data set: its training part, and its test part as what is held out.

    Images (n, C, H, W) in [-1, 1]: mnist and fashion-mnist (1, 28, 28), 60,000 and 10,000; cifar-10
    (3, 32, 32), 50,000 and 10,000. Labels int64 (n,), 0..9. Uses no network.
    Raises ValueError for another name and for a file that is not the one it should be,
    FileNotFoundError if a file is not there yet.
    """
    source, place = _source(name), home(name, folder)
    for file, sha256 in source.files.items():
        if not (place / file).is_file():
            raise FileNotFoundError(
                f"{file}: not in {place}. Fetch {name} once, with the network: "
                f"python -m minildm download {name}"
            )
        if hashlib.sha256((place / file).read_bytes()).hexdigest() != sha256:
            raise ValueError(
                f"{place / file} is not the file of {name} (other SHA-256): it is damaged, or "
                f"another one. Delete it, then python -m minildm download {name}, or copy it again"
            )
    return LabelledSplit(*source.read(place, True), *source.read(place, False))


def download(
    name: str, folder: str | Path | None = None, mirrors: Sequence[str] = (), progress: bool = True
) -> Path:
    """Fetch the files of a data set that are not there yet; returns their folder.

    ``mirrors``: where to look instead of the usual places.
    Raises OSError if no mirror gives a file with the right SHA-256, saying what was tried;
    FileNotFoundError where the package that fetches is not installed.
    """
    source, place = _source(name), home(name, folder)
    for file, sha256 in source.files.items():
        _fetch(file, sha256, place, mirrors or source.mirrors, progress)
    return place


def _fetch(file: str, sha256: str, place: Path, mirrors: Sequence[str], progress: bool) -> None:
    pooch, failures = _pooch(), []
    fetcher = pooch.HTTPDownloader(progressbar=progress, timeout=TIMEOUT)
    for mirror in mirrors:
        url = f"{mirror}/{file}"
        try:
            pooch.retrieve(url, f"sha256:{sha256}", file, place, downloader=fetcher)
            return
        except (ValueError, OSError) as error:  # requests' own errors are OSErrors
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


def _pooch() -> Any:
    """The package pooch, which fetches: only those who download need it."""
    try:
        import pooch
    except ModuleNotFoundError as error:
        raise FileNotFoundError(
            'full data sets need the package pooch: pip install "minildm[data]"'
        ) from error
    return pooch
