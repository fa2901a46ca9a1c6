"""NYU Depth v2 and Make3D with a few images, in the layouts of the downloads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
from PIL import Image
from scipy import io

from tests.dataloader.tiny import picture, save

SIZE = (480, 640)
ROOMS = ("kitchen", "home_office", "bathroom", "kitchen")
TEST = (2, 3, 4)  # from 1, as splits.mat counts


def room_depth(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Metres of an indoor scene (H, W) float32, zeros where nothing was measured."""
    rng = np.random.default_rng(seed)
    depth = np.kron(rng.uniform(0.7, 9.5, (size[0] // 20, size[1] // 20)), np.ones((20, 20))).astype(np.float32)
    depth[::7, ::5] = 0
    return depth


def labelled(folder: Path, rooms: Sequence[str] = ROOMS, test: Sequence[int] = TEST) -> Path:
    """nyu_depth_v2_labeled.mat and splits.mat, as MATLAB 7.3 and MATLAB 5 write them."""
    folder.mkdir(parents=True, exist_ok=True)
    count = len(rooms)
    with h5py.File(folder / "nyu_depth_v2_labeled.mat", "w", userblock_size=512) as file:
        file["images"] = np.stack([picture(i, SIZE).transpose(2, 1, 0) for i in range(count)])
        file["rawDepths"] = np.stack([room_depth(i).T for i in range(count)])
        file["depths"] = np.stack([np.maximum(room_depth(i), 0.5).T for i in range(count)])
        names = file.create_dataset("sceneTypes", (1, count), h5py.ref_dtype)
        for i, room in enumerate(rooms):
            codes = file.create_dataset(f"#refs#/{i}", data=np.array([[ord(letter)] for letter in room], np.uint16))
            names[0, i] = codes.ref
    others = [number for number in range(1, count + 1) if number not in test]
    indices = {"trainNdxs": np.array(others, np.uint16)[:, None], "testNdxs": np.array(test, np.uint16)[:, None]}
    io.savemat(folder / "splits.mat", indices)
    return folder


def struct_test(folder: Path, names: Sequence[str] = ("00001", "00002")) -> Path:
    """nyu_test/<number>.h5 of StructDepth."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file["rgb"] = picture(seed, SIZE).transpose(2, 0, 1)
            file["depth"] = room_depth(seed)
    return folder


def make3d(folder: Path, ids: Sequence[str] = ("10.21op2-p-015t000", "math11-p-139t0"), plain: bool = True) -> Path:
    """Images and laser grids of the test set; `plain`: directly in the folder, else below Test134Depth."""
    images, grids = ("Test134", "Gridlaserdata") if plain else ("Test134Img", "Test134Depth/Gridlaserdata")
    (folder / grids).mkdir(parents=True)
    for seed, name in enumerate(ids):
        coarse = Image.fromarray(picture(seed, (71, 54))).resize((1704, 2272))
        save(folder / images / f"img-{name}.jpg", np.asarray(coarse))
        grid = np.random.default_rng(seed).uniform(2, 81, (55, 305, 4))
        io.savemat(folder / grids / f"depth_sph_corr-{name}.mat", {"Position3DGrid": grid}, do_compression=bool(seed))
    return folder
