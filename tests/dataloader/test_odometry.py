"""Odometry sequences and poses."""

import json
from pathlib import Path

import numpy as np
import pytest

from dataloader.catalog import find_loader
from dataloader.layouts.kitti_files import SEQUENCES
from dataloader.layouts.odometry import read_poses
from dataloader.splits import resolve
from errors import UserError
from tests.dataloader import tiny

LOADER = find_loader("pose", "kitti_odom09_validation")
DRIVE_09 = "2011_09_30/2011_09_30_drive_0033_sync"


def poses(root: Path, count: int) -> np.ndarray:
    """Writes poses that advance by one metre a frame."""
    rows = [[1, 0, 0, 0.1 * frame, 0, 1, 0, 0, 0, 0, 1, frame] for frame in range(count)]
    path = root / "kitti/poses/09.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(" ".join(map(str, row)) + "\n" for row in rows))
    return np.array(rows, float).reshape(-1, 3, 4)


def check(samples: list, count: int, first: int = 0) -> None:
    assert [sample.pose[2, 3] for sample in samples] == list(range(first, first + count))
    assert all(set(sample.images) == {0, 1} and sample.pose.shape == (4, 4) for sample in samples)


def test_a_listed_drive_pairs_its_frames_without_the_ends(tmp_path):
    tiny.kitti_images(tmp_path / "kitti", cameras=(2,))
    tiny.drive_list(tmp_path, "odom09", "test_files.txt", range(6))
    poses(tmp_path, 6)
    samples = resolve(LOADER, tmp_path)
    check(samples, 4, first=1)
    assert samples[3].images[1].endswith("0000000005.png")


def test_a_list_within_its_drive_keeps_its_ends(tmp_path):
    tiny.kitti_images(tmp_path / "kitti", cameras=(2,))
    tiny.drive_list(tmp_path, "odom09", "test_files.txt", range(1, 5))
    poses(tmp_path, 6)
    check(resolve(LOADER, tmp_path), 4, first=1)


@pytest.mark.parametrize("listed", [range(6), range(5)])
def test_with_its_ends_a_drive_has_all_its_motions_and_the_pose_behind_the_last(tmp_path, listed):
    """Monodepth2's lists end with the last frame that has another after it, SGDepth's with the last."""
    tiny.kitti_images(tmp_path / "kitti", cameras=(2,))
    tiny.drive_list(tmp_path, "odom09", "test_files.txt", listed)
    poses(tmp_path, 6)
    samples = resolve(LOADER, tmp_path, ends=True)
    check(samples, 6)
    pairs = [tuple(int(Path(sample.images[frame]).stem) for frame in (0, 1)) for sample in samples]
    assert pairs == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 5)]
    poses(tmp_path, 5)  # the frame after the last of the list has none
    if len(listed) == 5:
        check(resolve(LOADER, tmp_path, ends=True), 5)


@pytest.mark.parametrize("pattern", ["sequences/09/image_2/{:06d}.png", f"{DRIVE_09}/image_02/data/{{:010d}}.png"])
def test_sequence_lines_find_sequences_or_raw_drives(tmp_path, pattern):
    for frame in range(4):
        tiny.save(tmp_path / "kitti" / pattern.format(frame), tiny.picture(frame))
    tiny.kitti_list(tmp_path / "kitti_odom09_split", "test_files.txt", [f"9 {frame} l" for frame in range(3)])
    poses(tmp_path, 4)
    check(resolve(LOADER, tmp_path), 2, first=1)


def test_without_a_list_the_whole_sequence_is_used(tmp_path):
    count = SEQUENCES["09"].last + 1
    folder = tmp_path / "kitti/sequences/09/image_2"
    folder.mkdir(parents=True)
    for frame in range(count):
        (folder / f"{frame:06d}.png").touch()
    poses(tmp_path, count)
    check(resolve(LOADER, tmp_path), count - 2, first=1)


def pose_index(root: Path, rows: list[int]) -> None:
    """Index files of six frames with a split of those in `rows`, each one metre ahead of the one before."""
    paths = [f"{tiny.DRIVE}/image_02/data/{frame:010d}.png" for frame in range(6)]
    tiny.index_files(root, {"color": paths, "poses": paths}, rows, part="kitti_odom09_split/test.json")
    path = root / "kitti_odom09_split/test.json"
    content = json.loads(path.read_text())
    content["files"][1] = [[[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, frame]] for frame in rows]
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("ends", [False, True])
def test_an_index_with_gaps_has_no_motions_across_them(tmp_path, ends):
    tiny.kitti_images(tmp_path / "kitti", cameras=(2,))
    pose_index(tmp_path, [0, 1, 2, 4, 5])
    with pytest.raises(UserError, match=r"test\.json: .*0004 follows .*0002, .* without gaps; fetch what is between"):
        resolve(LOADER, tmp_path, ends=ends)


def test_an_index_names_images_of_drives(tmp_path):
    tiny.kitti_images(tmp_path / "kitti", cameras=(2,))
    pose_index(tmp_path, [*range(6)])
    for path in tmp_path.rglob("*.json"):
        path.write_text(path.read_text().replace("image_02", "left"))
    with pytest.raises(UserError, match=r"'.*/left/data/.*' is no image of a KITTI drive; fetch it again"):
        resolve(LOADER, tmp_path)


@pytest.mark.parametrize("index", [False, True])
def test_missing_images_are_to_be_fetched_and_never_passed_over(tmp_path, index):
    tiny.kitti_images(tmp_path / "kitti", cameras=(2,))
    tiny.drive_list(tmp_path, "odom09", "test_files.txt", range(6))
    poses(tmp_path, 6)
    if index:
        pose_index(tmp_path, [*range(6)])
    (tmp_path / f"kitti/{tiny.DRIVE}/image_02/data/0000000003.png").unlink()
    with pytest.raises(UserError, match=r"0003\.png; fetch them, poses need every frame of a drive$"):
        resolve(LOADER, tmp_path)


def test_index_files_bring_their_poses(tmp_path):
    tiny.kitti_images(tmp_path / "kitti", cameras=(2,))
    pose_index(tmp_path, [*range(6)])
    check(resolve(LOADER, tmp_path), 4, first=1)
    whole = resolve(LOADER, tmp_path, ends=True)
    check(whole, 6)
    pairs = [tuple(int(Path(sample.images[frame]).stem) for frame in (0, 1)) for sample in whole]
    assert pairs == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 5)]


def test_sequence_08_starts_at_raw_frame_1100():
    assert SEQUENCES["08"] == ("2011_09_30/2011_09_30_drive_0028_sync", 1100, 5170)
    assert sum(each.last - each.first + 1 for each in SEQUENCES.values()) == 23201


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([0, 1, 3], "poses need the frames of one drive"),
        ([2, 1, 0], "poses need the frames of one drive"),
        ([5], "no frame with one before and one after"),
        ([0], "no frame with one before and one after"),
        ([0, 1, 2, 3, 4], "3 poses, none for"),
    ],
)
def test_frames_that_make_no_trajectory_are_refused(tmp_path, lines, message):
    tiny.kitti_images(tmp_path / "kitti", cameras=(2,))
    tiny.drive_list(tmp_path, "odom09", "test_files.txt", lines)
    poses(tmp_path, 3)
    with pytest.raises(UserError, match=message):
        resolve(LOADER, tmp_path)


def test_missing_images_and_poses_are_named(tmp_path):
    (tmp_path / "kitti").mkdir()
    with pytest.raises(UserError, match="no images of odometry sequence 09"):
        resolve(LOADER, tmp_path)
    tiny.kitti_images(tmp_path / "kitti", cameras=(2,))
    tiny.drive_list(tmp_path, "odom09", "test_files.txt", range(6))
    with pytest.raises(UserError, match=r"poses/09\.txt: cannot read the poses"):
        resolve(LOADER, tmp_path)


@pytest.mark.parametrize("content", ["", "1 2 3\n", "a " * 12, "nan " * 12, "1 " * 12 + "\n" + "1 " * 11])
def test_damaged_pose_files_are_named(tmp_path, content):
    path = tmp_path / "09.txt"
    path.write_text(content)
    with pytest.raises(UserError, match=r"09\.txt"):
        read_poses(path)
