"""The adjectives of chapter 1: a verdict follows from the figures, whatever they are."""

import copy
from functools import cache

import pytest

from book.ch01_background.adjectives import (
    ENOUGH,
    FAILS,
    HOLDS,
    PARTLY,
    UNDECIDED,
    rows,
    table,
    verdict,
)
from book.results import read_results

read = cache(read_results)


def changed(section, change):
    """A reader of results in which one section is changed."""
    figures = copy.deepcopy(read(section))
    change(figures)
    return lambda name: figures if name == section else read(name)


def row(reader, adjective):
    (found,) = [r for r in rows(reader) if r.adjective == adjective]
    return found


def enough(figures, variants):
    """The runs of some variants, repeated until a verdict may stand on them."""
    for name in variants:
        runs = figures["variants"][name]["runs"]
        runs += [copy.deepcopy(run) for run in runs * ENOUGH]


def test_each_claim_has_a_row_and_the_table_holds_them_all():
    found = rows(read)
    assert len(found) == len({r.adjective for r in found}) == 10
    text = table(found)
    assert text.count("\n") == len(found) + 1
    for r in found:
        assert f"| {r.adjective} | {r.measured} | {r.stands_on} |" in text
        assert any(c.isdigit() for c in r.measured)
        assert r.verdict in (HOLDS, PARTLY, FAILS, UNDECIDED)


def test_verdicts():
    assert verdict(True) == HOLDS
    assert verdict(True, True) == PARTLY
    assert verdict(False) == verdict(False, True) == FAILS
    assert verdict(True, trainings=4) == verdict(False, True, 4) == UNDECIDED
    assert verdict(False, trainings=5) == FAILS


def test_four_trainings_are_not_enough():
    def four(figures):
        for model in figures["models"].values():
            del model["runs"][4:]

    few = {r.adjective: r.verdict for r in rows(changed("background", four))}
    for name in ("stable training", "not prone to mode collapse", "diverse", "sharp", "slow"):
        assert few[name] == UNDECIDED != row(read, name).verdict

    def plus(figures):
        enough(figures, figures["variants"])

    name = "needs many thousands of captioned pictures"
    assert row(changed("ablation text-to-image", plus), name).verdict != UNDECIDED

    def some(figures):
        for variant in figures["variants"].values():
            del variant["runs"][4:]

    assert row(changed("ablation text-to-image", some), name).verdict == UNDECIDED


def worse_diffusion(figures):
    for run in figures["models"]["diffusion"]["runs"]:
        run.update(
            {"effective modes": 4.0, "near a mode": 0.3, "largest fall": 5.0, "distance": 0.9}
        )


@pytest.mark.parametrize(
    "adjective", ["stable training", "not prone to mode collapse", "diverse", "sharp"]
)
def test_a_bad_diffusion_model_would_be_called_bad(adjective):
    assert row(read, adjective).verdict in (HOLDS, PARTLY)
    assert row(changed("background", worse_diffusion), adjective).verdict == FAILS


def test_no_collapse_holds_alone_only_if_a_vae_collapses_and_counts_all_of_v():
    name = "not prone to mode collapse"

    def collapsed_vae(figures):
        next(iter(figures["models"]["VAE"].values()))[0]["effective modes"] = 3.0

    def and_one_of_v(figures):
        collapsed_vae(figures)
        figures["models"]["diffusion"]["lr 0.0003, predicts V"][0]["effective modes"] = 3.0

    def and_one_of_eps(figures):
        collapsed_vae(figures)
        figures["models"]["diffusion"]["lr 0.0003, predicts EPS"][0]["effective modes"] = 3.0

    assert row(read, name).verdict == PARTLY
    for change, wanted in ((collapsed_vae, HOLDS), (and_one_of_v, FAILS), (and_one_of_eps, HOLDS)):
        assert row(changed("background-tuning", change), name).verdict == wanted


@pytest.mark.parametrize(
    ("adjective", "section", "path"),
    [
        ("can draw what a text says", "shapes", ("unseen_captions", "joint", "mean")),
        ("can be controlled", "editing", ("attributes", "colour", "inversion", "right")),
    ],
)
def test_a_model_that_does_not_do_as_it_is_told_would_be_called_so(adjective, section, path):
    def deaf(figures):
        *above, last = path
        for key in above:
            figures = figures[key]
        figures[last] = 0.3

    assert row(read, adjective).verdict != FAILS
    assert row(changed(section, deaf), adjective).verdict == FAILS


def test_detail_that_survives_compression_would_not_be_called_limited():
    def more(figures):
        enough(figures, figures["variants"])

    def same(figures):
        more(figures)
        figures["variants"]["factor 16"] = figures["variants"]["factor 8"]

    name = "limited in detail"
    assert row(changed("ablation autoencoder", more), name).verdict in (HOLDS, PARTLY)
    assert row(changed("ablation autoencoder", same), name).verdict == FAILS


def test_latents_that_save_nothing_would_not_be_called_efficient():
    def equal(figures):
        figures["latents"]["gflop_per_image"] = figures["pixels"]["gflop_per_image"]

    assert row(changed("pixels", equal), "efficient").verdict == FAILS


def test_more_pictures_that_help_would_make_the_need_for_data_hold():
    def hungry(figures):
        enough(figures, figures["variants"])
        for run in figures["variants"]["1000 pictures"]["runs"]:
            run["captions"]["joint"] = 0.1

    name = "needs many thousands of captioned pictures"
    assert row(changed("ablation text-to-image", hungry), name).verdict == HOLDS


def test_one_step_that_suffices_would_not_be_slow():
    def quick(figures):
        for run in figures["models"]["diffusion"]["runs"]:
            run["by_steps"]["1"]["near a mode"] = 0.95

    assert row(read, "slow").verdict in (HOLDS, PARTLY)
    assert row(changed("background", quick), "slow").verdict == FAILS
