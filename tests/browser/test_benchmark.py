"""The benchmark of the schedule explorer finds its slider, and its pictures."""

import math

import pytest
from in_browser import CHROMIUM

from benchmarks import widgets
from book.ch04_4_schedule_lab.widget import ScheduleExplorer


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_pictures_are_counted_while_a_slider_is_dragged():
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found, note = widgets.in_browser(ScheduleExplorer())
    assert note == ""
    assert len(found["seconds"]) == widgets.MOVES
    assert len(found["latencies"]) >= 0.9 * widgets.MOVES  # two moves may share a frame
    assert all(0 < each < math.inf for each in found["seconds"])
    assert "frames/s" in {row.unit for row in widgets.rows({"seconds": {}, "browser": found})}
