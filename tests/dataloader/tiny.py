"""Data sets of a few random pictures, in the layouts that users have on disk."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from dataloader.loaders import TrainingData

DATE = "2011_09_26"
DRIVE = f"{DATE}/{DATE}_drive_0001_sync"
SIZE = (24, 80)
FOCAL = 40.0


def picture(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Smooth random colours (H, W, 3) uint8; a JPEG of it resembles it."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 8, 3), dtype=np.uint8))
    return np.asarray(coarse.resize(size[::-1], Image.Resampling.BILINEAR))


def save(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def kitti_images(
    root: Path,
    drive: str = DRIVE,
    frames: Iterable[int] = range(6),
    cameras: Iterable[int] = (2, 3),
    kind: str = ".png",
    size: tuple[int, int] = SIZE,
) -> None:
    for camera in cameras:
        for frame in frames:
            save(root / drive / f"image_{camera:02d}/data/{frame:010d}{kind}", picture(100 * camera + frame, size))


def kitti_calibration(folder: Path, size: tuple[int, int] = SIZE) -> None:
    height, width = size
    folder.mkdir(parents=True, exist_ok=True)
    matrix = f"{FOCAL} 0 {width / 2} {{}} 0 {FOCAL} {height / 2} 0 0 0 1 0"
    (folder / "calib_cam_to_cam.txt").write_text(
        "calib_time: 09-Jan-2012 13:57:47\ncorner_dist: 9.950000e-02\n"
        "R_rect_00: 1 0 0 0 1 0 0 0 1\n"
        + "".join(
            f"S_rect_{camera:02d}: {width} {height}\nP_rect_{camera:02d}: {matrix.format(shift)}\n"
            f"K_{camera:02d}: {FOCAL * 1.25} 0 30 0 {FOCAL * 1.25} 12 0 0 1\n"
            for camera, shift in ((2, 0.0), (3, -0.54 * FOCAL))
        )
    )
    (folder / "calib_velo_to_cam.txt").write_text(
        "calib_time: 15-Mar-2012 11:37:16\nR: 0 -1 0 0 0 -1 1 0 0\nT: 0 0 0\n"
    )


def scan(path: Path, points: Iterable[tuple[float, float, float]]) -> Path:
    """Laser scan; points are x forward, y left, z up."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.array([(*point, 0.5) for point in points], "<f4").tofile(path)
    return path


def kitti_scans(root: Path, frames: Iterable[int], drive: str = DRIVE) -> None:
    kitti_calibration(root / DATE)
    for frame in frames:
        scan(root / drive / f"velodyne_points/data/{frame:010d}.bin", [(10 + frame, 0.5, 0.2), (20, -3, 1)])


def kitti_list(folder: Path, name: str, lines: Iterable[str], end: str = "\n") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(end.join(lines).encode() + end.encode())
    return path


def drive_list(root: Path, split: str, name: str, frames: Iterable[int], side: str = "l") -> Path:
    """List of frames of the one drive, in ``kitti_<split>_split``."""
    return kitti_list(root / f"kitti_{split}_split", name, [f"{DRIVE} {frame} {side}" for frame in frames])


def kitti(root: Path, frames: int = 6, cameras: tuple[int, ...] = (2, 3)) -> Path:
    """Data set folder: one drive with scans, a Zhou split with both cameras in train, left in val and test."""
    kitti_images(root / "kitti", frames=range(frames), cameras=cameras)
    kitti_scans(root / "kitti", range(frames))
    inner = range(1, frames - 1)
    sides = [side for side, camera in (("l", 2), ("r", 3)) if camera in cameras]
    split = root / "kitti_zhou_split"
    kitti_list(split, "train_files.txt", [f"{DRIVE} {frame} {side}" for frame in inner for side in sides])
    for name in ("val_files.txt", "test_files.txt"):
        drive_list(root, "zhou", name, range(frames))
    return root


def cityscapes(root: Path, count: int = 4, size: tuple[int, int] = (32, 64)) -> Path:
    """Adds a Cityscapes download with `count` labelled images in train and one in val."""
    rng = np.random.default_rng(5)
    for part, city, number in (("train", "ahrendorf", count), ("val", "zellstadt", 1)):
        for index in range(number):
            scene = f"{part}/{city}/{city}_{index:06d}_000019"
            save(root / f"cityscapes/leftImg8bit/{scene}_leftImg8bit.png", picture(500 + index, size))
            labels = rng.integers(0, 34, size, dtype=np.uint8)
            save(root / f"cityscapes/gtFine/{scene}_gtFine_labelIds.png", labels)
    return root


def index_files(
    root: Path,
    columns: dict[str, list[str]],
    split: list[int],
    basic: str = "kitti",
    part: str = "kitti_zhou_split/train.json",
    before: int = 0,
) -> None:
    """Published index files for one uninterrupted sequence; `split` names the rows of the split."""
    names = list(columns)
    count = len(next(iter(columns.values())))
    positions = [[row, row, count - 1 - row, row] for row in range(count)]
    whole = {
        "names": names,
        "types": [".png"] * len(names),
        "filters": [[]] * len(names),
        "folders": [[]] * len(names),
        "files": list(columns.values()),
        "positions": [positions] * len(names),
        "numerical_values": [None] * len(names),
    }
    chosen = {
        "names": names,
        "types": whole["types"],
        "folders": whole["folders"],
        "files": [[paths[row] for row in split] for paths in columns.values()],
        "positions": [[positions[row] for row in split]] * len(names),
    }
    for path, content in ((root / basic / "basic_files.json", whole), (root / part, chosen)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))


def without_last(index: Path, category: str) -> None:
    """Takes the last entry of a category out of an index file of a split."""
    content = json.loads(index.read_text())
    row = content["names"].index(category)
    for key in ("files", "positions"):
        content[key][row] = content[key][row][:-1]
    index.write_text(json.dumps(content))


def options(root: Path, **changes: object) -> Namespace:
    """Options of a small training run and its evaluation."""
    values = {
        "dataset_dir": str(root),
        "checkpoint_dir": "",
        "data_folder": "",
        "data_intrinsics": (),
        "data_validation_share": 0.0,
        "data_depth_unit": 0.0,
        "data_on_missing": "stop",
        "data_on_error": "stop",
        "depth_gt": "raw",
        "data_cache": "",
        "sys_num_workers": 0,
        "sys_seed": 1,
        "sys_device": "auto",
        "sys_cpu": True,
        "train_color_jitter": "on",
        "train_batches_per_epoch": 5,
        "depth_training_loaders": ("kitti_zhou_train",),
        "depth_training_batch_size": 2,
        "depth_resize_height": 16,
        "depth_resize_width": 32,
        "segmentation_training_loaders": ("cityscapes_train",),
        "segmentation_training_batch_size": 1,
        "segmentation_resize_height": 24,
        "segmentation_resize_width": 48,
        "segmentation_crop_height": 16,
        "segmentation_crop_width": 32,
        "depth_validation_loaders": ("kitti_zhou_validation",),
        "depth_validation_batch_size": 1,
        "depth_validation_resize_height": 16,
        "depth_validation_resize_width": 32,
        "segmentation_validation_loaders": ("cityscapes_validation",),
        "segmentation_validation_batch_size": 1,
        "segmentation_validation_resize_height": 16,
        "segmentation_validation_resize_width": 32,
        "pose_validation_loaders": ("kitti_odom09_validation",),
        "pose_validation_batch_size": 2,
        "pose_validation_resize_height": 16,
        "pose_validation_resize_width": 32,
    }
    return Namespace(**(values | changes))


def build_training(args: Namespace, rank_of: tuple[int, int] = (0, 1)) -> TrainingData:
    """The loaders of a method that learns depth from videos, and segmentation."""
    from dataloader.items import labelled_items, video_items
    from dataloader.loaders import build_training as build

    return build(args, {"depth": video_items(args), "segmentation": labelled_items(args)}, rank_of)
