"""The map of the book as data: its chapters, and what each needs.

    CHAPTERS   every chapter: its files, its title, the chapters that it builds on
    before     all that should be read before some chapters, in the order of the book
    direct     the needs that are not implied by other needs: the arrows of the picture
    in_words   these arrows as sentences
    levels     how many chapters stand, one on the other, below each

Tests compare all this with the chapters: titles, prerequisites, and the tables of chapter 0.
"""

from collections.abc import Iterable
from typing import NamedTuple


class Chapter(NamedTuple):
    """``stem`` of its files; number and title, to its first colon or comma; the stems of ``needs``.

    Chapter 0 is no need: everybody has read it who sees the map.
    """

    stem: str
    number: str
    name: str
    needs: tuple[str, ...] = ()

    @property
    def link(self) -> str:
        """A Markdown link that works beside the notebook, in JupyterLab and on the web."""
        return f"[{self.number} {self.name}]({self.stem}.ipynb)"


CHAPTERS = {
    stem: Chapter(stem, *title.split(" ", 1), tuple(needs))
    for stem, title, *needs in (
        ("00_start_here", "0 Start here"),
        ("01_background", "1 Background"),
        ("02_core_concepts", "2 Core concepts"),
        ("03_algorithm", "3 The algorithm"),
        ("04_1_mathematical_model", "4.1 The mathematical model", "03_algorithm"),
        ("04_2_derivations", "4.2 Derivations", "04_1_mathematical_model"),
        ("04_3_gaussian_case", "4.3 The Gaussian case"),
        ("04_4_schedule_lab", "4.4 The schedule lab", "04_1_mathematical_model"),
        ("04_5_continuous_time", "4.5 Continuous time", "04_2_derivations"),
        ("05_0_one_page", "5.0 One page", "03_algorithm"),
        ("05_1_autoencoder", "5.1 The autoencoder", "03_algorithm", "04_1_mathematical_model"),
        ("05_2_unet", "5.2 The network", "03_algorithm"),
        ("05_3_training", "5.3 Training", "04_2_derivations", "05_2_unet"),
        ("05_4_sampling", "5.4 Sampling", "03_algorithm", "04_1_mathematical_model"),
        ("05_5_text_to_image", "5.5 Text to image",
         "04_2_derivations", "05_2_unet", "05_4_sampling"),
        ("05_6_gpu", "5.6 The same training on a GPU", "03_algorithm"),
        ("06_applications", "6 Applications", "03_algorithm"),
        ("07_tools", "7 Tools", "04_3_gaussian_case", "05_4_sampling"),
        ("07_6_stable_diffusion", "7.6 Stable Diffusion",
         "04_2_derivations", "05_2_unet", "05_4_sampling"),
        ("08_outlook", "8 Outlook",
         "04_1_mathematical_model", "04_2_derivations", "04_3_gaussian_case", "05_4_sampling"),
        ("09_faq", "9 Questions that people ask"),
        ("09_1_bug_museum", "9.1 The bug museum", "05_4_sampling"),
    )
}  # fmt: skip


def before(stems: Iterable[str]) -> list[str]:
    """All chapters that ``stems`` build on, without themselves, in the order of the book."""
    needed, waiting = set(), list(stems)
    while waiting:
        fresh = set(CHAPTERS[waiting.pop()].needs) - needed
        needed |= fresh
        waiting += fresh
    return [stem for stem in CHAPTERS if stem in needed - set(stems)]


def direct(stem: str) -> tuple[str, ...]:
    """The needs of a chapter that none of its other needs already builds on."""
    needs = CHAPTERS[stem].needs
    return tuple(need for need in needs if all(need not in before([n]) for n in needs))


def levels() -> dict[str, int]:
    """Chapter -> length of the longest chain of needs below it; 0 for one that needs nothing."""
    found: dict[str, int] = {}
    for stem, chapter in CHAPTERS.items():  # in the order of the book, needs come first
        found[stem] = 1 + max((found[need] for need in chapter.needs), default=-1)
    return found


def in_words() -> str:
    """The arrows of the picture as sentences, for those who cannot see it."""
    needy = [stem for stem in CHAPTERS if direct(stem)]
    number = {stem: chapter.number for stem, chapter in CHAPTERS.items()}
    said = [f"{number[s]} builds on {' and '.join(number[n] for n in direct(s))}" for s in needy]
    free = ", ".join(number[stem] for stem in CHAPTERS if stem not in needy)
    return f"{len(CHAPTERS)} chapters, with arrows: {'; '.join(said)}. Nothing before {free}."
