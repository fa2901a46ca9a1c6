"""Random images with measured depth, of which methods take steps that learn from such."""

from __future__ import annotations

import torch
from torch.nn.functional import interpolate

from dataloader.batch import UNCHANGED, Batch, RawBatch, to_device
from dataloader.catalog import find_loader
from dataloader.measured import LOW
from models.sd_convtrans.network import smaller_size

EVERY = 3  # pixels there is one measurement among


def measured(size: int, height: int, width: int, device: torch.device | str = "cpu") -> Batch:
    """Images with depth for a share of their pixels, filled and smooth depth, and the images in a smaller size."""
    rng = torch.Generator().manual_seed(0)
    depth = 2 + 60 * torch.rand(size, 1, height, width, generator=rng)
    raw = RawBatch(
        spec=find_loader("depth", "kitti_annotated_train", training=True),
        frames=(0,),
        images=torch.randint(256, (size, 1, 3, height, width), generator=rng, dtype=torch.uint8),
        K=torch.eye(4).repeat(size, 1, 1),
        flip=torch.zeros(size, dtype=torch.bool),
        jitter=torch.tensor(UNCHANGED).repeat(size, 1),
        depth=depth.where(torch.rand(depth.shape, generator=rng) < 1 / EVERY, 0.0),
        names=tuple(map(str, range(size))),
    )
    small = interpolate(raw.images[:, 0].float(), smaller_size((height, width)), mode="bilinear", antialias=True)
    view = RawBatch(**{**vars(raw), "images": small.round().to(torch.uint8)[:, None], "depth": None})
    return to_device(RawBatch(**{**vars(raw), "dense": depth, "base": depth, "views": {LOW: view}}), device)
