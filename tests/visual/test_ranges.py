"""What the colours of several pictures have in common."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from visual.ranges import LOOKED_AT, Common, Smoothed, spread
from visual.results import Found


def test_a_film_begins_at_the_median_and_follows_slowly():
    largest = Smoothed([1.0, 9.0, 2.0])
    assert largest(8.0, 0.0) == 2.0
    assert 2.0 < (soon := largest(8.0, 0.04)) < 2.1
    assert largest(8.0, 0.04) == soon
    assert largest(8.0, 60.0) == pytest.approx(8.0, abs=0.01)


def test_where_nothing_was_looked_at_the_first_frame_counts():
    largest = Smoothed()
    assert largest(3.0, 0.0) == 3.0 and 3.0 < largest(4.0, 1.0) < 3.5


def test_images_are_looked_at_all_over_the_folder():
    paths = [Path(str(number)) for number in range(100)]
    assert spread(paths[:3]) == paths[:3]
    assert len(spread(paths)) == LOOKED_AT and spread(paths)[-1] == paths[93]


def test_what_is_large_is_not_kept(monkeypatch):
    monkeypatch.setattr("visual.ranges.MOST_KEPT", 100)
    common, found = Common(), Found(np.ones((4, 4), np.float32), True, None)
    for name in "ab":
        common.keep(Path(name), found)
    assert [*common.found] == [Path("a")]
