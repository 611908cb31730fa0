"""The map of the book as data: its chapters, what each needs, and what to read for which goal.

    CHAPTERS     every chapter: file, title, purpose, the chapters that it builds on
    GOALS        what a reader may want, and the chapters for it
    before       all that should be read before some chapters, in the order of the book
    direct       the needs that are not implied by other needs: the arrows of the picture
    in_words     these arrows as sentences
    levels       how many chapters stand, one on the other, below each
    chapter_table, goal_table    both as Markdown, with links

Tests compare all this with the chapters: titles, prerequisites, and the tables of chapter 0.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Chapter(NamedTuple):
    """One chapter: ``stem`` of its files, title as on its page, and what it builds on.

    ``needs``: stems of chapters, without chapter 0, which everybody has read who sees the map.
    """

    stem: str
    title: str
    purpose: str
    needs: tuple[str, ...] = ()

    @property
    def number(self) -> str:
        """4.3 of "4.3 The Gaussian case: a diffusion model with nothing hidden"."""
        return self.title.split(" ", 1)[0]

    @property
    def name(self) -> str:
        """The Gaussian case: the title without number, up to the first colon or comma."""
        return re.split("[:,]", self.title.split(" ", 1)[1])[0]

    @property
    def link(self) -> str:
        """A Markdown link that works beside the notebook, in JupyterLab and on the web."""
        return f"[{self.number} {self.name}]({self.stem}.ipynb)"


_LIST = (
    Chapter(
        "00_start_here",
        "0 Start here: a first picture, and a map of the book",
        "draw a picture, find your way, check your machine",
    ),
    Chapter(
        "01_background",
        "1 Background: the relatives of latent diffusion, measured",
        "VAE, GAN and diffusion on the same data, with numbers in place of adjectives",
    ),
    Chapter(
        "02_core_concepts",
        "2 Core concepts: five ideas, each in your hands",
        "touch the five ideas with the trained model, before any formula",
    ),
    Chapter(
        "03_algorithm",
        "3 The algorithm: five steps, from real digits to new ones",
        "train all parts on handwritten digits in a minute",
    ),
    Chapter(
        "04_1_mathematical_model",
        "4.1 The mathematical model: three parts, eleven equations",
        "what each formula computes, and what it leaves out",
        ("03_algorithm",),
    ),
    Chapter(
        "04_2_derivations",
        "4.2 Derivations: every step, checked as we go",
        "posterior, bound, samplers and guidance, derived",
        ("04_1_mathematical_model",),
    ),
    Chapter(
        "04_3_gaussian_case",
        "4.3 The Gaussian case: a diffusion model with nothing hidden",
        "a case in which every number can be checked by hand",
    ),
    Chapter(
        "04_4_schedule_lab",
        "4.4 The schedule lab: drag a schedule, see what breaks",
        "noise schedules with sliders and gauges",
        ("04_1_mathematical_model",),
    ),
    Chapter(
        "05_1_autoencoder",
        "5.1 The autoencoder: what a latent is, and what it costs",
        "what a latent keeps, loses and saves",
        ("03_algorithm", "04_1_mathematical_model"),
    ),
    Chapter(
        "05_2_unet",
        "5.2 The network: a UNet, block by block",
        "the network, opened and taken apart",
        ("03_algorithm",),
    ),
    Chapter(
        "05_3_training",
        "5.3 Training: what the loss says, and what it hides",
        "train, and tell a bug from slow training",
        ("04_2_derivations", "05_2_unet"),
    ),
    Chapter(
        "05_4_sampling",
        "5.4 Sampling: many ways down the same hill",
        "choose a sampler and a number of steps",
        ("03_algorithm", "04_1_mathematical_model"),
    ),
    Chapter(
        "05_5_text_to_image",
        "5.5 Text to image: how words reach pixels",
        "from words to pixels: attention, guidance, judgement",
        ("04_2_derivations", "05_2_unet", "05_4_sampling"),
    ),
    Chapter(
        "05_6_gpu",
        "5.6 The same training on a GPU",
        "precision, memory, several GPUs, going on after a stop",
        ("03_algorithm",),
    ),
    Chapter(
        "06_applications",
        "6 Applications: one trained model, many uses",
        "fill in, vary, tile, blend and edit pictures",
        ("03_algorithm",),
    ),
    Chapter(
        "07_tools",
        "7 Tools: our sampler beside diffusers, a dictionary, and where to go next",
        "diffusers beside our code, and what each tool is best for",
        ("04_3_gaussian_case", "05_4_sampling"),
    ),
    Chapter(
        "08_outlook",
        "8 Outlook: what came after, each as an experiment",
        "newer ideas, each as a small experiment",
        ("04_1_mathematical_model", "04_2_derivations", "04_3_gaussian_case", "05_4_sampling"),
    ),
    Chapter(
        "09_faq",
        "9 Questions that people ask, each answered by running something",
        "questions from forums and issue trackers; each answer is an experiment",
    ),
    Chapter(
        "09_1_bug_museum",
        "9.1 The bug museum",
        "classic mistakes: the symptom, and the test that finds it",
        ("05_4_sampling",),
    ),
)
CHAPTERS: Mapping[str, Chapter] = {chapter.stem: chapter for chapter in _LIST}

GOALS: Mapping[str, tuple[str, ...]] = {
    "see what it can do, and play": ("02_core_concepts", "06_applications"),
    "understand the whole idea in one evening": ("03_algorithm",),
    "understand every formula": ("04_2_derivations", "04_3_gaussian_case", "04_4_schedule_lab"),
    "build and train one yourself": ("05_1_autoencoder", "05_3_training", "05_5_text_to_image"),
    "train on a GPU": ("05_6_gpu",),
    "choose a sampler, and use the tools of the field": ("05_4_sampling", "07_tools"),
    "find out why your own model fails": ("09_1_bug_museum", "09_faq"),
    "see where it comes from, and where it goes": ("01_background", "08_outlook"),
}


def before(stems: Iterable[str]) -> list[str]:
    """All chapters that ``stems`` build on, without themselves, in the order of the book.

    Raises ValueError for a stem that is no chapter.
    """
    stems = list(stems)
    for stem in stems:
        if stem not in CHAPTERS:
            raise ValueError(f"no chapter {stem!r}; there are {', '.join(CHAPTERS)}")
    found, waiting = set(), list(stems)
    while waiting:
        fresh = [need for need in CHAPTERS[waiting.pop()].needs if need not in found]
        found.update(fresh)
        waiting += fresh
    return [stem for stem in CHAPTERS if stem in found and stem not in stems]


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


def links(stems: Iterable[str]) -> str:
    """Markdown links, separated by commas."""
    return ", ".join(CHAPTERS[stem].link for stem in stems)


def chapter_table() -> str:
    """One row per chapter after this one: its link and its purpose."""
    rows = [f"| {c.link} | {c.purpose} |" for c in CHAPTERS.values() if c.stem != "00_start_here"]
    return "\n".join(["| chapter | what it is for |", "|---|---|", *rows])


def goal_table() -> str:
    """One row per goal: the chapters to read, and the numbers of those to read before."""
    rows = []
    for goal, stems in GOALS.items():
        first = ", ".join(CHAPTERS[stem].number for stem in before(stems)) or "–"
        rows.append(f"| {goal} | {links(stems)} | {first} |")
    return "\n".join(["| you want to | read | before that |", "|---|---|---|", *rows])
