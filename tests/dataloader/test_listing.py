"""Files are found by their names, whatever the case of the extension."""

import json
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
from tests.dataloader import test_kitti_2015, test_odometry, tiny


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
