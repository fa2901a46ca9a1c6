"""Remedies that errors name: each is followed, and the fault is gone."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dataloader.catalog import LOADERS, find_loader
from dataloader.prepare import __main__ as prepare
from dataloader.prepare import splits
from dataloader.prepare.kitti import split_drives
from dataloader.prepare.split_sources import kitti_sources
from dataloader.splits import resolve
from errors import UserError
from tests.dataloader import test_kitti_2015, test_odometry, tiny
from tests.file_server import serve

COMMAND = re.compile(r"python -m dataloader\.prepare ([^;,']+?)(?=$|[;,']| first\b| or )")
TRAIN = find_loader("depth", "kitti_zhou_train", training=True)
CITYSCAPES = find_loader("segmentation", "cityscapes_train", training=True)


def sentence(do: Callable[[], object]) -> str:
    with pytest.raises(UserError) as error:
        do()
    return str(error.value)


def follow(text: str) -> None:
    """Runs the one command that an error names."""
    (words,) = COMMAND.findall(text)
    assert prepare.main(words.split()) == 0


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """Data set folder with KITTI and its index files; the environment variable names it."""
    monkeypatch.setenv("IFN_DIR_DATASET", str(tmp_path))
    tiny.cityscapes(tiny.kitti(tmp_path, frames=8))
    assert prepare.main(["index", "kitti", "cityscapes"]) == 0
    return tmp_path


@pytest.mark.parametrize("name", ["kitti_zhou_split/train.json", "kitti/basic_files.json"])
@pytest.mark.parametrize("content", ["{", "[]", '{"names": ["color"]}'])
def test_a_damaged_index_file_is_rebuilt(root, name, content):
    (root / name).write_text(content)
    follow(sentence(lambda: resolve(TRAIN, root)))
    assert resolve(TRAIN, root)


def test_a_damaged_index_file_that_is_all_there_is_of_a_split_needs_a_list(root):
    for path in (root / "kitti_zhou_split").glob("*.txt"):
        path.unlink()
    (root / "kitti_zhou_split/train.json").write_text("{")
    text = sentence(lambda: resolve(TRAIN, root))
    assert "fetch it again, or put a text list of the split beside it and rebuild it with" in text
    tiny.drive_list(root, "zhou", "train_files.txt", range(1, 7))
    follow(text)
    assert resolve(TRAIN, root)


@pytest.mark.parametrize("index", [False, True])
def test_what_is_missing_is_left_out_by_an_index(root, index):
    if not index:
        for path in root.rglob("*.json"):
            path.unlink()
    (root / f"kitti/{tiny.DRIVE}/image_02/data/0000000002.png").unlink()
    follow(sentence(lambda: resolve(TRAIN, root)))
    assert resolve(TRAIN, root)


def test_frames_without_neighbours_come_with_them(root):
    aside = root / "aside"
    images = [path for path in (root / "kitti").rglob("image_0?/data/*.png") if int(path.stem) % 2]
    for path in images:
        place = aside / path.relative_to(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)
    assert prepare.main(["index", "kitti", "--overwrite"]) == 0
    text = sentence(lambda: resolve(TRAIN, root))
    assert "fetch its frames with their neighbours, then rebuild it" in text
    shutil.copytree(aside, root, dirs_exist_ok=True)
    follow(text)
    assert resolve(TRAIN, root)


def test_other_data_sets_are_rebuilt_under_their_own_name(root):
    test_kitti_2015.download(root)
    assert prepare.main(["index", "kitti_2015"]) == 0
    for name, loader in (("cityscapes", CITYSCAPES), ("kitti_2015", test_kitti_2015.DEPTH)):
        path = root / name / "train.json"
        path.write_text("{")
        follow(sentence(lambda loader=loader: resolve(loader, root)))
        assert resolve(loader, root)
    content = json.loads((root / "cityscapes/train.json").read_text())
    content["names"][content["names"].index("color")] = "colour"
    (root / "cityscapes/train.json").write_text(json.dumps(content))
    follow(sentence(lambda: resolve(CITYSCAPES, root)))
    assert resolve(CITYSCAPES, root)


def odometry_index(root: Path, poses: int) -> Path:
    test_odometry.poses(root, poses)
    tiny.drive_list(root, "odom09", "test_files.txt", range(8))
    assert prepare.main(["index", "kitti", "--overwrite"]) == 0
    return root / "kitti_odom09_split/test.json"


def test_an_index_gets_the_poses_that_were_unpacked_later(root):
    tiny.drive_list(root, "odom09", "test_files.txt", range(8))
    assert prepare.main(["index", "kitti", "--overwrite"]) == 0
    text = sentence(lambda: resolve(test_odometry.LOADER, root))
    assert "unpack the odometry poses into kitti/poses, then rebuild it" in text
    test_odometry.poses(root, 8)
    follow(text)
    assert resolve(test_odometry.LOADER, root)


@pytest.mark.parametrize("pose", [[[1, 0], [0, 1]], "north", [[float("nan")] * 4] * 3])
def test_a_damaged_pose_of_an_index_is_rebuilt(root, pose):
    path = odometry_index(root, 8)
    content = json.loads(path.read_text())
    content["files"][content["names"].index("poses")][1] = pose
    path.write_text(json.dumps(content))
    follow(sentence(lambda: resolve(test_odometry.LOADER, root)))
    assert resolve(test_odometry.LOADER, root)


@pytest.fixture
def lists(root, monkeypatch):
    """The data set folder without index files, and a server of published lists of two lines."""
    for path in root.rglob("*.json"):
        path.unlink()
    text = f"{tiny.DRIVE} 5 l\n{tiny.DRIVE} 6 r\n".encode()
    digest = hashlib.sha256(text).hexdigest()
    with serve({entry.name: text for entry in splits.LISTS}) as (server, _):
        small = [replace(entry, items=2, sha256=digest, url=f"{server}/{entry.name}") for entry in splits.LISTS]
        monkeypatch.setattr(splits, "LISTS", tuple(small))
        yield root


@pytest.mark.parametrize("content", [None, b"", b"\n\n", b"\xff\xfe\x00"])
@pytest.mark.parametrize("place", ["", "splits"])
def test_a_list_that_is_missing_empty_or_unreadable_is_fetched(lists, content, place):
    split = lists / "kitti_zhou_split"
    shutil.rmtree(split)
    if content is not None:
        (split / place).mkdir(parents=True)
        (split / place / "train_files.txt").write_bytes(content)
    follow(sentence(lambda: resolve(TRAIN, lists)))
    assert len(resolve(TRAIN, lists)) == 2


def test_without_any_list_the_published_ones_are_fetched(lists):
    for path in list(lists.glob("kitti_*_split")):
        shutil.rmtree(path)
    text = sentence(lambda: split_drives(lists, []))
    assert COMMAND.findall(sentence(lambda: list(kitti_sources(lists)))) == COMMAND.findall(text)
    follow(text)
    assert split_drives(lists, []) and list(kitti_sources(lists))


def test_the_split_without_published_lists_is_not_fetched(root):
    for spec in (LOADERS["depth", "kitti_kitti_train"], LOADERS["depth", "kitti_kitti_validation"]):
        text = sentence(lambda spec=spec: resolve(spec, root))
        assert "copy kitti_kitti_split with its index files from SGDepth's download" in text
        assert not COMMAND.search(text)


def test_parameters_are_mended_or_deleted_but_never_rebuilt(root):
    path = root / "kitti/parameters.json"
    published = resolve(TRAIN, root)[0].intrinsics
    path.write_text(json.dumps({"K": [[60, 0, 40, 0], [0, 48, 12, 0], [0, 0, 1, 0], [0, 0, 0, 1]]}))
    text = sentence(lambda: resolve(TRAIN, root))
    assert "divide its row 1 by the width and its row 2 by the height of the images" in text
    height, width = tiny.SIZE
    rows = json.loads(path.read_text())["K"]
    rows[0] = [value / width for value in rows[0]]
    rows[1] = [value / height for value in rows[1]]
    path.write_text(json.dumps({"K": rows}))
    assert resolve(TRAIN, root)[0].intrinsics == (0.75, 2, 0.5, 0.5)
    for content in ("{", "[]", '{"K": "x"}', '{"K": [[1]]}', '{"K": [[0, 0], [0, 0]]}'):
        path.write_text(content)
        text = sentence(lambda: resolve(TRAIN, root))
        assert "delete the file to use the published camera" in text and not COMMAND.search(text)
    path.unlink()
    assert resolve(TRAIN, root)[0].intrinsics == published


def test_a_missing_data_set_folder_is_rendered_by_a_command_that_exists(tmp_path):
    (words,) = COMMAND.findall(sentence(lambda: resolve(TRAIN, tmp_path / "street")))
    options, command = prepare.parse(words.split())  # what it renders is tested where it is rendered
    assert (command, str(options.out)) == ("synthetic", "FOLDER")
