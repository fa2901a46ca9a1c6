"""What the loaders hand over: bytes on the CPU, then float images on the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from .augment import AS_IT_IS, LEVELS, ORDERS, jitter_levels, recolour
from .catalog import LoaderSpec, find_loader
from .damage import Damaged

APPLY = 4
"""Column of `RawBatch.jitter` that says whether a sample is jittered, 0 or not, and in which of `ORDERS`, from 1 on."""
UNCHANGED = (1.0, 1.0, 1.0, 0.0, 0.0)
"""Row of `RawBatch.jitter` for a sample left as it is."""


@dataclass(frozen=True)
class Truth:
    """Ground truth of one image at its own size; what a loader does not have is None.

    image (H, W, 3) uint8 RGB; depth (H, W) float32 metres, 0 = none; labels (H, W) uint8 train ids, 255 = ignore;
    pose (4, 4) float64 camera-to-world, metres.
    """

    name: str
    image: np.ndarray
    depth: np.ndarray | None = None
    labels: np.ndarray | None = None
    pose: np.ndarray | None = None


Value = TypeVar("Value")


@dataclass(frozen=True)
class RawBatch:
    """One batch as it leaves the workers.

    frames: offsets of the F frames, the predicted one (0) first
    images: (B, F, 3, H, W) uint8 RGB
    K:      (B, 4, 4) float32, pixels of the network size
    flip:   (B,) bool, mirror left and right
    measured: (B,) bool, K has a measured principal point, which goes where its pixels go; None: those have one whose
            point is not exactly the middle
    jitter: (B, 5) float32: brightness, contrast, saturation, hue, `APPLY`; (B, F, 5) where frames differ
    colours: (B, 8) float32, as `augment.recolour` takes them, for makers that change colours so; None without
    labels: (B, H, W) uint8 train ids, 255 = ignore; None without
    depth:  (B, 1, H, W) float32 metres, 0 = none; None without
    dense:  the same with the gaps filled, base: a smooth version of it; None without
    teacher: answers of a teacher from its cache, float32: (B, 1, H, W) to the whole image or (B, N, s, s) to the N
            patches of its grid; None without
    guide:  answers of the teacher of whole images from its cache, float32: (B, 1, H, W), or (B, 2, H, W) where the
            second is that to the mirrored image, mirrored back; None without
    draws:  (B, N, 7) uniform in [0, 1), from which pairs of pixels are made; None without
    place:  (B, N) float32, of a view: where it lies in the samples, as its maker says it; None of whole images
    views:  further views of the samples by name; K is that of the samples
    truth:  per sample at its own size; empty in training
    damaged: samples that were replaced by others
    names:  of the samples
    """

    spec: LoaderSpec
    frames: tuple[int, ...]
    images: Tensor
    K: Tensor
    flip: Tensor
    jitter: Tensor
    labels: Tensor | None = None
    depth: Tensor | None = None
    dense: Tensor | None = None
    base: Tensor | None = None
    teacher: Tensor | None = None
    guide: Tensor | None = None
    draws: Tensor | None = None
    place: Tensor | None = None
    views: Mapping[str, RawBatch] = field(default_factory=dict)
    truth: tuple[Truth, ...] = ()
    damaged: tuple[Damaged, ...] = ()
    names: tuple[str, ...] = ()
    measured: Tensor | None = None
    colours: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)

    def pin_memory(self) -> RawBatch:
        """The same in page-locked memory, from which copies to a GPU run in the background."""
        return mapped(self, Tensor.pin_memory)

    def plain(self) -> dict[str, Any]:
        """All of a training batch as tensors, words and numbers, for a file."""
        content = {name: value for name, value in vars(self).items() if name not in ("spec", "truth", "damaged")}
        views = {name: view.plain() for name, view in self.views.items()}
        return {**content, "views": views, "loader": self.spec.name, "purpose": self.spec.purpose}

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> RawBatch:
        """A training batch from what `plain` made of it."""
        values = {name: value for name, value in content.items() if name not in ("loader", "purpose", "views")}
        views = {name: cls.of(view) for name, view in content.get("views", {}).items()}
        return cls(spec=find_loader(content["purpose"], content["loader"], training=True), views=views, **values)


@dataclass(frozen=True)
class Batch:
    """One batch on the device.

    images: {frame: (B, 3, H, W)} float32 RGB in [0, 1], mirrored where drawn: what the photometric loss compares
    inputs: {frame: (B, 3, H, W)} the same with other colours where drawn: what networks see
    K, inv_K: (B, 4, 4) float32, pixels
    flip: (B,) bool, which samples are mirrored
    labels: (B, H, W) int64 train ids, 255 = ignore; None without
    depth, dense, base, teacher, guide: as in `RawBatch`, mirrored where the images are
    draws: as in `RawBatch`
    place: as in `RawBatch`, of views of the mirrored images
    views: further views of the samples by name; networks see their frame 0 alone, so `inputs` has no other
    raw: what it was made from, in the memory of the host
    """

    spec: LoaderSpec
    images: dict[int, Tensor]
    inputs: dict[int, Tensor]
    K: Tensor
    inv_K: Tensor
    flip: Tensor
    labels: Tensor | None = None
    depth: Tensor | None = None
    dense: Tensor | None = None
    base: Tensor | None = None
    teacher: Tensor | None = None
    guide: Tensor | None = None
    draws: Tensor | None = None
    place: Tensor | None = None
    views: Mapping[str, Batch] = field(default_factory=dict)
    truth: tuple[Truth, ...] = ()
    raw: RawBatch | None = None


def mapped(value: Value, change: Callable[[Tensor], Tensor]) -> Value:
    """A batch, or what one holds, with all of its tensors changed: in fields, in mappings and in views.

    `Batch.raw` stays as it is: it is what the batch was made from, and lies elsewhere.
    """
    match value:
        case Tensor():
            return change(value)
        case Mapping():
            return {name: mapped(one, change) for name, one in value.items()}
        case RawBatch() | Batch():
            return replace(value, **{name: mapped(one, change) for name, one in vars(value).items() if name != "raw"})
    return value


def tensors(batch: RawBatch | Batch) -> Iterator[Tensor]:
    """All tensors that `mapped` changes."""
    found: list[Tensor] = []
    mapped(batch, lambda tensor: found.append(tensor) or tensor)
    return iter(found)


def camera_matrix(intrinsics: tuple[float, float, float, float], height: int, width: int) -> np.ndarray:
    """fx, fy, cx, cy divided by width and height -> (4, 4) float32 in pixels of a (height, width) image."""
    fx, fy, cx, cy = intrinsics
    matrix = np.eye(4, dtype=np.float32)
    matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2] = fx * width, fy * height, cx * width, cy * height
    return matrix


def invert_camera(K: Tensor) -> Tensor:
    """Inverse of camera matrices (B, 4, 4) that hold focal lengths and centre only, in closed form."""
    inverse = torch.eye(4, dtype=K.dtype, device=K.device).repeat(len(K), 1, 1)
    for axis in (0, 1):
        inverse[:, axis, axis] = 1 / K[:, axis, axis]
        inverse[:, axis, 2] = -K[:, axis, 2] / K[:, axis, axis]
    return inverse


def _mirrored(K: Tensor, flip: Tensor, measured: Tensor | None, width: int) -> Tensor:
    """Camera matrices of mirrored images: pixel column x goes to W-1-x, and so does a measured principal point.

    The published constants put it at W/2, which is the middle of any image, half a pixel off as a column; published
    training leaves them unchanged in mirrored images.
    """
    if measured is None:
        measured = K[:, 0, 2] != width / 2
    mirrored = K.clone()
    mirrored[:, 0, 2] = torch.where(flip & measured, width - 1 - K[:, 0, 2], K[:, 0, 2])
    return mirrored


def to_device(raw: RawBatch, device: torch.device | str) -> Batch:
    """Copies bytes to the device; mirrors, scales and jitters there, without waiting for it."""
    device = torch.device(device)
    return _prepared(raw, mapped(raw, lambda tensor: tensor.to(device, non_blocking=True)))


def _prepared(raw: RawBatch, there: RawBatch) -> Batch:
    """The batch of `there`, which holds the tensors of `raw` on the device.

    What is drawn for a sample is known on the host, so only those are worked on that it concerns.
    """
    flip = there.flip
    levels = there.images.transpose(0, 1)  # (F, B, 3, H, W) bytes
    if bool(raw.flip.any()):
        levels = torch.where(flip[:, None, None, None], levels.flip(-1), levels)
    images = levels.contiguous().float().div_(LEVELS)
    seen = len(raw.frames) if raw.place is None else 1
    inputs = _jittered(levels[:seen], images[:seen], raw.jitter, there.jitter)
    if raw.colours is not None and bool((raw.colours != torch.tensor(AS_IT_IS)).any()):
        inputs = recolour(inputs, there.colours)
    K = _mirrored(there.K, flip, there.measured, raw.images.shape[-1])
    frames = {frame: place for place, frame in enumerate(raw.frames)}
    return Batch(
        spec=raw.spec,
        images={frame: images[place] for frame, place in frames.items()},
        inputs={frame: inputs[place] for frame, place in frames.items() if place < seen},
        K=K,
        inv_K=invert_camera(K),
        flip=flip,
        labels=None if there.labels is None else _turned(there.labels.long(), flip),
        depth=_turned(there.depth, flip),
        dense=_turned(there.dense, flip),
        base=_turned(there.base, flip),
        teacher=_turned(there.teacher, flip),
        guide=_turned(there.guide, flip),
        draws=there.draws,
        place=there.place,
        views={name: _prepared(view, there.views[name]) for name, view in raw.views.items()},
        truth=raw.truth,
        raw=raw,
    )


def _turned(maps: Tensor | None, flip: Tensor) -> Tensor | None:
    """Maps (B, ..., W) with those of mirrored samples mirrored; None where there are none."""
    if maps is None:
        return None
    return torch.where(flip.view(-1, *[1] * (maps.ndim - 1)), maps.flip(-1), maps)


def _jittered(levels: Tensor, images: Tensor, jitter: Tensor, factors: Tensor) -> Tensor:
    """Bytes (F, B, 3, H, W) -> network inputs in [0, 1]; `images` itself where no sample is jittered.

    jitter, factors: the same (B, 5) or (B, at least F, 5), on the host and on the device
    """
    if jitter.ndim == 3:  # every frame as a sample of its own
        frames = len(levels)
        jitter, factors = (rows[:, :frames].transpose(0, 1).flatten(0, 1) for rows in (jitter, factors))
        return _jittered(levels.flatten(0, 1)[None], images.flatten(0, 1)[None], jitter, factors).view_as(images)
    changed, orders = images, jitter[:, APPLY].int()  # the latter on the host
    for order in orders[orders > 0].unique().tolist():
        picked = (orders == order).nonzero()[:, 0].to(levels.device, non_blocking=True)
        part = jitter_levels(levels[:, picked].transpose(0, 1).float(), factors[picked], ORDERS[order - 1])
        part = part.div_(LEVELS).transpose(0, 1)
        if len(picked) == len(jitter):
            return part
        changed = images.index_copy(1, picked, part) if changed is images else changed.index_copy_(1, picked, part)
    return changed
