"""Files are found by their names, whatever the case of the extension."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from dataloader.catalog import find_loader
from dataloader.files import read_depth, read_image
from dataloader.integrity import find_damaged, needed
from dataloader.listing import Listing, on_disk
from dataloader.prepare import __main__ as prepare
from dataloader.prepare.scan import KINDS, scan
from dataloader.splits import resolve, with_truth
from errors import UserError
from tests.dataloader import test_diml, test_kitti_2015, test_odometry, tiny


def shout(root: Path) -> Path:
    """Writes the extension of every file in capitals."""
    for path in [each for each in root.rglob("*") if each.is_file()]:
        path.rename(path.with_suffix(path.suffix.upper()))
    return root


def readable(samples: list) -> list:
    """The samples, whose files are all there and sound."""
    assert not find_damaged(path for sample in samples for path in needed(sample))
    for sample in samples:
        assert read_image(sample.images[0]).any() and (sample.depth is None or read_depth(sample.depth).any())
    return samples


def test_a_listing_finds_any_case_and_the_exact_one_first(tmp_path):
    for name in ("a.PNG", "b.Jpeg", "c.png", "c.PNG", "D.png"):
        (tmp_path / name).touch()
    listing = Listing(tmp_path)
    assert listing.find("a") == f"{tmp_path}/a.PNG" and listing.find("b") == f"{tmp_path}/b.Jpeg"
    assert listing.file("c.png") == f"{tmp_path}/c.png" and listing.file("c.PNG") == f"{tmp_path}/c.PNG"
    assert listing.find_image("a.JPG") == f"{tmp_path}/a.PNG" and not listing.find("d")
    assert listing.has("a.png") and not listing.has("A.png")
    assert on_disk(tmp_path / "a.png").name == "a.PNG" and on_disk(tmp_path / "none.png").name == "none.png"


@pytest.mark.parametrize(
    ("purpose", "loader", "image"),
    [
        ("segmentation", "cityscapes_validation", "cityscapes/leftImg8bit/val/a/a_000000_000019_leftImg8bit"),
        ("depth", "kitti_2015_train", "kitti_2015/training/image_2/000000_10"),
        ("depth", "kitti_benchmark_test", "depth_selection/test_depth_prediction_anonymous/image/0000000000"),
        ("depth", "nyu_v2_test", "nyu_v2/official_splits/test/kitchen/rgb_00045"),
        ("depth", "make3d_test", "make3d/Test134/img-one"),
        ("depth", "ddad_validation", "ddad/000001_rgb"),
        ("depth", "ddad_validation", "ddad/val/000001_rgb"),
        ("depth", "diml_outdoor_test", "diml/LR/park/outleft/1"),
    ],
)
def test_an_image_that_is_there_in_two_types_counts_once(tmp_path, purpose, loader, image):
    (tmp_path / "diml/LR/park/depthmap").mkdir(parents=True)
    for kind in (".jpg", ".png", ".JPEG"):
        path = tmp_path / f"{image}{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (sample,) = resolve(find_loader(purpose, loader), tmp_path)
    assert sample.images[0] == f"{tmp_path}/{image}{'.jpg' if loader == 'make3d_test' else '.png'}"


@pytest.fixture
def refused(monkeypatch):
    """Folders that the system refuses to list, by their path."""
    folders: dict[Path, int] = {}

    def refusing(plain):
        def listed(path):
            if number := folders.get(Path(path)):
                raise OSError(number, os.strerror(number), str(path))
            return plain(path)

        return listed

    for name in ("scandir", "listdir"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))
    return folders


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_a_folder_that_cannot_be_listed_is_not_taken_for_an_empty_one(tmp_path, refused, number, capsys):
    root = tiny.cityscapes(tiny.kitti(tmp_path))
    test_diml.indoor(root, "HR/hall", "one")
    own = {"data_folder": str(tmp_path / "own"), "data_intrinsics": (40, 40, 40, 12)}
    for sequence in "ab":
        for frame in range(3):
            tiny.save(tmp_path / f"own/{sequence}/{frame}.png", tiny.picture(frame))
    cases = [
        ("depth", "kitti_zhou_test", f"kitti/{tiny.DRIVE}/image_02/data", {}),
        ("segmentation", "cityscapes_validation", "cityscapes/leftImg8bit/val/zellstadt", {}),
        ("depth", "diml_indoor_test", "diml/HR/hall/color", {}),
        ("depth", "diml_indoor_test", "diml/HR", {}),
        ("depth", "folder_test", "own/b", own),
    ]
    for purpose, name, folder, more in cases:
        refused[root / folder] = number
        with pytest.raises(UserError, match=rf"{folder}: the folder cannot be listed \({os.strerror(number)}\); get "):
            resolve(find_loader(purpose, name), root, **more)
    assert prepare.main(["index", "kitti", "--dataset-dir", str(root)]) == 2
    assert "image_02/data: the folder cannot be listed" in capsys.readouterr().err


def test_what_is_no_folder_holds_nothing(tmp_path, refused):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    refused[tmp_path / "lost+found"] = errno.EACCES  # at the root of a disk
    for name in ("none", "file", "loop", "lost+found", "long" * 100, "zero\0"):
        assert not Listing(tmp_path).names(name) and not Listing(tmp_path).file(f"{name}/image.png")


def carried_by_a_mac(root: Path) -> Path:
    """Puts beside every file what Macs put there on disks of other systems."""
    for path in [each for each in root.rglob("*") if each.is_file()]:
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
    return root


def test_what_macs_put_beside_files_is_no_file_of_a_data_set(tmp_path, capsys):
    root = tiny.cityscapes(tiny.kitti(tmp_path / "sets"))
    for number in range(3):
        tiny.save(root / f"own/frame_{number}.png", tiny.picture(number))
    specs = [
        *(find_loader("segmentation", f"cityscapes_{part}", part == "train") for part in ("train", "validation")),
        find_loader("depth", "kitti_zhou_train", training=True),
        find_loader("depth", "kitti_2015_train"),
        find_loader("depth", "folder_test"),
    ]
    test_kitti_2015.download(root)

    def found() -> list:
        return [resolve(spec, root, data_folder=str(root / "own"), data_intrinsics=(40, 40, 40, 12)) for spec in specs]

    before = found()
    assert all(before)
    images = {kind: scan(root / kind, KINDS[kind]) for kind in KINDS}
    carried_by_a_mac(root)
    assert found() == before
    assert {kind: scan(root / kind, KINDS[kind]) for kind in KINDS} == images
    assert not Listing(root / "own").find("._frame_0")


@pytest.mark.parametrize("index", [False, True])
def test_everything_of_kitti_is_found_in_capitals(tmp_path, index, capsys):
    root = tiny.kitti(tmp_path)
    depth = np.full(tiny.SIZE, 5 * 256, np.uint16)
    tiny.save(root / f"kitti/Depth/{tiny.DRIVE}/image_02/data/0000000003.png", depth)
    if index:
        assert prepare.main(["index", "kitti", "--dataset-dir", str(root)]) == 0
    plain = resolve(find_loader("depth", "kitti_zhou_test"), root)
    shout(root)
    samples = readable(resolve(find_loader("depth", "kitti_zhou_test"), root))
    assert [sample.name for sample in samples] == [sample.name for sample in plain]
    assert [sample.depth.kind for sample in samples] == [sample.depth.kind for sample in plain]
    assert len(readable(resolve(find_loader("depth", "kitti_zhou_train", training=True), root))) == 8


def test_index_files_are_made_of_capitals_as_well(tmp_path, capsys):
    root = tiny.cityscapes(tiny.kitti(tmp_path))
    speed = root / f"kitti/{tiny.DRIVE}/oxts/data/0000000003.txt"
    speed.parent.mkdir(parents=True)
    speed.write_text("1 " * 30)
    shout(root)
    assert prepare.main(["index", "kitti", "cityscapes", "--dataset-dir", str(root)]) == 0
    told = capsys.readouterr().out
    assert "6 color, 6 color_right" in told and "1 velocity" in told
    assert (root / "kitti_zhou_split/train.json").is_file()
    readable(resolve(find_loader("depth", "kitti_zhou_train", training=True), root))
    samples = resolve(find_loader("segmentation", "cityscapes_train", training=True), root)
    assert len(samples) == 4 and all(sample.labels.endswith(".PNG") for sample in samples)


def test_labels_of_cityscapes_are_found_in_capitals(tmp_path):
    samples = resolve(find_loader("segmentation", "cityscapes_train", training=True), shout(tiny.cityscapes(tmp_path)))
    assert len(with_truth(find_loader("segmentation", "cityscapes_train", training=True), samples)) == 4


def test_kitti_2015_is_found_in_capitals(tmp_path):
    shout(test_kitti_2015.download(tmp_path))
    assert [each.depth.kind for each in readable(resolve(test_kitti_2015.DEPTH, tmp_path))] == ["disparity"] * 3
    assert all(sample.labels for sample in resolve(test_kitti_2015.SEGMENTATION, tmp_path))


def test_odometry_is_found_in_capitals(tmp_path):
    tiny.kitti_images(tmp_path / "kitti", cameras=(2,))
    tiny.drive_list(tmp_path, "odom09", "test_files.txt", range(6))
    test_odometry.poses(tmp_path, 6)
    assert resolve(test_odometry.LOADER, shout(tmp_path))


def test_truth_of_own_data_is_found_in_capitals(tmp_path):
    for number in range(3):
        tiny.save(tmp_path / f"frame_{number}.JPG", tiny.picture(number))
    tiny.save(tmp_path / "depth/frame_0.png", np.full(tiny.SIZE, 5 * 256, np.uint16))
    np.save(tmp_path / "depth/frame_1.npy", np.full(tiny.SIZE, 6.5))
    shout(tmp_path)
    loader = find_loader("depth", "folder_test")
    samples = with_truth(loader, resolve(loader, "", data_folder=str(tmp_path), data_intrinsics=(40, 40, 40, 12)))
    assert [read_depth(sample.depth).max() for sample in samples] == [5, 6.5]


def test_parameters_are_found_in_capitals(tmp_path):
    root = tiny.kitti(tmp_path)
    (root / "kitti/parameters.JSON").write_text(json.dumps({"K": [[0.6, 0, 0.4], [0, 2, 0.45], [0, 0, 1]]}))
    assert resolve(find_loader("depth", "kitti_zhou_test"), root)[0].intrinsics == (0.6, 2.0, 0.4, 0.45)
