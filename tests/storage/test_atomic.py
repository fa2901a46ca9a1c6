"""Whether files fit on a disk is asked before they are written."""

from __future__ import annotations

import shutil

import pytest

from errors import UserError
from storage.atomic import require_room


@pytest.fixture(autouse=True)
def disk(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two GB are free wherever it is asked; gives where that is."""
    asked: list[str] = []
    usage = shutil._ntuple_diskusage(10**10, 8 * 10**9, 2 * 10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: asked.append(str(place)) or usage)
    return asked


def test_what_fits_is_told_and_what_does_not_is_refused(tmp_path):
    words = "3 maps need about {needed}, {free} are free; make room"
    assert require_room(tmp_path, 2 * 10**9, words) == "about 2.0 GB, 2.0 GB are free"
    with pytest.raises(UserError) as refused:
        require_room(tmp_path, 2.5e9, words)
    assert str(refused.value) == f"{tmp_path}: 3 maps need about 2.5 GB, 2.0 GB are free; make room"
    with pytest.raises(UserError, match=r": 3\.0 GiB to unpack, 1\.9 GiB free$"):
        require_room(tmp_path, 3 << 30, "{needed} to unpack, {free} free", "GiB")


def test_a_folder_that_is_missing_is_looked_for_where_it_will_be(tmp_path, disk):
    place = tmp_path / "{braces}"
    with pytest.raises(UserError, match=r"\{braces\}/of/a/cache: full"):
        require_room(place / "of/a/cache", 1e10, "full")
    place.mkdir()
    require_room(place, 0, "")
    assert disk == [str(tmp_path), str(place)]
