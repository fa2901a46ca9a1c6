"""Which loaders and data sets exist, as tables. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from errors import UserError, closest

from .window import BottomWindow, PixelWindow, Window

Purpose = Literal["depth", "segmentation", "pose"]
Part = Literal["train", "validation", "test"]


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """What the numbers of one data set mean where no parameters.json says otherwise.

    `intrinsics` are fx, fy, cx, cy divided by image width and height; empty where only the user
    knows them, or nobody.
    `truth_raster` says whether ground truth has the pixels of its image, resized at most ("image"), or a raster of its
    own that spans the same view.
    """

    folder: str
    intrinsics: tuple[float, ...] = ()
    depth_mode: str = "uint_16"
    labels_mode: str = "fromid"
    truth_raster: Literal["image", "own"] = "image"


NYU_CAMERA = (518.85790117450188 / 640, 519.46961112127485 / 480, 325.58244941119034 / 640, 253.73616633400465 / 480)

DATASETS = {
    "kitti": DatasetSpec(folder="kitti", intrinsics=(0.58, 1.92, 0.5, 0.5)),
    "kitti_2015": DatasetSpec(folder="kitti_2015", intrinsics=(0.58, 1.92, 0.5, 0.5)),
    "cityscapes": DatasetSpec(
        folder="cityscapes", intrinsics=(1.10, 2.21, 0.5, 0.5), depth_mode="uint_16_subtract_one"
    ),
    "ddad": DatasetSpec(folder="ddad"),
    "diml": DatasetSpec(folder="diml"),
    "nyu_v2": DatasetSpec(folder="nyu_v2", intrinsics=NYU_CAMERA),
    "nyu_v2_struct": DatasetSpec(folder="nyu_v2", intrinsics=NYU_CAMERA),
    "make3d": DatasetSpec(folder="make3d", truth_raster="own"),
    "folder": DatasetSpec(folder=""),
}


@dataclass(frozen=True, kw_only=True)
class LoaderSpec:
    """One name of the command line.

    `split` is the middle of the folder ``<dataset>_<split>_split``; empty where the lists lie in the data set folder.
    `part` names the file in it. `cameras` are concatenated. `video` asks for neighbour frames.
    `protocol` names how depth is judged, see `evaluation.protocols`; `improved_protocol` where improved maps are the
    truth, if that is another. `truth` is what the depth of KITTI is compared with: "camera": as --depth-gt says, raw
    scans give depth along the axis of the camera; "scanner": likewise, but they give x of the scanner; "improved":
    the improved maps, whatever --depth-gt says; "dense": depth with its gaps filled; "server": nothing, predictions
    become files to upload; "neighbours": nothing but the frames before and after, which training alone measures.
    `window` is what networks see of every image, and what counts of its truth.
    """

    name: str
    purpose: Purpose
    dataset: str
    split: str = ""
    part: Part
    domain: str
    training: bool = False
    video: bool = False
    cameras: tuple[str, ...] = ("color",)
    protocol: str = ""
    improved_protocol: str = ""
    truth: Literal["camera", "scanner", "improved", "dense", "server", "neighbours"] = "camera"
    window: Window | None = None

    def judged_with(self, truth_kind: str) -> LoaderSpec:
        """The loader as it works with truth of this kind, which `given_truth.kind_of` takes from --depth-gt."""
        if truth_kind == "improved" and self.improved_protocol:
            return replace(self, protocol=self.improved_protocol, truth="improved")
        return self

    @property
    def frames(self) -> tuple[int, ...]:
        """Offsets of the frames in one sample; the frame that is predicted comes first."""
        if not self.video:
            return (0,)
        return (0, 1) if self.purpose == "pose" else (0, -1, 1)

    @property
    def needs_truth(self) -> bool:
        """Whether samples without ground truth are of no use; training on videos goes without, and `without_truth`."""
        return not (self.training and self.video) and not self.without_truth

    @property
    def without_truth(self) -> str:
        """Why there is no ground truth to judge by, in words; "" where there is."""
        why = {"server": f"the truth of {self.name} is on a server alone", "neighbours": f"{self.name} has no depth"}
        return why.get(self.truth, "")

    @property
    def measure(self) -> str:
        """What is measured of it: its purpose, or how far its neighbours explain a frame."""
        return "neighbours" if self.truth == "neighbours" else self.purpose

    @property
    def may_drop(self) -> bool:
        """Whether single samples can be left out; a trajectory needs all of its frames."""
        return self.purpose != "pose"


def _video_train(name: str, dataset: str, **more: Any) -> LoaderSpec:
    return LoaderSpec(
        name=name,
        purpose="depth",
        dataset=dataset,
        part="train",
        domain=f"{name}_depth",
        training=True,
        video=True,
        **more,
    )


def _kitti_train(split: str) -> LoaderSpec:
    return _video_train(f"kitti_{split}_train", "kitti", split=split, cameras=("color", "color_right"))


def _kitti_depth(split: str, part: Part, domain: str, **more: str) -> LoaderSpec:
    return LoaderSpec(
        name=f"kitti_{split}_{part}",
        purpose="depth",
        dataset="kitti",
        split=split,
        part=part,
        domain=domain,
        protocol=f"kitti_{split}",
        **more,
    )


def _kitti_annotated(part: Part, training: bool, protocol: str = "") -> LoaderSpec:
    name = f"kitti_annotated_{part}"
    return LoaderSpec(
        name=name,
        purpose="depth",
        dataset="kitti",
        split="annotated",
        part=part,
        domain=f"{name}_depth",
        training=training,
        truth="improved",
        protocol=protocol,
        window=BottomWindow(352, 1216),  # which the KITTI depth benchmark cuts out
    )


def _diml(part: str) -> LoaderSpec:
    name = f"diml_{part}_test"
    return LoaderSpec(
        name=name,
        purpose="depth",
        dataset="diml",
        split=part,
        part="test",
        domain=f"{name}_depth",
        protocol=f"diml_{part}",
    )


def _kitti_pose(split: str) -> LoaderSpec:
    return LoaderSpec(
        name=f"kitti_{split}_validation",
        purpose="pose",
        dataset="kitti",
        split=split,
        part="test",
        domain=f"kitti_{split}_val_pose",
        video=True,
    )


_TABLE = (
    _kitti_train("zhou"),
    _kitti_train("kitti"),
    _kitti_train("odom09"),
    _kitti_train("benchmark"),
    _kitti_train("eigen_full"),
    _video_train("cityscapes_train", "cityscapes"),
    _video_train("nyu_v2_struct_train", "nyu_v2_struct"),
    _video_train("folder_train", "folder"),
    LoaderSpec(
        name="folder_depth_train",
        purpose="depth",
        dataset="folder",
        part="train",
        domain="folder_depth_train_depth",
        training=True,
    ),
    _kitti_annotated("train", training=True),
    LoaderSpec(
        name="nyu_v2_train",
        purpose="depth",
        dataset="nyu_v2",
        part="train",
        domain="nyu_v2_train_depth",
        training=True,
        window=PixelWindow(rows=(45, 472), columns=(43, 608), of=(480, 640)),
    ),
    LoaderSpec(
        name="nyu_v2_official_train",
        purpose="depth",
        dataset="nyu_v2",
        split="official",
        part="train",
        domain="nyu_v2_official_train_depth",
        training=True,
    ),
    _kitti_depth("zhou", "validation", "kitti_zhou_val_depth"),
    _kitti_depth("zhou", "test", "kitti_zhou_test_depth"),
    _kitti_depth("eigen", "test", "kitti_eigen_test_depth", truth="scanner", improved_protocol="kitti_eigen_benchmark"),
    _kitti_depth("eigen_benchmark", "test", "kitti_eigen_benchmark_test_depth", truth="improved"),
    _kitti_annotated("test", training=False, protocol="kitti_annotated"),
    _kitti_depth("benchmark", "test", "kitti_benchmark_test_depth", truth="server"),
    _kitti_depth("kitti", "validation", "kitti_kitti_val_depth"),
    LoaderSpec(
        name="kitti_2015_train",
        purpose="depth",
        dataset="kitti_2015",
        part="train",
        domain="kitti_2015_train_depth",
        protocol="kitti_kitti",
    ),
    LoaderSpec(
        name="cityscapes_test",
        purpose="depth",
        dataset="cityscapes",
        part="test",
        domain="cityscapes_test_depth",
        protocol="cityscapes_test",
        window=PixelWindow(rows=(0, 768), columns=(0, 2048), of=(1024, 2048)),
    ),
    LoaderSpec(
        name="ddad_validation",
        purpose="depth",
        dataset="ddad",
        part="validation",
        domain="ddad_validation_depth",
        protocol="ddad",
    ),
    _diml("indoor"),
    _diml("outdoor"),
    LoaderSpec(
        name="nyu_v2_test", purpose="depth", dataset="nyu_v2", part="test", domain="nyu_v2_test_depth", protocol="nyu"
    ),
    LoaderSpec(
        name="nyu_v2_dense_test",
        purpose="depth",
        dataset="nyu_v2",
        part="test",
        domain="nyu_v2_dense_test_depth",
        truth="dense",
        protocol="nyu_full_dense",
    ),
    LoaderSpec(
        name="nyu_v2_struct_test",
        purpose="depth",
        dataset="nyu_v2_struct",
        part="test",
        domain="nyu_v2_struct_test_depth",
        protocol="nyu_struct",
        window=PixelWindow(rows=(44, 471), columns=(40, 601), of=(480, 640)),
    ),
    LoaderSpec(
        name="make3d_test",
        purpose="depth",
        dataset="make3d",
        part="test",
        domain="make3d_test_depth",
        protocol="make3d",
        window=PixelWindow(rows=(710, 1562), columns=(0, 1704), of=(2272, 1704)),
    ),
    LoaderSpec(
        name="folder_validation",
        purpose="depth",
        dataset="folder",
        part="validation",
        domain="folder_validation_depth",
        protocol="kitti_kitti",
    ),
    LoaderSpec(
        name="folder_video_validation",
        purpose="depth",
        dataset="folder",
        part="validation",
        domain="folder_video_validation_depth",
        video=True,
        truth="neighbours",
    ),
    LoaderSpec(
        name="folder_test",
        purpose="depth",
        dataset="folder",
        part="test",
        domain="folder_test_depth",
        protocol="kitti_kitti",
    ),
    LoaderSpec(
        name="cityscapes_train",
        purpose="segmentation",
        dataset="cityscapes",
        part="train",
        domain="cityscapes_train_seg",
        training=True,
    ),
    LoaderSpec(
        name="cityscapes_validation",
        purpose="segmentation",
        dataset="cityscapes",
        part="validation",
        domain="cityscapes_val_seg",
    ),
    LoaderSpec(
        name="kitti_2015_train", purpose="segmentation", dataset="kitti_2015", part="train", domain="kitti_2015_val_seg"
    ),
    _kitti_pose("odom09"),
    _kitti_pose("odom10"),
    *(_kitti_pose(f"odom{sequence:02d}") for sequence in range(9)),
)

LOADERS: dict[tuple[Purpose, str], LoaderSpec] = {(spec.purpose, spec.name): spec for spec in _TABLE}


def find_loader(purpose: Purpose, name: str, training: bool = False) -> LoaderSpec:
    """The loader of that name for one purpose, for training or for evaluation.

    Raises:
        UserError: when there is none, with the names that look alike.
    """
    spec = LOADERS.get((purpose, name))
    if spec is not None and spec.training == training:
        return spec
    option = f"--{purpose}-{'training' if training else 'validation'}-loaders"
    known = [each for each in _TABLE if each.purpose == purpose and each.training == training]
    names = [each.name for each in known]
    elsewhere = [each for each in _TABLE if each.name == name]
    if elsewhere:
        uses = " and ".join(f"{each.purpose} {'training' if each.training else 'evaluation'}" for each in elsewhere)
        raise UserError(f"{option} {name}: this loader is for {uses}; choose from {', '.join(names)}")
    raise UserError(f"{option} {name}: no such loader{closest(name, names)}; choose from {', '.join(names)}")
