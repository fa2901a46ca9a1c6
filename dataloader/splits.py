"""From a loader's name to its samples."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from errors import UserError

from .catalog import LoaderSpec
from .given_truth import given_kind, is_given, with_given_truth
from .layouts.folder import OwnData, folder_samples
from .samples import Request, Sample

log = logging.getLogger(__name__)

TRUTH_REMEDIES = {
    ("kitti", "depth"): "unpack velodyne_points and the calibration (--depth-gt raw) or data_depth_annotated.zip "
    "(--depth-gt improved)",
    ("kitti_2015", "depth"): "unpack data_scene_flow.zip and data_scene_flow_calib.zip",
    ("kitti_2015", "segmentation"): "unpack data_semantics.zip",
    ("cityscapes", "segmentation"): "unpack gtFine_trainvaltest.zip",
    ("cityscapes", "depth"): "unpack disparity_trainvaltest.zip and camera_trainvaltest.zip, or gt_depths beside its "
    "test_files.txt",
    ("ddad", "depth"): "unpack point_cloud/LIDAR of every scene",
    ("diml", "depth"): "unpack depth_filled (indoor) or depthmap (outdoor) beside the images",
    ("nyu_v2", "depth"): "put sync_depth_*.png beside the images, or extract the labelled ones again with "
    "python -m dataloader.prepare nyu",
    ("nyu_v2_struct", "depth"): "unpack the test set of StructDepth again",
    ("make3d", "depth"): "unpack the laser grids of Test134 as Gridlaserdata/depth_sph_corr-<id>.mat",
    (
        "folder",
        "depth",
    ): "put .png of 1/256 m or .npy of metres (or of --data-depth-unit) into 'depth/' beside the images, "
    "under their names",
}
"""Where ground truth comes from, by data set and purpose; poses are never absent."""
KITTI_TRUTH = {
    "raw": "depth along the axis of the camera, in 1/256 m",
    "scanner": "forward distance (x) of the laser scanner, as in Monodepth2's exported maps",
    "improved": "improved maps (--depth-gt improved)",
}
"""What the depth of KITTI is compared with, by `Request.depth_gt`; the first two differ by about 3 % in Abs Rel."""


def cache_folder_of(args: Namespace) -> str:
    """Where a command keeps what it makes of files: projected laser scans, frames of own videos."""
    # Only commands that judge depth have --cache-dir.
    return getattr(args, "cache_dir", "") or args.checkpoint_dir


def resolve(
    spec: LoaderSpec,
    dataset_dir: str | Path,
    *,
    depth_gt: str = "raw",
    data_folder: str = "",
    data_intrinsics: Sequence[float] = (),
    data_depth_unit: float = 0.0,
    data_validation_share: float = 0.0,
    frame_step: int = 1,
    depth_camera: str = "protocol",
    cache_folder: str = "",
    as_released: bool = False,
    drop: bool = False,
    skip: bool = False,
    listed: bool = True,
    ends: bool = False,
) -> list[Sample]:
    """Samples of a loader in their order, all images checked for existence; truth may be absent.

    Truth of depth comes from the file that `depth_gt` names, where it names one, see `given_truth`.

    Args:
        spec: the loader
        dataset_dir: folder with kitti/, cityscapes/ ...; unused by the loaders of own data
        depth_gt: "raw", "improved" or a file
        data_folder: own data
        data_intrinsics: fx, fy, cx, cy of own data in pixels of the files
        data_depth_unit: of own data, as the following ones, see `OwnData`
        data_validation_share: part of every sequence that is for validation
        frame_step: how many frames away neighbours are
        depth_camera: camera of KITTI that evaluation is about, "left", "right", or "protocol": what the list says
        cache_folder: below which projected laser scans and frames of own videos are kept; empty for nowhere
        as_released: KITTI 2015 depth as published, with the focal length before rectification
        drop: leave out samples with missing files and log them; poses need all
        skip: damaged images are no reason to stop, whoever reads them deals with them
        listed: take what lists of images with depth say; else what is on disk
        ends: of a drive with poses, take the motions from its first and to its last frame as well

    Raises:
        UserError: when something is missing or damaged, named with what to do.
    """
    judged = spec.purpose == "depth" and not spec.training
    if spec.without_truth and is_given(depth_gt):
        raise UserError(f"--depth-gt {depth_gt}: {spec.without_truth}; leave it out")
    no_right = spec.dataset != "kitti" or spec.truth == "server" or spec.split == "annotated"
    if depth_camera == "right" and no_right and judged:
        raise UserError(f"--depth-camera right: {spec.name} has no truth of a right camera; leave it out")
    if spec.dataset != "folder":
        _require_folder(dataset_dir)
    request = Request(
        spec=spec,
        dataset_dir=Path(dataset_dir),
        depth_gt="raw" if is_given(depth_gt) else _kitti_truth(spec, depth_gt),
        cache_folder=cache_folder,
        as_released=as_released,
        drop=drop,
        skip=skip,
        camera=depth_camera,
        listed=listed,
        ends=ends,
    )
    own = OwnData(data_folder, data_intrinsics, data_depth_unit, frame_step, data_validation_share)
    samples = _found(request, own)
    if spec.window:
        samples = [replace(sample, window=spec.window) for sample in samples]
    return with_given_truth(request, samples, depth_gt) if judged and is_given(depth_gt) else samples


def _require_folder(dataset_dir: str | Path) -> None:
    if not dataset_dir:
        raise UserError(
            "--dataset-dir: not given; pass --dataset-dir FOLDER or set the environment variable IFN_DIR_DATASET"
        )
    if not Path(dataset_dir).is_dir():
        raise UserError(
            f"--dataset-dir {dataset_dir}: no such folder; make one with "
            "'python -m dataloader.prepare synthetic --out FOLDER' or name yours"
        )


def _found(request: Request, own: OwnData) -> list[Sample]:
    """What the layout of a data set finds."""
    spec = request.spec
    match spec.dataset:
        case "folder":
            samples = folder_samples(request, own)
            return [_in_unit(sample, own.depth_unit) for sample in samples] if own.depth_unit else samples
        case "cityscapes" if spec.purpose == "depth" and spec.training:
            from .layouts.cityscapes_video import cityscapes_video_samples

            return cityscapes_video_samples(request)
        case "cityscapes" if spec.purpose == "depth":
            from .layouts.cityscapes_depth import cityscapes_depth_samples

            return cityscapes_depth_samples(request)
        case "cityscapes":
            from .layouts.cityscapes import cityscapes_samples

            return cityscapes_samples(request)
        case "ddad":
            from .layouts.ddad import ddad_samples

            return ddad_samples(request)
        case "diml":
            from .layouts.diml import diml_samples

            return diml_samples(request)
        case "kitti_2015":
            from .layouts.kitti_2015 import kitti_2015_samples

            return kitti_2015_samples(request)
        case "nyu_v2":
            from .layouts.nyu import nyu_samples

            return nyu_samples(request)
        case "nyu_v2_struct" if spec.training:
            from .layouts.nyu_video import nyu_video_samples

            return nyu_video_samples(request)
        case "nyu_v2_struct":
            from .layouts.nyu import nyu_struct_samples

            return nyu_struct_samples(request)
        case "make3d":
            from .layouts.make3d import make3d_samples

            return make3d_samples(request)
        case "kitti" if spec.purpose == "pose":
            from .layouts.odometry import odometry_samples

            return odometry_samples(request)
        case "kitti" if spec.split == "annotated":
            from .layouts.kitti_annotated import kitti_annotated_samples

            return kitti_annotated_samples(request)
        case "kitti" if spec.truth == "server":
            from .layouts.kitti_upload import kitti_upload_samples

            return kitti_upload_samples(request)
        case "kitti":
            from .layouts.kitti import kitti_samples

            return kitti_samples(request)
    raise UserError(f"{spec.name}: no layout for data set {spec.dataset!r}")


def _kitti_truth(spec: LoaderSpec, depth_gt: str) -> str:
    """Which truth of KITTI a loader takes, a key of `KITTI_TRUTH`."""
    if spec.truth == "improved":
        return "improved"
    return "scanner" if spec.truth == "scanner" and depth_gt == "raw" else depth_gt


def tell_truth(spec: LoaderSpec, depth_gt: str) -> str:
    """A sentence about the truth of a loader for those who compare numbers; "" where there is nothing to tell."""
    if spec.dataset != "kitti" or spec.purpose != "depth" or is_given(depth_gt):
        return ""
    if spec.truth == "server":
        return f"{spec.name}: truth is kept by the server of the benchmark; predictions become files to upload"
    return f"{spec.name}: truth is {KITTI_TRUTH[_kitti_truth(spec, depth_gt)]}"


def _in_unit(sample: Sample, unit: float) -> Sample:
    maps = {name: getattr(sample, name) for name in ("depth", "dense", "base")}
    return replace(sample, **{name: replace(each, unit=unit) for name, each in maps.items() if each})


def _is_array(sample: Sample) -> bool:
    return sample.depth is not None and sample.depth.kind == "array"


def has_truth(spec: LoaderSpec, sample: Sample) -> bool:
    """Whether a sample carries the ground truth that its loader cannot do without."""
    if not spec.needs_truth:
        return True
    match spec.purpose:
        case "segmentation":
            return bool(sample.labels)
        case "pose":
            return sample.pose is not None
    return sample.depth is not None


def with_truth(spec: LoaderSpec, samples: list[Sample]) -> list[Sample]:
    """The samples that can be used; how many were left out is logged.

    Raises:
        UserError: when none is left.
    """
    kept = [sample for sample in samples if has_truth(spec, sample)]
    if not kept:
        wanted = "labels" if spec.purpose == "segmentation" else "depth"
        raise UserError(
            f"{spec.name}: none of its {len(samples)} frames has {wanted}; {TRUTH_REMEDIES[spec.dataset, spec.purpose]}"
        )
    if len(kept) < len(samples):
        log.info("  - %s: %d of %d frames skipped, no ground truth", spec.name, len(samples) - len(kept), len(samples))
    return kept


def truth_kind(
    spec: LoaderSpec,
    samples: Sequence[Sample],
    *,
    depth_gt: str = "raw",
    as_released: bool = False,
    data_depth_unit: float = 0.0,
    depth_camera: str = "protocol",
) -> str:
    """What results are compared with, as metrics.json notes it; numbers with different kinds do not compare."""
    if spec.purpose != "depth":
        return "camera poses" if spec.purpose == "pose" else f"{spec.dataset} labels"
    if is_given(depth_gt):
        return given_kind(depth_gt)
    if spec.truth == "server":
        return "none, kept by a server"
    if spec.truth == "neighbours":
        return "none, the frames before and after"
    if spec.dataset == "kitti":
        kind = _kitti_truth(spec, depth_gt)
        return "raw, x of the scanner" if kind == "scanner" else kind
    if spec.dataset == "cityscapes":
        from .layouts.cityscapes_depth import of_usual_camera

        if any(_is_array(sample) for sample in samples):
            return "cityscapes gt_depths"
        usual = any(of_usual_camera(sample.depth) for sample in samples)
        return f"cityscapes disparity{', usual camera' if usual else ''}"
    if spec.dataset == "folder" and data_depth_unit:
        return f"folder, {data_depth_unit:g} m per count"
    if spec.dataset != "kitti_2015":
        return f"{spec.dataset}, filled" if spec.truth == "dense" else spec.dataset
    if as_released:
        return "kitti_2015 as released"
    kinds = {sample.depth.kind for sample in samples if sample.depth}
    names = {"disparity": "rectified", "map": "stored maps"}
    return f"kitti_2015 {' and '.join(name for kind, name in names.items() if kind in kinds)}"
