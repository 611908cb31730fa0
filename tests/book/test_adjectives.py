"""The article's adjectives: a verdict follows from the figures, whatever they are."""

import copy
from functools import cache

import pytest

from book.ch01_background.adjectives import FAILS, HOLDS, PARTLY, rows, table, verdict
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


def test_each_claim_of_the_article_has_a_row_and_the_table_holds_them_all():
    found = rows(read)
    assert len(found) == len({r.adjective for r in found}) == 10
    text = table(found)
    assert text.count("\n") == len(found) + 1
    for r in found:
        assert r.words in text
        assert r.measured in text
        assert any(c.isdigit() for c in r.measured)
        assert r.verdict in (HOLDS, PARTLY, FAILS)


def test_verdicts():
    assert verdict(True) == HOLDS
    assert verdict(True, True) == PARTLY
    assert verdict(False) == verdict(False, True) == FAILS


def worse_diffusion(figures):
    for run in figures["models"]["diffusion"]["runs"]:
        run.update(
            {"effective modes": 4.0, "near a mode": 0.3, "largest fall": 5.0, "distance": 0.9}
        )


@pytest.mark.parametrize(
    "adjective", ["stable training", "not prone to mode collapse", "diverse", "high quality, sharp"]
)
def test_a_bad_diffusion_model_would_be_called_bad(adjective):
    assert row(read, adjective).verdict != FAILS
    assert row(changed("background", worse_diffusion), adjective).verdict == FAILS


def test_no_collapse_holds_alone_only_if_all_settings_count_and_a_vae_collapses():
    name = "not prone to mode collapse"

    def only_diffusion(figures):
        for runs in figures["models"]["diffusion"].values():
            for run in runs:
                run.update({"effective modes": 7.9, "near a mode": 0.9})
        next(iter(figures["models"]["VAE"].values()))[0]["effective modes"] = 3.0

    def and_few_that_count(figures):
        only_diffusion(figures)
        for runs in list(figures["models"]["diffusion"].values())[:3]:
            for run in runs:
                run["near a mode"] = 0.05

    assert row(changed("background-tuning", only_diffusion), name).verdict == HOLDS
    assert row(changed("background-tuning", and_few_that_count), name).verdict == PARTLY


@pytest.mark.parametrize(
    ("adjective", "section", "path"),
    [
        ("from text", "shapes", ("unseen_captions", "joint", "mean")),
        ("controllable latents", "editing", ("attributes", "colour", "inversion", "right")),
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
    def same(figures):
        figures["variants"]["factor 16"] = figures["variants"]["factor 8"]

    assert row(read, "limited detail").verdict != FAILS
    assert row(changed("ablation autoencoder", same), "limited detail").verdict == FAILS


def test_latents_that_save_nothing_would_not_be_called_efficient():
    def equal(figures):
        figures["latents"]["gflop_per_image"] = figures["pixels"]["gflop_per_image"]

    assert row(changed("pixels", equal), "greatly improved efficiency").verdict == FAILS


def test_more_pictures_that_help_would_make_the_need_for_data_hold():
    def hungry(figures):
        for run in figures["variants"]["1000 pictures"]["runs"]:
            run["captions"]["joint"] = 0.1

    name = "needs large-scale paired data"
    assert row(changed("ablation text-to-image", hungry), name).verdict == HOLDS


def test_one_step_that_suffices_would_not_be_slow():
    def quick(figures):
        for some in figures["samplers"]["dpmpp_2m"]:
            some["evaluations"] = 1

    assert row(changed("samplers", quick), "slow inference").verdict == FAILS
