"""Drives are fetched, checked and unpacked, whatever the server and its archives do."""

import argparse
import functools
import io
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from dataloader.prepare import archives, kitti
from errors import UserError
from tests.file_server import serve

DATE = "2011_09_26"
FRAMES = 3


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 16, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def drive_files(number: str) -> dict[str, bytes]:
    """Members of one drive's archive."""
    top = f"{DATE}/{DATE}_drive_{number}_sync"
    files = {f"{top}/oxts/dataformat.txt": b"lat lon\n"}
    for part, suffix in (
        ("image_00", "png"),
        ("image_02", "png"),
        ("image_03", "png"),
        ("velodyne_points", "bin"),
        ("oxts", "txt"),
    ):
        files[f"{top}/{part}/timestamps.txt"] = b"2011-09-26 13:02:25.9\n" * FRAMES
        for frame in range(FRAMES):
            content = png(frame) if suffix == "png" else f"{part} {number} {frame}".encode()
            files[f"{top}/{part}/data/{frame:010d}.{suffix}"] = content
    return files


def zipped(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def offered(*numbers: str) -> dict[str, bytes]:
    """What the server of the data set would hold for some drives."""
    calibration = {f"{DATE}/{name}": b"calib_time: 1\n" for name in archives.CALIBRATION}
    drives = {
        f"{DATE}_drive_{number}/{DATE}_drive_{number}_sync.zip": zipped(drive_files(number)) for number in numbers
    }
    return {f"{DATE}_calib.zip": zipped(calibration), **drives}


def get(base: str, out: Path, *words: object) -> int:
    parser = argparse.ArgumentParser()
    kitti.add_arguments(parser)
    return kitti.run(parser.parse_args(["--base-url", base, "--out", str(out), *map(str, words)]))


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_drive_is_fetched_unpacked_and_its_archive_removed(tmp_path):
    with serve(offered("0001")) as (base, faults):
        assert get(base, tmp_path, "--drives", f"{DATE}_drive_0001") == 0
        asked = len(faults.asked)
        assert get(base, tmp_path, "--drives", f"{DATE}/0001") == 0  # complete: nothing is asked for
        assert len(faults.asked) == asked
    wanted = {name for name in drive_files("0001") if "/image_00/" not in name}
    root = tmp_path / "kitti" / "Raw_data"
    assert names(root) == wanted | {f"{DATE}/{name}" for name in archives.CALIBRATION}
    for name in wanted:
        assert (root / name).read_bytes() == drive_files("0001")[name]


def test_only_the_drives_of_a_split_and_only_the_wanted_parts_are_fetched(tmp_path):
    (tmp_path / "kitti_zhou_split").mkdir()
    (tmp_path / "kitti_zhou_split" / "train_files.txt").write_text(f"{DATE}/{DATE}_drive_0002_sync 1 l\n")
    (tmp_path / "kitti_zhou_split" / "val_files.txt").write_text(
        f"{DATE}/{DATE}_drive_0003_sync/image_02/data/0000000001.png\n"
    )
    with serve(offered("0001", "0002", "0003")) as (base, faults):
        get(base, tmp_path, "--split", "zhou", "--parts", "image_02", "--keep-archives")
    fetched = {path for method, path, _ in faults.asked if method == "GET"}
    assert fetched == {f"{DATE}_calib.zip"} | {f"{DATE}_drive_{n}/{DATE}_drive_{n}_sync.zip" for n in ("0002", "0003")}
    root = tmp_path / "kitti" / "Raw_data"
    folders = {path.name for path in (root / DATE / f"{DATE}_drive_0002_sync").iterdir()}
    assert folders == {"image_02"}
    assert (root / f"{DATE}_drive_0002_sync.zip").is_file()


def test_index_files_and_odometry_lists_name_drives_too(tmp_path):
    (tmp_path / "kitti_kitti_split").mkdir()
    (tmp_path / "kitti_kitti_split" / "train.json").write_text(
        f'{{"files": [["Raw_data/{DATE}/{DATE}_drive_0014_sync/image_02/data/0000000001.png"]]}}'
    )
    (tmp_path / "kitti_odom09_split" / "splits").mkdir(parents=True)
    (tmp_path / "kitti_odom09_split" / "splits" / "test_files.txt").write_text("9 0 l\n9 1 l\n")
    assert kitti.split_drives(tmp_path, []) == [kitti.Drive(DATE, "0014"), kitti.Drive("2011_09_30", "0033")]
    assert kitti.split_drives(tmp_path, ["odom09"]) == [kitti.Drive("2011_09_30", "0033")]
    with pytest.raises(UserError, match="kitti_zhou_split: no list that names drives"):
        kitti.split_drives(tmp_path, ["zhou"])
    with pytest.raises(UserError, match="no kitti_<split>_split folder"):
        kitti.split_drives(tmp_path / "elsewhere", [])


@pytest.mark.parametrize("split", ["eigen", "eigen_benchmark"])
def test_the_drives_of_the_eigen_test_are_known_without_a_list(tmp_path, split):
    drives = kitti.split_drives(tmp_path, [split])
    assert len(drives) == 28 and kitti.Drive(DATE, "0002") in drives
    folder = tmp_path / f"kitti_{split}_split"
    folder.mkdir()
    (folder / "test_files.txt").write_text(f"{DATE}/{DATE}_drive_0014_sync 3 l\n")
    assert kitti.split_drives(tmp_path, [split]) == [kitti.Drive(DATE, "0014")]


def test_an_interrupted_download_goes_on_in_the_next_run(tmp_path, monkeypatch):
    monkeypatch.setattr(kitti, "download", functools.partial(kitti.download, attempts=1))
    name = f"{DATE}_drive_0001_sync.zip"
    files = offered("0001")
    with serve(files) as (base, faults):
        get(base, tmp_path, "--drives", f"{DATE}_drive_0001", "--parts", "oxts")
        shutil.rmtree(tmp_path / "kitti" / "Raw_data" / DATE / f"{DATE}_drive_0001_sync")
        faults.cut_after, faults.cuts = 700, 1
        with pytest.raises(UserError, match="ended after 700 of"):
            get(base, tmp_path, "--drives", f"{DATE}_drive_0001")
        assert (tmp_path / "kitti" / "Raw_data" / f"{name}.part").stat().st_size == 700
        get(base, tmp_path, "--drives", f"{DATE}_drive_0001")
    assert faults.asked[-1] == ("GET", f"{DATE}_drive_0001/{name}", "bytes=700-")
    assert archives.is_complete(tmp_path / "kitti" / "Raw_data" / DATE / name[:-4], kitti.DEFAULT_PARTS)


def test_without_a_connection_archives_are_taken_from_where_it_says_they_belong(tmp_path, monkeypatch):
    monkeypatch.setattr(kitti, "remote_size", functools.partial(kitti.remote_size, attempts=1))
    nowhere, root = "http://127.0.0.1:9", tmp_path / "kitti" / "Raw_data"
    words = ("--drives", f"{DATE}/0001", f"{DATE}/0002", "--parts", "oxts")
    with pytest.raises(
        UserError, match=f"cannot be reached .*; check the connection, or fetch {nowhere}/{DATE}_calib"
    ) as told:
        get(nowhere, tmp_path, *words)
    assert f"into {root} and run the same command again" in str(told.value)
    files = offered("0001", "0002")
    for address, content in files.items():
        if "0002" not in address:
            (root / address.rpartition("/")[2]).write_bytes(content)
    with pytest.raises(UserError, match=f"fetch {nowhere}/{DATE}_drive_0002/{DATE}_drive_0002_sync.zip elsewhere"):
        get(nowhere, tmp_path, *words)
    assert archives.is_complete(root / DATE / f"{DATE}_drive_0001_sync", ("oxts",))
    (root / f"{DATE}_drive_0002_sync.zip").write_bytes(files[f"{DATE}_drive_0002/{DATE}_drive_0002_sync.zip"])
    assert get(nowhere, tmp_path, *words) == 0
    assert archives.is_complete(root / DATE / f"{DATE}_drive_0002_sync", ("oxts",)) and not [*root.glob("*.zip")]


def test_a_damaged_archive_is_removed_and_named(tmp_path):
    files = offered("0001")
    key = f"{DATE}_drive_0001/{DATE}_drive_0001_sync.zip"
    content = bytearray(files[key])
    content[content.index(b"oxts 0001 1")] ^= 1  # one flipped bit in a file
    for damaged in (bytes(content), files[key][:-300], b"<html>sorry</html>"):
        files[key] = damaged
        with serve(files) as (base, _), pytest.raises(UserError, match="_sync.zip: damaged .* it was removed"):
            get(base, tmp_path, "--drives", f"{DATE}_drive_0001")
        assert not list(tmp_path.rglob("*.zip"))
        assert not list(tmp_path.rglob("*.tmp"))
    with serve(offered("0001")) as (base, _):
        assert get(base, tmp_path, "--drives", f"{DATE}_drive_0001") == 0


@pytest.mark.parametrize(
    "name", ["../outside.txt", f"{DATE}/../../outside.txt", "/tmp/outside.txt", "C:/x", "a\\..\\b"]
)
def test_members_that_point_outside_are_refused_before_anything_is_written(tmp_path, name):
    content = zipped({**drive_files("0001"), name: b"hostile"})
    path = tmp_path / "x.zip"
    path.write_bytes(content)
    with pytest.raises(UserError, match="points outside the folder"):
        archives.extract(path, tmp_path / "root", archives.drive_members(DATE, f"{DATE}_drive_0001_sync", ("oxts",)))
    assert names(tmp_path) == {"x.zip"}


def test_links_are_refused_and_unexpected_members_left_out(tmp_path):
    wanted = archives.drive_members(DATE, f"{DATE}_drive_0001_sync", ("oxts",))
    path = tmp_path / "x.zip"
    path.write_bytes(zipped({**drive_files("0001"), **drive_files("0002"), "run.sh": b"echo"}))
    assert archives.extract(path, tmp_path / "root", wanted) == FRAMES + 2
    assert {name.split("/")[1] for name in names(tmp_path / "root")} == {f"{DATE}_drive_0001_sync"}
    assert archives.extract(path, tmp_path / "root", wanted) == 0  # all there
    link = zipfile.ZipInfo(f"{DATE}/{DATE}_drive_0001_sync/oxts/data/0000000009.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match="0000000009.txt' points outside"):
        archives.extract(path, tmp_path / "again", wanted)


def test_an_archive_of_something_else_is_told(tmp_path):
    path = tmp_path / "x.zip"
    path.write_bytes(zipped({"readme.txt": b"hello"}))
    with pytest.raises(UserError, match="holds none of the expected files"):
        archives.extract(path, tmp_path, archives.calibration_members(DATE))


def test_a_file_that_was_cut_off_is_unpacked_again(tmp_path):
    path = tmp_path / "x.zip"
    path.write_bytes(zipped(drive_files("0001")))
    wanted = archives.drive_members(DATE, f"{DATE}_drive_0001_sync", ("oxts",))
    archives.extract(path, tmp_path, wanted)
    short = tmp_path / DATE / f"{DATE}_drive_0001_sync" / "oxts" / "data" / "0000000001.txt"
    short.write_bytes(short.read_bytes()[:4])
    assert archives.extract(path, tmp_path, wanted) == 1
    assert short.read_bytes() == b"oxts 0001 1"


def test_images_can_be_kept_as_jpeg(tmp_path):
    with serve(offered("0001")) as (base, faults):
        get(base, tmp_path, "--drives", f"{DATE}_drive_0001", "--jpg")
        asked = len(faults.asked)
        get(base, tmp_path, "--drives", f"{DATE}_drive_0001", "--jpg")
        assert len(faults.asked) == asked
    folder = tmp_path / "kitti" / "Raw_data" / DATE / f"{DATE}_drive_0001_sync"
    assert {path.suffix for path in (folder / "image_02" / "data").iterdir()} == {".jpg"}
    with Image.open(folder / "image_03" / "data" / "0000000000.jpg") as image:
        assert image.size == (16, 8)
        assert image.format == "JPEG"
    assert (folder / "velodyne_points" / "data" / "0000000000.bin").is_file()


def test_drives_that_are_not_offered_are_left_out_unless_they_were_named(tmp_path, capsys):
    (tmp_path / "kitti_zhou_split").mkdir()
    (tmp_path / "kitti_zhou_split" / "train_files.txt").write_text(
        f"{DATE}/{DATE}_drive_0001_sync 1 l\n{DATE}/{DATE}_drive_0067_sync 1 l\n"
    )
    with serve(offered("0001")) as (base, _):
        with pytest.raises(UserError, match="0067_sync.zip: the server answers 404"):
            get(base, tmp_path, "--drives", f"{DATE}_drive_0067")
        assert get(base, tmp_path) == 0
    assert "left out" in capsys.readouterr().out
    with serve({}) as (base, _), pytest.raises(UserError, match="neither this nor any other archive is offered"):
        get(base, tmp_path)


def test_too_little_room_is_told_before_the_start(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    with serve(offered("0001")) as (base, faults):
        with pytest.raises(UserError, match=r"GiB needed, 0\.0 GiB free; make room"):
            get(base, tmp_path, "--drives", f"{DATE}_drive_0001")
    assert all(method == "HEAD" for method, *_ in faults.asked)


def test_drives_lie_beside_those_that_are_there(tmp_path):
    assert kitti.raw_folder(tmp_path) == tmp_path / "Raw_data"
    (tmp_path / DATE).mkdir()
    assert kitti.raw_folder(tmp_path) == tmp_path


@pytest.mark.parametrize(
    "text", [f"{DATE}_drive_0052", f"{DATE}_drive_0052_sync", f"{DATE}/0052", f"{DATE}/{DATE}_drive_0052_sync/"]
)
def test_drives_are_known_by_their_usual_spellings(text):
    assert kitti.parse_drive(text) == kitti.Drive(DATE, "0052")


def test_what_is_no_drive_is_told():
    for text in ("0052", "", f"{DATE}", "../../etc"):
        with pytest.raises(UserError, match="not a drive; write it as"):
            kitti.parse_drive(text)


def test_a_drive_is_complete_when_it_has_what_its_timestamps_say(tmp_path):
    for name, content in drive_files("0009").items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    folder = tmp_path / DATE / f"{DATE}_drive_0009_sync"
    assert archives.is_complete(folder, kitti.DEFAULT_PARTS)
    (folder / "velodyne_points" / "data" / "0000000001.bin").unlink()  # published drives lack a few scans
    assert archives.is_complete(folder, kitti.DEFAULT_PARTS)
    (folder / "image_03" / "data" / "0000000001.png").unlink()
    assert not archives.is_complete(folder, kitti.DEFAULT_PARTS)
    assert archives.is_complete(folder, ("image_02", "oxts"))
    (folder / "oxts" / "timestamps.txt").unlink()
    assert not archives.is_complete(folder, ("oxts",))


def test_a_place_that_cannot_be_made_and_an_address_that_is_none_are_told(tmp_path):
    (tmp_path / "kitti").write_text("a file where a folder belongs")
    with serve(offered("0001")) as (base, _), pytest.raises(UserError, match="cannot make this folder"):
        get(base, tmp_path, "--drives", f"{DATE}_drive_0001")
    with pytest.raises(UserError, match="--base-url ftp://x: not an address"):
        get("ftp://x", tmp_path, "--drives", f"{DATE}_drive_0001")


def test_the_command_runs_from_the_shell(tmp_path):
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "dataloader.prepare", "kitti", "--out", str(tmp_path)]
    with serve(offered("0001")) as (base, _):
        words = ["--base-url", f"{base}/", "--drives", f"{DATE}_drive_0001"]
        done = subprocess.run([*command, *words], cwd=root, capture_output=True, text=True, check=False)
        failed = subprocess.run(
            [*command, *words, f"{DATE}_drive_0009"], cwd=root, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    assert f"{DATE}_drive_0001_sync.zip: 17 files unpacked" in done.stdout
    assert failed.returncode == 2
    assert failed.stderr.startswith("error: ") and "0009_sync.zip: the server answers 404" in failed.stderr
