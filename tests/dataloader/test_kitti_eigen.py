"""The Eigen test set: its frames without a list, and which truth it is compared with."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from dataloader.catalog import find_loader
from dataloader.check.doctor import Options, examine
from dataloader.files import read_depth
from dataloader.layouts.kitti_eigen import eigen_test_frames
from dataloader.loaders import build_evaluation
from dataloader.prepare.__main__ import main as prepare
from dataloader.prepare.splits import select
from dataloader.splits import resolve, truth_kind
from errors import UserError
from tests import real_data
from tests.dataloader import tiny

EIGEN = find_loader("depth", "kitti_eigen_test")
BENCHMARK = find_loader("depth", "kitti_eigen_benchmark_test")
LINES = "b012b6247e98359c768bf252878078c8ecc44ec45a4853f2283fe06f24103226"


def improved(root: Path, frames: range) -> None:
    for frame in frames:
        folder = root / "kitti/data_depth_annotated/val" / tiny.DRIVE.partition("/")[2]
        path = folder / f"proj_depth/groundtruth/image_02/{frame:010d}.png"
        tiny.save(path, np.full(tiny.SIZE, 256 * (5 + frame), np.uint16))


@pytest.fixture
def root(tmp_path) -> Path:
    folder = tiny.kitti(tmp_path)
    tiny.drive_list(folder, "eigen", "test_files.txt", range(6))
    return folder


def test_the_known_frames_are_the_published_ones():
    frames = eigen_test_frames()
    assert len({frame.drive for frame in frames}) == 28 and {frame.camera for frame in frames} == {2}
    lines = sorted(f"{frame.drive.rpartition('/')[2]} {frame.number}" for frame in frames)
    assert len(lines) == 697 and hashlib.sha256(("\n".join(lines) + "\n").encode()).hexdigest() == LINES


@pytest.mark.parametrize("spec", [EIGEN, BENCHMARK])
def test_without_a_list_the_known_frames_are_looked_for(tmp_path, spec):
    tiny.kitti(tmp_path)
    with pytest.raises(UserError, match=r"697 missing files: .*_drive_0002_sync/image_02/data/0000000000\.png") as told:
        resolve(spec, tmp_path)
    assert f"python -m dataloader.prepare kitti --split eigen --out {tmp_path}" in str(told.value)
    drive = "2011_09_26/2011_09_26_drive_0048_sync"
    tiny.kitti_images(tmp_path / "kitti", drive=drive, frames=range(3))
    found = resolve(spec, tmp_path, drop=True)
    assert [sample.name for sample in found] == [f"{drive}/image_02/{number:010d}" for number in range(3)]
    right = resolve(spec, tmp_path, drop=True, depth_camera="right")
    assert [Path(sample.images[0]).parts[-3] for sample in right] == ["image_03"] * 3


def test_truth_is_what_the_scanner_measures_ahead_whatever_maps_lie_there(root):
    for frame in range(6):
        tiny.save(root / f"kitti/Depth/{tiny.DRIVE}/image_02/data/{frame:010d}.png", np.ones(tiny.SIZE, np.uint16))
    path = root / f"kitti/{tiny.DATE}/calib_velo_to_cam.txt"
    path.write_text(path.read_text().replace("T: 0 0 0", "T: 0 0 -0.27"))
    depth = read_depth(resolve(EIGEN, root, cache_folder=str(root / "runs"))[0].depth)
    assert np.unique(depth).tolist() == [0, 10, 20]
    zhou = read_depth(resolve(find_loader("depth", "kitti_zhou_test"), root)[0].depth)
    assert np.unique(zhou).tolist() == [1 / 256]
    assert not (root / "runs").exists()


def test_stored_maps_of_an_index_file_are_no_truth_of_the_eigen_test(root):
    colors = [f"{tiny.DRIVE}/image_02/data/{frame:010d}.png" for frame in range(3)]
    maps = [f"Depth/{tiny.DRIVE}/image_02/data/{frame:010d}.png" for frame in range(3)]
    for path in maps:
        tiny.save(root / "kitti" / path, np.ones(tiny.SIZE, np.uint16))
    tiny.index_files(root, {"color": colors, "depth": maps}, [0, 1, 2], part="kitti_eigen_split/test.json")
    assert {sample.depth.kind for sample in resolve(EIGEN, root)} == {"velodyne"}


def test_improved_maps_judge_by_the_rules_of_the_benchmark(root):
    improved(root, range(2, 6))
    named, asked = (spec.judged_with(gt) for spec, gt in ((BENCHMARK, "raw"), (EIGEN, "improved")))
    assert named.protocol == asked.protocol == "kitti_eigen_benchmark"
    assert EIGEN.judged_with("raw").protocol == "kitti_eigen"
    first, second = resolve(named, root), resolve(asked, root, depth_gt="improved")
    assert [sample.depth for sample in first] == [sample.depth for sample in second]
    assert [sample.depth is None for sample in first] == [True, True, False, False, False, False]
    assert read_depth(first[2].depth)[0, 0] == 7
    assert truth_kind(named, first) == truth_kind(asked, second, depth_gt="improved") == "improved"


def test_improved_maps_in_a_file_judge_by_the_rules_of_the_benchmark_too(root, caplog):
    improved(root, range(2, 6))
    maps, again, raw = (str(root / name) for name in ("improved.npz", "again.npz", "raw.npz"))
    for out, source in ((maps, "improved"), (again, maps), (raw, "raw")):
        assert prepare(["export-gt", EIGEN.name, "--dataset-dir", str(root), "--depth-gt", source, "--out", out]) == 0

    def judged(name: str, gt: str) -> tuple[str, str]:
        data = build_evaluation(tiny.options(root, depth_validation_loaders=(name,), depth_gt=gt), "depth")[0]
        return data.spec.protocol, data.truth_kind

    benchmark = ("kitti_eigen_benchmark", "improved (--depth-gt FILE)")
    assert judged(EIGEN.name, maps) == judged(EIGEN.name, again) == judged(BENCHMARK.name, maps) == benchmark
    assert judged(EIGEN.name, raw) == ("kitti_eigen", "raw, x of the scanner (--depth-gt FILE)")
    said = f"{BENCHMARK.name} judges by the rules of improved ones"
    assert said not in caplog.text
    assert judged(BENCHMARK.name, raw) == ("kitti_eigen_benchmark", "raw, x of the scanner (--depth-gt FILE)")
    assert said in caplog.text


@pytest.mark.parametrize("gt, count, kind", [("raw", 6, "raw, x of the scanner"), ("improved", 4, "improved")])
def test_the_console_says_which_truth_it_is(root, caplog, gt, count, kind):
    improved(root, range(2, 6))
    names = ("kitti_eigen_test", "kitti_zhou_test")
    with caplog.at_level("INFO"):
        data, zhou = build_evaluation(tiny.options(root, depth_validation_loaders=names, depth_gt=gt), "depth")
    assert (len(data.samples), data.skipped, data.truth_kind, zhou.truth_kind) == (count, 6 - count, kind, gt)
    told = [line.strip("- ") for line in caplog.messages if "truth is" in line]
    assert [line.partition(":")[0] for line in told] == list(names)
    assert len({line.partition(":")[2] for line in told}) == (2 if gt == "raw" else 1)


def test_without_scans_the_remedy_names_them(root):
    improved(root, range(6))
    for path in (root / "kitti" / tiny.DRIVE / "velodyne_points/data").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="none of its 6 frames has depth; unpack velodyne_points"):
        build_evaluation(tiny.options(root, depth_validation_loaders=("kitti_eigen_test",)), "depth")


@pytest.mark.parametrize("spec", [EIGEN, BENCHMARK])
def test_the_doctor_knows_the_set(root, spec):
    improved(root, range(6))
    report, _ = examine(spec, Options(dataset_dir=str(root)))
    assert not report.faults, report.faults
    assert ("scanner" if spec is EIGEN else "improved") in str(report)


def test_real_scans_of_the_eigen_test_reach_a_little_further_ahead_of_the_scanner(tmp_path):
    root = real_data.dataset_folder(tmp_path / "data")
    lines = (real_data.root() / "kitti_raw_mini/splits/eigen_test_subset.txt").read_text()
    (root / "kitti_eigen_split").mkdir()
    (root / "kitti_eigen_split/test_files.txt").write_text(lines)
    known = {frame.name for frame in eigen_test_frames()}
    samples = resolve(EIGEN, root)
    assert len(samples) == 8 and {sample.name for sample in samples} <= known
    forward = read_depth(samples[0].depth)
    along = read_depth(resolve(find_loader("depth", "kitti_zhou_test"), root)[0].depth)
    both = (forward > 0) & (along > 0)
    assert both.sum() > 15000 and np.median(forward[both] - along[both]) == pytest.approx(0.28, abs=0.02)


FULL = find_loader("depth", "kitti_eigen_full_train", training=True)
TEST_DRIVE = "2011_09_26/2011_09_26_drive_0002_sync"


def test_training_takes_the_list_of_eigen_under_either_name(tmp_path, caplog):
    caplog.set_level("INFO")
    tiny.kitti_images(tmp_path / "kitti", frames=range(6))
    lines = [f"{tiny.DRIVE} {frame} {side}" for frame, side in ((0, "l"), (2, "r"), (3, "l"), (5, "l"), (4, "l"))]
    tiny.kitti_list(tmp_path / "kitti_eigen_split", "train_files.txt", lines)
    inner = [f"{tiny.DRIVE}/image_{camera:02d}/{frame:010d}" for camera, frame in ((3, 2), (2, 3), (2, 4))]
    assert [sample.name for sample in resolve(FULL, tmp_path)] == inner
    assert "2 frames left out, with which their drives begin or end" in caplog.text
    tiny.kitti_list(tmp_path / "kitti_eigen_full_split", "train_files.txt", lines[2:3])
    assert [sample.name for sample in resolve(FULL, tmp_path)] == inner[1:2]
    tiny.kitti_list(tmp_path / "kitti_eigen_full_split", "train_files.txt", lines[:1])
    with pytest.raises(UserError, match="none of its frames has one before and one after it"):
        resolve(FULL, tmp_path)


def test_without_a_list_training_takes_all_drives_but_those_of_the_test(tmp_path, caplog):
    caplog.set_level("INFO")
    other = "2011_09_28/2011_09_28_drive_0001_sync"
    tiny.kitti_images(tmp_path / "kitti", frames=range(5))
    tiny.kitti_images(tmp_path / "kitti/Raw_data", drive=other, frames=(0, 1, 2, 4, 5, 6, 7), cameras=(2,), kind=".JPG")
    for drive in (TEST_DRIVE, TEST_DRIVE.replace("sync", "extract"), tiny.DRIVE.replace("sync", "extract")):
        tiny.kitti_images(tmp_path / "kitti", drive=drive, frames=range(5))
    found = [sample.name for sample in resolve(FULL, tmp_path)]
    expected = [(tiny.DRIVE, camera, frame) for camera in (2, 3) for frame in (1, 2, 3)]
    expected += [(other, 2, frame) for frame in (1, 5, 6)]
    assert found == [f"{drive}/image_{camera:02d}/{frame:010d}" for drive, camera, frame in expected]
    assert "so its frames are all 9 of the 2 drives on disk" in caplog.text
    assert f"python -m dataloader.prepare splits eigen_full --out {tmp_path}" in caplog.text
    assert "none, the drives on disk" in str(examine(FULL, Options(dataset_dir=str(tmp_path)))[0])


def test_drives_of_the_test_alone_are_nothing_to_train_with(tmp_path):
    tiny.kitti_images(tmp_path / "kitti", drive=TEST_DRIVE, frames=range(5))
    with pytest.raises(
        UserError, match=r"no kitti_eigen_full_split/train_files\.txt, and no drive in kitti/ that is not"
    ):
        resolve(FULL, tmp_path)


def test_the_published_list_has_a_place_under_either_name():
    (entry,) = (entry for entry in select(["eigen_full"]) if entry.items == 45200)
    assert select(["eigen_full"])[entry] == ["kitti_eigen_full_split/train_files.txt"]
    assert "kitti_eigen_split/train_files.txt" in select(["eigen"])[entry]
