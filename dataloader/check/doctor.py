"""Examines one loader: what it would find, and whether that makes sense."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from dataloader.catalog import DATASETS, LoaderSpec
from dataloader.check import facts
from dataloader.check.camera import check_camera, compare_calibration
from dataloader.check.files import check_files, count_own_frames, count_samples
from dataloader.check.look import Look, Tile, choose, look_at
from dataloader.check.report import SHOWN, Report, share
from dataloader.given_truth import kind_of
from dataloader.index import read_index
from dataloader.integrity import needed
from dataloader.layouts import kitti_annotated, nyu
from dataloader.layouts.cityscapes_triplets import find_dump
from dataloader.layouts.folder import find_sequences, find_videos
from dataloader.layouts.kitti import find_split
from dataloader.lists import read_list
from dataloader.missing import DROP_HINT
from dataloader.samples import NO_CAMERA, Request, Sample
from dataloader.splits import has_truth, resolve, tell_truth, with_truth
from dataloader.truth import camera_faults, size_doubts
from errors import UserError
from evaluation.protocols import DEPTH_PROTOCOLS
from storage.progress import Progress
from visual.frames import take_all

TILES = 6
"""Samples of a loader on the contact sheet."""
FARTHEST = 100.0  # metres that networks predict, where no protocol says it


@dataclass(frozen=True)
class Options:
    """Where to look and how closely; `images` samples are decoded, 0 means all."""

    dataset_dir: str = ""
    depth_gt: str = "raw"
    data_folder: str = ""
    data_intrinsics: tuple[float, ...] = ()
    data_depth_unit: float = 0.0
    data_validation_share: float = 0.0
    frame_step: int = 1
    depth_camera: str = "protocol"
    depth_cap: float = 0.0
    cache_dir: str = ""
    images: int = 20


def examine(spec: LoaderSpec, options: Options, tiles: bool = False) -> tuple[Report, list[Tile]]:
    """Everything that can be said about one loader.

    Returns: findings, and small pictures of a few samples when `tiles` asks for them.
    """
    use = "training" if spec.training else "evaluation"
    report = Report(f"{spec.name} ({spec.purpose} {use})")
    try:
        spec = spec.judged_with(kind_of(options.depth_gt))
        if spec.dataset == "folder" and options.cache_dir:
            for fault in take_all(find_videos(options.data_folder), Path(options.cache_dir), print):
                report.fault(f"{fault}, {DROP_HINT}")
        samples = resolve(
            spec,
            options.dataset_dir,
            depth_gt=options.depth_gt,
            data_folder=options.data_folder,
            data_intrinsics=options.data_intrinsics,
            data_depth_unit=options.data_depth_unit,
            data_validation_share=options.data_validation_share,
            frame_step=options.frame_step,
            cache_folder=options.cache_dir if spec.dataset == "folder" else "",  # a check keeps no laser scans
            depth_camera=options.depth_camera,
        )
        _tell_source(report, spec, options, len(samples))
        if spec.needs_truth and (told := tell_truth(spec, options.depth_gt)):
            report.tell("truth", told.partition(": ")[2])
        own = spec.dataset == "folder"
        count_samples(report, spec, samples, options.frame_step if own else 1)
        if own:
            sequences = find_sequences(options.data_folder, options.cache_dir)
            count_own_frames(report, spec, Path(options.data_folder), sequences, samples, options.frame_step)
        if not any(has_truth(spec, sample) for sample in samples):
            with_truth(spec, samples)
    except UserError as error:
        report.fault(str(error))
        return report, []
    damaged = check_files(report, samples)
    damaged |= check_truth(report, [sample for sample in samples if damaged.isdisjoint(needed(sample))])
    looks = _looks(spec, [sample for sample in samples if has_truth(spec, sample)], options.images, TILES * tiles)
    facts.tell_images(report, looks, damaged)
    _tell(report, spec, samples, looks, options.depth_cap)
    return report, [look.tile for look in looks if look.tile is not None]


def check_truth(report: Report, samples: Sequence[Sample]) -> set[str]:
    """Doubt calibrations that make truth, which is a fault, and truth whose image seems to be cropped.

    Returns: paths of the calibrations.
    """
    faults = camera_faults(samples)
    for fault in faults.values():
        report.fault(fault)
    sound = [sample for sample in samples if faults.keys().isdisjoint(needed(sample))]
    for doubt in size_doubts(sound)[:SHOWN]:
        report.warn(doubt)
    return set(faults)


def _tell_source(report: Report, spec: LoaderSpec, options: Options, used: int) -> None:
    """Where the samples come from, and how many entries of a list or index file are not among them."""
    if spec.dataset != "kitti":
        home, folder = Path(options.dataset_dir), DATASETS[spec.dataset].folder
        dump = find_dump(home) if (spec.dataset, spec.purpose, spec.training) == ("cityscapes", "depth", True) else None
        report.tell("folder", options.data_folder or str(dump.listing.root if dump else home / folder))
        if spec.dataset == "nyu_v2":
            report.tell("list", str(nyu.find_list(home, spec) or "none, all images there"))
        return
    if spec.split == "annotated":
        listed = kitti_annotated.find_list(Path(options.dataset_dir), spec.part)
        report.tell("list", str(listed or f"none, {'all left images with a map' if spec.training else 'known frames'}"))
        return
    path = find_split(Request(spec=spec, dataset_dir=Path(options.dataset_dir)))
    built_in = "none, the whole sequence" if spec.purpose == "pose" else "none, the frames are known"
    if spec.training:
        built_in = "none, the drives on disk that have no part in the Eigen test set"
    report.tell("list", str(path or built_in))
    indexed = path is not None and path.suffix.lower() == ".json"
    if path is None or (spec.purpose == "pose" and not indexed):  # a trajectory lacks the ends of its drive
        return
    if indexed:
        index = read_index(path)
        cameras = Request(spec=spec, dataset_dir=Path(), camera=options.depth_camera).cameras
        entries = sum(len(index[camera].items) for camera in cameras if camera in index)
        reason = "no neighbours in basic_files.json, no truth, or no right camera on disk"
    else:
        entries, reason = len(read_list(path)), "no right camera on disk, or no frame before or after them"
    if entries > used:
        report.warn(f"{share(entries - used, entries)} entries of {path.name} are left out: {reason}")


def _looks(spec: LoaderSpec, samples: Sequence[Sample], images: int, tiles: int) -> list[Look]:
    """Decode samples spread over the set, in threads: decoding leaves the interpreter free."""
    places = choose(len(samples), images)
    shown = {places[place] for place in choose(len(places), tiles)} if tiles else set()
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        jobs = pool.map(lambda place: look_at(spec, samples[place], place in shown), places)
        return list(Progress(jobs, "samples", f"decode {spec.name}", len(places), passing=True))


def _tell(report: Report, spec: LoaderSpec, samples: Sequence[Sample], looks: Sequence[Look], depth_cap: float) -> None:
    if spec.purpose == "depth":
        known = [look for look in looks if look.sample.intrinsics != NO_CAMERA]
        check_camera(report, known)
        if spec.dataset == "folder" and spec.video:  # others learn from crops
            facts.propose_size(report, looks)
        if spec.dataset == "kitti":
            compare_calibration(report, looks)
    if spec.video:
        facts.tell_motion(report, looks, own=spec.dataset == "folder")
    if spec.purpose == "depth" and spec.needs_truth:
        farthest = depth_cap or (DEPTH_PROTOCOLS[spec.protocol].clamp[1] if spec.protocol else FARTHEST)
        own_raster = DATASETS[spec.dataset].truth_raster == "own"
        facts.tell_depth(report, looks, samples, farthest=farthest, own_raster=own_raster)
    if spec.purpose == "depth" and spec.training and spec.needs_truth:
        facts.tell_companions(report, samples)
    if spec.purpose == "segmentation":
        facts.tell_labels(report, looks, samples)
    if spec.purpose == "pose":
        facts.tell_poses(report, samples)
