"""What the code points of an emoji say of it, and its name as a caption.

    spell    code points -> group, role, gender, skin tones
    caption  "woman_firefighter_dark_skin_tone" -> "woman firefighter, dark skin tone"

Unicode composes people: U+1F469 (woman), U+1F3FF (dark skin), U+200D (joined with), U+1F692 (fire
engine) is a woman firefighter with dark skin. Who somebody is can so be read off without a guess,
and for each role, gender and skin tone there is exactly one right drawing.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

TONES = {
    "1F3FB": "light", "1F3FC": "medium-light", "1F3FD": "medium", "1F3FE": "medium-dark",
    "1F3FF": "dark",
}  # fmt: skip
GENDERS = {"1F468": "man", "1F469": "woman", "1F9D1": "person"}  # the first of a sequence
SIGNS = {"2642": "man", "2640": "woman"}  # joined to a role that has no gender
PERSON, JOINER, KEYCAP = "1F9D1", "200D", "20E3"
PICTURE_STYLE = "FE0F"  # asks for a picture instead of text; says nothing of what is in it
RIGHTWARDS = "27A1"  # joined: the same, facing right
CHILDREN = ("1F466", "1F467", "1F9D2")
PAIRS = ("1F46A", "1F46B", "1F46C", "1F46D", "1F48F", "1F491")  # several people in one code point
HAIR = ("1F9B0", "1F9B1", "1F9B2", "1F9B3")
FLAG_LETTERS = range(0x1F1E6, 0x1F200)
FLAG_END = "E007F"  # of the flags of England, Scotland and Wales
MISSPELT = {"’": "'", "“": '"', "”": '"', "&": " and ", "_": " "}
TONE = re.compile(rf",? *\b({'|'.join(sorted(TONES.values(), key=len, reverse=True))}) skin tone")


class Spelling(NamedTuple):
    """What a sequence of code points says.

    group     "person": one person (or two of a kind) in a role that has a woman, a man and a
              person; "people": several; "toned": what else has skin tones, hands above all;
              "flag", "keycap", "part": a skin tone or hair by itself; "thing": all others
    role      of a person: the code points that are left without gender, tone and direction
    gender    of a person: "woman", "man" or "person"
    tones     the skin tones, in the order of the people; () is yellow, as drawn without any
    mirrored  whether it is asked to face right
    """

    group: str
    role: str = ""
    gender: str = ""
    tones: tuple[str, ...] = ()
    mirrored: bool = False


def spell(codes: Sequence[str]) -> list[Spelling]:
    """What each of the sequences says, such as "1F469-1F3FF-200D-1F692".

    Whether "1F3C3" (running) is a person, nobody can see from it alone: it is one if the others
    hold it with a sign of gender too.
    """
    taken = [_apart(code) for code in codes]
    gendered = {role for role, gender, _ in taken if gender}
    return [_spelling(code, *parts, gendered) for code, parts in zip(codes, taken, strict=True)]


def _apart(code: str) -> tuple[str, str, bool]:
    """(role, gender, mirrored) of a sequence; a role of one person, or of what is no person."""
    parts = [p for p in points(code) if p not in TONES]
    joined = "-".join(parts)
    mirrored = joined.endswith(f"-{JOINER}-{RIGHTWARDS}")
    if mirrored:
        parts = parts[:-2]
    if parts and parts[0] in GENDERS:
        return "-".join([PERSON, *parts[1:]]), GENDERS[parts[0]], mirrored
    if len(parts) > 2 and parts[-2] == JOINER and parts[-1] in SIGNS:
        return "-".join(parts[:-2]), SIGNS[parts[-1]], mirrored
    return "-".join(parts), "", mirrored


def _spelling(code: str, role: str, gender: str, mirrored: bool, gendered: set[str]) -> Spelling:
    parts = points(code)
    tones = tuple(TONES[p] for p in parts if p in TONES)
    if len(parts) == 1 and parts[0] in {*TONES, *HAIR}:
        return Spelling("part")
    if parts[-1] == FLAG_END or all(int(p, 16) in FLAG_LETTERS for p in parts):
        return Spelling("flag")
    if parts[-1] == KEYCAP:
        return Spelling("keycap")
    several = sum(p in {*GENDERS, *CHILDREN} for p in parts) > 1 or parts[0] in PAIRS
    if several or len(tones) > 1:
        return Spelling("people", tones=tones)
    if role in gendered:
        return Spelling("person", role, gender or "person", tones, mirrored)
    return Spelling("toned" if tones else "thing", tones=tones, mirrored=mirrored)


def points(code: str) -> list[str]:
    """The code points of a sequence, without those that say nothing of what is drawn."""
    return [part for part in code.split("-") if part != PICTURE_STYLE]


def characters(code: str) -> str:
    """The sequence as text, without what says nothing of what is drawn."""
    return "".join(chr(int(part, 16)) for part in points(code))


def caption(code: str, name: str) -> str:
    """A name of an emoji as people would type it: lower case, plain letters, a comma before a tone.

    Flags are called "flag of ..": without it, turkey would be two drawings. "#" and "*" are words.
    """
    text = unicodedata.normalize("NFKD", name.strip(":"))
    text = "".join(letter for letter in text if not unicodedata.combining(letter))
    for written, meant in MISSPELT.items():
        text = text.replace(written, meant)
    text = text.lower().replace("keycap #", "keycap hash").replace("keycap *", "keycap asterisk")
    text = TONE.sub(r", \1 skin tone", text).replace("skin tone ", "skin tone, ")
    text = " ".join(text.split()).removeprefix(", ")
    if spell([code])[0].group == "flag":
        text = f"flag of {text.removeprefix('flag for ')}"
    return text
