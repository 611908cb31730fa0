"""The command line: nothing is written over, what is wrong is one line, help comes at once."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from minildm import __main__ as commands
from minildm import samplers
from minildm.__main__ import main
from minildm.autoencoder import Autoencoder, AutoencoderConfig
from minildm.engine import resume as state
from minildm.engine.fit import build
from minildm.engine.settings import FitConfig
from minildm.files import download, places
from minildm.latent import LatentDiffusion
from minildm.recipes import RECIPES, Recipe
from minildm.schedule import DiscreteSchedule, cosine_betas
from minildm.shapes.training import GUIDANCE
from minildm.unet import UNet, UNetConfig


def said(capsys):
    """The one line of an error."""
    err = capsys.readouterr().err.strip()
    assert "Traceback" not in err and len(err.splitlines()) == 1, err
    return err


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """A recipe that notes what it was asked to train; the working directory is empty."""
    calls = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(
        RECIPES, "digits", Recipe(FitConfig(), lambda *given: calls.append(given), "3 8")
    )
    return calls


# --- the tables are those of the package ----------------------------------------------------------


def test_the_names_are_those_that_there_are():
    assert set(commands.TRAININGS) == set(RECIPES)
    assert set(commands.DATA_SETS) == set(download.SOURCES)
    assert all(callable(getattr(samplers, name)) for name in commands.SAMPLERS)
    assert commands.GUIDANCE == GUIDANCE
    assert state.RESUMES == commands.RESUMES


def test_help_comes_without_torch():
    """At once, and where packages are missing: each verb imports what it needs, when it runs."""
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from minildm.__main__ import main\n"
        "verbs = 'train sample download download-model'.split()\n"
        "for words in ([], *([verb, '--help'] for verb in verbs)):\n"
        "    try: main(words)\n"
        "    except SystemExit as stop: assert stop.code == 0\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "train a model from nothing" in done.stdout
    assert "outputs/NAME" in done.stdout
    assert "Raises" not in done.stdout


def test_an_old_python_can_read_it():
    tree = ast.parse(inspect.getsource(commands), feature_version=(3, 8))
    assert ast.unparse(tree.body[1]) == "from __future__ import annotations"


def test_without_arguments_there_is_help(capsys):
    assert main([]) == 2
    assert "VERB" in capsys.readouterr().out


# --- train: nothing is written over ---------------------------------------------------------------


def test_a_training_goes_to_outputs(trained, capsys):
    assert main(["train", "digits"]) == 0
    assert trained[0][1] == Path("outputs/digits")
    assert "next: python -m minildm sample 3 8 --model outputs/digits" in capsys.readouterr().out


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A place of the book's models that is not the real one: if a rule fails, nothing is lost."""
    folder = tmp_path / "clone" / "data" / "checkpoints"
    (folder / "digits").mkdir(parents=True)
    monkeypatch.setattr(places, "SHIPPED", folder)
    monkeypatch.delenv("MINILDM_DATA", raising=False)
    return folder


@pytest.mark.parametrize("out", ["digits", "new", "", "../new"])
def test_the_books_own_data_are_written_only_when_asked_by_name(out, trained, book, capsys):
    for words in ([], ["--resume"]):
        assert main(["train", "digits", "--out", str(book / out), *words]) == 1
        assert "--overwrite" in said(capsys)
    assert not trained
    assert [path.name for path in book.rglob("*")] == ["digits"]
    assert main(["train", "digits", "--out", str(book / out), "--overwrite"]) == 0
    assert trained[0][1] == book / out


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights")
def test_a_link_into_the_data_is_the_data(trained, book, tmp_path, capsys):
    (tmp_path / "link").symlink_to(book)
    assert main(["train", "digits", "--out", "link/digits"]) == 1
    assert "the book's own data" in said(capsys)


def test_the_data_that_a_reader_has_named_are_guarded_too(trained, tmp_path, monkeypatch, capsys):
    (tmp_path / "clone").mkdir()
    monkeypatch.setenv("MINILDM_DATA", str(tmp_path / "clone"))
    assert main(["train", "digits", "--out", "clone/digits"]) == 1
    assert "the book's own data" in said(capsys)


def test_a_finished_model_is_not_written_over(trained, tmp_path, capsys):
    out = tmp_path / "outputs" / "digits"
    out.mkdir(parents=True)
    (out / "model.safetensors").touch()
    for words in ([], ["--resume"]):  # there is no training to go on with
        assert main(["train", "digits", *words]) == 1
        assert "holds a model already" in said(capsys)
    assert not trained
    assert main(["train", "digits", "--overwrite"]) == 0
    (out / "training" / "denoiser" / "state-00000007").mkdir(parents=True)
    assert main(["train", "digits"]) == 1
    assert "holds a training at step 7: go on with --resume" in said(capsys)
    assert main(["train", "digits", "--resume"]) == 0  # this very training
    assert [call[3] for call in trained] == [False, True]


def test_a_file_is_no_folder_for_a_model(trained, tmp_path, capsys):
    (tmp_path / "digits").touch()
    assert main(["train", "digits", "--out", "digits"]) == 1
    assert "digits is a file" in said(capsys)


def test_wrong_settings_leave_no_folder_behind(trained, tmp_path, capsys):
    assert main(["train", "digits", "--set", "step=5"]) == 1
    assert "Did you mean steps" in said(capsys)
    assert list(tmp_path.iterdir()) == []


IMPOSSIBLE = [
    "denoiser.model.channels=3", "denoiser.fit.batch=0", "denoiser.model.width=0",
    "autoencoder.model.latent_channels=0", "denoiser.fit.device=gpu", "denoiser.model.heads=0",
    "denoiser.model.blocks=-1", "denoiser.model.multipliers=", "denoiser.model.multipliers=1,-2",
    "denoiser.min_snr=-1", "denoiser.min_snr=nan", "denoiser.fit.lr=inf", "denoiser.fit.ema=2",
    "denoiser.model.classes=-1", "autoencoder.kl=-1", "autoencoder.kl=nan",
    "autoencoder.model.width=0", "denoiser.fit.steps=0", "autoencoder.fit.weight_decay=-1",
    "denoiser.parameterization=checks", "denoiser.fit.precision=int8",
]  # fmt: skip


@pytest.mark.parametrize("setting", IMPOSSIBLE)
def test_both_stages_are_looked_at_before_the_first(setting, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(
        RECIPES, "digits", RECIPES["digits"]._replace(train=lambda *given: pytest.fail("trained"))
    )
    assert main(["train", "digits", "--set", setting]) == 1
    assert len(said(capsys)) > 30


# --- Ctrl-C ---------------------------------------------------------------------------------------


def test_after_ctrl_c_it_says_how_to_go_on(monkeypatch, tmp_path, capsys):
    def train(config, out, progress, resume):
        (out / "training" / "denoiser" / "state-00000125").mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(RECIPES, "digits", Recipe(FitConfig(), train))
    assert main(["train", "digits", "--set", "steps=300", "--out", "my model"]) == 130
    assert said(capsys) == (
        "stopped at step 125 of the denoiser; go on with: python -m minildm train digits --set "
        "steps=300 --out 'my model' --resume"
    )


def test_ctrl_c_before_anything_was_saved(monkeypatch, tmp_path, capsys):
    def interrupted(*given):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(RECIPES, "digits", Recipe(FitConfig(), interrupted))
    assert main(["train", "digits"]) == 130
    assert "nothing is kept" in said(capsys)
    monkeypatch.setattr(commands, "fetch", interrupted)
    assert main(["download", "mnist"]) == 130
    assert said(capsys) == "stopped"


# --- numbers and names ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "piece"),
    [
        ("sample a --steps -3", "at least 1; got '-3'"),
        ("sample a --steps 2.5", "whole number"),
        ("sample a --count two", "whole number of at least 1; got 'two'"),
        ("sample a --seed -1", "at least 0; got '-1'"),
        ("sample a --seed 9223372036854775808", "at most 9223372036854775807"),
        ("sample a --guidance nan", "must be a number; got 'nan'"),
        ("sample a --strength much", "must be a number; got 'much'"),
        ("train digits --seed x", "whole number"),
        ("train digitz", "choose from"),
        ("paint", "choose from"),
    ],
)  # fmt: skip
def test_wrong_words_are_refused_by_name(words, piece, capsys):
    with pytest.raises(SystemExit) as stop:
        main(words.split())
    assert stop.value.code == 2
    assert piece in capsys.readouterr().err


def test_without_torch_it_says_which_python_and_what_to_do(monkeypatch, capsys):
    def missing(args):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(commands, "sample", missing)
    assert main(["sample", "3"]) == 1
    line = said(capsys)
    assert f"torch is not installed in this Python ({sys.executable})" in line
    assert "pip install minildm" in line and "make lab" in line


def test_a_fault_of_the_package_is_not_hidden(monkeypatch):
    def fault(args):
        raise ModuleNotFoundError("No module named 'minildm.none'", name="minildm.none")

    monkeypatch.setattr(commands, "sample", fault)
    with pytest.raises(ModuleNotFoundError):
        main(["sample", "3"])


# --- pictures -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """The folder of a small model that draws one of three classes, in grey."""
    sizes = AutoencoderConfig(image_channels=1, latent_channels=2, factor=4, patch=4, width=8)
    network = build(lambda: UNet(UNetConfig(channels=2, width=8, heads=2, classes=3)), 0)
    for p in network.parameters():  # its last layer begins at zero, and would hear no class
        torch.nn.init.normal_(p, std=0.2, generator=torch.Generator().manual_seed(p.numel()))
    schedule = DiscreteSchedule(cosine_betas(50))
    model = LatentDiffusion(build(lambda: Autoencoder(sizes), 0), network, schedule, (4, 4))
    folder = tmp_path_factory.mktemp("labelled")
    model.save(folder)
    return folder


def draw(folder, out, *words):
    quick = ["--steps", "3", "--seed", "1", "--count", "2"]
    return main(["sample", *words, "--model", str(folder), "--out", str(out), *quick])


def test_a_model_of_classes_draws_them(labelled, tmp_path, capsys):
    one, two = tmp_path / "new" / "one", tmp_path / "two.png"
    assert draw(labelled, one, "2", "0") == draw(labelled, two, "2", "1") == 0
    told = capsys.readouterr().out
    assert f"{one}.png: 4 images; from top to bottom: 2; 0" in told  # the file that there is
    a, b = Image.open(f"{one}.png"), Image.open(two)
    assert a.size == b.size == (2 * 192 + 2, 2 * 192 + 2)  # 16 pixels, twelve times; no margin
    top, bottom = (0, 0, 386, 192), (0, 194, 386, 386)
    assert a.crop(top).tobytes() == b.crop(top).tobytes()
    assert a.crop(bottom).tobytes() != b.crop(bottom).tobytes()
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["one.png"]


@pytest.mark.parametrize(
    ("words", "piece"),
    [
        (["3"], "say which of 0..2; got '3'"), (["-1"], "got '-1'"), (["two"], "got 'two'"),
        (["²"], "got '²'"), ([], "say which of 0..2"),
        (["1", "--mask", "m.png"], "name it with --from"),
        (["1", "--strength", "0.5"], "name it with --from"),
        (["1", "--from", "no.png"], "no.png"),
        (["1", "--from", "grey.png", "--strength", "2"], "strength must be in (0, 1]"),
        (["1", "--from", "grey.png", "--strength", "1", "--mask", "grey.png"], "not both"),
        (["1", "--negative", "7"], "got '7'"),
    ],
)  # fmt: skip
def test_what_a_model_of_classes_cannot_draw(words, piece, labelled, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.new("L", (16, 16), 128).save("grey.png")
    assert draw(labelled, "out.png", *words) == 1
    assert piece in said(capsys)
    assert not Path("out.png").exists()


@pytest.mark.parametrize(
    ("out", "piece"),
    [(".", "is a folder"), ("x.xyz", "must end in .png; got x.xyz"), ("x.pdf", "must end in .png")],
)
def test_where_a_picture_cannot_go_is_said_before_it_is_drawn(out, piece, monkeypatch, capsys):
    monkeypatch.setattr(LatentDiffusion, "load", lambda name: pytest.fail("loaded"))
    assert main(["sample", "a red circle above a blue star", "--out", out]) == 1
    assert piece in said(capsys)


def test_a_picture_is_changed_where_the_mask_is_white(labelled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    half = Image.new("L", (32, 16), 0)
    half.paste(255, (0, 0, 16, 16))
    half.resize((16, 16)).save("mask.png")
    Image.linear_gradient("L").resize((16, 16)).save("mine.png")
    assert draw(labelled, "out.png", "1", "--from", "mine.png", "--mask", "mask.png") == 0
    first = Image.open("out.png").crop((0, 0, 192, 192)).resize((16, 16), Image.NEAREST)
    mine = Image.open("mine.png")
    kept, drawn = (8, 0, 16, 16), (0, 0, 8, 16)
    assert first.crop(kept).tobytes() == mine.crop(kept).tobytes()
    assert first.crop(drawn).tobytes() != mine.crop(drawn).tobytes()


def test_the_strength_says_how_much_is_changed(labelled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.linear_gradient("L").resize((16, 16)).save("mine.png")
    pictures = []
    for strength in ("0.4", "1"):
        assert draw(labelled, "out.png", "1", "--from", "mine.png", "--strength", strength) == 0
        pictures.append(Image.open("out.png").tobytes())
    assert draw(labelled, "out.png", "1", "--from", "mine.png") == 0  # 0.6 of three steps: two
    assert len({*pictures, Image.open("out.png").tobytes()}) == 3
