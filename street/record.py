"""Render one drive, or one street, into its files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from . import files
from .plan import Drive, Recipe, Street
from .primitives import Label
from .render import Renderer
from .scan import scan
from .scene import draw_scene

BONNET_SHARE, BONNET_ROWS, BONNET_COLOUR = 0.3, 0.03, (38, 40, 44)
SENSOR, SCANNER = 2, 3  # streams of random numbers; 1 belongs to the scene
LEFT, RIGHT = 2, 3  # KITTI's numbers of the colour cameras


def drive_folder(out: Path, drive: Drive) -> Path:
    """Where a drive lies once it is complete."""
    return out / "kitti" / files.DATE / drive.name


def write_drive(out: Path, recipe: Recipe, drive: Drive, check: Callable[[], None]) -> int:
    """Render a drive under temporary names and rename it when it is complete.

    Args:
        out: the data set folder.
        recipe: sizes and seed.
        drive: which drive.
        check: called before every frame; may raise to stop.

    Returns:
        The number of frames.
    """
    depth, final = out / "kitti" / "Depth_improved" / files.DATE / drive.name, drive_folder(out, drive)
    unfinished = [folder.with_name(f".{folder.name}.tmp") for folder in (depth, final)]
    for folder in (*unfinished, depth):
        shutil.rmtree(folder, ignore_errors=True)
    try:
        _render(unfinished[1], unfinished[0], recipe, drive, check)
        os.rename(unfinished[0], depth)
        os.rename(unfinished[1], final)  # last: the drive counts as complete once this folder is there
    finally:
        for folder in unfinished:
            shutil.rmtree(folder, ignore_errors=True)
    return drive.frames


def _render(folder: Path, depth_folder: Path, recipe: Recipe, drive: Drive, check: Callable[[], None]) -> None:
    scene = drive.draw(recipe.seed)
    renderer = Renderer(scene, recipe.camera)
    for frame in range(drive.frames):
        check()
        for number in (LEFT, RIGHT):
            noise = np.random.default_rng([recipe.seed, drive.scene, SENSOR, frame, number])
            image = renderer.image(frame, right=number == RIGHT, noise=noise)
            files.write_image(folder / f"image_{number:02d}" / "data" / f"{frame:010d}.png", image)
        files.write_depth(depth_folder / "image_02" / "data" / f"{frame:010d}.png", renderer.truth(frame).depth)
        points = scan(scene, frame, np.random.default_rng([recipe.seed, drive.scene, SCANNER, frame]))
        files.write_points(folder / "velodyne_points" / "data" / f"{frame:010d}.bin", points)
        line = files.oxts_line(renderer.pose(frame), scene.ride.speed_at(frame))
        files.write_text(folder / "oxts" / "data" / f"{frame:010d}.txt", line)
    for sensor in ("image_02", "image_03", "velodyne_points", "oxts"):
        files.write_text(folder / sensor / "timestamps.txt", files.timestamps(drive.frames))


def street_files(out: Path, street: Street) -> tuple[Path, Path, Path]:
    """Image, label and camera file of a street; the camera file is written last."""
    root, place = out / "cityscapes", Path(street.part) / street.city
    return (
        root / "leftImg8bit" / place / f"{street.stem}_leftImg8bit.png",
        root / "gtFine" / place / f"{street.stem}_gtFine_labelIds.png",
        root / "camera" / place / f"{street.stem}_camera.json",
    )


def write_street(out: Path, recipe: Recipe, street: Street, check: Callable[[], None]) -> int:
    """Render one street; arguments and result as for `write_drive`."""
    check()
    camera = recipe.street_camera
    renderer = Renderer(draw_scene(recipe.seed, street.scene), camera)
    noise = np.random.default_rng([recipe.seed, street.scene, SENSOR, 0, LEFT])
    image, labels = renderer.image(0, noise=noise), renderer.truth(0).labels
    if noise.uniform() < BONNET_SHARE:
        rows = slice(round((1 - BONNET_ROWS) * camera.height), None)
        image[rows], labels[rows] = BONNET_COLOUR, Label.BONNET
    image_file, label_file, camera_file = street_files(out, street)
    files.write_image(image_file, image)
    files.write_image(label_file, labels)
    files.write_text(camera_file, files.camera_json(camera))
    return 1
