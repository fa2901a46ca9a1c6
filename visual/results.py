"""What inference leaves of an image: a picture, arrays, 16-bit depth, point clouds."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock

import cv2
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from errors import UserError
from perspective_resample.depth import Known
from storage.atomic import write_whole

from .fit import View
from .lens import Lens, find_lens, need_lens
from .pictures import Look, encode, inference_picture
from .points import Cloud, build_cloud, glb, ply

ENDINGS = {
    "disparity": "_disp.npy",
    "depth": "_depth.npy",
    "depth16": "_depth.png",
    "npz": ".npz",
    "seg": "_seg.npy",
    "ply": ".ply",
    "glb": ".glb",
}
"""Names of what is saved beside the picture, whose ending is an option."""
WRITTEN = ("disparity", "seg", "npz", "depth", "depth16", "ply", "glb")  # in this order
ARRAYS = ("disparity", "depth", "depth16", "seg")  # that are saved besides, as far as the network gives them
EITHER = {"disparity", "depth"}  # of which every network gives one
METRIC = ("depth", "depth16", "ply", "glb")  # make no sense of inverse depth with an unknown shift
CLOUDS = {"ply": ply, "glb": glb}
MOST_COUNTS = 65535


@dataclass(frozen=True)
class Found:
    """What a network saw in an image.

    values (h, w) float32, inverse depth in 1/m or, where not `inverse`, depth in metres, as far as the network knows
    them; class ids (h, w) uint8 or None; `known` as in `DepthMap`; `layers` maps of any size that depth is made of;
    `scaled` how metres were made of depth up to scale, "" where nothing was done.
    """

    values: np.ndarray
    inverse: bool
    ids: np.ndarray | None
    known: Known = "up to scale"
    layers: Mapping[str, np.ndarray] = field(default_factory=dict)
    scaled: str = ""

    @property
    def inv_depth(self) -> np.ndarray:
        """Inverse depth (h, w) float32."""
        return self.values if self.inverse else 1 / self.values

    @property
    def unit(self) -> str:
        """What a number of its depth means, for people."""
        if self.known == "metres":
            return f"metres ({self.scaled})" if self.scaled else "metres"
        return "metres up to scale" if self.known == "up to scale" else self.known

    @property
    def inverse_unit(self) -> str:
        """What a number of its inverse depth means, for people."""
        return self.unit.replace("metres", "1/m", 1)

    def cut(self, inside: tuple[slice, slice], size: tuple[int, int]) -> Found:
        """The part of the maps that shows the image; `size` is that of the input, in whose pixels `inside` counts."""
        if inside == (slice(None), slice(None)):
            return self
        maps = (self.values, *self.layers.values())
        values, *layers = (_enlarged(each, size, cv2.INTER_LINEAR)[inside] for each in maps)
        ids = None if self.ids is None else _enlarged(self.ids, size, cv2.INTER_NEAREST)[inside]
        return replace(self, values=values, ids=ids, layers=dict(zip(self.layers, layers, strict=True)))

    def times(self, factor: float, how: str) -> Found:
        """Depth times a factor that makes it metres."""
        values = self.values / np.float32(factor) if self.inverse else self.values * np.float32(factor)
        layers = {name: layer * np.float32(factor) for name, layer in self.layers.items()}
        return replace(self, values=values, layers=layers, known="metres", scaled=how)

    def depth(self, size: tuple[int, int]) -> np.ndarray:
        """Depth at (height, width) `size`, resized in the quantity that the network predicts."""
        resized = cv2.resize(self.values, size[::-1], interpolation=cv2.INTER_LINEAR)  # OpenCV counts width first
        return 1 / resized if self.inverse else resized

    def disparity(self, size: tuple[int, int]) -> np.ndarray:
        """Inverse depth at (height, width) `size`, resized in the quantity that the network predicts."""
        return _enlarged(self.values, size, cv2.INTER_LINEAR) if self.inverse else 1 / self.depth(size)

    def labels(self, size: tuple[int, int]) -> np.ndarray | None:
        """Class ids at (height, width) `size`, where the network knows classes."""
        return None if self.ids is None else _enlarged(self.ids, size, cv2.INTER_NEAREST)

    def require_finite(self) -> None:
        """Raise `UserError` where the network predicts NaN or infinite values."""
        if not np.isfinite(self.values).all():
            raise UserError("the network gives NaN or infinite numbers for it; take another checkpoint")


@dataclass(frozen=True)
class Job:
    """One image on its way.

    name:    of its outputs
    size:    (height, width) of the whole image
    path:    of its file, if any; of a frame, that of its film
    found:   what the network saw in it, where that is known already
    seconds: its time in a film
    """

    name: str
    size: tuple[int, int]
    view: View
    path: Path | None = None
    found: Found | None = None
    seconds: float = 0.0


def as_it_is(_: Job, found: Found) -> Found:
    """The scale of a run that changes nothing."""
    return found


@dataclass(frozen=True)
class ResultFolder:
    """Where the outputs of one run go, and which they are.

    save:   of picture and the keys of `ENDINGS`
    arrays: besides, what the network gives of disparity, depth, classes and layers; of depth in metres as 16 bit, too
    most:   metres that 16-bit depth must reach where the network knows metres, before they are scaled
    scale:  what is done to what the network says, with the job's lens
    camera: intrinsics that were given, or (), horizontal degrees that were given, or 0, and folders as in `find_lens`
    said:   what was written in which unit, counted
    """

    folder: Path
    extension: str
    save: tuple[str, ...] = ("picture",)
    arrays: bool = False
    look: Look = field(default_factory=Look)
    most: float = math.inf
    scale: Callable[[Job, Found], Found] = as_it_is
    camera: tuple[tuple[float, ...], float, tuple[Path, ...]] = ((), 0.0, ())
    said: Counter[str] = field(default_factory=Counter)
    _saying: Lock = field(default_factory=Lock)

    def picture(self, name: str) -> Path:
        """File of the picture of one image."""
        return self.folder / f"{name}{self.extension}"

    def targets(self, name: str) -> list[Path]:
        """Files that will be written for one image for certain; with `arrays` there are others."""
        return [self.picture(name) if kind == "picture" else self.file(name, kind) for kind in self.save]

    def possible(self, name: str) -> list[Path]:
        """Files that may be written for one image, as far as their names are known before the network is."""
        besides = [self.file(name, kind) for kind in ARRAYS if self.arrays and kind not in self.save]
        return self.targets(name) + besides

    def is_done(self, name: str) -> bool:
        """Whether an image has its outputs; of `arrays`, which depend on the network, one tells that all are there."""
        besides = EITHER - {*self.save} if self.arrays else set()
        return all(path.exists() for path in self.targets(name)) and (
            not besides or any(self.file(name, kind).exists() for kind in besides)
        )

    def file(self, name: str, kind: str) -> Path:
        """File of one kind of `ENDINGS`."""
        return self.folder / f"{name}{ENDINGS[kind]}"

    def require(self, found: Found) -> None:
        """Check that what is to be saved can be made of what this network says; raises `UserError`."""
        if "seg" in self.save and found.ids is None:
            raise UserError("--save seg: this network knows no classes; leave it out")
        asked = {
            f"--save {','.join(kind for kind in self.save if kind in METRIC)}": {*self.save} & {*METRIC},
            "--range": self.look.range,
            "--depth-scale": self.scale is not as_it_is,
        }
        impossible = [what for what, is_asked in asked.items() if is_asked]
        if found.known == "up to scale and shift" and impossible:
            raise UserError(
                f"{' and '.join(impossible)}: this network says inverse depth up to scale and shift, which no distance "
                "follows from; save disparity, or take a network that knows depth (--list-models)"
            )

    def write(self, job: Job, found: Found, maximum: float = 0.0) -> None:
        """Write all that was asked for of one image; `maximum` as in `inference_picture`."""
        found.require_finite()
        found = self.scale(job, found)
        # What nobody knows of before it is there comes first: see `is_done`.
        self.write_arrays(job, found, self.kinds(found) - {*self.save})
        if "picture" in self.save:
            picture = self.draw(job, found, maximum)
            write_whole(self.picture(job.name), encode(picture, self.extension), durable=False)
            self._say("picture")
        self.write_arrays(job, found, {*self.save} - {"picture"})

    def draw(self, job: Job, found: Found, maximum: float = 0.0) -> np.ndarray:
        """Picture of one image; `maximum` as in `inference_picture`."""
        unit = {"metres": "m", "up to scale": "m up to scale"}.get(found.known, "")
        return inference_picture(job.view.image, found.inv_depth, found.ids, maximum, replace(self.look, unit=unit))

    def write_arrays(self, job: Job, found: Found, kinds: Set[str]) -> None:
        """Write some of `kinds`, of what was scaled already; with depth the layers that it is made of.

        Disparity has the size of the network's map; depth and classes that of the image. Depth is resized in the
        quantity that the network predicts; of inverse depth up to scale and shift there is none.
        """
        depth = self.depth(job, found) if kinds & {*METRIC, "npz"} else None
        if depth is not None and "depth" in kinds:
            self._put_layers(job, found, depth)
        for kind in WRITTEN:
            if kind in kinds and (depth is not None or kind not in METRIC):
                self._put(job, kind, *self.content(job, found, kind, depth))

    def _put_layers(self, job: Job, found: Found, depth: np.ndarray) -> None:
        layers = {name: _enlarged(layer, depth.shape, cv2.INTER_LINEAR) for name, layer in found.layers.items()}
        if "base" in layers:
            layers.setdefault("detail", depth - layers["base"])
        for name, layer in layers.items():
            write_whole(self.folder / f"{job.name}_{name}.npy", _npy(layer), durable=False)

    @staticmethod
    def depth(job: Job, found: Found) -> np.ndarray | None:
        """Depth (H, W) at the size of the image; None of inverse depth up to scale and shift."""
        return None if found.known == "up to scale and shift" else found.depth(job.view.image.shape[:2])

    def content(self, job: Job, found: Found, kind: str, depth: np.ndarray | None) -> tuple[bytes, str]:
        """File of one kind of `ENDINGS`, and what its numbers mean, "" for ids; `depth` as of the method."""
        match kind:
            case "disparity":
                return _npy(found.inv_depth), found.inverse_unit
            case "seg":
                return _npy(found.labels(job.view.image.shape[:2])), ""
            case "npz":
                return self._npz(job, found, depth), found.unit
            case "depth":
                return _npy(depth), found.unit
            case "depth16":
                per_metre = self._counts_per_metre(found)
                return depth_png(depth, per_metre, found.unit), f"1/{per_metre} of {found.unit}"
        return CLOUDS[kind](self.cloud(job, depth), found.unit), found.unit

    def cloud(self, job: Job, depth: np.ndarray) -> Cloud:
        """Points of an image with its depth (H, W); raises `UserError` where nobody tells the lens."""
        return build_cloud(job.view.image, depth, self.lens(job, needed=True))

    def lens(self, job: Job, needed: bool = False) -> Lens | None:
        """Lens of the part of an image that is shown; where it is `needed`, raises `UserError` for want of one."""
        whole = (
            need_lens(job.path, job.name, job.size, *self.camera)
            if needed
            else find_lens(job.path, job.size, *self.camera)
        )
        return whole and whole.moved(job.view.corner)

    def kinds(self, found: Found) -> set[str]:
        """What will be written besides the picture, by the keys of `ENDINGS`."""
        kinds = {*self.save} - {"picture"}
        if self.arrays:
            there = {
                "disparity": found.inverse,
                "depth": found.known != "up to scale and shift",
                "depth16": found.known == "metres" and not found.scaled,
                "seg": found.ids is not None,
            }
            kinds |= {kind for kind, is_there in there.items() if is_there}
        return kinds

    def _counts_per_metre(self, found: Found) -> int:
        """Millimetres where the network itself knows metres and all of them fit; else KITTI's 1/256 m."""
        known = found.known == "metres" and not found.scaled  # `most` is of what the network says
        return 1000 if known and self.most * 1000 < MOST_COUNTS + 1 else 256

    def _npz(self, job: Job, found: Found, depth: np.ndarray | None) -> bytes:
        """Depth (or inverse depth where there is none) with all that is known of it, in an uncompressed archive."""
        size = job.view.image.shape[:2]
        lens = self.lens(job)
        arrays = {
            "unit": np.array(found.unit),
            "known": np.array(found.known),
            "scaled": np.array(found.scaled or "not scaled"),
            "intrinsics": np.array([lens.fx, lens.fy, lens.cx, lens.cy] if lens else []),
            "intrinsics_source": np.array(lens.source if lens else "unknown"),
        }
        if depth is None:
            arrays["inverse_depth"] = found.disparity(size)
        else:
            arrays["depth"] = depth
        if found.ids is not None:
            arrays["seg"] = found.labels(size)
        content = io.BytesIO()
        np.savez(content, **arrays)
        return content.getvalue()

    def _put(self, job: Job, kind: str, content: bytes, unit: str = "") -> None:
        """Write a file whole or not at all."""
        write_whole(self.file(job.name, kind), content, durable=False)
        self._say(
            " ".join(word for word in (kind, "in" if unit and not unit.startswith("up to") else "", unit) if word)
        )

    def report(self) -> str:
        """What was written, counted, pictures first; "" where nothing was."""
        several = {"picture": "pictures", "video": "videos"}
        said = sorted(self.said.items(), key=lambda item: item[0] != "picture")
        words = ((count, *what.partition(" ")) for what, count in said)
        return ", ".join(
            f"{count} {several.get(kind, kind) if count > 1 else kind}{space}{rest}"
            for count, kind, space, rest in words
        )

    def _say(self, what: str) -> None:
        with self._saying:
            self.said[what] += 1


def frame_name(film: str, number: int) -> str:
    """Name of the outputs of a frame, by the name of those of its film."""
    return f"{film}_{number:06d}"


def clashes(outputs: ResultFolder, names: Iterable[str]) -> dict[Path, list[str]]:
    """Files that two images could be written to, with the names of their outputs."""
    owners: dict[Path, list[str]] = {}
    for name in names:
        for target in outputs.possible(name):
            owners.setdefault(target, []).append(name)
    return {target: names for target, names in owners.items() if len(names) > 1}


def depth_png(depth: np.ndarray, per_metre: int, unit: str) -> bytes:
    """16-bit PNG of depth (H, W) in 1/`per_metre`; 0 for what does not fit. The unit is in its text fields."""
    counts = np.round(depth * np.float32(per_metre))
    counts[(counts > MOST_COUNTS) | (counts < 0)] = 0
    words = PngInfo()
    words.add_text("unit", f"1/{per_metre} m" if per_metre != 1000 else "mm")
    words.add_text("depth", unit)
    words.add_text("zero", f"beyond {MOST_COUNTS / per_metre:.2f}, or nearer than half a count")
    content = io.BytesIO()
    Image.fromarray(counts.astype(np.uint16)).save(content, "png", pnginfo=words)
    return content.getvalue()


def _enlarged(array: np.ndarray, size: tuple[int, int], how: int) -> np.ndarray:
    return cv2.resize(array, size[::-1], interpolation=how)  # OpenCV counts width first


def _npy(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()
