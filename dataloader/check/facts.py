"""From many close looks to a few sentences: sizes, motion, depth, labels, poses."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from dataloader.check.files import tell_damaged
from dataloader.check.look import Look, sizes_of
from dataloader.check.report import Report, counted, first_of, share
from dataloader.labels import CLASSES, IGNORE, TRAIN_ID_OF
from dataloader.samples import FURTHER, Sample
from dataloader.shape import fitting_size
from dataloader.truth import is_stretched, misfit, unit_doubt
from presets.depth_data import DEPTH_SIZE

STILL = 0.5  # pixels of a 640 wide image; a parked car with passing traffic stays below
FAR = 24.0  # likewise; a car turning at 30 degrees per second at 10 Hz; beyond, photometric training fails
SOME = 0.1  # share of samples from which a finding is a warning
SMALL_SIDE = 64
KNOWN_IDS = 34  # label ids 0 to 33
FIRST_CLASS = 7  # label ids below belong to no class; as training ids they are the most frequent ones
SUSPICIOUS_VOID = 0.3


def tell_images(report: Report, looks: Sequence[Look], known: Collection[str] = ()) -> None:
    """Sizes, and what is wrong with the files that are not `known` to be damaged."""
    sizes = sizes_of(looks)
    shown = ", ".join(f"{height} x {width} ({count})" for (height, width), count in list(sizes.items())[:5])
    more = f" and {len(sizes) - 5} other sizes" if len(sizes) > 5 else ""
    report.tell("images", f"{counted(len(looks), 'sample')} decoded, height x width: {shown or 'none'}{more}")
    faults = dict.fromkeys(fault for look in looks for fault in look.faults if fault.partition(": ")[0] not in known)
    tell_damaged(report, list(faults), "more file" if known else "file")
    uneven = [look.sample.name for look in looks if len(set(look.sizes.values())) > 1]
    if uneven:
        report.warn(f"{share(len(uneven), len(looks))} samples whose frames differ in size: {first_of(uneven)}")
    if sizes and min(min(size) for size in sizes) < SMALL_SIDE:
        report.warn(f"images are smaller than {SMALL_SIDE} pixels")


def propose_size(report: Report, looks: Sequence[Look]) -> None:
    """Tell a size of networks that has the shape of the images, and what to do with those that are higher than wide."""
    sizes = [*sizes_of(looks)]
    if not sizes:
        return
    height, width = fitting_size(sizes[0], DEPTH_SIZE[0].multiple)
    report.tell(
        "network size",
        f"--depth-resize-height {height} --depth-resize-width {width} has the shape of images of {sizes[0][0]} x "
        f"{sizes[0][1]} (height x width), and so have --depth-validation-resize-height and -width likewise",
    )
    upright = {size[0] > size[1] for size in sizes}
    if True in upright:
        report.tell(
            "portrait",
            "frames are higher than wide: train at that size, which shows them whole; of a network that was trained on "
            "wide images, inference.py --fit multiple keeps their shape",
        )
    if len(upright) > 1:
        report.warn("some images are higher than wide and others wider than high; train them apart, or crop one kind")


def tell_motion(report: Report, looks: Sequence[Look], own: bool = False) -> None:
    """Apparent motion between neighbours: none where the camera stands or frames are repeated.

    own: of own data, whose neighbours may be chosen
    """
    motions = {look.sample.name: look.motion for look in looks if look.motion is not None}
    if not motions:
        return
    values = np.array(list(motions.values()))
    report.tell(
        "motion",
        f"median {np.median(values):.1f} pixels of 640 to the neighbour frame "
        f"({values.min():.1f} to {values.max():.1f})",
    )
    still = [name for name, motion in motions.items() if motion < STILL]
    copies = [look.sample.name for look in looks if look.duplicate]
    if copies:
        report.warn(
            f"{share(len(copies), len(motions))} samples equal their neighbour: {first_of(copies)}; "
            "repeated frames teach no depth, remove them"
        )
    elif len(still) > SOME * len(motions):
        report.warn(
            f"{share(len(still), len(motions))} samples hardly move: {first_of(still)}; a standing camera "
            f"teaches no depth{', a slow one more with a larger --frame-step' if own else ''}"
        )
    far = sum(motion > FAR for motion in motions.values())
    if far > SOME * len(motions):
        report.warn(
            f"{share(far, len(motions))} samples move by more than {FAR:.0f} pixels of 640; are the neighbours "
            "consecutive frames?"
        )


def tell_depth(
    report: Report, looks: Sequence[Look], samples: Sequence[Sample], *, farthest: float, own_raster: bool = False
) -> None:
    """Ground truth of depth: how many frames have it, how dense it is, and its range in metres.

    farthest: how far predictions may reach, metres
    own_raster: truth has other pixels than the images by design, see `DatasetSpec.truth_raster`
    """
    without = sum(sample.depth is None for sample in samples)
    kinds = ", ".join(sorted({sample.depth.kind for sample in samples if sample.depth}))
    report.tell("ground truth", f"{share(len(samples) - without, len(samples))} frames, kind: {kinds or 'none'}")
    if without:
        report.warn(f"{share(without, len(samples))} frames have no ground truth and are skipped")
    facts = [(look, look.depth) for look in looks if look.depth is not None]
    if not facts:
        return
    empty = [look.sample.name for look, depth in facts if not depth.coverage]
    if empty:
        report.warn(f"{counted(len(empty), 'depth map')} without any measurement: {first_of(empty)}")
    known = [depth for _, depth in facts if depth.coverage]
    if known:
        median = float(np.median([depth.median for depth in known]))
        report.tell(
            "depth",
            f"{np.mean([depth.coverage for _, depth in facts]):.1%} of the pixels measured, "
            f"{min(depth.low for depth in known):.1f} to {max(depth.high for depth in known):.1f} m, "
            f"median {median:.1f} m",
        )
        if doubt := unit_doubt(median, farthest):
            report.warn(doubt)
    if not own_raster:
        _compare_sizes(report, "depth", [(look, depth.size) for look, depth in facts])


def tell_companions(report: Report, samples: Sequence[Sample]) -> None:
    """How many frames have depth without gaps, and a smooth version of it; some methods learn from these."""
    for kind, label in FURTHER.items():
        count = sum(getattr(sample, kind) is not None for sample in samples)
        report.tell(label, f"{share(count, len(samples))} frames")


def tell_labels(report: Report, looks: Sequence[Look], samples: Sequence[Sample]) -> None:
    """Ground truth of segmentation: how many frames have it, which classes, and ids that are none."""
    without = sum(not sample.labels for sample in samples)
    report.tell("ground truth", f"{share(len(samples) - without, len(samples))} frames")
    if without:
        report.warn(f"{share(without, len(samples))} frames have no labels and are skipped")
    facts = [(look, look.labels) for look in looks if look.labels is not None]
    if not facts:
        return
    counts = sum(labels.counts for _, labels in facts)
    mode = facts[0][0].sample.labels_mode
    if mode == "fromid":
        _tell_ids(report, counts)
    ignored = float(np.mean([labels.ignored for _, labels in facts]))
    report.tell("ignored", f"{ignored:.1%} of the pixels")
    if ignored > 0.9:
        report.warn(f"{ignored:.0%} of the pixels are ignored; is labels_mode {mode!r} right?")
    _compare_sizes(report, "labels", [(look, labels.size) for look, labels in facts])


def _tell_ids(report: Report, counts: np.ndarray) -> None:
    present = np.flatnonzero(counts)
    train_ids = {int(each) for each in TRAIN_ID_OF[present]} - {IGNORE}
    absent = [name for place, (name, _, _) in enumerate(CLASSES) if place not in train_ids]
    text = f"{len(train_ids)} of {len(CLASSES)} classes seen"
    report.tell("labels", f"{text}; not seen: {', '.join(absent)}" if absent else text)
    unknown = [int(each) for each in present if each >= KNOWN_IDS]
    if unknown:
        pixels = counts[unknown].sum() / counts.sum()
        values = first_of([str(each) for each in unknown])
        report.warn(
            f"{counted(len(unknown), 'value')} outside the label ids: {values} ({pixels:.2%} of the pixels, ignored)"
        )
    void = counts[:FIRST_CLASS].sum() / counts.sum()
    if void > SUSPICIOUS_VOID and set(present.tolist()) <= {*range(len(CLASSES)), IGNORE}:
        report.warn("only values of training ids occur; are these *_labelTrainIds.png files instead of *_labelIds.png?")


def _compare_sizes(report: Report, what: str, sizes: Sequence[tuple[Look, tuple[int, int]]]) -> None:
    other = [look.sample.name for look, size in sizes if look.sizes.get(0, size) != size]
    if other:
        report.warn(f"{share(len(other), len(sizes))} samples whose {what} and image differ in size: {first_of(other)}")
    for look, size in sizes:
        if is_stretched(size, look.sizes.get(0, size)):
            truth = look.sample.labels or look.sample.depth.path
            report.fault(misfit(truth, size, look.sample.images[0], look.sizes[0]))
            break


def tell_poses(report: Report, samples: Sequence[Sample]) -> None:
    """Length of the way, and whether the matrices are motions at all."""
    poses = np.stack([sample.pose for sample in samples if sample.pose is not None])
    steps = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    median = float(np.median(steps)) if len(steps) else 0.0
    report.tell("poses", f"{len(poses)}, {steps.sum():.1f} m in all, {median:.2f} m per frame")
    turn = poses[:, :3, :3]
    error = float(np.abs(turn @ turn.transpose(0, 2, 1) - np.eye(3)).max())
    if error > 1e-3:
        report.warn(f"rotations are off by up to {error:.3f}; are these rows of 3x4 camera-to-world matrices?")
