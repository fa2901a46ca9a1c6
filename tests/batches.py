"""Training batches as loaders hand them over: of random pictures, or of tensors that a test has."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from dataloader.batch import Batch, RawBatch, camera_matrix, invert_camera, to_device
from dataloader.catalog import Purpose, find_loader
from dataloader.measured import LOW

LOADERS: dict[Purpose, str] = {"depth": "kitti_zhou_train", "segmentation": "cityscapes_train"}
INTRINSICS = (0.58, 1.92, 0.5, 0.5)
UNCHANGED = (1.0, 1.0, 1.0, 0.0, 0.0)  # jitter


def raw_batch(purpose: Purpose, images: Tensor, labels: Tensor | None = None) -> RawBatch:
    """A batch of bytes (B, F, 3, H, W), as it leaves the workers; its samples are called street/0, street/1 ..."""
    spec = replace(find_loader(purpose, LOADERS[purpose], training=True), domain=purpose)
    size, _, _, height, width = images.shape
    return RawBatch(
        spec=spec,
        frames=spec.frames,
        images=images,
        K=torch.from_numpy(camera_matrix(INTRINSICS, height, width)).repeat(size, 1, 1),
        flip=torch.zeros(size, dtype=torch.bool),
        jitter=torch.tensor(UNCHANGED).repeat(size, 1),
        labels=labels,
        names=tuple(f"street/{number}" for number in range(size)),
    )


def street_batch(
    purpose: Purpose, size: int = 2, height: int = 64, width: int = 64, seed: int = 0, measured: bool = False
) -> Batch:
    """Smooth random pictures on the CPU, the neighbours of a frame moved by a pixel; labels of all classes.

    measured: with depth instead of neighbours: measured at every other pixel, filled, and smooth; and a smaller view
    """
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(size, 3, height // 8, width // 8 + 1, generator=rng)
    wide = torch.nn.functional.interpolate(coarse, (height, width + 8), mode="bilinear")
    frames = find_loader(purpose, LOADERS[purpose], training=True).frames
    images = torch.stack([wide[..., 1 + frame : 1 + frame + width] for frame in frames], 1)
    labels = torch.randint(0, 19, (size, height, width), generator=rng).to(torch.uint8)
    raw = raw_batch(purpose, (images * 255).round().to(torch.uint8), labels if purpose == "segmentation" else None)
    return to_device(with_depth(raw, 2 + 6 * wide[:, :1, :, :width]) if measured else raw, "cpu")


def with_depth(raw: RawBatch, depth: Tensor) -> RawBatch:
    """The batch as `Measured` makes it, of its middle frame alone; depth (B, 1, H, W) metres."""
    known = torch.arange(depth.shape[3]) % 2 == 0
    base = torch.nn.functional.avg_pool2d(depth, 9, stride=1, padding=4, count_include_pad=False)
    size = [side * 3 // 4 for side in depth.shape[2:]]
    low = torch.nn.functional.interpolate(raw.images[:, 0].float(), size, mode="bilinear", antialias=True)
    one = replace(raw, frames=(0,), images=raw.images[:, :1])
    view = replace(one, images=low.round().to(torch.uint8)[:, None])
    return replace(one, depth=depth * known, dense=depth, base=base, views={LOW: view})


def batch_of(
    purpose: Purpose, images: dict[int, Tensor], labels: Tensor | None = None, K: Tensor | None = None
) -> Batch:
    """A batch of these images (B, 3, H, W) in [0, 1], without jitter, with the camera of KITTI where none is given."""
    levels = torch.stack([image.float() for image in images.values()], 1)
    raw = raw_batch(purpose, (levels * 255).round().to(torch.uint8))
    K = raw.K.to(images[0].dtype) if K is None else K
    return Batch(
        spec=raw.spec, images=images, inputs=images, K=K, inv_K=invert_camera(K), flip=raw.flip, labels=labels, raw=raw
    )
