"""Doubts about ground truth: its camera, its size and its unit."""

from pathlib import Path

import numpy as np
import pytest

from dataloader.calibration import read_calibration
from dataloader.catalog import find_loader
from dataloader.check.__main__ import main
from dataloader.loaders import build_evaluation
from dataloader.splits import resolve
from dataloader.truth import camera_faults, looks_cropped, size_doubts
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
    assert told.out.count("FAULT") == 1 and "verdict       not usable" in told.out
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
