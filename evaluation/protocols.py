"""How results are judged: rows that loaders name, and their description in metrics.json."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from errors import UserError
from perspective_resample.input_view import InputView

if TYPE_CHECKING:
    from .alignment import Alignment

WHOLE = InputView()
"""The network sees the whole image."""


@dataclass(frozen=True, kw_only=True)
class DepthProtocol:
    """Which ground truth counts, and how predictions are made comparable with it.

    Args:
        name: key of the table, with what options changed of the row.
        crop: what the window is called.
        rows, columns: the window, in fractions of height and width.
        minimum, maximum: open range of ground truth that counts, metres.
        clamp: metres; predictions beyond are moved to the nearer end, after scaling.
        resize: from the size of the network to that of the truth, in the quantity the network knows; ``corners`` is
            bilinear with corner pixels on corner pixels.
        alignment: of predictions with the truth; ``auto`` goes by what the network knows.
        lower_median: of two middle values alignment takes the lower one instead of their mean.
        camera: of KITTI, whose images and truth are judged: as the list of the loader says, or one of the two.
        flip: whether predictions are averaged with those of mirrored images.
        blend: whether of such a pair each has a border of its own, see `mirroring.blended`; else it is their mean.
        view: what the network sees of the image; truth outside its crop does not count.
        further: metrics beside the customary seven, see `depth.FURTHER`.
        offsets: metres added to what errors are divided by, and to what logarithms are taken of.
        pooled: whether squared errors are averaged over all images, too, before the root is taken.
        boundaries: whether `boundaries.boundary_errors` are computed, too.
    """

    name: str
    crop: str = "none"
    rows: tuple[float, float] = (0.0, 1.0)
    columns: tuple[float, float] = (0.0, 1.0)
    minimum: float = 1e-3
    maximum: float = 80.0
    clamp: tuple[float, float] = (1e-3, 80.0)
    resize: Literal["bilinear", "corners", "nearest"] = "bilinear"
    alignment: Alignment = "auto"
    lower_median: bool = False
    camera: Literal["as listed", "left", "right"] = "as listed"
    flip: bool = False
    blend: bool = True
    view: InputView = WHOLE
    further: tuple[str, ...] = ()
    offsets: tuple[float, float] = (0.0, 0.0)
    pooled: bool = False
    boundaries: bool = False

    def valid(self, depth: np.ndarray) -> np.ndarray:
        """Marks what counts by window and range.  depth (H, W) in metres, 0 = no measurement -> bool (H, W)."""
        height, width = depth.shape
        valid = np.zeros(depth.shape, bool)
        rows = slice(int(self.rows[0] * height), int(self.rows[1] * height))
        columns = slice(int(self.columns[0] * width), int(self.columns[1] * width))
        window = depth[rows, columns]
        valid[rows, columns] = (window > self.minimum) & (window < self.maximum)
        return valid

    def counted(self, depth: np.ndarray, image: tuple[int, int]) -> np.ndarray:
        """Pixels (N,) of a flattened truth (H, W) that count, of an image of (height, width)."""
        valid = self.valid(depth)
        if self.view.partial:
            valid &= self.view.inside(depth.shape, image)
        return np.flatnonzero(valid)


Window = tuple[tuple[float, float], tuple[float, float]]
CROPS: dict[str, Window] = {
    "none": ((0.0, 1.0), (0.0, 1.0)),
    "garg": ((0.40810811, 0.99189189), (0.03594771, 0.96405229)),
    "eigen": ((0.3324324, 0.91351351), (0.0359477, 0.96405229)),
    "nyu": ((45 / 480, 471 / 480), (41 / 640, 601 / 640)),
}
"""Rows and columns that count, in fractions. Garg et al. (arXiv 1603.04992), customary for the Eigen split, and what
BTS and LapDepth call the crop of Eigen et al. (arXiv 1406.2283); indoors the window of the labelled NYU images."""

# Loaders of these two cut the window, 44 to 471 and 40 to 601 of NYU, C1 of Make3D, out of image and truth.
_STRUCT = DepthProtocol(
    name="nyu_struct",
    crop="StructDepth",
    minimum=0.0,
    maximum=10.0,
    clamp=(0.0, 10.0),
    resize="nearest",
    further=("abs_diff", "log10"),
)
_MAKE3D = DepthProtocol(
    name="make3d", crop="C1", minimum=0.0, maximum=70.0, clamp=(0.0, 70.0), resize="nearest", further=("rmse_log10",)
)

# Of images without their bottom quarter: ManyDepth's window, and SGDepth's, which lies above that quarter.
_CITYSCAPES_TEST = (
    DepthProtocol(name="cityscapes_test", crop="ManyDepth", rows=(256 / 768, 1.0), columns=(192 / 2048, 1856 / 2048)),
    DepthProtocol(name="cityscapes_test_sgdepth", crop="cityscapes", rows=(102 / 768, 716 / 768), columns=(0.1, 0.9)),
)

# Across data sets: customary windows and ranges.
_ZERO_SHOT = (
    DepthProtocol(name="ddad", maximum=200.0, clamp=(1e-3, 200.0)),
    DepthProtocol(
        name="diml_indoor",
        crop="NYU",
        rows=CROPS["nyu"][0],
        columns=CROPS["nyu"][1],
        minimum=0.0,
        maximum=10.0,
        clamp=(1e-3, 10.0),
    ),
    DepthProtocol(name="diml_outdoor", crop="garg", rows=CROPS["garg"][0], columns=CROPS["garg"][1], minimum=2.0),
)

# Of methods that are trained with measured depth. KITTI: BTS, LapDepth, Spatial-KD, with the fractions of Garg applied
# to what the loader cut out; NYU without gaps, in full: the released SD-ConvTrans, which divides depth by 10 m first.
_SUPERVISED = (
    DepthProtocol(
        name="kitti_annotated",
        crop="garg",
        rows=CROPS["garg"][0],
        columns=CROPS["garg"][1],
        further=("abs_diff", "log10"),
    ),
    DepthProtocol(
        name="nyu_full_dense",
        minimum=0.0,
        maximum=math.inf,
        clamp=(0.0, 1000.0),  # none, as published
        further=("abs_diff", "log10"),
        offsets=(1e-3, 1e-4),
        pooled=True,
    ),
)

# SGDepth, then Monodepth2
_TABLE = (
    DepthProtocol(name="kitti_zhou", crop="garg", rows=CROPS["garg"][0], columns=CROPS["garg"][1]),
    DepthProtocol(name="kitti_kitti", minimum=0.0, maximum=math.inf),
    DepthProtocol(name="cityscapes", crop="cityscapes", rows=(0.1, 0.7), columns=(0.1, 0.9)),
    DepthProtocol(name="kitti_eigen", crop="garg", rows=CROPS["garg"][0], columns=CROPS["garg"][1]),
    DepthProtocol(name="kitti_eigen_benchmark", minimum=0.0, maximum=math.inf),
    DepthProtocol(name="kitti_benchmark", minimum=0.0, maximum=math.inf, clamp=(0.0, 80.0)),
    *_CITYSCAPES_TEST,
    *_ZERO_SHOT,
    DepthProtocol(
        name="nyu",
        crop="NYU",
        rows=CROPS["nyu"][0],
        columns=CROPS["nyu"][1],
        maximum=10.0,
        clamp=(1e-3, 10.0),
        further=("abs_diff", "log10"),
    ),
    _STRUCT,
    _MAKE3D,
    *_SUPERVISED,
)
DEPTH_PROTOCOLS: dict[str, DepthProtocol] = {row.name: row for row in _TABLE}


def build_protocol(args: Namespace, usual: str, view: InputView = WHOLE) -> DepthProtocol:
    """How depth is judged: the row of a loader, or --depth-protocol, with what further options change of it.

    view: what the network sees of the images

    Its name says what differs from the row.  Raises: UserError when nothing would be left to judge.
    """
    row = replace(DEPTH_PROTOCOLS[args.depth_protocol or usual], view=view, boundaries="boundaries" in args.metrics)
    changed: list[str] = []
    protocol = row
    if args.depth_crop != "protocol" and CROPS[args.depth_crop] != (row.rows, row.columns):
        rows, columns = CROPS[args.depth_crop]
        protocol = replace(protocol, crop=args.depth_crop, rows=rows, columns=columns)
        changed.append(f"crop {args.depth_crop}")
    if args.depth_cap and (args.depth_cap, args.depth_cap) != (row.maximum, row.clamp[1]):
        nearest = max(row.minimum, row.clamp[0])
        if args.depth_cap <= nearest:
            raise UserError(f"--depth-cap {args.depth_cap:g}: depth counts from {nearest:g} m on; give more metres")
        protocol = replace(protocol, maximum=args.depth_cap, clamp=(row.clamp[0], args.depth_cap))
        changed.append(f"cap {args.depth_cap:g} m")
    if args.depth_alignment != "protocol":
        if args.depth_validation_fixed_scaling:
            raise UserError(
                f"--depth-alignment {args.depth_alignment} and --depth-validation-fixed-scaling: two ways to scale "
                "predictions; leave one of them out"
            )
        protocol = replace(protocol, alignment=args.depth_alignment.replace("-", " "))
        changed.append(f"alignment {args.depth_alignment}")
    if args.eval_protocol == "bdedepth_released":
        resize = "corners" if row.resize == "bilinear" else row.resize
        protocol = replace(protocol, resize=resize, lower_median=True)
        changed.append("resizing and medians of the released BDEdepth")
    if args.depth_camera != "protocol":
        protocol = replace(protocol, camera=args.depth_camera)
        changed.append(f"{args.depth_camera} camera")
    if args.post_process and args.flip_average:
        raise UserError(
            "--post-process and --flip-average: two ways to use the mirrored image; leave one out, or add "
            "--no-flip-average where the recipe has it"
        )
    if (args.post_process or args.flip_average) and not row.flip:
        protocol = replace(protocol, flip=True, blend=args.post_process)
        changed.append("post-processing" if args.post_process else "flip averaging")
    return replace(protocol, name=f"{row.name} with {', '.join(changed)}") if changed else protocol


def describe_depth(
    protocol: DepthProtocol,
    *,
    ground_truth: str,
    alignment: Alignment,
    fixed_scaling: float,
    size: tuple[int, int],
    network: Mapping[str, Any],
) -> dict[str, Any]:
    """Describes a depth evaluation for metrics.json.

    alignment: what ``auto`` came to
    size:      (height, width) of the network's input
    network:   description of the network; its entries replace those of the protocol

    An unbounded range ends in None, because JSON knows no infinity.
    """
    view, crop = protocol.view, protocol.crop
    if view.box:
        crop += " and rows {} to {}, columns {} to {}".format(*view.box)
    elif view.crop:
        crop += f" and {view.crop[0]} rows at the bottom, {view.crop[1]} columns in the middle"
    scaling = {
        "none": "none",
        "fixed": f"fixed {fixed_scaling:g}",
        "median": "median per image",
        "least squares": "least squares per image: scale and shift of inverse depth",
    }
    return {
        "name": protocol.name,
        "ground_truth": ground_truth,
        "crop": crop,
        "range": [protocol.minimum, protocol.maximum if math.isfinite(protocol.maximum) else None],
        "clamp": list(protocol.clamp),
        "camera": protocol.camera,
        "scaling": scaling[alignment],
        "size": list(size) if view.resized else "that of the image",
        "flip": protocol.flip,
        "refinement": "none",
        **network,
    }


def segmentation_protocol(*, ground_truth: str, size: tuple[int, int]) -> dict:
    """Describes a segmentation evaluation for metrics.json; `size` is the network's (height, width)."""
    return {
        "ground_truth": ground_truth,
        "crop": "none",
        "range": "train ids 0 to 18, 255 ignored",
        "scaling": "prediction to ground-truth size, nearest",
        "size": list(size),
        "flip": False,
    }


def pose_protocol(*, ground_truth: str, size: tuple[int, int], tails: bool = False) -> dict:
    """Describes a pose evaluation for metrics.json; `size` is the network's (height, width).

    tails: whether the ends of a drive and the shorter windows of its last frames count
    """
    frames = "all frames, and the last 4, 3 and 2" if tails else "all frames that have one before and one after them"
    return {
        "ground_truth": ground_truth,
        "crop": "none",
        "range": f"windows of 5 frames, of {frames}",
        "scaling": "least squares per window",
        "size": list(size),
        "flip": False,
    }
