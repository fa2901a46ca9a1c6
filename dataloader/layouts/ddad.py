"""DDAD: the scenes of ddad.json with their laser scans, or pairs that others have exported."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from errors import UserError

from ..calibration import LONGEST_SIDE
from ..index import read_json
from ..listing import Listing
from ..missing import Missing
from ..samples import NO_CAMERA, DepthSource, Request, Sample, check_intrinsics

ROOTS = ("ddad", "ddad/ddad_train_val", "ddad_train_val")
INDEX = "ddad.json"
SPLITS = {"train": "0", "validation": "1"}
CAMERA, SCANNER = "CAMERA_01", "LIDAR"  # the front camera
REMEDY = "unpack DDAD.tar there"
FETCH = "fetch it again"
IMAGE, DEPTH = "_rgb", "_depth"  # ends of exported pairs


def ddad_samples(request: Request) -> list[Sample]:
    """Frames of the front camera in the order of their scenes, with the laser scan of the same sample.

    Raises:
        UserError: when there is neither ddad.json nor an exported pair, or an image is missing or a scene damaged.
    """
    described = [root for folder in ROOTS if ((root := request.dataset_dir / folder) / INDEX).is_file()]
    if described:
        return _of_scenes(request, described[0])
    root = request.folder(ROOTS[0], "unpack or link DDAD")
    samples = list(_exported(Listing(root)))
    if not samples:
        raise UserError(f"{root}: neither {INDEX} nor <id>{IMAGE}.png with <id>{DEPTH}.npy there; {REMEDY}")
    return samples


def _of_scenes(request: Request, root: Path) -> list[Sample]:
    index, listing, missing = root / INDEX, Listing(root), Missing(request)
    with _described_by(index):
        stored = read_json(index, FETCH)
        scenes = [str(name) for name in stored["scene_splits"][SPLITS[request.spec.part]]["filenames"]]
    samples: list[Sample] = []
    for name in scenes:
        path = listing.file(name)
        if missing.note([] if path else [f"{root}/{name}"]):
            continue
        with _described_by(Path(path)):
            samples += _Scene(Path(path), name.rpartition("/")[0], listing).samples(missing)
    missing.check(index, REMEDY, len(samples))
    if not samples:
        raise UserError(f"{index}: no sample of {CAMERA} in its scenes; {REMEDY}")
    return samples


@contextlib.contextmanager
def _described_by(path: Path) -> Iterator[None]:
    """Says that a JSON file is damaged, where it lacks entries or has them of another kind."""
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as fault:
        raise UserError(f"{path}: not what DDAD has there ({type(fault).__name__}: {fault}); {FETCH}") from fault


class _Scene:
    """One scene: its samples, what was measured in each, and the cameras of its calibrations.

    Raises:
        KeyError, TypeError ...: where the description is damaged.
    """

    def __init__(self, path: Path, folder: str, listing: Listing):
        self._path, self._folder, self._listing = path, folder, listing
        self._stored = read_json(path, FETCH)
        self._data = {datum["key"]: datum for datum in self._stored["data"]}
        self._cameras: dict[str, np.ndarray] = {}

    def samples(self, missing: Missing) -> Iterator[Sample]:
        """Samples of the front camera; what an image lacks goes to `missing`, without a scan there is no truth."""
        for stored in self._stored["samples"]:
            data = [self._data[key] for key in stored["datum_keys"] if key in self._data]
            found = {datum["id"]["name"]: datum["datum"] for datum in data}
            if CAMERA not in found:
                continue
            image = found[CAMERA]["image"]
            name = self._place(image["filename"])
            path = self._listing.find_image(name)
            if not missing.note([] if path else [f"{self._listing.root}/{name}"]):
                camera = self._camera(stored["calibration_key"])
                cloud = found[SCANNER]["point_cloud"] if SCANNER in found else None
                yield self._sample(path, name, image, cloud, camera)

    def _place(self, filename: str) -> str:
        return f"{self._folder}/{filename}".removeprefix("/")

    def _sample(
        self, path: str, name: str, image: Mapping[str, Any], cloud: Mapping[str, Any] | None, camera: np.ndarray
    ) -> Sample:
        size = int(image["height"]), int(image["width"])
        if not all(0 < side <= LONGEST_SIDE for side in size):
            raise ValueError(f"{size[0]} x {size[1]} is no size of an image")
        numbers = camera[0, 0], camera[1, 1], camera[0, 2], camera[1, 2]
        intrinsics = check_intrinsics(str(self._path), numbers, *size, remedy=FETCH)
        scan = self._listing.file(self._place(cloud["filename"])) if cloud else ""
        depth = None
        if cloud and scan:
            matrix = camera @ (np.linalg.inv(_pose(image["pose"])) @ _pose(cloud["pose"]))[:3]
            depth = DepthSource("lidar", scan, matrix=tuple(matrix.ravel().tolist()), size=size)
        return Sample(str(PurePosixPath(name).with_suffix("")), {0: path}, intrinsics, depth=depth, measured=True)

    def _camera(self, key: str) -> np.ndarray:
        """Matrix of the front camera, (3, 3), pixels."""
        if key not in self._cameras:
            name = self._place(f"calibration/{key}.json")
            path = Path(self._listing.file(name) or f"{self._listing.root}/{name}")
            with _described_by(path):
                stored = read_json(path, FETCH)
                values = stored["intrinsics"][stored["names"].index(CAMERA)]
                fx, fy, cx, cy = _numbers(values[name] for name in ("fx", "fy", "cx", "cy"))
                (skew,) = _numbers([values.get("skew", 0.0)])
            self._cameras[key] = np.array([[fx, skew, cx], [0, fy, cy], [0, 0, 1]])
        return self._cameras[key]


def _pose(stored: Mapping[str, Any]) -> np.ndarray:
    """Sensor to world, (4, 4), from a quaternion and a translation."""
    quaternion = _numbers(stored["rotation"][name] for name in ("qw", "qx", "qy", "qz"))
    length = np.linalg.norm(quaternion)
    if not 0.99 < length < 1.01:
        raise ValueError(f"a rotation is no unit quaternion (length {length:g})")
    w, x, y, z = quaternion / length
    pose = np.eye(4)
    pose[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    pose[:3, 3] = _numbers(stored["translation"][name] for name in "xyz")
    return pose


def _numbers(values: Iterable[object]) -> np.ndarray:
    """Finite numbers as float64; raises ValueError or TypeError where one is none."""
    numbers = np.array([float(value) for value in values])
    if not np.isfinite(numbers).all():
        raise ValueError(f"{numbers.tolist()} are not all finite")
    return numbers


def _exported(listing: Listing) -> Iterator[Sample]:
    """Pairs ``<id>_rgb.png`` and ``<id>_depth.npy`` (metres), directly in the folder or in folders of it."""
    for folder in ["", *sorted(listing.names(""))]:
        for name, image in listing.images(folder).items():
            stem = name.removesuffix(IMAGE)
            if stem == name:
                continue
            place = f"{folder}/{stem}" if folder else stem
            depth = listing.file(f"{place}{DEPTH}.npy")
            yield Sample(place, {0: image}, NO_CAMERA, depth=DepthSource("array", depth) if depth else None)
