"""The timeline of chapter 1: its dates are those of the arXiv numbers, and its sources exist."""

import re
from datetime import date, timedelta
from pathlib import Path

import pytest
from citations import read_bibliography

from book.ch01_background.timeline import STRANDS, TIMELINE, Work

ROOT = Path(__file__).resolve().parents[2]
ENTRIES = read_bibliography(ROOT / "chapters" / "references.bib")


def month_of(arxiv: str) -> tuple[int, int]:
    """(year, month) in an arXiv number "YYMM.NNNNN", the form in use since April 2007."""
    front, _ = re.fullmatch(r"(\d{4})\.(\d{4,5})", arxiv).groups()
    return 2000 + int(front[:2]), int(front[2:])


@pytest.mark.parametrize("work", [w for w in TIMELINE if w.arxiv], ids=lambda w: w.name)
def test_month_and_number_agree(work: Work):
    """A number is given when a paper is announced, up to a weekend after it was sent: CLIP's
    2103.00020 was submitted on 26 February."""
    assigned = date(*month_of(work.arxiv), 1)
    sent = {(assigned - timedelta(days=3)).timetuple()[:2], assigned.timetuple()[:2]}
    assert (work.year, work.month) in sent
    if work.name != "CLIP":
        assert (work.year, work.month) == month_of(work.arxiv)


@pytest.mark.parametrize("work", TIMELINE, ids=lambda w: w.name)
def test_every_work_has_its_source(work: Work):
    entry = ENTRIES[work.key]
    if work.arxiv:
        assert entry["eprint"] == work.arxiv
    else:
        assert entry["url"].startswith("https://")
    assert work.year <= int(entry["year"]) <= work.year + 2
    assert work.kind in STRANDS


def test_works_stand_in_the_order_of_time():
    dates = [(w.year, w.month) for w in TIMELINE]
    assert dates == sorted(dates)
    assert len({w.key for w in TIMELINE}) == len(TIMELINE)
