"""Two courses as data, and what they cost: reading is estimated, running is measured.

    SIX_WEEKS   the whole book, about three hours a week
    TWO_DAYS    four half-days, for those who want to use it on Monday
    minutes     the estimate for one chapter: words, exercises, and the time that its cells run
    plan_table  a plan as Markdown

Costs come from chapters/costs.json, which ``tools/build_book.py --costs`` writes.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from book.ch00_start.book_map import CHAPTERS
from book.language import told_table

SPEED = 120  # words a minute: a text with formulas and code, read with care
EXERCISE = 5  # minutes for an exercise
CHAPTER_FILES = Path(__file__).parents[2]
UNKNOWN = "not measured yet"


class Session(NamedTuple):
    """A week or half a day: when, which chapters, and what one can do after it."""

    when: str
    chapters: tuple[str, ...]
    goal: str


SIX_WEEKS = (
    Session("week 1", ("00_start_here", "01_background", "02_core_concepts", "03_algorithm"),
            "say what the five steps are, and train them"),
    Session("week 2", ("04_1_mathematical_model", "04_2_derivations", "04_3_gaussian_case"),
            "derive the reverse step, and check it by hand"),
    Session("week 3", ("04_4_schedule_lab", "04_5_continuous_time", "05_0_one_page",
                       "05_1_autoencoder", "05_2_unet"),
            "choose a schedule, explain the latent and the network"),
    Session("week 4", ("05_3_training", "05_4_sampling", "05_6_gpu"),
            "read a loss curve, choose a sampler, plan a training"),
    Session("week 5", ("05_5_text_to_image", "06_applications", "07_tools",
                       "07_6_stable_diffusion"),
            "draw from text, edit pictures, use diffusers, run real weights"),
    Session("week 6", ("08_outlook", "09_faq", "09_1_bug_museum"),
            "judge newer ideas, and find bugs by their symptoms"),
)  # fmt: skip

TWO_DAYS = (
    Session("day 1, morning", ("00_start_here", "02_core_concepts", "03_algorithm"),
            "see it work, and train the five steps"),
    Session("day 1, afternoon", ("04_1_mathematical_model", "04_2_derivations",
                                 "05_1_autoencoder"),
            "know what each formula computes, and what a latent is"),
    Session("day 2, morning", ("05_2_unet", "05_4_sampling"),
            "explain the network, and choose a sampler"),
    Session("day 2, afternoon", ("05_5_text_to_image", "06_applications", "09_1_bug_museum"),
            "from words to pixels; edit; find bugs"),
)  # fmt: skip


def read_costs(folder: Path = CHAPTER_FILES) -> dict[str, dict]:
    """Chapter -> {"seconds", "peak_gb", "threads"}, as measured; empty without the file."""
    path = folder / "costs.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def read_words(folder: Path = CHAPTER_FILES) -> dict[str, int]:
    """Chapter -> words of its text, without code, in the notebooks that are there."""
    found = {}
    for stem in CHAPTERS:
        path = folder / f"{stem}.ipynb"
        if path.is_file():
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            texts = ["".join(c["source"]) for c in cells if c["cell_type"] == "markdown"]
            found[stem] = sum(len(text.split()) for text in texts)
    return found


def read_exercises() -> dict[str, int]:
    """Chapter -> its number of exercises, from the registry that ``check`` uses."""
    from book.exercises import registry

    stems = {chapter.number: stem for stem, chapter in CHAPTERS.items()}
    found = dict.fromkeys(CHAPTERS, 0)
    for id in registry():
        found[stems[re.sub(r"-\d+$", "", id)]] += 1
    return found


def minutes(stem: str, words: Mapping, exercises: Mapping, costs: Mapping) -> float:
    """words / SPEED + EXERCISE · exercises + seconds / 60; what is not known counts as 0."""
    seconds = costs.get(stem, {}).get("seconds", 0.0)
    return words.get(stem, 0) / SPEED + EXERCISE * exercises.get(stem, 0) + seconds / 60


def hours(plan: Iterable[Session], words: Mapping, exercises: Mapping, costs: Mapping) -> float:
    """The estimate for a whole plan."""
    stems = [stem for session in plan for stem in session.chapters]
    return sum(minutes(stem, words, exercises, costs) for stem in stems) / 60


def plan_table(
    plan: Iterable[Session], words: Mapping, exercises: Mapping, costs: Mapping
) -> str:  # fmt: skip
    """One row per session and one for all: chapters, goal, exercises, running time, estimate.

    In the reader's language.
    """
    columns = ("when", "chapters", "after it you can", "exercises", "cells run, measured",
               "in all, estimated")  # fmt: skip
    rows, everything = [], []

    def row(when: str, stems: list[str], read: str, goal: str) -> str:
        time = in_words(stems, lambda stem: costs.get(stem, {}).get("seconds"))
        count = sum(exercises.get(stem, 0) for stem in stems)
        total = sum(minutes(stem, words, exercises, costs) for stem in stems)
        known = about(total)
        least = known if all(stem in words for stem in stems) else f"more than {known}"
        return f"| {when} | {read} | {goal} | {count} | {time} | {least} |"

    for session in plan:
        everything += session.chapters
        links = ", ".join(CHAPTERS[stem].link for stem in session.chapters)
        rows.append(row(session.when, session.chapters, links, session.goal))
    rows.append(row("**in all**", everything, f"{len(everything)} chapters", ""))
    head = f"| {' | '.join(columns)} |"
    return told_table("\n".join([head, "|---|---|---|---|---|---|", *rows]))


def in_words(stems: Iterable[str], seconds: Callable[[str], float | None]) -> str:
    """ "95 s", "95 s, and 2 not measured yet", or "not measured yet"."""
    known = [seconds(stem) for stem in stems]
    measured = [value for value in known if value is not None]
    missing = len(known) - len(measured)
    if not measured:
        return UNKNOWN
    seconds = f"{sum(measured):.0f}"
    return f"{seconds} s, and {missing} not measured yet" if missing else f"{seconds} s"


def about(total: float) -> str:
    """Minutes, rounded as an estimate deserves: "45 min", "2 h 30 min"."""
    total = 5 * round(total / 5)
    if total < 60:
        return f"{total} min"
    return f"{total // 60} h" + (f" {total % 60} min" if total % 60 else "")
