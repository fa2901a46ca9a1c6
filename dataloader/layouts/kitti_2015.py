"""KITTI 2015 (scene flow and semantics): the published index file, or the download as it is."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from errors import UserError

from ..index import read_index, resolve_index, truth_by_image
from ..listing import Listing, on_disk
from ..missing import Missing
from ..parameters import Parameters, read_parameters
from ..samples import DepthSource, Request, Sample

log = logging.getLogger(__name__)
CALIBRATION = "training/calib_cam_to_cam"


def kitti_2015_samples(request: Request) -> list[Sample]:
    """The 200 training images with depth or labels.

    Depth comes from the disparity maps and the rectified focal length, whatever an index file names; stored depth maps
    serve where disparity or calibration are missing, and with `as_released`.

    Raises:
        UserError: when the folder or an indexed image is missing, or there is no image at all.
    """
    root = request.folder("kitti_2015", "unpack or link KITTI 2015")
    listing, parameters = Listing(root), read_parameters(root, "kitti_2015")
    index = on_disk(root / f"{request.spec.part}.json")
    if index.is_file():
        samples = list(_from_index(request, index, listing, parameters))
    else:
        samples = list(_from_folders(request, listing, parameters))
    if not samples:
        raise UserError(f"{root}: no images in training/image_2; unpack data_scene_flow.zip there")
    stored = sum(sample.depth is not None and sample.depth.kind == "map" for sample in samples)
    if stored and not request.as_released:
        log.info(
            "  - kitti_2015: stored depth maps serve %d of %d images, which have no disparity or calibration; "
            "published maps are about a third too far",
            stored,
            len(samples),
        )
    return samples


def _from_folders(request: Request, listing: Listing, parameters: Parameters) -> Iterator[Sample]:
    for stem, image in listing.images("training/image_2").items():
        if not stem.endswith("_10"):
            continue  # the second frame of a pair has no truth
        yield _sample(request, listing, parameters, stem, image, labels=listing.find(f"training/semantic/{stem}"))


def _from_index(request: Request, path: Path, listing: Listing, parameters: Parameters) -> Iterator[Sample]:
    truth = "depth" if request.spec.purpose == "depth" else "segmentation"
    split = read_index(path)
    found, by_image = resolve_index(split, {}, load=["color"]), truth_by_image(split, "color", truth)
    missing, left = Missing(request), 0
    for stored in found.get(("color", 0, -1), ()):
        image = listing.find_image(stored)
        if missing.note([] if image else [f"{listing.root}/{stored}"]):
            continue
        left += 1
        stem = Path(stored).stem
        given = by_image.get(stored, "")
        labels = listing.file(given) if truth == "segmentation" else ""
        depth_map = listing.file(given) if truth == "depth" else ""
        yield _sample(request, listing, parameters, stem, image, labels, depth_map)
    missing.check(path, "unpack data_scene_flow.zip there", left)


def _sample(
    request: Request,
    listing: Listing,
    parameters: Parameters,
    stem: str,
    image: str,
    labels: str = "",
    depth_map: str = "",
) -> Sample:
    if request.spec.purpose == "segmentation":
        return Sample(stem, {0: image}, parameters.intrinsics, labels=labels, labels_mode=parameters.labels_mode)
    path = depth_map or listing.find(f"training/depth_occ_0/{stem}", (".png",))
    stored = DepthSource("map", path, parameters.depth_mode) if path else None
    computed = _computed(listing, stem, request.as_released)
    depth = stored or computed if request.as_released else computed or stored
    return Sample(stem, {0: image}, parameters.intrinsics, depth=depth)


def _computed(listing: Listing, stem: str, as_released: bool) -> DepthSource | None:
    """Depth from the disparity of the same name; image 000012_10 has the calibration file 000012.txt."""
    disparity = listing.find(f"training/disp_occ_0/{stem}", (".png",))
    calibration = listing.find(f"{CALIBRATION}/{stem.partition('_')[0]}", (".txt",))
    if not (disparity and calibration):
        return None
    mode = "released" if as_released else "uint_16"
    return DepthSource("disparity", disparity, mode, calibration=calibration, camera=2)
