"""What predicted classes say of depth: smooth inside a region, apart at its border, and flat on the ground.

Plain tensor operations that never wait for the device, in float32, or float64 where that is given. `ids` are train ids
of Cityscapes below 256, without gradient; 19 (background) and 255 (unknown) are of no region.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from errors import check_shape

from .reduction import Denominator, own_count
from .relative import exact

ROAD, SIDEWALK, BACKGROUND = 0, 1, 19
GROUND = (ROAD, SIDEWALK, 9)
SIDES = (GROUND, (5, 6, 7), (12, 17, 18))
"""Classes between which depth need not jump: road, sidewalk and terrain; pole, light and sign; rider and two-wheelers.
"""
WINDOW = 5
LEAST_PIXELS = 5
"""Of either side there are in a window that counts."""
LEAST_REGION = 11
"""Pixels of a surface."""
_EPS = 1e-7


def region_smoothness(disp: Tensor, ids: Tensor, margin: Tensor) -> Tensor:
    """Disparity steps inside a region of one class; across its border they are free.

        sum over axes a in {y, x} of mean(|da n| w),   n = d / (mean(d) + eps)
        w = min(c(p), c(q)) where the neighbours p and q are of one class, else 0

    c, the margin of the softmax, is the probability of the most likely class without that of the next one: where the
    classes are a guess, nothing is smoothed. The mean is over all pairs of neighbours, as in `edge_aware_smoothness`
    (Monodepth2, eq. 3), of which this is the form with classes in place of the image.

    Shapes:  disp (B, 1, H, W) sigmoid disparity, > 0; ids (B, H, W) int64; margin (B, H, W) in [0, 1]
    Returns: scalar, >= 0.    Raises: ValueError when the shapes differ.
    """
    check_shape("regions: margin", margin, *ids.shape)
    normal = _normal(disp, ids)
    sure = exact(margin).where(_known(ids), 0.0)
    return sum(_inside(axis, normal, ids, sure) for axis in (1, 2))


def _inside(axis: int, normal: Tensor, ids: Tensor, sure: Tensor) -> Tensor:
    length = ids.shape[axis] - 1
    (id_p, id_q), (sure_p, sure_q) = ((x.narrow(axis, 0, length), x.narrow(axis, 1, length)) for x in (ids, sure))
    weight = torch.minimum(sure_p, sure_q).where(id_p == id_q, 0.0)
    return (normal.diff(dim=axis).abs() * weight).mean()


def border_triplets(disp: Tensor, ids: Tensor, margin: float = 0.1, denominator: Denominator = own_count) -> Tensor:
    """At borders, disparities of the same side are nearer than those across, by a share of the disparity.

        loss = mean over border pixels i of relu(D+(i) - D-(i) + margin sg[n(i)]),   n = d / (mean(d) + eps)
        D+(i), D-(i) = mean of |n(i) - n(j)| over the pixels j around i in a 5x5 window of the same side, across

    Sides are classes, but those in `SIDES` are one: between them depth goes on. Ground below what is not ground is not
    across either, as that stands on it. A pixel is one of a border where its window lies in the image and has at least
    5 pixels of either side. sg: without gradient.

    Source: Jung et al., Fine-grained Semantics-aware Representation Enhancement (arXiv 2108.08829), eq. 4 to 6, of
    disparities in place of features, hence with a margin that is relative.

    Shapes:  disp (B, 1, H, W) sigmoid disparity, > 0; ids (B, H, W) int64; H and W at least 5
    Returns: scalar, >= 0; 0 with a gradient of 0 where there is no border.
    Raises:  ValueError when the shapes differ.
    """
    normal = _normal(disp, ids)
    centre = _shifted(normal, 0, 0)
    near, far = _counts(ids)
    counted = _at_border(near, far)
    share_near, share_far = 1 / near.clamp(min=1).to(centre.dtype), -1 / far.clamp(min=1).to(centre.dtype)
    apart = margin * centre.detach()  # + D+ - D-
    for (dy, dx), same, across in _neighbours(ids):
        weight = share_near * same + share_far * across
        apart = apart + weight * (centre - _shifted(normal, dy, dx)).abs()
    return F.relu(apart).where(counted, 0.0).sum() / denominator(counted.sum())


def borders(ids: Tensor) -> Tensor:
    """Pixels i of `border_triplets`: (B, H, W) -> the same, bool."""
    return F.pad(_at_border(*_counts(ids)), [WINDOW // 2] * 4)


def _counts(ids: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels of the same side and across in the windows: (B, H, W) -> two times (B, H-4, W-4) uint8."""
    near = far = torch.zeros_like(_shifted(ids, 0, 0), dtype=torch.uint8)
    for _, same, across in _neighbours(ids):
        near, far = near + same, far + across
    return near, far


def _at_border(count_near: Tensor, count_far: Tensor) -> Tensor:
    return (count_near >= LEAST_PIXELS) & (count_far >= LEAST_PIXELS)


def _neighbours(ids: Tensor) -> Iterator[tuple[tuple[int, int], Tensor, Tensor]]:
    """Places around the centre of a window, and where the pixel there is of the same side or across; both bool."""
    side = ids.to(torch.uint8)
    for first, *others in SIDES:
        for other in others:
            side = side.where(side != other, first)
    known, ground = _known(ids), side == ROAD
    centre, centre_known, centre_ground = (_shifted(x, 0, 0) for x in (side, known, ground))
    reach = range(-(WINDOW // 2), WINDOW // 2 + 1)
    for dy, dx in ((dy, dx) for dy in reach for dx in reach if (dy, dx) != (0, 0)):
        both = centre_known & _shifted(known, dy, dx)
        same = centre == _shifted(side, dy, dx)
        across = both & ~same
        if dy:
            across = across & ~(_shifted(ground, dy, dx) if dy > 0 else centre_ground)
        yield (dy, dx), both & same, across


def _shifted(x: Tensor, dy: int, dx: int) -> Tensor:
    """What lies (dy, dx) from the pixels whose window is in the image: (B, H, W) -> (B, H-4, W-4)."""
    half = WINDOW // 2
    return x[:, half + dy : x.shape[1] - half + dy, half + dx : x.shape[2] - half + dx]


def plane_agreement(inverse: Tensor, ids: Tensor, K: Tensor, denominator: Denominator = own_count) -> Tensor:
    """Surface normals of a road, and of its sidewalks, agree.

        loss = mean over (image, class in {road, sidewalk}) with more than 10 pixels of 1 - |mean of N over them|

    which is the mean of 1 - cos of the angle between N(p) and the direction of their mean. N(p): unit normal of the
    plane through a pixel and its right and lower neighbour, all three of the class. On a plane inverse depth is linear
    in the pixels, s(x, y) = g . (x, y, 1) with g = (dx s, dy s, s - x dx s - y dy s), and with s = n . K^-1 (x, y, 1)
    of points X with n . X = 1, n = K^T g: no depth is divided by, and a scale of s changes nothing.

    Shapes:  inverse (B, 1, H, W) inverse depth in 1/m up to scale, > 0; ids (B, H, W) int64; K (B, 4, 4) in pixels
    Returns: scalar in [0, 1]; 0 with a gradient of 0 where no surface is large enough.
    Raises:  ValueError when the shapes differ.
    """
    check_shape("regions: ids", ids, inverse.shape[0], *inverse.shape[2:])
    check_shape("regions: K", K, len(ids), 4, 4)
    member = _surfaces(ids)
    normal = _normals(exact(inverse)[:, 0], K)
    count = member.sum((2, 3))
    sums = normal[:, None].where(member[:, :, None], 0.0).sum((3, 4))  # (B, 2, 3)
    length = (sums.square().sum(2) + _EPS**2).sqrt() / count.clamp(min=1)
    counted = count >= LEAST_REGION
    return (1 - length).where(counted, 0.0).sum() / denominator(counted.sum())


def surfaces(ids: Tensor) -> Tensor:
    """Pixels p of `plane_agreement`: (B, H, W) -> the same, bool."""
    return F.pad(_surfaces(ids).any(1), (0, 1, 0, 1))


def _surfaces(ids: Tensor) -> Tensor:
    """Where a pixel and its right and lower neighbour are road, sidewalk: (B, H, W) -> (B, 2, H-1, W-1) bool."""
    ids = ids[:, None]
    member = torch.cat((ids == ROAD, ids == SIDEWALK), 1)
    return member[..., :-1, :-1] & member[..., :-1, 1:] & member[..., 1:, :-1]


def _normals(inverse: Tensor, K: Tensor) -> Tensor:
    """Unit normals, away from the camera: inverse depth (B, H, W) -> (B, 3, H-1, W-1)."""
    height, width = inverse.shape[1:]
    x = torch.arange(width - 1, device=inverse.device, dtype=inverse.dtype)
    y = torch.arange(height - 1, device=inverse.device, dtype=inverse.dtype)[:, None]
    across, down = inverse.diff(dim=2)[:, :-1], inverse.diff(dim=1)[:, :, :-1]
    line = torch.stack((across, down, inverse[:, :-1, :-1] - x * across - y * down), 1)
    turned = K[:, :3, :3, None, None].to(inverse.dtype) * line[:, :, None]  # no matmul, which autocast would round
    return F.normalize(turned.sum(1), dim=1)


def inside(ids: Tensor) -> Tensor:
    """Pixels whose four neighbours are of their class, as far as they are known: (B, H, W) -> the same, bool."""
    inner = F.pad(_known(ids)[:, 1:-1, 1:-1], (1, 1, 1, 1))
    for axis in (1, 2):
        for step in (1, -1):
            inner = inner & (ids.roll(step, axis) == ids)
    return inner


def _known(ids: Tensor) -> Tensor:
    return ids < BACKGROUND


def _normal(disp: Tensor, ids: Tensor) -> Tensor:
    """Disparity by its mean of every image: (B, 1, H, W) -> (B, H, W)."""
    check_shape("regions: ids", ids, disp.shape[0], *disp.shape[2:])
    disp = exact(disp)
    return (disp / (disp.mean((2, 3), keepdim=True) + _EPS))[:, 0]
