"""The bug museum: every fault is planted as described, found by its detector, and gone afterwards.

That the repository's own tests find them too is shown by tools/mutants.py (mutants/book/museum.py).
"""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

import minildm.samplers
from book.ch09_1_museum import (
    EXHIBITS,
    HIDDEN,
    ROOMS,
    Package,
    changed_source,
    complaint,
    find,
    planted,
    symptoms,
    tour,
)
from book.ch09_1_museum.exhibit import quietly
from book.ch09_1_museum.planted import ROOT
from book.ch09_1_museum.scene import digits, stretched_digits
from minildm.latent import LatentDiffusion

ALL = [*EXHIBITS, HIDDEN]
BY_NAME = pytest.mark.parametrize("exhibit", ALL, ids=lambda exhibit: exhibit.name)


def loaded() -> dict:
    return {n: m for n, m in sys.modules.items() if n.split(".")[0] == "minildm"}


def on_disk() -> dict:
    return {p: p.stat().st_mtime_ns for p in ROOT.rglob("*.py")}


# --- every exhibit --------------------------------------------------------------------------------


@BY_NAME
def test_the_line_is_there_once_and_changes(exhibit) -> None:
    source = (ROOT / exhibit.file).read_text(encoding="utf-8")
    assert source.count(exhibit.right) == 1
    lines = tour.changed_lines(exhibit).splitlines()
    assert [line[0] for line in lines].count("-") == 1  # one line is changed, or taken out
    assert [line[0] for line in lines].count("+") <= 1


@BY_NAME
def test_the_detector_tells_right_from_planted(exhibit) -> None:
    assert complaint(exhibit, plant=False) is None
    assert complaint(exhibit, plant=True)


@BY_NAME
def test_the_symptom_shows(exhibit) -> None:
    right, wrong = symptoms(exhibit)
    assert isinstance(exhibit.draw(right, wrong), Figure)
    ours, theirs = (last(x) for x in (right, wrong))
    assert (ours - theirs).abs().max() > 1e-3
    assert len(exhibit.alt) >= 40


def last(symptom) -> torch.Tensor:
    """What is drawn of a symptom: an image or a cloud, the y of a curve, the last row of images."""
    if isinstance(symptom, dict):
        symptom = list(symptom.values())[-1]
    return torch.as_tensor(symptom[1] if isinstance(symptom, tuple) else symptom).double()


def test_every_detector_is_silent_on_the_faults_that_it_does_not_speak_of() -> None:
    """A detector that always complains once anything is planted would be worthless."""
    for fault, other in (("mask-turned-over", "off-by-one"), ("sum-of-means", "zero-to-one")):
        with planted(find(fault)) as package:
            quietly(find(other).detector, package)


def test_labels() -> None:
    names = [exhibit.name for exhibit in ALL]
    assert len(set(names)) == len(names)
    assert sum(bool(exhibit.seen) for exhibit in EXHIBITS) >= 16
    assert [e for room in ROOMS.values() for e in room] == EXHIBITS
    for exhibit in ALL:
        assert all(s.url.startswith("https://") and s.what for s in exhibit.seen)
        assert exhibit.tests and all((ROOT.parent / name).is_file() for name in exhibit.tests)


def test_find_names_the_exhibits() -> None:
    assert find("next-time").file == "samplers.py"
    with pytest.raises(ValueError, match=r"no exhibit 'nothing'; there are short-schedule"):
        find("nothing")


# --- planting -------------------------------------------------------------------------------------


def test_a_planted_package_is_another_one() -> None:
    with planted(HIDDEN) as package:
        assert package.samplers is not minildm.samplers
        assert package.samplers.dpmpp_2m is not minildm.samplers.dpmpp_2m
        assert sys.modules["minildm.samplers"] is package.samplers
        from minildm import samplers  # inside the block, an import means the copy

        assert samplers is package.samplers
        assert package.latent.sample is package.samplers.sample  # its modules know each other
    assert Package().samplers is minildm.samplers


@pytest.mark.parametrize("fail", [False, True])
def test_afterwards_all_is_as_before(fail) -> None:
    before, finders, files = loaded(), list(sys.meta_path), on_disk()
    try:
        with planted(HIDDEN) as package:
            assert package.train.fit is not before.get("minildm.engine.fit")
            if fail:
                raise KeyError("something went wrong inside")
    except KeyError:
        pass
    after = loaded()
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)
    assert sys.meta_path == finders and on_disk() == files
    assert minildm.samplers is before["minildm.samplers"]


def test_nested_blocks_have_their_own_fault_each() -> None:
    inner, outer = find("eta-on-the-variance"), find("low-precision-time")
    with planted(outer) as a:
        assert quietly_fails(outer, a) and not quietly_fails(inner, a)
        with planted(inner) as b:
            assert a.samplers is not b.samplers
            assert quietly_fails(inner, b) and not quietly_fails(outer, b)
        assert sys.modules["minildm.layers"] is a.layers
        assert quietly_fails(outer, a) and not quietly_fails(inner, a)


def quietly_fails(exhibit, package) -> bool:
    try:
        quietly(exhibit.detector, package)
    except AssertionError:
        return True
    return False


def test_the_compiled_files_stay_right() -> None:
    """Python keeps compiled files next to the sources; a planted one there would live on."""
    with planted(HIDDEN) as package:
        assert package.samplers.dpmpp_2m
    code = (
        "from book.ch09_1_museum import HIDDEN, Package; HIDDEN.detector(Package());"
        "import minildm.samplers; print(minildm.samplers.__cached__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).name.startswith("samplers.")


def test_a_traceback_shows_the_planted_line() -> None:
    with planted(find("off-by-one")) as package:
        module = package.denoise
        assert module.__loader__.get_source(module.__name__) == changed_source(find("off-by-one"))
        assert module.network_denoiser.__call__.__code__.co_filename.endswith("(planted)")


def test_after_the_block_nothing_new_is_loaded() -> None:
    with planted(HIDDEN) as package:
        kept = package.schedule
    assert package.schedule is kept
    with pytest.raises(RuntimeError, match=r"minildm\.process was not loaded .* inside the with"):
        _ = package.process
    with pytest.raises(AttributeError):
        _ = package._private


@pytest.mark.parametrize("right", ["no such line", "import", HIDDEN.wrong])
def test_a_line_that_is_not_there_once_is_refused(right) -> None:
    broken = dataclasses.replace(HIDDEN, right=right, wrong=HIDDEN.wrong)
    before = list(sys.meta_path)
    with (
        pytest.raises(ValueError, match=r"hidden: the right line occurs \d+ times in samplers"),
        planted(broken),
    ):
        pass
    assert sys.meta_path == before
    unchanged = dataclasses.replace(HIDDEN, wrong=HIDDEN.right)
    with pytest.raises(ValueError, match="differs from the wrong line"):
        changed_source(unchanged)


# --- scenes and tour ------------------------------------------------------------------------------


def test_stretched_latents_draw_the_same_pictures() -> None:
    package = Package()
    model = stretched_digits(package)
    plain = LatentDiffusion.load("digits")
    x = model.generate(
        torch.arange(10), steps=10, sampler=package.samplers.dpmpp_2m, guidance=2.0, seed=3
    )
    torch.testing.assert_close(x, digits(package), atol=1e-4, rtol=0)
    torch.testing.assert_close(model.encode(x), plain.encode(x), atol=1e-4, rtol=1e-4)
    unscaled = model.autoencoder.encode(x).mean.std() / plain.autoencoder.encode(x).mean.std()
    assert 4.8 < unscaled < 5


def test_quietly_leaves_random_numbers_alone() -> None:
    state = torch.get_rng_state()
    first = quietly(lambda package: torch.rand(3), Package())
    assert torch.equal(first, quietly(lambda package: torch.rand(3), Package()))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.fixture
def shown(monkeypatch) -> list:
    """What the tour displays: texts and figures."""
    seen: list = []
    monkeypatch.setattr(tour, "_write", seen.append)
    monkeypatch.setattr(tour, "show", lambda fig, alt, dpi: seen.append((fig, alt)))
    return seen


def test_a_visit_shows_line_figure_detector_and_sighting(shown) -> None:
    tour.visit("next-time")
    line, (figure, alt), rest = shown
    assert "- for t, s in pairwise(times):" in line and "`minildm/samplers.py`" in line
    assert isinstance(figure, Figure) and alt == find("next-time").alt
    assert "def steps_follow_the_grid" in rest and "Right package: silent" in rest
    assert "sent from t = 1000 to 858" in rest and "issues/11347" in rest


def test_the_ledger_counts_what_was_found(shown, monkeypatch) -> None:
    few = [find("beta-for-root"), dataclasses.replace(find("one-plus-w"), detector=lambda _: None)]
    monkeypatch.setattr(tour, "EXHIBITS", few)
    changes = {"beta-for-root": 0.0, "one-plus-w": -0.3}
    live = frozenset({"one-plus-w"})
    assert tour.ledger(tour.Losses(changes, 0.1, live)) > 0
    (table,) = shown
    *_, first, second = table.splitlines()
    assert "| no | – |" in first and "| yes |" in first
    assert "| yes | **-30%** |" in second and "| **no** |" in second
    tiny = dict.fromkeys(changes, -1e-6)  # not "-0.00%"
    tour.ledger(tour.Losses(tiny, 0.1, frozenset(changes)))
    assert shown[-1].count("| hidden: less than 0.01% |") == 2


def test_the_loss_sees_only_what_takes_part_in_it(monkeypatch) -> None:
    names = ("next-time", "heads-mixed", "zero-to-one", "sum-of-means", "average-left-in")
    monkeypatch.setattr(tour, "EXHIBITS", [find(name) for name in names])
    change, spread, live = tour.losses(seeds=1)
    assert live == {"heads-mixed", "zero-to-one", "sum-of-means"}
    assert change["next-time"] == 0 and change["heads-mixed"] != 0 and spread > 0
    assert abs(change["heads-mixed"]) < spread < -change["zero-to-one"]


def test_the_blind_test_is_fair(shown) -> None:
    """Two panels are right, and two wrong ones are no farther from the data than these."""
    drawn = tour.blind(n=500)
    assert [name for name, *_ in tour.PANELS.values()].count(None) == 2
    tour.reveal(drawn)
    (table,) = shown
    distance = [float(line.split("|")[3]) for line in table.splitlines()[2:]]
    *panels, own = distance
    a, _, c, d, e, _ = panels
    assert max(d, e) < max(a, c, own)
    assert "**heun-at-one-time**" in table and "heun converges with order" in table
