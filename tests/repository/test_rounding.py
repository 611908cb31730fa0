"""The rounding test itself: its noise acts, is the same again, and leaves alone what is exact."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import rounding
import torch

from minildm.schedule import DiscreteSchedule, cosine_betas

ROOT = Path(__file__).resolve().parents[2]

# A table stored on one machine, compared on another, as chapter 5.4 once did.
PLANTED = """
import json
from pathlib import Path
import torch
from minildm.schedule import DiscreteSchedule, cosine_betas

STORED = torch.tensor(json.loads(Path(__file__).with_name("table.json").read_text()),
                      dtype=torch.float64)
COMPUTED = DiscreteSchedule(cosine_betas(1000)).alpha_bar

def test_by_bits():
    assert torch.equal(STORED, COMPUTED)

def test_with_a_tolerance():
    assert torch.allclose(STORED, COMPUTED)

def test_skipped():
    import pytest
    pytest.skip("counts neither way")
"""

ASKED = """
import json, math
from pathlib import Path
import torch
from torch.nn import functional as F
import minildm
from minildm.files.checkpoint import load_checkpoint

x = torch.arange(1.0, 25).reshape(4, 6) / 25
weight = torch.arange(-15.0, 15).reshape(5, 6) / 14
counts = torch.arange(12.0).reshape(3, 4)
leaf = torch.tensor([0.3, 0.7], requires_grad=True)
(leaf.exp() * leaf.sum()).sum().backward()
tensors, _ = load_checkpoint(Path(minildm.__file__).parents[1] / "data/checkpoints/digits")
print(json.dumps({
    "exp": x.exp().tolist(), "again": torch.exp(x).tolist(), "in place": x.clone().exp_().tolist(),
    "in a batch": F.linear(x, weight)[:1].tolist(), "alone": F.linear(x[:1], weight).tolist(),
    "normal": torch.randn(4, generator=torch.Generator().manual_seed(0)).tolist(),
    "double": x.double().log().tolist(), "math": [math.exp(0.1 * k) for k in range(1, 30)],
    "exact": [*torch.exp(torch.zeros(2)).tolist(), *(2.0 ** counts[0]).tolist(),
              *counts.sum(1).tolist(), *x.sqrt().flatten().tolist(), *(x * x).flatten().tolist(),
              math.exp(0), math.log2(8)],
    "gradient": leaf.grad.tolist(),
    "weights": tensors["network.leave.2.weight"].flatten()[:50].tolist(),
    "betas": tensors["betas"].tolist(),
}))
"""


def answers(seed):
    path = [str(rounding.NOISE), str(ROOT)]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "ROUNDING_SEED": seed}
    done = subprocess.run(
        [sys.executable, "-c", ASKED], env=variables, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    return {name: torch.tensor(v, dtype=torch.float64) for name, v in found.items()}


@pytest.fixture(scope="module")
def plain():
    return answers("")


@pytest.fixture(scope="module")
def noisy():
    return answers("1")


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("exp", 1e-8, 2e-7), ("normal", 1e-8, 2e-7), ("alone", 1e-8, 3e-6), ("gradient", -1, 1e-6),
     ("double", 1e-17, 3e-15), ("math", 1e-17, 3e-16),
     ("weights", 1e-8, 2e-6), ("betas", 1e-20, 1e-15)],
)  # fmt: skip
def test_the_noise_acts_in_the_last_digits_only(name, least, most, plain, noisy):
    apart = ((noisy[name] - plain[name]) / plain[name].abs().clamp_min(0.05)).abs().max()
    assert least < apart < most


def test_what_every_processor_gets_right_stays(plain, noisy):
    assert torch.equal(plain["exact"], noisy["exact"])


def test_the_same_question_has_the_same_answer_and_another_batch_another(noisy):
    assert torch.equal(noisy["exp"], noisy["again"])
    assert torch.equal(noisy["exp"], noisy["in place"])
    assert not torch.equal(noisy["alone"], noisy["in a batch"])
    other = answers("2")
    assert not torch.equal(noisy["exp"], other["exp"])
    assert not torch.equal(noisy["weights"], other["weights"])


def test_a_comparison_by_bits_is_red_under_noise_and_green_without(tmp_path):
    planted = tmp_path / "test_planted.py"
    planted.write_text(PLANTED)
    table = DiscreteSchedule(cosine_betas(1000)).alpha_bar.tolist()
    (tmp_path / "table.json").write_text(json.dumps(table))
    arguments = [str(planted), "-q", "-p", "no:cacheprovider"]
    found = {s: rounding.run(s, arguments, 1, tmp_path / "log") for s in ("as it is", "noise:1")}
    assert found["as it is"][:2] == (2, [])
    passed, red, _ = found["noise:1"]
    assert passed == 1 and len(red) == 1 and "test_by_bits" in red[0]


def test_the_settings_are_listed_and_others_refused(capsys):
    assert rounding.main(["--list"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in (*rounding.QUICK, "ONEDNN_MAX_CPU_ISA=SSE41"))
    assert rounding.environment("noise:17") == {"ROUNDING_SEED": "17"}
    assert rounding.main(["--only", "sse"]) == 2
    assert "there is no setting 'sse'" in capsys.readouterr().out
    assert rounding.main(["--only", "old", "--notebooks", "99"]) == 2
    assert "no notebook's name begins with 99" in capsys.readouterr().out


def test_the_quick_form_runs_what_computes():
    chosen = rounding.arguments_of(["--quick"])
    kept = {"tests/library/test_samplers.py", "tests/equations/test_equations.py"}
    assert kept <= set(chosen.tests)
    assert "tests/book/test_timeline.py" not in chosen.tests and chosen.notebooks == [""]
    assert chosen.only == list(rounding.QUICK)
    narrow = rounding.arguments_of(["--notebooks", "05_4"])
    assert narrow.tests == [] and narrow.notebooks == ["05_4"]


@pytest.mark.parametrize("name", rounding.EXACT)
def test_what_is_exact_by_contract_exists(name):
    path, function = name.split("::")
    assert f"def {function.split('[')[0]}(" in (ROOT / path).read_text(encoding="utf-8")
    assert len(rounding.EXACT[name]) > 20  # the reason
