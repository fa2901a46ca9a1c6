"""From a loader's name to its samples."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from errors import UserError

from .catalog import LoaderSpec
from .samples import Request, Sample

log = logging.getLogger(__name__)


def resolve(
    spec: LoaderSpec,
    dataset_dir: str | Path,
    *,
    depth_gt: str = "raw",
    data_folder: str = "",
    data_intrinsics: Sequence[float] = (),
    cache_folder: str = "",
    as_released: bool = False,
) -> list[Sample]:
    """Samples of a loader in their order, all images checked for existence; truth may be absent.

    Args:
        spec: the loader
        dataset_dir: folder with kitti/, cityscapes/ ...; unused by the loaders of own data
        depth_gt: "raw" or "improved"
        data_folder: own data
        data_intrinsics: fx, fy, cx, cy of own data in pixels of the files
        cache_folder: where projected laser scans are kept when the data folder is read-only; empty for nowhere
        as_released: KITTI 2015 depth with the focal length of the published maps

    Raises:
        UserError: when something is missing or damaged, named with what to do.
    """
    request = Request(spec=spec, dataset_dir=Path(dataset_dir), depth_gt=depth_gt, cache_folder=cache_folder,
                      as_released=as_released)  # fmt: skip
    if spec.dataset != "folder":
        if not dataset_dir:
            raise UserError(f"{spec.name}: no data set folder; pass --dataset-dir or set IFN_DIR_DATASET")
        if not request.dataset_dir.is_dir():
            raise UserError(f"{dataset_dir}: no such data set folder; correct --dataset-dir or IFN_DIR_DATASET")
    match spec.dataset:
        case "folder":
            from .layouts.folder import folder_samples

            return folder_samples(request, data_folder, data_intrinsics)
        case "cityscapes":
            from .layouts.cityscapes import cityscapes_samples

            return cityscapes_samples(request)
        case "kitti_2015":
            from .layouts.kitti_2015 import kitti_2015_samples

            return kitti_2015_samples(request)
        case "kitti" if spec.purpose == "pose":
            from .layouts.odometry import odometry_samples

            return odometry_samples(request)
        case "kitti":
            from .layouts.kitti import kitti_samples

            return kitti_samples(request)
    raise UserError(f"{spec.name}: no layout for data set {spec.dataset!r}")


def has_truth(spec: LoaderSpec, sample: Sample) -> bool:
    """Whether a sample carries what its loader is for."""
    match spec.purpose:
        case "segmentation":
            return bool(sample.labels)
        case "pose":
            return sample.pose is not None
    return spec.training or sample.depth is not None


def with_truth(spec: LoaderSpec, samples: list[Sample]) -> list[Sample]:
    """The samples that can be used; how many were left out is logged.

    Raises:
        UserError: when none is left.
    """
    kept = [sample for sample in samples if has_truth(spec, sample)]
    if not kept:
        wanted = {"depth": "depth (maps, or laser scans with calibration)", "segmentation": "labels", "pose": "poses"}
        raise UserError(f"{spec.name}: none of its {len(samples)} frames has {wanted[spec.purpose]}; "
                        f"see python -m dataloader.check {spec.name}")  # fmt: skip
    if len(kept) < len(samples):
        log.info("  - %s: %d of %d frames skipped, no ground truth", spec.name, len(samples) - len(kept), len(samples))
    return kept
