"""Full data sets: fetched from a server on this machine, checked, and read."""

import gzip
import hashlib
import io
import struct
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch

from minildm.__main__ import main
from minildm.files.download import SOURCES, Source, download, full

RNG = np.random.default_rng(0)


def idx(array):
    """An array as the bytes of a gzipped IDX file, by the format's own description."""
    header = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(header + array.tobytes(), mtime=0)


def tar(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


IMAGES = {
    part: RNG.integers(0, 256, (n, 28, 28), np.uint8) for part, n in (("train", 7), ("t10k", 3))
}
LABELS = {part: RNG.integers(0, 10, len(x), np.uint8) for part, x in IMAGES.items()}
RECORDS = RNG.integers(0, 256, (12, 3073), np.uint8)
RECORDS[:, 0] %= 10
BATCHES = {f"data_batch_{i + 1}.bin": RECORDS[2 * i : 2 * i + 2].tobytes() for i in range(5)}
FILES = {
    **{f"{part}-images-idx3-ubyte.gz": idx(x) for part, x in IMAGES.items()},
    **{f"{part}-labels-idx1-ubyte.gz": idx(x) for part, x in LABELS.items()},
    "cifar-10-binary.tar.gz": tar(
        {"batches.meta.txt": b"airplane\n", **BATCHES, "test_batch.bin": RECORDS[10:].tobytes()}
    ),
}


class Server(ThreadingHTTPServer):
    """Serves FILES on the loopback address. ``breaks``: bytes of a body after which it hangs up."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests, self.breaks, self.wrong = [], None, False
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server, name = self.server, self.path.strip("/")
        server.requests.append(name)
        if name not in FILES:
            return self.send_error(404)
        data = FILES[name][::-1] if server.wrong else FILES[name]
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: server.breaks])
        return None

    def log_message(self, *arguments):
        pass


@pytest.fixture
def servers():
    started = []

    def start():
        server = Server()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


@pytest.fixture
def server(servers):
    return servers()


@pytest.fixture(autouse=True)
def small_sources(monkeypatch):
    """The data sets as they are, with the check sums of the small files of this test."""
    for name, source in SOURCES.items():
        sums = {file: hashlib.sha256(FILES[file]).hexdigest() for file in source.files}
        monkeypatch.setitem(SOURCES, name, Source(sums, (), source.read))


def fetch(name, folder, *servers):
    return download(name, folder, [server.url for server in servers], progress=False)


# --- what is read ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_pictures_and_labels_arrive_as_they_were_sent(name, server, tmp_path):
    fetch(name, tmp_path, server)
    split = full(name, tmp_path)
    for part, x, labels in (("train", *split[:2]), ("t10k", *split[2:])):
        assert x.dtype == torch.float32
        assert labels.tolist() == LABELS[part].tolist()
        np.testing.assert_allclose((x[:, 0].numpy() + 1) * 127.5, IMAGES[part], atol=1e-4)


def test_the_bytes_of_cifar_are_label_red_green_blue(server, tmp_path):
    fetch("cifar-10", tmp_path, server)
    split = full("cifar-10", tmp_path)
    assert split.labels.tolist() == RECORDS[:10, 0].tolist()
    assert split.labels_held_out.tolist() == RECORDS[10:, 0].tolist()
    byte = RECORDS[3, 1 + 1024 + 32 * 5 + 7]  # picture 3: green, row 5, column 7
    assert split.x[3, 1, 5, 7] == pytest.approx(byte / 127.5 - 1, abs=1e-6)
    assert split.x.shape == (10, 3, 32, 32)
    assert split.x.amin() >= -1
    assert split.x.amax() <= 1


# --- what is fetched, and how often ---------------------------------------------------------------


def test_what_is_there_is_not_fetched_again(server, tmp_path):
    place = fetch("mnist", tmp_path, server)
    assert sorted(server.requests) == sorted(SOURCES["mnist"].files)
    before = len(server.requests)
    fetch("mnist", tmp_path, server)
    assert len(server.requests) == before
    (place / "train-labels-idx1-ubyte.gz").write_bytes(b"damaged")
    fetch("mnist", tmp_path, server)
    assert server.requests[before:] == ["train-labels-idx1-ubyte.gz"]
    assert full("mnist", tmp_path).labels.tolist() == LABELS["train"].tolist()


@pytest.mark.parametrize("fault", [{"wrong": True}, {"breaks": 1000}])
def test_a_wrong_file_is_not_kept_and_the_next_mirror_is_asked(fault, servers, tmp_path):
    wrong, right = servers(), servers()
    vars(wrong).update(fault)
    with pytest.raises(OSError, match="could not be fetched .*run the same command again to go on"):
        fetch("cifar-10", tmp_path, wrong)
    assert list((tmp_path / "cifar-10").iterdir()) == []
    fetch("cifar-10", tmp_path, wrong, right)
    assert full("cifar-10", tmp_path).labels.tolist() == RECORDS[:10, 0].tolist()


def test_without_a_network_the_message_says_what_to_do(servers, tmp_path):
    gone = servers()
    gone.shutdown()
    gone.server_close()
    with pytest.raises(OSError) as error:
        fetch("mnist", tmp_path, gone)
    for words in (gone.url, "no network", f"copy the file into {tmp_path / 'mnist'}"):
        assert words in str(error.value)
    with pytest.raises(FileNotFoundError, match="python -m minildm download mnist"):
        full("mnist", tmp_path)
    with pytest.raises(ValueError, match="no data set 'imagenet'; there are mnist"):
        full("imagenet")


@pytest.mark.parametrize("name", ["mnist", "cifar-10"])
def test_a_file_that_was_put_there_by_hand_is_looked_at(name, server, tmp_path):
    """Cut off, or another file under this name: named, with what to do; nothing is guessed."""
    place = fetch(name, tmp_path, server)
    for file in SOURCES[name].files:
        whole = (place / file).read_bytes()
        for data in (whole[: len(whole) // 2], idx(np.zeros((6, 28, 28), np.uint8)), b""):
            (place / file).write_bytes(data)
            with pytest.raises(ValueError, match=f"{file} is not the file of {name} .*download"):
                full(name, tmp_path)
        (place / file).write_bytes(whole)
    full(name, tmp_path)


def test_without_the_package_that_fetches_its_extra_is_named(tmp_path, monkeypatch):
    """Files that were copied by hand are read without it."""
    monkeypatch.setitem(sys.modules, "pooch", None)
    for use in (full, download):
        with pytest.raises(FileNotFoundError, match=r'pip install "minildm\[data\]"'):
            use("mnist")
    for file in SOURCES["mnist"].files:
        (tmp_path / "mnist").mkdir(exist_ok=True)
        (tmp_path / "mnist" / file).write_bytes(FILES[file])
    assert full("mnist", tmp_path).x.shape == (7, 1, 28, 28)


def test_the_command_line(server, tmp_path, monkeypatch, capsys):
    source = SOURCES["mnist"]
    monkeypatch.setitem(SOURCES, "mnist", Source(source.files, (server.url,), source.read))
    assert main(["download", "mnist", "--folder", str(tmp_path)]) == 0
    assert str(tmp_path / "mnist") in capsys.readouterr().out
    assert full("mnist", tmp_path).x.shape == (7, 1, 28, 28)
    server.wrong = True
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    assert main(["download", "mnist", "--folder", str(tmp_path)]) == 1
    assert "could not be fetched" in capsys.readouterr().err
