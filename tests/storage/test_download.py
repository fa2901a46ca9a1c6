"""A file arrives whole, whatever happens on the way."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import storage.download
from errors import UserError
from storage.download import NotOffered, download, part_path, remote_size
from storage.published import obtain
from tests.file_server import serve

DATA = bytes(range(256)) * 40


def test_a_file_arrives_whole_and_leaves_no_part(tmp_path):
    with serve({"a/x.bin": DATA}) as (base, _):
        download(f"{base}/a/x.bin", tmp_path / "sub" / "x.bin")
        assert remote_size(f"{base}/a/x.bin") == len(DATA)
    assert (tmp_path / "sub" / "x.bin").read_bytes() == DATA
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["x.bin"]


def test_of_two_that_want_a_file_one_fetches_it(tmp_path, monkeypatch):
    monkeypatch.setattr("storage.lock.RETRY", 0.001)
    fetch = storage.download._fetch
    monkeypatch.setattr("storage.download._fetch", lambda *options: (time.sleep(0.2), fetch(*options)))
    with serve({"x.bin": DATA}) as (base, faults), ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: download(f"{base}/x.bin", tmp_path / "x.bin"), range(4)))
    assert (tmp_path / "x.bin").read_bytes() == DATA
    assert [path.name for path in tmp_path.iterdir()] == ["x.bin"] and len(faults.asked) == 1


def test_a_folder_that_cannot_be_made_is_named_with_the_variable_that_names_it(monkeypatch):
    with pytest.raises(UserError, match="/proc/nothing: cannot be written .*; choose another folder"):
        download("http://localhost/x.bin", Path("/proc/nothing/x.bin"))
    monkeypatch.setenv("TORCH_HOME", "/proc/nothing")
    with pytest.raises(UserError, match="^/proc/nothing/hub/checkpoints: cannot be written .*; let the .* TORCH_HOME"):
        obtain("weights", "http://localhost/x-00000000.pth", fetch=True)


def test_an_interrupted_transfer_goes_on_where_it_stopped(tmp_path):
    with serve({"x.bin": DATA}) as (base, faults):
        faults.cut_after, faults.cuts = 1000, 3
        download(f"{base}/x.bin", tmp_path / "x.bin", pause=0.001)
    assert (tmp_path / "x.bin").read_bytes() == DATA
    assert [asked for _, _, asked in faults.asked] == ["", "bytes=1000-", "bytes=2000-", "bytes=3000-"]


def test_a_part_of_an_earlier_run_is_continued(tmp_path):
    part_path(tmp_path / "x.bin").write_bytes(DATA[:5000])
    with serve({"x.bin": DATA}) as (base, faults):
        download(f"{base}/x.bin", tmp_path / "x.bin")
    assert (tmp_path / "x.bin").read_bytes() == DATA
    assert faults.asked == [("GET", "x.bin", "bytes=5000-")]


def test_a_server_that_ignores_ranges_starts_the_file_anew(tmp_path):
    part_path(tmp_path / "x.bin").write_bytes(b"old" * 100)
    with serve({"x.bin": DATA}) as (base, faults):
        faults.ranges = False
        download(f"{base}/x.bin", tmp_path / "x.bin")
    assert (tmp_path / "x.bin").read_bytes() == DATA


def test_a_range_that_starts_elsewhere_is_not_appended(tmp_path):
    part_path(tmp_path / "x.bin").write_bytes(DATA[:5000])
    with serve({"x.bin": DATA}) as (base, faults):
        faults.wrong_start = True
        download(f"{base}/x.bin", tmp_path / "x.bin", pause=0.001)
    assert (tmp_path / "x.bin").read_bytes() == DATA


def test_a_part_that_is_complete_needs_no_more_bytes(tmp_path):
    part_path(tmp_path / "x.bin").write_bytes(DATA)
    with serve({"x.bin": DATA}) as (base, _):
        download(f"{base}/x.bin", tmp_path / "x.bin")
    assert (tmp_path / "x.bin").read_bytes() == DATA


def test_a_part_longer_than_the_file_is_thrown_away(tmp_path):
    part_path(tmp_path / "x.bin").write_bytes(DATA + b"more")
    with serve({"x.bin": DATA}) as (base, _):
        download(f"{base}/x.bin", tmp_path / "x.bin", pause=0.001)
    assert (tmp_path / "x.bin").read_bytes() == DATA


def test_a_transfer_that_always_breaks_ends_in_one_sentence_and_keeps_its_bytes(tmp_path):
    with serve({"x.bin": DATA}) as (base, faults):
        faults.cut_after, faults.cuts, faults.ranges = 1000, 99, False
        with pytest.raises(UserError, match=r"ended after 1000 of 10240 bytes.*1000 bytes are kept"):
            download(f"{base}/x.bin", tmp_path / "x.bin", attempts=3, pause=0.001)
    assert not (tmp_path / "x.bin").exists()
    assert part_path(tmp_path / "x.bin").stat().st_size == 1000
    assert len(faults.asked) == 3


def test_a_busy_server_is_asked_again(tmp_path):
    with serve({"x.bin": DATA}) as (base, faults):
        faults.busy = 2
        download(f"{base}/x.bin", tmp_path / "x.bin", pause=0.001)
        faults.busy = 2
        assert remote_size(f"{base}/x.bin", pause=0.001) == len(DATA)
    assert (tmp_path / "x.bin").read_bytes() == DATA


def test_a_missing_file_is_told_at_once(tmp_path):
    with serve({}) as (base, faults):
        with pytest.raises(NotOffered, match=r"y\.bin: the server answers 404"):
            download(f"{base}/y.bin", tmp_path / "y.bin", pause=60)
        with pytest.raises(NotOffered, match=r"y\.bin: the server answers 404"):
            remote_size(f"{base}/y.bin", pause=60)
    assert len(faults.asked) == 2
    assert not part_path(tmp_path / "y.bin").exists()


def test_no_connection_is_told_with_the_address(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/x.bin"
    for attempt in (
        lambda: download(address, tmp_path / "x.bin", attempts=2, pause=0.001),
        lambda: remote_size(address, attempts=2, pause=0.001),
    ):
        with pytest.raises(UserError, match=f"{address}: cannot be reached"):
            attempt()


def test_a_place_that_is_a_folder_is_told(tmp_path):
    part_path(tmp_path / "x.bin").mkdir()
    with serve({"x.bin": DATA}) as (base, _), pytest.raises(UserError, match="cannot write"):
        download(f"{base}/x.bin", tmp_path / "x.bin", attempts=1)
