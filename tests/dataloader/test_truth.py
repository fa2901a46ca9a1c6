"""Doubts about ground truth: its camera, its size and its unit."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from dataloader.calibration import read_calibration
from dataloader.catalog import find_loader
from dataloader.check.__main__ import main
from dataloader.files import read_depth
from dataloader.loaders import build_evaluation
from dataloader.splits import resolve
from dataloader.truth import camera_faults, looks_cropped, size_doubts, unit_doubt, warn_of_unit
from dataloader.velodyne import CAMERA_FILE
from errors import UserError
from tests.dataloader import tiny
from tests.dataloader.test_kitti_2015 import download

VALIDATION = find_loader("depth", "kitti_zhou_validation")
SCENE_FLOW = find_loader("depth", "kitti_2015_train")
P_RECT = "721.5377 0 609.5593 44.85728 0 721.5377 172.854 0.2163791 0 0 1 0.002745884"
PUBLISHED = (375, 1242)


def recording(root: Path, sizes: dict[int, tuple[int, int]], images: tuple[int, int], matrix: str = P_RECT) -> Path:
    """A drive with the calibration of 2011_09_26, S_rect of every camera as said, and images of a size."""
    tiny.kitti_images(root / "kitti", frames=range(2), cameras=(2, 3), size=images)
    tiny.kitti_scans(root / "kitti", range(2))
    path = root / "kitti" / tiny.DATE / CAMERA_FILE
    path.write_text(
        "R_rect_00: 1 0 0 0 1 0 0 0 1\n"
        + "".join(f"S_rect_0{n}: {width} {height}\nP_rect_0{n}: {matrix}\n" for n, (height, width) in sizes.items())
    )
    tiny.drive_list(root, "zhou", "val_files.txt", range(2))
    return root


def everywhere(size: tuple[int, int]) -> dict[int, tuple[int, int]]:
    return dict.fromkeys(range(4), size)


@pytest.mark.parametrize("images", [PUBLISHED, (192, 640), (320, 1024), (188, 621)])
def test_resized_images_have_truth_of_its_own_size(tmp_path, images, caplog):
    root = recording(tmp_path, everywhere(PUBLISHED), images)
    (data,) = build_evaluation(tiny.options(root), "depth")
    assert next(iter(data)).truth[0].depth.shape == PUBLISHED and not caplog.text


@pytest.mark.parametrize(
    "sizes",
    [
        everywhere((192, 640)),
        everywhere((320, 1024)),
        everywhere((188, 621)),
        everywhere((750, 2484)),
        everywhere((192, 1242)),
        everywhere(PUBLISHED) | {2: (192, 640)},
        everywhere(PUBLISHED) | {2: (352, 1216)},
    ],
)
def test_a_camera_of_other_images_makes_no_truth(tmp_path, sizes, capsys):
    """S_rect was edited to the size of resized images, P_rect was not."""
    root = recording(tmp_path, sizes, sizes[2])
    with pytest.raises(
        UserError, match=rf"{CAMERA_FILE}: P_rect_02 does not fit S_rect of {sizes[2][0]} x {sizes[2][1]}"
    ):
        build_evaluation(tiny.options(root), "depth")
    assert main(["kitti_zhou_validation", "--dataset-dir", str(root)]) == 2
    told = capsys.readouterr()
    assert (
        told.out.count("FAULT") == 1
        and told.out.count("does not fit S_rect") == 1
        and "verdict       not usable" in told.out
    )
    assert "P_rect_02 does not fit S_rect" in told.err


def test_a_kept_map_does_not_hide_such_a_camera(tmp_path):
    root = recording(tmp_path / "data", everywhere(PUBLISHED), PUBLISHED)
    options = tiny.options(root, checkpoint_dir=str(tmp_path / "runs"))
    next(iter(build_evaluation(options, "depth")[0]))
    recording(tmp_path / "data", everywhere((192, 640)), (192, 640))
    read_calibration.cache_clear()  # as another command
    with pytest.raises(UserError, match="does not fit S_rect"):
        build_evaluation(options, "depth")


def test_a_calibration_that_was_scaled_as_a_whole_is_believed(tmp_path):
    matrix = "360.77 0 304.78 22.4 0 360.77 86.43 0.1 0 0 1 0.0027"
    root = recording(tmp_path, everywhere((188, 621)), (188, 621), matrix)
    assert not camera_faults(resolve(VALIDATION, root))


def test_an_image_that_was_cropped_without_its_truth_is_told(tmp_path, capsys, caplog):
    root = recording(tmp_path, everywhere(PUBLISHED), (352, 1216))
    build_evaluation(tiny.options(root), "depth")
    assert "truth of 375 x 1242 (height x width) for an image of 352 x 1216" in caplog.text
    main(["kitti_zhou_validation", "--dataset-dir", str(root)])
    assert "WARNING       " + caplog.messages[-1] in capsys.readouterr().out


def test_cropped_and_resized_images_are_told_apart():
    assert looks_cropped(PUBLISHED, (352, 1216)) and looks_cropped(PUBLISHED, (350, 1242))
    others = (PUBLISHED, (370, 1224), (375, 1241), (376, 1241), (320, 1024), (192, 640))
    assert not any(looks_cropped(PUBLISHED, size) for size in others)


def test_a_map_cropped_otherwise_than_its_image_is_told(tmp_path):
    root = recording(tmp_path, everywhere(PUBLISHED), PUBLISHED)
    folder = root / f"kitti/Depth_improved/{tiny.DRIVE}/image_02/data"
    for frame in range(2):
        tiny.save(folder / f"{frame:010d}.png", np.full((352, 1216), 2560, np.uint16))
    (doubt,) = size_doubts(resolve(VALIDATION, root, depth_gt="improved"))
    assert doubt.startswith(str(folder)) and "crop both alike" in doubt


def test_truth_of_another_shape_is_a_fault_for_the_doctor_as_for_evaluation(tmp_path, capsys):
    root = recording(tmp_path, everywhere(PUBLISHED), (375, 800))
    (data,) = build_evaluation(tiny.options(root), "depth")
    with pytest.raises(UserError, match="does not fit the image") as refused:
        next(iter(data))
    assert main(["kitti_zhou_validation", "--dataset-dir", str(root)]) == 2
    assert str(refused.value) in capsys.readouterr().err


def test_disparity_belongs_to_the_images_of_its_calibration(tmp_path, capsys):
    root = download(tmp_path, 1)
    assert not camera_faults(resolve(SCENE_FLOW, root))
    disparity = root / "kitti_2015/training/disp_occ_0/000000_10.png"
    tiny.save(disparity, np.full((12, 40), 256, np.uint16))
    for released in (False, True):
        (fault,) = camera_faults(resolve(SCENE_FLOW, root, as_released=released)).values()
        assert "12 x 40 (height x width), but S_rect_02" in fault
    assert main(["kitti_2015_train", "--purpose", "depth", "--dataset-dir", str(root)]) == 2
    calibration = root / "kitti_2015/training/calib_cam_to_cam/000000.txt"
    calibration.write_text(calibration.read_text().replace("80 24", "40 12"))
    read_calibration.cache_clear()
    (fault,) = camera_faults(resolve(SCENE_FLOW, root)).values()
    assert "P_rect_02 does not fit S_rect of 12 x 40" in fault


def test_training_is_told_by_the_doctor_too(tmp_path, capsys):
    root = recording(tmp_path, everywhere((192, 640)), (192, 640))
    tiny.kitti_images(root / "kitti", frames=[2], cameras=(2,), size=(192, 640))
    tiny.drive_list(root, "zhou", "train_files.txt", [1])
    main(["kitti_zhou_train", "--dataset-dir", str(root)])
    assert "P_rect_02 does not fit S_rect of 192 x 640" in capsys.readouterr().out


def own_depth(root: Path, depth: np.ndarray, kind: str) -> list[str]:
    """Two frames of own data with this depth; words of the doctor."""
    for number in range(2):
        tiny.save(root / f"walk/{number}.png", tiny.picture(number))
        path = root / f"walk/depth/{number}{kind}"
        path.parent.mkdir(exist_ok=True)
        np.save(path, depth) if kind == ".npy" else tiny.save(path, depth)
    return ["folder_test", "--data-folder", str(root), "--data-intrinsics", "40,40,40,12"]


def options_of(root: Path, **changes: object) -> Namespace:
    own = {"data_folder": str(root), "data_intrinsics": (40.0, 40.0, 40.0, 12.0)}
    return tiny.options(root, depth_validation_loaders=("folder_test",), **own, **changes)


MILLIMETRES = np.full(tiny.SIZE, 9_000, np.uint16)


@pytest.mark.parametrize(
    ("depth", "kind", "unit", "metres"),
    [
        (MILLIMETRES, ".png", 0.0, 9000 / 256),
        (MILLIMETRES, ".png", 0.001, 9.0),
        (MILLIMETRES, ".npy", 0.001, 9.0),
        (MILLIMETRES.astype(np.int64), ".npy", 0.001, 9.0),
        (MILLIMETRES.astype(np.float32), ".npy", 0.001, 9.0),
        (MILLIMETRES.astype(np.float32) / 1000, ".npy", 0.0, 9.0),
    ],
)
def test_own_depth_is_read_in_its_unit(tmp_path, depth, kind, unit, metres, caplog):
    own_depth(tmp_path, depth, kind)
    caplog.set_level("INFO")
    (data,) = build_evaluation(options_of(tmp_path, data_depth_unit=unit), "depth")
    truth = next(iter(data)).truth[0].depth
    assert truth.dtype == np.float32 and truth == pytest.approx(metres, rel=1e-6)
    assert data.truth_kind == (f"folder, {unit:g} m per count" if unit else "folder")
    assert f"depth files are read in {f'{unit:g} m' if unit else '1/256 m'} per count" in caplog.text


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.uint8])
def test_whole_numbers_without_a_unit_are_refused(tmp_path, dtype, capsys):
    words = own_depth(tmp_path, np.full(tiny.SIZE, 90, dtype), ".npy")
    (data,) = build_evaluation(options_of(tmp_path), "depth")
    with pytest.raises(
        UserError, match=r"0\.npy: u?int.* counts, and nothing says how many metres .* --data-depth-unit"
    ):
        warn_of_unit("folder_test", data.samples, 80.0)
    assert main(words) == 2 and "pass --data-depth-unit" in capsys.readouterr().err
    assert main([*words, "--data-depth-unit", "1/10"]) == 0
    assert "9.0 to 9.0 m, median 9.0 m" in capsys.readouterr().out


@pytest.mark.parametrize(("depth", "cap", "doubtful"), [(90.0, 80, True), (90.0, 100, False), (0.1, 80, True)])
def test_evaluation_doubts_a_unit_in_the_words_of_the_doctor(tmp_path, depth, cap, doubtful, caplog, capsys):
    words = own_depth(tmp_path, np.full(tiny.SIZE, depth, np.float32), ".npy")
    (data,) = build_evaluation(options_of(tmp_path), "depth")
    warn_of_unit("folder_test", data.samples, cap)
    main([*words, "--depth-cap", str(cap)])
    said = unit_doubt(depth, cap)
    assert bool(said) == doubtful
    assert caplog.messages == ([f"folder_test: {said}"] if doubtful else [])
    told = capsys.readouterr().out
    assert f"WARNING       {said}" in told if doubtful else "median depth" not in told


def test_the_right_camera_is_judged_with_its_own_truth(tmp_path, capsys):
    root = tiny.kitti(tmp_path / "data")
    tiny.drive_list(root, "zhou", "val_files.txt", [1, 2])
    for camera, number in (("protocol", 2), ("left", 2), ("right", 3)):
        samples = resolve(VALIDATION, root, depth_camera=camera)
        assert [sample.depth.camera for sample in samples] == [number, number]
        assert all(f"image_0{number}" in sample.images[0] for sample in samples)
    left, right = (np.argwhere(read_depth(each.depth)) for each in (resolve(VALIDATION, root)[0], samples[0]))
    assert (left[:, 1] > right[:, 1]).all()
    lines = [f"{tiny.DRIVE} {frame} {side}" for frame in (1, 2) for side in "lr"]
    tiny.kitti_list(root / "kitti_zhou_split", "val_files.txt", lines)
    assert [sample.depth.camera for sample in resolve(VALIDATION, root)] == [2, 3, 2, 3]
    assert [sample.depth.camera for sample in resolve(VALIDATION, root, depth_camera="right")] == [3, 3]
    assert main(["kitti_zhou_validation", "--dataset-dir", str(root), "--depth-camera", "right"]) == 0
    assert "0 left, 2 right" in capsys.readouterr().out


def test_an_index_gives_the_right_camera_where_it_lists_it(tmp_path):
    root = tiny.kitti(tmp_path)
    columns = {
        name: [f"{tiny.DRIVE}/image_0{camera}/data/{frame:010d}.png" for frame in range(6)]
        for name, camera in (("color", 2), ("color_right", 3))
    }
    tiny.index_files(root, columns, [1, 2], part="kitti_zhou_split/validation.json")
    samples = resolve(VALIDATION, root, depth_camera="right")
    assert [sample.depth.camera for sample in samples] == [3, 3]
    del columns["color_right"]
    tiny.index_files(root, columns, [1, 2], part="kitti_zhou_split/validation.json")
    with pytest.raises(UserError, match="no images of color_right in it"):
        resolve(VALIDATION, root, depth_camera="right")


def test_only_recordings_with_two_cameras_have_a_right_one(tmp_path):
    root = download(tmp_path, 1)
    with pytest.raises(UserError, match="--depth-camera right: kitti_2015_train has no truth of a right camera"):
        resolve(SCENE_FLOW, root, depth_camera="right")


def test_training_keeps_its_cameras(tmp_path):
    root = tiny.kitti(tmp_path)
    train = find_loader("depth", "kitti_zhou_train", training=True)
    assert resolve(train, root, depth_camera="left") == resolve(train, root)
