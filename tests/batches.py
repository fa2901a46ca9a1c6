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


def street_batch(purpose: Purpose, size: int = 2, height: int = 64, width: int = 64, seed: int = 0) -> Batch:
    """Smooth random pictures on the CPU, the neighbours of a frame moved by a pixel; labels of all classes."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(size, 3, height // 8, width // 8 + 1, generator=rng)
    wide = torch.nn.functional.interpolate(coarse, (height, width + 8), mode="bilinear")
    frames = find_loader(purpose, LOADERS[purpose], training=True).frames
    images = torch.stack([wide[..., 1 + frame : 1 + frame + width] for frame in frames], 1)
    labels = torch.randint(0, 19, (size, height, width), generator=rng).to(torch.uint8)
    raw = raw_batch(purpose, (images * 255).round().to(torch.uint8), labels if purpose == "segmentation" else None)
    return to_device(raw, "cpu")


def measured_batch(size: int = 2, height: int = 64, width: int = 64, seed: int = 0) -> Batch:
    """The images of `street_batch`, with depth of 2 to 60 metres for a third of their pixels, filled and smooth depth.

    A view holds the images at three quarters of their size.
    """
    rng = torch.Generator().manual_seed(seed + 1)
    dense = torch.linspace(60, 2, height).view(1, 1, -1, 1).repeat(size, 1, 1, width)
    depth = dense.where(torch.rand(dense.shape, generator=rng) < 1 / 3, 0.0)
    raw = street_batch("depth", size, height, width, seed).raw
    raw = replace(raw, frames=(0,), images=raw.images[:, :1])
    low = torch.nn.functional.interpolate(
        raw.images[:, 0].float(), (height * 3 // 4, width * 3 // 4), mode="bilinear", antialias=True
    )
    views = {LOW: replace(raw, images=low.round().to(torch.uint8)[:, None])}
    return to_device(replace(raw, depth=depth, dense=dense, base=dense + 1, views=views), "cpu")


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
