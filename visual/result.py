"""What the Python interface gives of an image: arrays, colours, points, files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from errors import UserError, closest
from presets.inference import COLORMAPS
from storage.atomic import write_whole

from .lens import find_lens
from .pictures import Look, encode, inference_picture
from .points import build_cloud
from .results import ENDINGS, METRIC, Found, Job, ResultFolder

KINDS = {".npz": "npz", ".npy": "depth", ".ply": "ply", ".glb": "glb"}
"""What is saved where the ending of a file alone tells; pictures have the others."""


def _suffix(kind: str) -> str:
    return "." + ENDINGS[kind].rpartition(".")[2]


@dataclass(frozen=True, repr=False)
class Result:
    """What a network sees in one image; all maps are as large as the image.

    Attributes:
        job:   the image, its name and its file
        found: what the network says of it, at its own size
        files: how files of it look
    """

    job: Job
    found: Found
    files: ResultFolder

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        classes = "" if self.found.ids is None else ", with labels"
        return f"Result({self.job.name!r}, {height}x{width}, {self.unit}{classes})"

    @property
    def image(self) -> np.ndarray:
        """The image, or what the network saw of it, (H, W, 3) uint8 RGB."""
        return self.job.view.image

    @property
    def unit(self) -> str:
        """What a number of the depth means: metres, metres up to scale, or (of the disparity) up to scale and shift."""
        return self.found.unit

    @cached_property
    def depth(self) -> np.ndarray:
        """Depth (H, W) float32, in `unit`.

        Raises:
            UserError: where the network says inverse depth up to scale and shift, from which no distance follows.
        """
        depth = self.files.depth(self.job, self.found)
        if depth is None:
            raise UserError(
                f"{self.job.name}: this network says inverse depth up to scale and shift, which no distance follows "
                "from; use disparity, or take a network that knows depth"
            )
        return depth

    @cached_property
    def disparity(self) -> np.ndarray:
        """Inverse depth (H, W) float32, larger = nearer; 1 / `depth` where there is one."""
        return self.found.disparity(self.image.shape[:2])

    @cached_property
    def labels(self) -> np.ndarray | None:
        """Train ids of the classes (H, W) uint8; None where the network knows none."""
        return self.found.labels(self.image.shape[:2])

    def colour(self, colormap: str = "plasma", range: tuple[float, ...] = ()) -> np.ndarray:
        """The disparity in colours, (H, W, 3) uint8 RGB.

        colormap: one of `COLORMAPS`
        range:    nearest and farthest distance that colours tell apart; () for those of this image

        Raises:
            UserError: when there is no such colour map, or the range makes no sense.
        """
        if colormap not in COLORMAPS:
            raise UserError(
                f"colormap {colormap!r}: is none of {', '.join(COLORMAPS)}{closest(str(colormap), COLORMAPS)}"
            )
        if range and not (len(range) == 2 and 0 < range[0] < range[1]):
            raise UserError(f"range {range}: give two distances, the nearer one first, or () for those of the image")
        self._require("picture", bool(range))
        look = Look(layout="only", colormap=colormap, range=tuple(range))
        return inference_picture(self.image, self.found.inv_depth, None, look=look)

    def points(self, intrinsics: tuple[float, ...] | None = None, fov: float | None = None) -> np.ndarray:
        """Points (N, 6) float32: x right, y down, z forward in `unit`, then red, green, blue in [0, 1].

        Pixels at edges of depth, which lie between two things, are left out; of large images every n-th is taken.

        intrinsics: fx, fy, cx, cy in pixels of the image
        fov:        horizontal field of view in degrees; where neither is given, EXIF data of the file tell

        Raises:
            UserError: when nobody tells the lens, or the network knows no distances.
        """
        told = self.files.camera[:2] if intrinsics is None and fov is None else (intrinsics or (), fov or 0.0)
        given, degrees = told
        if (given and len(given) != 4) or not 0 <= degrees < 180 or (given and degrees):
            raise UserError("intrinsics: give the four numbers (fx, fy, cx, cy) in pixels, or a fov in degrees")
        lens = find_lens(self.job.path, self.job.size, tuple(given), degrees)
        if lens is None:
            raise UserError(f"{self.job.name}: says no focal length; give intrinsics=(fx, fy, cx, cy) or fov=degrees")
        cloud = build_cloud(self.image, self.depth, lens.moved(self.job.view.corner))
        return np.concatenate([cloud.points, cloud.colours.astype(np.float32) / 255], axis=1)

    def save(self, path: str | Path, kind: str = "") -> None:
        """Write one file, whole or not at all.

        kind: as ``--save`` of inference.py has them: picture, disparity, depth, depth16, seg, npz, ply, glb; "" goes by
              the ending: .npz, .npy (depth), .ply, .glb, and .jpg, .png and their like for the picture

        Raises:
            UserError: when the network says nothing of the kind, or the ending is another.
            OSError: when it cannot be written.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        kind = kind or KINDS.get(suffix, "picture")
        if kind not in ("picture", *ENDINGS):
            raise UserError(f"kind {kind!r}: is none of picture, {', '.join(ENDINGS)}")
        if kind == "picture" and not (suffix and cv2.haveImageWriter(f"picture{suffix}")):
            raise UserError(
                f"{path}: no kind of file that is written here ({suffix or 'no ending'}); take .png or .npz"
            )
        if kind != "picture" and suffix != _suffix(kind):
            raise UserError(f"{path}: {kind} is written as {_suffix(kind)}; give the file that ending")
        self._require(kind)
        if kind == "picture":
            content = encode(self.files.draw(self.job, self.found), suffix)
        else:
            depth = self.depth if kind in METRIC else self.files.depth(self.job, self.found)
            content, _ = self.files.content(self.job, self.found, kind, depth)
        write_whole(path, content, durable=False)

    def _require(self, kind: str, in_range: bool = False) -> None:
        """Raise `UserError` where the network says nothing of this kind, or no distances that a range could be of."""
        look = replace(self.files.look, range=(1.0, 2.0) if in_range else ())
        replace(self.files, save=(kind,), look=look).require(self.found)
