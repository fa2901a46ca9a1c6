"""Frozen depth networks, of others and of ours, asked one way: RGB in, inverse depth out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from errors import check_shape
from perspective_resample.depth import DepthMap
from perspective_resample.input_view import InputView
from perspective_resample.resize import bilinear_levels, lanczos

from .prediction import Prediction

LEAST_SIDE = 64  # that networks of ours see
LEVELS = 255
LEAST_INVERSE = 1e-8  # 1/m; teachers that know metres say at least this
NEAREST = 1e-3  # metres; those that say depth say at least this


@dataclass(frozen=True)
class Habits:
    """What a network expects of its input and means by its output.

    target:    (height, width) it was trained at
    multiple:  of which its input's height and width must be
    fixed:     whether it takes inputs of the target size only
    mean, std: per channel of RGB in [0, 1]
    enlarge:   interpolation from its output to the image
    metric:    whether it knows metres, not inverse depth up to scale and shift
    depth:     whether its output is depth, which is enlarged as it is, not inverse depth
    crop:      (height, width) at the bottom, centred, for which metric results were published; () for whole images
    resize:    interpolation from the image to its input
    corners:   whether the corners of input and image lie on each other, not their edges
    mirrored:  edges of images are mirrored before it sees them: sqrt(side / 2) times this, in pixels
    farthest:  metres up to which it was trained, where `metric`
    """

    target: tuple[int, int] = (384, 384)
    multiple: int = 32
    mean: Sequence[float] = (0.5, 0.5, 0.5)
    std: Sequence[float] = (0.5, 0.5, 0.5)
    enlarge: str = "bicubic"
    metric: bool = False
    depth: bool = False
    crop: tuple[int, ...] = ()
    fixed: bool = False
    farthest: float = math.inf
    resize: str = "bicubic"
    corners: bool = False
    mirrored: float = 0.0

    def margins(self, height: int, width: int) -> tuple[int, int]:
        """Rows above and below, columns left and right, that are mirrored; fewer than an image has."""
        rows, columns = (int(math.sqrt(side / 2) * self.mirrored) for side in (height, width))
        return min(rows, height - 1), min(columns, width - 1)


def network_size(height: int, width: int, target: tuple[int, int], multiple: int = 32) -> tuple[int, int]:
    """(height, width) at which DPT looks at an image: both scaled by what brings one side to the target.

    Of the two factors the one nearer 1 is taken, even where that makes the image smaller than the target.
    """
    by_height, by_width = target[0] / height, target[1] / width
    scale = by_width if abs(1 - by_width) < abs(1 - by_height) else by_height
    return nearest_multiple(scale * height, multiple), nearest_multiple(scale * width, multiple)


def nearest_multiple(length: float, multiple: int) -> int:
    """Nearest multiple, halves to even ones, at least one."""
    return max(round(length / multiple), 1) * multiple


class Frozen(nn.Module):
    """A network that never learns: always in evaluation mode, its weights without gradients."""

    def train(self, mode: bool = True) -> Frozen:
        """Stays in evaluation mode, also as part of something that trains."""
        return super().train(False)

    def freeze(self) -> None:
        """Begin, when all parts are there."""
        self.requires_grad_(False).eval()


class Teacher(Frozen):
    """A depth network of others, asked one way.

    network:  normalised images (N, 3, H, W) -> inverse depth, or depth, (N, H', W')
    identity: `name` and `sha256` of the weight file, "" for networks of a hub
    native:   keep the size of the images (patches) instead of bringing them to the one it was trained at

    In evaluation it looks at images at their own size; `view` is the part.

    Shapes:  rgb (N, 3, h, w) in [0, 1]
    Returns: (N, h, w) float32 >= 0, larger = nearer; 1/m where ``habits.metric``, else up to scale and shift per image.
    Raises:  ValueError for another shape.
    """

    def __init__(self, network: nn.Module, habits: Habits, identity: Mapping[str, str], native: bool = False):
        super().__init__()
        self.network, self.habits, self.identity, self.native = network, habits, dict(identity), native
        self.view = InputView(resized=False, crop=habits.crop)
        self.farthest = habits.farthest
        for name in ("mean", "std"):
            values = torch.tensor(getattr(habits, name), dtype=torch.float32).view(1, 3, 1, 1)
            self.register_buffer(name, values, persistent=False)
        self.freeze()

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) the network sees of an image."""
        multiple = self.habits.multiple
        if self.habits.fixed:
            return self.habits.target
        if self.native:
            return nearest_multiple(height, multiple), nearest_multiple(width, multiple)
        return network_size(height, width, self.habits.target, multiple)

    def forward(self, rgb: Tensor) -> Tensor:
        """Inverse depth."""
        check_shape("teacher: rgb", rgb, None, 3, None, None)
        with torch.inference_mode():
            rows, columns = self.habits.margins(*rgb.shape[-2:])
            x = pad(rgb.float(), (columns, columns, rows, rows), mode="reflect")
            size = tuple(x.shape[-2:])
            x = _resized(x, self.input_size(*size), self.habits.resize, self.habits.corners)
            found = self.network((x - self.mean) / self.std).float()
            found = _resized(found[:, None], size, self.habits.enlarge)[:, 0]
            found = found[:, rows : size[0] - rows, columns : size[1] - columns]
            inverse = 1 / found.clamp_min(NEAREST) if self.habits.depth else found
            inverse = inverse.clamp_min(LEAST_INVERSE if self.habits.metric else 0)  # bicubic maps undershoot at edges
        return inverse.clone()  # tensors of inference mode may not meet those that need gradients

    def predict(self, image: Tensor, tasks: Sequence[str] = ("depth",)) -> Prediction:
        """Depth of images (B, 3, h, w), in metres or up to scale and shift; nothing for other tasks."""
        if "depth" not in tasks:
            return Prediction()
        known = "metres" if self.habits.metric else "up to scale and shift"
        return Prediction(DepthMap(self(image)[:, None], inverse=True, known=known))

    def describe(self) -> dict[str, Any]:
        """Description for metrics.json, besides the protocol."""
        return {
            "size": list(self.habits.target),
            "input": "the image at its own size, resized as the teacher wants it",
            "teacher": self.identity,
        }


class OwnTeacher(Frozen):
    """A network of ours as a teacher: images come before it as in evaluation, and it predicts as there.

    network:  with `predict` and what else `methods.method.Network` says of it
    identity: `name` and `sha256` of its files
    size:     (height, width) it was trained at, for networks that do not see images at their own size
    native:   keep the size of the images (patches), but for the nearest multiple that it takes

    Shapes:  rgb (N, 3, h, w) in [0, 1], whole levels of 255
    Returns: (N, h, w) float32 inverse depth, larger = nearer; in 1/m as far as the network knows metres.
    Raises:  ValueError for another shape.
    """

    def __init__(self, network: nn.Module, identity: Mapping[str, str], size: tuple[int, int], native: bool = False):
        super().__init__()
        self.network, self.identity, self.size, self.native = network, dict(identity), size, native
        self.freeze()

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) the network sees of an image."""
        divisor = getattr(self.network, "size_divisor", 32)
        fit = "multiple" if self.native else getattr(self.network, "input_fit", "squash")
        if fit == "multiple":
            least = math.ceil(LEAST_SIDE / divisor) * divisor
            return max(nearest_multiple(height, divisor), least), max(nearest_multiple(width, divisor), least)
        if fit == "height":
            return self.size[0], nearest_multiple(width * self.size[0] / height, divisor)
        return self.size

    @torch.no_grad()
    def forward(self, rgb: Tensor) -> Tensor:
        """Inverse depth."""
        check_shape("teacher: rgb", rgb, None, 3, None, None)
        shape = rgb.shape[2], rgb.shape[3]
        size = self.input_size(*shape)
        if size != shape:
            sharp = getattr(self.network, "input_filter", "bilinear") == "lanczos"
            rgb = lanczos(rgb, size) if sharp else bilinear_levels((rgb * LEVELS).round(), size) / LEVELS
        depth = self.network.predict(rgb, ("depth",)).depth
        return depth.at(shape).inverse_depth()[:, 0].float()


def _resized(x: Tensor, size: tuple[int, int], mode: str, corners: bool = False) -> Tensor:
    return x if tuple(x.shape[-2:]) == size else interpolate(x, size, mode=mode, align_corners=corners)
