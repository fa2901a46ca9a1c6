"""Published lists arrive unchanged in their places, or not at all."""

import argparse
import dataclasses
import hashlib
import re
from pathlib import Path

import pytest

from dataloader.prepare import splits
from dataloader.prepare.split_table import EXTRA, LISTS, normalised
from errors import UserError
from tests.file_server import serve

TEXT = b"2011_09_26/2011_09_26_drive_0001_sync 5 l\n2011_09_26/2011_09_26_drive_0001_sync 6 r\n"


@pytest.fixture
def two_line_lists(monkeypatch):
    """The table with every list replaced by the same two lines."""
    small = tuple(dataclasses.replace(entry, items=2, sha256=hashlib.sha256(TEXT).hexdigest()) for entry in LISTS)
    monkeypatch.setattr(splits, "LISTS", small)
    return small


def arguments(*words: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    splits.add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


def offer(monkeypatch, base: str) -> None:
    moved = tuple(dataclasses.replace(entry, url=f"{base}/{entry.name}") for entry in splits.LISTS)
    monkeypatch.setattr(splits, "LISTS", moved)


def test_the_table_is_sound():
    assert len({entry.name for entry in LISTS}) == len(LISTS)
    targets = [path for entry in LISTS for path in entry.targets]
    assert len(set(targets)) == len(targets)
    for entry in LISTS:
        assert re.fullmatch(r"[0-9a-f]{64}", entry.sha256)
        assert entry.items > 0
        assert entry.url.startswith("https://raw.githubusercontent.com/") or entry.targets[0].startswith(EXTRA)
    assert {entry.name: entry.items for entry in LISTS}["eigen_zhou/train_files.txt"] == 39810


def test_every_split_of_the_layout_gets_train_validation_and_test_lists():
    chosen = {path for targets in splits.select([]).values() for path in targets}
    assert {path.split("/")[0] for path in chosen} == {f"kitti_{name}_split" for name in splits.SPLITS}
    for name in splits.SPLITS:
        parts = {path.split("/")[1] for path in chosen if path.startswith(f"kitti_{name}_split")}
        without_test = {"benchmark"}  # its published test list names images of the benchmark, not frames of drives
        assert parts == {"train_files.txt", "val_files.txt"} | (set() if name in without_test else {"test_files.txt"})


def test_line_ends_and_final_newlines_do_not_change_the_checksum():
    for text in (TEXT, TEXT.replace(b"\n", b"\r\n"), TEXT.rstrip(b"\n"), TEXT + b"\n\n", b"\xef\xbb\xbf" + TEXT):
        assert normalised(text) == TEXT


def test_lists_are_fetched_checked_and_put_where_the_loaders_look(tmp_path, two_line_lists, monkeypatch, capsys):
    with serve({entry.name: TEXT.replace(b"\n", b"\r\n") for entry in two_line_lists}) as (base, faults):
        offer(monkeypatch, base)
        assert splits.run(arguments("--out", tmp_path, "zhou")) == 0
        assert len(faults.asked) == 3
        assert splits.run(arguments("--out", tmp_path, "zhou")) == 0  # nothing is fetched twice
        assert len(faults.asked) == 3
    written = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert written == [f"kitti_zhou_split/{part}_files.txt" for part in ("test", "train", "val")]
    assert (tmp_path / written[0]).read_bytes() == TEXT
    assert capsys.readouterr().out.count("already there") == 3


def test_one_list_can_serve_two_splits_and_is_fetched_once(tmp_path, two_line_lists, monkeypatch):
    with serve({entry.name: TEXT for entry in two_line_lists}) as (base, faults):
        offer(monkeypatch, base)
        splits.run(arguments("--out", tmp_path))
    assert len(faults.asked) == 11
    assert (tmp_path / "kitti_eigen_split" / "test_files.txt").read_bytes() == TEXT
    assert (tmp_path / "kitti_odom10_split" / "train_files.txt").read_bytes() == TEXT


def test_another_text_than_the_published_one_is_refused(tmp_path, two_line_lists, monkeypatch):
    with serve({entry.name: TEXT + b"one line more\n" for entry in two_line_lists}) as (base, _):
        offer(monkeypatch, base)
        with pytest.raises(
            UserError, match=r"eigen_zhou/train_files.txt from .*: 3 items .*, expected 2 with [0-9a-f]+"
        ):
            splits.run(arguments("--out", tmp_path, "zhou"))
    assert not list(tmp_path.rglob("*.txt"))


def test_no_address_and_no_connection_say_where_to_put_the_file(tmp_path, two_line_lists, monkeypatch):
    with serve({}) as (base, _):
        offer(monkeypatch, base)
        with pytest.raises(
            UserError, match=r"answers 404.*save it by hand as .*kitti_zhou_split/train_files.txt.*--from"
        ):
            splits.run(arguments("--out", tmp_path, "zhou"))
    monkeypatch.setattr(splits, "LISTS", two_line_lists)
    with pytest.raises(UserError, match=r"no public address is known; save it by hand as .*split_lists/lapdepth"):
        splits.run(arguments("--out", tmp_path, "eigen_test_files_with_gt_dense.txt"))


def test_files_at_hand_are_found_by_name_and_content(tmp_path, two_line_lists):
    hand = tmp_path / "hand"
    for place, text in (
        ("a/train_files.txt", b"other\n"),
        ("b/c/train_files.txt", TEXT),
        ("val_files.txt", TEXT),
        ("eigen/test_files.txt", TEXT.rstrip(b"\n")),
    ):
        (hand / place).parent.mkdir(parents=True, exist_ok=True)
        (hand / place).write_bytes(text)
    assert splits.run(arguments("--out", tmp_path / "data", "--from", hand, "zhou")) == 0
    for part in ("train", "val", "test"):
        assert (tmp_path / "data" / "kitti_zhou_split" / f"{part}_files.txt").read_bytes() == TEXT


def test_files_at_hand_that_do_not_fit_are_named(tmp_path, two_line_lists):
    hand = tmp_path / "hand" / "eigen_zhou"
    hand.mkdir(parents=True)
    with pytest.raises(UserError, match=r"0 files named train_files.txt, none of them the published eigen_zhou/train"):
        splits.run(arguments("--out", tmp_path, "--from", hand, "zhou"))
    (hand / "train_files.txt").write_bytes(b"short\n")
    with pytest.raises(UserError, match=r"eigen_zhou/train_files.txt from .*: 1 items with sha256 .*, expected 2"):
        splits.run(arguments("--out", tmp_path, "--from", tmp_path / "hand", "zhou"))
    with pytest.raises(UserError, match="no such folder"):
        splits.run(arguments("--out", tmp_path, "--from", tmp_path / "none", "zhou"))


def test_an_own_list_is_kept_unless_told_otherwise(tmp_path, two_line_lists, monkeypatch):
    own = tmp_path / "kitti_zhou_split" / "train_files.txt"
    own.parent.mkdir()
    own.write_text("mine 1 l\n")
    with serve({entry.name: TEXT for entry in two_line_lists}) as (base, faults):
        offer(monkeypatch, base)
        with pytest.raises(UserError, match="holds 1 items and is not the published.*--overwrite"):
            splits.run(arguments("--out", tmp_path, "zhou"))
        assert faults.asked == []
        assert own.read_text() == "mine 1 l\n"
        splits.run(arguments("--out", tmp_path, "--overwrite", "zhou"))
    assert own.read_bytes() == TEXT


def test_names_are_splits_projects_or_lists():
    assert [entry.name for entry in splits.select(["static_frames.txt"])] == ["static_frames.txt"]
    assert len(splits.select(["bts"])) == 5
    assert list(splits.select(["eigen/test_files.txt"]).values()) == [
        ["kitti_zhou_split/test_files.txt", "kitti_eigen_split/test_files.txt"]
    ]
    with pytest.raises(UserError, match=r"zhuo: neither a split nor a published list \(closest: zhou"):
        splits.select(["zhuo"])
    with pytest.raises(UserError, match="test_files.txt: neither"):  # many lists are called that
        splits.select(["test_files.txt"])


def test_the_split_without_a_published_list_is_explained():
    with pytest.raises(
        UserError, match="kitti: SGDepth's own split has no published text list; copy kitti_kitti_split"
    ):
        splits.select(["kitti"])


def test_a_place_that_cannot_be_written_is_told(tmp_path, two_line_lists, monkeypatch):
    (tmp_path / "kitti_zhou_split").write_text("a file where a folder belongs")
    with serve({entry.name: TEXT for entry in two_line_lists}) as (base, _):
        offer(monkeypatch, base)
        with pytest.raises(UserError, match="cannot write"):
            splits.run(arguments("--out", tmp_path, "zhou"))


def test_the_archive_of_tables_is_read_as_bytes(tmp_path, monkeypatch):
    entry = next(entry for entry in LISTS if entry.binary)
    data = b"\x93NUMPY\r\nbinary"
    entry = dataclasses.replace(entry, sha256=hashlib.sha256(data).hexdigest())
    monkeypatch.setattr(splits, "LISTS", (entry,))
    (tmp_path / Path(entry.name).name).write_bytes(data)
    splits.run(arguments("--out", tmp_path, "--from", tmp_path, entry.name))
    assert (tmp_path / entry.targets[0]).read_bytes() == data
