"""Published models: fetched with huggingface_hub from a server on this machine."""

import hashlib
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from minildm import __main__ as commands
from minildm.__main__ import main
from minildm.files import models
from minildm.files.models import MODELS, download, offer, wanted

constants = pytest.importorskip("huggingface_hub.constants", reason="the extra hub brings it")

RNG = np.random.default_rng(0)
NEEDED = [  # of a real repository
    "model_index.json", "scheduler/scheduler_config.json", "text_encoder/config.json",
    "text_encoder/model.safetensors", "tokenizer/merges.txt", "tokenizer/special_tokens_map.json",
    "tokenizer/tokenizer_config.json", "tokenizer/vocab.json", "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors", "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
]  # fmt: skip
HALVES = [
    "text_encoder/model.fp16.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors",
    "vae/diffusion_pytorch_model.fp16.safetensors",
]  # fmt: skip
NEEDLESS = [
    ".gitattributes", "README.md", "v1-5-pruned.ckpt", "v1-5-pruned.safetensors",
    "v1-inference.yaml", "feature_extractor/preprocessor_config.json",
    "safety_checker/config.json", "safety_checker/model.safetensors",
    "text_encoder/pytorch_model.bin", "unet/diffusion_pytorch_model.bin", "unet/model.onnx",
    "unet/diffusion_pytorch_model.non_ema.safetensors", "vae_1_0/config.json",
    "vae_1_0/diffusion_pytorch_model.safetensors",
]  # fmt: skip
FILES = {
    name: RNG.bytes(200_000 if name.endswith("safetensors") else 300)
    for name in [*NEEDED, *HALVES, *NEEDLESS]
}
SIZE = sum(len(FILES[name]) for name in NEEDED)


class Server(ThreadingHTTPServer):
    """What is asked of huggingface.co. ``breaks``: bytes after which it hangs up."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.licence, self.commit = dict(FILES), "openrail", "0123abcd" * 5
        self.breaks, self.sent, self.spoilt = None, [], ""

    def info(self, repository):
        """About a repository; large files have a SHA-256."""
        card = {"license": self.licence} if self.licence else None
        siblings = [{"rfilename": name, "size": len(data)} for name, data in self.files.items()]
        for entry in siblings:
            if (name := entry["rfilename"]).endswith("safetensors"):
                digest = hashlib.sha256(self.files[name]).hexdigest()
                entry["lfs"] = {"size": entry["size"], "sha256": digest, "pointerSize": 130}
        about = {"id": repository, "sha": self.commit, "siblings": siblings, "cardData": card}
        return json.dumps(about).encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server, path = self.server, self.path.split("?")[0].strip("/")
        if path.startswith("api/models/"):
            return self.answer(200, server.info(path.removeprefix("api/models/")))
        place, name = path.split(f"/{server.commit}/")
        if name not in server.files:
            return self.answer(404, b"")
        if place.endswith("resolve") and name.endswith("safetensors"):  # they lie elsewhere
            return self.answer(302, b"", Location=f"/elsewhere/{server.commit}/{name}")
        data, start = server.files[name], self.start()
        server.sent.append((name, start))
        data = data[::-1] if name == server.spoilt else data
        part = f"bytes {start}-{len(data) - 1}/{len(data)}"
        cut = server.breaks if name.endswith("safetensors") else None
        return self.answer(206 if start else 200, data[start:], cut, **{"Content-Range": part})

    def start(self):
        return int(self.headers.get("Range", "bytes=0-").split("=")[1].split("-")[0])

    def answer(self, status, data, cut=None, **headers):
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(data[:cut])
        self.close_connection = cut is not None

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    for name, value in {
        "ENDPOINT": url, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True, "HF_HUB_DISABLE_PROGRESS_BARS": True,
        "HUGGINGFACE_CO_URL_TEMPLATE": url + "/{repo_id}/resolve/{revision}/{filename}",
    }.items():  # fmt: skip
        monkeypatch.setattr(constants, name, value)
    yield server
    server.shutdown()
    server.server_close()


def there(folder):
    """The files of a model's folder, without the note on where it is from."""
    files = (file.relative_to(folder).as_posix() for file in Path(folder).rglob("*"))
    return sorted(name for name in files if (folder / name).is_file() and name != models.NOTE)


# --- which files ----------------------------------------------------------------------------------


def test_each_network_is_fetched_once_and_no_pickle():
    assert sorted(wanted(list(FILES))) == NEEDED
    full = [name for name in NEEDED if name.endswith("safetensors")]
    assert sorted(wanted(list(FILES), half=True)) == sorted({*NEEDED, *HALVES} - {*full})
    one = [name for name in FILES if name not in HALVES[1:]]  # half precision of one network only
    assert sorted(wanted(one, half=True)) == sorted({*NEEDED, HALVES[0]} - {full[0]})
    assert sorted(wanted([n for n in FILES if n not in full])) == sorted(
        {*NEEDED, *HALVES} - {*full}
    )


def test_a_network_in_pieces_comes_with_its_list():
    stem = "unet/diffusion_pytorch_model"
    full = [f"{stem}-00001-of-00002.safetensors", f"{stem}.safetensors.index.json"]
    half = [f"{stem}.fp16-00001-of-00002.safetensors", f"{stem}.safetensors.index.fp16.json"]
    assert wanted([*full, *half]) == full
    assert wanted([*full, *half], half=True) == half


# --- what is said, and fetched --------------------------------------------------------------------


def test_the_command_line_says_what_it_is_and_fetches_it(server, tmp_path, capsys):
    words = ["download-model", "sd-1.5", "--yes", "--out", str(tmp_path / "model")]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert said.startswith(
        f"sd-1.5: {SIZE / 1e6:.2f} MB from huggingface.co/{MODELS['sd-1.5']}, licence: openrail\n"
    )
    assert f"--model {tmp_path / 'model'}" in said
    assert there(tmp_path / "model") == NEEDED
    for name in NEEDED:
        assert (tmp_path / "model" / name).read_bytes() == FILES[name]
    before = len(server.sent)
    assert main(words) == 0
    assert len(server.sent) == before, "what is there is not fetched again"


def test_without_a_folder_it_lies_in_the_users_cache(server, tmp_path):
    folder = download("sd-1.5", offer("sd-1.5"))
    assert folder == tmp_path / "cache" / "minildm" / "sd-1.5"
    assert there(folder) == NEEDED


@pytest.mark.parametrize("answer", ["n", "", None])
def test_nothing_comes_without_a_yes(answer, server, tmp_path, monkeypatch, capsys):
    def asked(prompt):
        if answer is None:
            raise EOFError
        return answer

    monkeypatch.setattr("builtins.input", asked)
    assert main(["download-model", "sdxl", "--out", str(tmp_path / "model")]) == 1
    assert "--yes" in capsys.readouterr().err
    assert server.sent == []
    monkeypatch.setattr("builtins.input", lambda prompt: "Y")
    assert main(["download-model", "sdxl", "--out", str(tmp_path / "model")]) == 0
    assert there(tmp_path / "model") == NEEDED


def test_a_download_that_broke_off_goes_on(server, tmp_path, monkeypatch):
    """The rest of a file is asked for, not the whole."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the hub waits between attempts
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    weights = "text_encoder/model.safetensors"
    server.breaks = 0
    offered = offer("sd-1.5")
    with pytest.raises(OSError, match="run the same command again to go on"):
        download("sd-1.5", offered, tmp_path / "model")
    assert weights not in there(tmp_path / "model"), "a name is for a whole file"
    (tmp_path / "model" / f"{weights}.part").write_bytes(FILES[weights][:70_000])
    server.breaks, server.sent = None, []
    download("sd-1.5", offered, tmp_path / "model")
    assert there(tmp_path / "model") == NEEDED
    assert (tmp_path / "model" / weights).read_bytes() == FILES[weights]
    assert [start for name, start in server.sent if name == weights] == [70_000]
    assert len(server.sent) == len({name for name, _ in server.sent}) < len(NEEDED)


# --- what can go wrong ----------------------------------------------------------------------------


def test_the_names_are_those_that_there_are():
    assert set(models.ABOUT) == set(MODELS)
    with pytest.raises(ValueError, match="no model 'sd-9'; there are sd-1.5, sd-2.1"):
        offer("sd-9")


def test_a_repository_of_pickles_is_refused(server):
    server.files = {n: d for n, d in FILES.items() if not n.startswith("unet") or ".bin" in n}
    server.licence = None
    with pytest.raises(ValueError, match=r"has no \.safetensors file of its unet: not fetched"):
        offer("tiny-sd")
    server.files = FILES
    assert "not named" in offer("tiny-sd").licence


def test_a_damaged_file_is_not_kept(server, tmp_path):
    server.spoilt = "unet/diffusion_pytorch_model.safetensors"
    with pytest.raises(OSError, match="unet/.* arrived damaged: other SHA-256"):
        download("sd-1.5", offer("sd-1.5"), tmp_path / "model")
    assert not list((tmp_path / "model" / "unet").glob("*safetensors*"))
    server.spoilt = ""
    long = tmp_path / "model" / f"{NEEDED[-1]}.part"  # longer than the file itself: begun anew
    long.parent.mkdir(exist_ok=True)
    long.write_bytes(bytes(300_000))
    folder = download("sd-1.5", offer("sd-1.5"), tmp_path / "model")
    assert (folder / NEEDED[-1]).read_bytes() == FILES[NEEDED[-1]]


def test_two_models_are_not_mixed_in_one_folder(server, tmp_path):
    download("sd-1.5", offer("sd-1.5"), tmp_path / "model")
    with pytest.raises(ValueError, match="holds stable-diffusion-v1-5/.* give another --out"):
        download("sd-2.1", offer("sd-2.1"), tmp_path / "model")
    server.commit = "ef" * 20
    with pytest.raises(ValueError, match="holds .* 0123abcd.*: give another --out, or delete it"):
        download("sd-1.5", offer("sd-1.5"), tmp_path / "model")


def test_a_disk_that_is_too_small_is_seen_before(server, tmp_path, monkeypatch):
    free = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(models.shutil, "disk_usage", lambda place: free)
    with pytest.raises(OSError, match=r"0\.60 MB do not fit into .*: 0\.00 MB are free"):
        download("sd-1.5", offer("sd-1.5"), tmp_path / "model")
    assert server.sent == []


def test_without_a_network_one_line_says_what_to_do(server, monkeypatch, capsys):
    server.shutdown()
    server.server_close()
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    assert main(["download-model", "sd-1.5", "--yes"]) == 1
    error = capsys.readouterr().err.strip()
    assert len(error.splitlines()) == 1
    assert "could not be fetched" in error and "--out FOLDER on one that has" in error


def test_without_the_package_its_extra_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert main(["download-model", "sd-1.5", "--yes"]) == 1
    error = capsys.readouterr().err.strip()
    assert error.endswith('need the package huggingface_hub: pip install "minildm[hub]"')
    assert len(error.splitlines()) == 1


def test_ctrl_c_says_that_the_same_command_goes_on(monkeypatch, capsys):
    def interrupted(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "fetch_model", interrupted)
    assert main(["download-model", "sd-1.5"]) == 130
    assert "the same command goes on" in capsys.readouterr().err
