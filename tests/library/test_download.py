"""Full data sets: fetched from a server on this machine, in parts, checked, and read."""

import gzip
import hashlib
import io
import struct
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch

from minildm.__main__ import main
from minildm.files import download as downloads
from minildm.files.download import SOURCES, Source, download, full, read_idx

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
        self.requests, self.breaks, self.ranges, self.wrong = [], None, True, False
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server, name = self.server, self.path.strip("/")
        asked = self.headers.get("Range")
        server.requests.append((name, asked))
        if name not in FILES:
            return self.send_error(404)
        data = FILES[name][::-1] if server.wrong else FILES[name]
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and server.ranges else 0
        if start >= len(data):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self.wfile.write(data[start:][: server.breaks])
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


def test_other_files_are_no_idx(tmp_path):
    whole = gzip.decompress(FILES["t10k-labels-idx1-ubyte.gz"])
    for data, words in (
        (b"\0\0\x0d" + whole[3:], "begins with"),
        (whole[:-1], "2 bytes of data; its header says \\(3,\\)"),
        (b"PK", "begins with"),
    ):
        (tmp_path / "x.gz").write_bytes(gzip.compress(data))
        with pytest.raises(ValueError, match=words):
            read_idx(tmp_path / "x.gz")


# --- what is fetched, and how often ---------------------------------------------------------------


def test_what_is_there_is_not_fetched_again(server, tmp_path):
    place = fetch("mnist", tmp_path, server)
    assert sorted(name for name, _ in server.requests) == sorted(SOURCES["mnist"].files)
    before = len(server.requests)
    fetch("mnist", tmp_path, server)
    assert len(server.requests) == before
    (place / "train-labels-idx1-ubyte.gz").write_bytes(b"damaged")
    fetch("mnist", tmp_path, server)
    assert [name for name, _ in server.requests[before:]] == ["train-labels-idx1-ubyte.gz"]
    assert full("mnist", tmp_path).labels.tolist() == LABELS["train"].tolist()


def test_a_broken_download_goes_on_where_it_stopped(server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "CHUNK", 100)  # what is lost of a break is less than a chunk
    name, server.breaks = "cifar-10-binary.tar.gz", 1000
    with pytest.raises(OSError, match="run the same command again to go on"):
        fetch("cifar-10", tmp_path, server)
    part = tmp_path / "cifar-10" / f"{name}.part"
    assert part.read_bytes() == FILES[name][:1000]
    assert not part.with_name(name).exists()
    server.breaks = None
    fetch("cifar-10", tmp_path, server)
    assert server.requests == [(name, None), (name, "bytes=1000-")]
    assert part.with_name(name).read_bytes() == FILES[name]
    assert not part.exists()


def test_a_server_that_cannot_go_on_sends_everything_again(server, tmp_path):
    place = tmp_path / "cifar-10"
    place.mkdir()
    (place / "cifar-10-binary.tar.gz.part").write_bytes(FILES["cifar-10-binary.tar.gz"][:500])
    server.ranges = False
    fetch("cifar-10", tmp_path, server)
    assert (place / "cifar-10-binary.tar.gz").read_bytes() == FILES["cifar-10-binary.tar.gz"]


@pytest.mark.parametrize("rest", [b"", b"and more"])
def test_a_part_that_is_complete_already_needs_no_bytes(server, tmp_path, rest):
    """With bytes too many it is a wrong file: it is thrown away, and fetched anew."""
    place = tmp_path / "cifar-10"
    place.mkdir()
    whole = FILES["cifar-10-binary.tar.gz"]
    (place / "cifar-10-binary.tar.gz.part").write_bytes(whole + rest)
    fetch("cifar-10", tmp_path, server)
    assert (place / "cifar-10-binary.tar.gz").read_bytes() == whole
    assert len(server.requests) == 1 + bool(rest)


def test_a_damaged_part_is_fetched_anew(server, tmp_path):
    place = tmp_path / "cifar-10"
    place.mkdir()
    (place / "cifar-10-binary.tar.gz.part").write_bytes(b"x" * 800)
    fetch("cifar-10", tmp_path, server)
    assert (place / "cifar-10-binary.tar.gz").read_bytes() == FILES["cifar-10-binary.tar.gz"]
    assert [asked for _, asked in server.requests] == ["bytes=800-", None]


def test_a_wrong_file_is_not_kept_and_the_next_mirror_is_asked(servers, tmp_path):
    wrong, right = servers(), servers()
    wrong.wrong = True
    with pytest.raises(OSError, match="SHA256"):
        fetch("mnist", tmp_path, wrong)
    assert [path.name for path in (tmp_path / "mnist").iterdir()] == []
    fetch("mnist", tmp_path, wrong, right)
    assert full("mnist", tmp_path).labels.tolist() == LABELS["train"].tolist()


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


def with_sums_of(name, place, monkeypatch):
    """The data set as if these files were the right ones: what is in them is looked at, too."""
    sums = {f: hashlib.sha256((place / f).read_bytes()).hexdigest() for f in SOURCES[name].files}
    monkeypatch.setitem(SOURCES, name, SOURCES[name]._replace(files=sums))


@pytest.mark.parametrize(
    "labels", [np.arange(6, dtype=np.uint8), np.arange(200, 207, dtype=np.uint8)]
)
def test_labels_that_do_not_fit_are_refused(labels, server, tmp_path, monkeypatch):
    place = fetch("mnist", tmp_path, server)
    (place / "train-labels-idx1-ubyte.gz").write_bytes(idx(labels))
    with_sums_of("mnist", place, monkeypatch)
    with pytest.raises(ValueError, match=r"one label in 0\.\.9 per picture; got 7 pictures and"):
        full("mnist", tmp_path)


@pytest.mark.parametrize(
    ("name", "file"),
    [("mnist", "t10k-images-idx3-ubyte.gz"), ("cifar-10", "cifar-10-binary.tar.gz")],
)
def test_what_cannot_be_unpacked_is_named(name, file, server, tmp_path, monkeypatch):
    place = fetch(name, tmp_path, server)
    whole = (place / file).read_bytes()
    for data in (whole[: len(whole) // 2], b"", b"PK"):
        (place / file).write_bytes(data)
        with_sums_of(name, place, monkeypatch)
        with pytest.raises(ValueError, match=f"{file} (cannot be unpacked|has|is no IDX)"):
            full(name, tmp_path)


@pytest.mark.parametrize("files", [{"test_batch.bin": b""}, {**BATCHES, "data_batch_1.bin": b"x"}])
def test_an_archive_without_its_parts_is_named(files, server, tmp_path, monkeypatch):
    place = fetch("cifar-10", tmp_path, server)
    (place / "cifar-10-binary.tar.gz").write_bytes(tar(files))
    with_sums_of("cifar-10", place, monkeypatch)
    with pytest.raises(ValueError, match="lacks a part|whole records"):
        full("cifar-10", tmp_path)


def test_a_mirror_that_fails_without_a_word(monkeypatch, tmp_path):
    def fail(*given, **options):
        raise OSError

    monkeypatch.setattr(downloads.pooch, "retrieve", fail)
    with pytest.raises(OSError, match="http://mirror: OSError"):
        download("mnist", tmp_path, ["http://mirror"], progress=False)


def test_a_body_without_end_does_not_fill_the_disk(server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "LIMIT", 1000)
    monkeypatch.setattr(downloads, "CHUNK", 100)
    with pytest.raises(OSError, match="more than 1,000 bytes"):
        fetch("cifar-10", tmp_path, server)
    assert list((tmp_path / "cifar-10").iterdir()) == []


def test_reading_never_uses_the_network(server, tmp_path, monkeypatch):
    fetch("mnist", tmp_path, server)
    monkeypatch.setattr(downloads.requests, "get", lambda *_, **__: pytest.fail("network used"))
    full("mnist", tmp_path)


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
