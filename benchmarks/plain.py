"""Training steps as one writes them down first: what faster ones are compared with, in the same run.

Formula after formula of the paper, and nothing done for speed: tensors lie channel by channel, SSIM pools its windows,
every neighbour is warped and compared once per resolution, frames are segmented one by one, and autograd keeps every
step. The networks are the same modules with the same weights.  Source: Klingner et al., ECCV 2020 (arXiv 2007.06936).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import torch
import torch.nn.functional as F
from torch import Tensor

from dataloader.batch import Batch
from losses.distillation import BLOCKS
from losses.semantic import CLASS_WEIGHTS, IGNORE
from models.gradients import split_with_scales
from models.sgdepth import SGDepth
from models.spatial_kd import SpatialKD

MOVING = range(11, 20)  # classes
SMOOTHNESS = 1e-3


class PlainStep:
    """Losses of SGDepth for a depth and a segmentation batch: the network in training mode, channel by channel.

    autocast: makes the context in which the network computes
    threshold: images whose dynamic classes overlap less lose them; None masks nothing
    """

    def __init__(
        self, network: SGDepth, autocast: Callable[[], AbstractContextManager], threshold: float | None = None
    ):
        self.network, self.autocast, self.threshold = network, autocast, threshold

    def __call__(self, batches: Sequence[Batch]) -> list[Tensor]:
        """The loss of every data set, scalars."""
        with self.autocast():
            masking = self.threshold is not None
            ids = [self._segmented(batch) if masking and batch.spec.purpose == "depth" else {} for batch in batches]
            normal = [{f: self._normalise(image) for f, image in batch.inputs.items()} for batch in batches]
            shared = self.network.common(torch.cat([images[0] for images in normal]))
            depth, segmentation = split_with_scales(shared, self.network.grad_scales)
        losses, first = [], 0
        for batch, images, classes in zip(batches, normal, ids, strict=True):
            rows = slice(first, first := first + len(images[0]))
            if batch.spec.purpose == "depth":
                losses.append(self._depth_loss(batch, images, [x[rows] for x in depth], classes))
            else:
                with self.autocast():
                    logits = self.network.seg([x[rows] for x in segmentation])[0]
                weights = logits.new_tensor(CLASS_WEIGHTS, dtype=torch.float32)
                losses.append(F.cross_entropy(logits.float(), batch.labels, weights, ignore_index=IGNORE))
        return losses

    def _normalise(self, image: Tensor) -> Tensor:
        return (image - self.network.mean) / self.network.std

    def _segmented(self, batch: Batch) -> dict[int, Tensor]:
        self.network.eval()
        with torch.no_grad():
            found = {
                f: self.network.seg(self.network.common(self._normalise(image)))[0].argmax(1)
                for f, image in batch.inputs.items()
            }
        self.network.train()
        return found

    def _depth_loss(self, batch: Batch, normal: dict[int, Tensor], shared: list[Tensor], ids: dict) -> Tensor:
        with self.autocast():
            disp = {r: out.sigmoid() for r, out in self.network.depth(shared).items()}
            pose = self.network.pose
            motion = {-1: pose(normal[-1], normal[0], invert=True), 1: pose(normal[0], normal[1])}
        target, near, (nearest, farthest) = batch.images[0], (1, -1), self.network.depth_range

        def full(found: Tensor) -> Tensor:
            found = F.interpolate(found, target.shape[-2:], mode="bilinear", align_corners=False)
            return 1 / (1 / farthest + (1 / nearest - 1 / farthest) * found)

        grids = {(r, f): sampling_grid(full(disp[r]), motion[f], batch.K, batch.inv_K) for r in disp for f in near}
        keep = self._kept(ids[0], [_nearest(ids[f], grids[0, f]) for f in near]) if ids else 1.0
        losses = []
        for r in disp:
            errors = [photometric_error(batch.images[f], target) for f in near]
            errors += [photometric_error(_sampled(batch.images[f], grids[r, f]), target) for f in near]
            smallest = torch.stack(errors).amin(0) * keep
            losses.append(smallest.mean() + SMOOTHNESS * smoothness(disp[r], target) / 2**r)
        return torch.stack(losses).mean()

    def _kept(self, target: Tensor, warped: Sequence[Tensor]) -> Tensor:
        """Pixels that count, (B, H, W) float; sample by sample."""
        moving = torch.tensor(MOVING, device=target.device)
        keep = torch.ones(target.shape, device=target.device)
        for sample in range(len(target)):
            here = torch.isin(target[sample], moving)
            there = [torch.isin(ids[sample], moving) for ids in warped]
            either = sum((here | found).sum() for found in there)
            if either and sum((here & found).sum() for found in there) / either < self.threshold:
                keep[sample] = 1 - torch.stack([here, *there]).any(0).float()
        return keep


def sampling_grid(depth: Tensor, motion: Tensor, K: Tensor, inv_K: Tensor) -> Tensor:
    """Where pixels lie in a neighbour: depth (B, 1, H, W) and matrices (B, 4, 4) -> (B, H, W, 2) in [-1, 1]."""
    height, width = depth.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    pixels = torch.stack((x, y, torch.ones_like(x))).float().to(depth.device).view(3, -1)
    points = inv_K[:, :3, :3] @ pixels * depth.flatten(2)
    points = torch.cat((points, torch.ones_like(points[:, :1])), 1)
    seen = (K @ motion)[:, :3] @ points
    where = seen[:, :2] / (seen[:, 2:] + 1e-7)
    scale = where.new_tensor([width - 1, height - 1]).view(2, 1)
    return (2 * where / scale - 1).view(-1, 2, height, width).permute(0, 2, 3, 1)


def _sampled(image: Tensor, grid: Tensor, mode: str = "bilinear") -> Tensor:
    return F.grid_sample(image, grid, mode=mode, padding_mode="border", align_corners=True)


def _nearest(ids: Tensor, grid: Tensor) -> Tensor:
    return _sampled(ids[:, None].float(), grid.detach(), "nearest")[:, 0].long()


def photometric_error(image: Tensor, target: Tensor) -> Tensor:
    """0.85 (1 - SSIM) / 2 + 0.15 |image - target|, means over channels: (B, 3, H, W) twice -> (B, H, W)."""
    x, y = (F.pad(each, (1, 1, 1, 1), mode="reflect") for each in (image, target))

    def mean(values: Tensor) -> Tensor:
        return F.avg_pool2d(values, 3, 1)

    mean_x, mean_y = mean(x), mean(y)
    variance_x, variance_y = mean(x**2) - mean_x**2, mean(y**2) - mean_y**2
    covariance = mean(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    above = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    below = (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    dissimilarity = ((1 - above / below) / 2).clamp(0, 1)
    return 0.85 * dissimilarity.mean(1) + 0.15 * (image - target).abs().mean(1)


def smoothness(disp: Tensor, target: Tensor) -> Tensor:
    """Steps of the disparity over its mean where the image, made as small, has none: scalar."""
    image = F.interpolate(target, disp.shape[-2:], mode="bilinear", align_corners=False)
    normal = disp / (disp.mean((2, 3), keepdim=True) + 1e-7)
    terms = [
        (normal.diff(dim=axis).abs() * torch.exp(-image.diff(dim=axis).abs().mean(1, keepdim=True))).mean()
        for axis in (2, 3)
    ]
    return sum(terms)


class PlainStudent:
    """The step of a Spatial-KD student: blocks drawn on the CPU, pixels picked by masks, gradients for the decoder.

    The teacher is asked for its depth, too; maps are decomposed one by one; tensors lie channel by channel.
    Source: Song & Kim, JVCIR 85, 2022.

    nearest: metres, from which on measured depth counts
    """

    def __init__(self, network: SpatialKD, teacher: SpatialKD, nearest: float):
        self.network, self.teacher, self.nearest = network, teacher, nearest

    def __call__(self, batch: Batch, share: float, seed: int) -> Tensor:
        """The loss of a batch; `share` of the maps is replaced by blocks that `seed` decides."""
        image = batch.inputs[0]
        with torch.no_grad():
            taught = self._maps(self.teacher, image, lambda x, _: x)
        self.drops: list[Tensor] = []
        rng = torch.Generator().manual_seed(seed)

        def replaced(x: Tensor, step: int) -> Tensor:
            return self._replaced(x, taught[step], BLOCKS[step], share, rng) if step < len(BLOCKS) else x

        *maps, depth = self._maps(self.network, image, replaced)
        valid = batch.depth > self.nearest
        difference = depth[valid].log() - batch.depth[valid].log()
        loss = 10 * torch.sqrt((difference**2).mean() - 0.85 * difference.mean() ** 2) + 0.2 * sum(self.drops)
        weights = zip((1, 2, 2, 5, 5), (2, 2, 2, 5, 5), strict=True)
        for (feature, laplacian), mine, theirs in zip(weights, maps[1:], taught[1:-1], strict=True):
            (m1, m2, m3), (t1, t2, t3) = self._decomposed(mine), self._decomposed(theirs)
            loss = loss + 0.3 * feature * ((mine - theirs) ** 2).mean()
            fine, middle, rest = (m1 - t1).abs().mean(), (m2 - t2).abs().mean(), ((m3 - t3) ** 2).mean()
            loss = loss + 0.1 * laplacian * (fine + middle + rest)
        return loss

    def _maps(self, network: SpatialKD, image: Tensor, change: Callable[[Tensor, int], Tensor]) -> list[Tensor]:
        """Deepest map of the encoder, five of the decoder as `change` leaves them, and depth."""
        half = F.interpolate((image - network.mean) / network.std, scale_factor=0.5, mode="bilinear")
        *skips, x = network.encoder(half)
        found = [change(x, 0)]
        for step in range(5):
            x = found[-1]
            if step:
                x = getattr(network.decoder, f"decoder_{step}_reduc")(torch.cat((x, skips[-step]), 1))
            size = skips[-step - 1].shape[-2:] if step < 4 else half.shape[-2:]
            found.append(change(getattr(network.decoder, f"decoder_{step}_up")(x, size), step + 1))
        depth = network.max_depth * network.decoder.decoder_5(found[-1]).sigmoid()
        return [*found, F.interpolate(depth, image.shape[-2:], mode="bilinear")]

    def _replaced(self, x: Tensor, partner: Tensor, block: int, share: float, rng: torch.Generator) -> Tensor:
        seeds = (torch.rand(x[:, 0].shape, generator=rng) < share / block**2).float()[:, None]
        mask = F.max_pool2d(seeds, block, stride=1, padding=block // 2)[..., : x.shape[2], : x.shape[3]] > 0
        mask = mask.to(x.device).expand_as(x)
        if mask.any():
            self.drops.append((x[mask] - partner[mask]).abs().mean())
        chosen = mask & (x > 0)
        x = x.clone()
        x[chosen] = x[chosen] * (partner[chosen] / x[chosen])
        return x

    def _decomposed(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        half = F.interpolate(x, scale_factor=0.5, mode="bilinear")
        quarter = F.interpolate(half, scale_factor=0.5, mode="bilinear")
        return (
            x - F.interpolate(half, x.shape[-2:], mode="bilinear"),
            half - F.interpolate(quarter, half.shape[-2:], mode="bilinear"),
            quarter,
        )
