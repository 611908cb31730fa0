"""The names that `from minildm import ...` gives: lazily, all of them, and as the stub says."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import minildm

STUB = Path(minildm.__file__).with_suffix(".pyi")
PROMISED = """
LatentDiffusion DiscreteSchedule CosineSchedule FlowSchedule linear_betas scaled_linear_betas
cosine_betas sigmoid_betas ramp_betas zero_terminal_snr diffuse diffuse_step posterior EPS Z0 V FLOW
network_denoiser guided clipped gaussian_denoiser mixture_denoiser sample ddpm ddim heun dpmpp_2m
Autoencoder UNet TextUNet train_autoencoder encode_all train_denoiser FitConfig CheckpointError
"""


def test_importing_the_package_needs_no_torch():
    code = (
        "import sys, time; start = time.perf_counter(); import minildm\n"
        "print(time.perf_counter() - start)\n"
        "minildm.__version__, dir(minildm)\n"
        "heavy = {'torch', 'numpy', 'PIL', 'accelerate'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    print(f"import minildm: {float(run.stdout):.3f} s")  # shown by pytest -s; machines differ


@pytest.mark.parametrize("name", minildm.__all__)
def test_a_public_name_is_the_one_of_its_module(name):
    found = getattr(minildm, name)
    home = importlib.import_module(f"minildm.{minildm._MODULE_OF[name]}")
    assert found is getattr(home, name)
    defined_in = getattr(found, "__module__", home.__name__)
    assert defined_in == home.__name__ or not defined_in.startswith("minildm")


def test_what_is_promised_is_there():
    assert set(PROMISED.split()) <= set(minildm.__all__) <= set(dir(minildm))
    names = [name for names in minildm._MODULES.values() for name in names.split()]
    assert len(names) == len(set(names)), "no name from two modules"


def test_a_wrong_name_is_told_the_near_ones():
    with pytest.raises(AttributeError, match="DiscretSchedule.*is it DiscreteSchedule"):
        minildm.DiscretSchedule  # noqa: B018
    with pytest.raises(AttributeError, match="has no attribute 'qqqq'$"):
        minildm.qqqq  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'dim'"):
        from minildm import dim  # noqa: F401


def test_the_stub_has_the_same_table():
    said = {}
    for line in ast.parse(STUB.read_text(encoding="utf-8")).body:
        if isinstance(line, ast.ImportFrom):
            for alias in line.names:
                assert alias.name == alias.asname, "the form that makes a name public in a stub"
                said[alias.name] = line.module.removeprefix("minildm.")
    assert said == minildm._MODULE_OF


def test_the_first_file_is_a_small_one():
    text = Path(minildm.__file__).read_text(encoding="utf-8")
    assert len(minildm.__doc__.splitlines()) <= 20 and len(text.splitlines()) <= 75
