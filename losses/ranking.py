"""The order of pairs of pixels in depth, as a teacher has it: plain tensor operations that never wait for the device.

Source: Xian et al., Structure-Guided Ranking Loss for Single Image Depth Prediction, CVPR 2020.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from errors import check_shape

from .reduction import Denominator, own_count
from .relative import compared, exact

EQUAL = 0.03
"""Difference of `relative.standardised` inverse depth that does not tell which pixel is nearer. The source has it of
ratios, which a teacher of unknown shift does not know."""
EDGE = 0.1  # of the largest gradient of an image
REACH = (2.0, 30.0)  # distances of points from their edge, pixels
DRAWS = 7
"""Numbers that a sample of pairs is made of."""


def ranking_difference(
    inverse: Tensor,
    teacher: Tensor,
    image: Tensor,
    draws: Tensor,
    counted: Tensor,
    denominator: Denominator = own_count,
) -> Tensor:
    """How far the order of the student's inverse depth is from that of the teacher's: mean over pairs of

        ln(1 + exp(-l (p - q)))   where l = 1 (first nearer) or -1,      (p - q)^2   where l = 0 (equally near)

    p, q: `relative.standardised` inverse depth of the student, so that a larger contrast does not make an order surer;
    l: sign of that of the teacher, 0 up to 0.03. Pairs are those of `pairs` whose pixels are two, and count.

    Shapes:  inverse, teacher (B, 1, H, W) inverse depth, the teacher's of any scale and shift; image (B, 3, H, W) in
             [0, 1]; draws (B, N, 7) in [0, 1); counted (B, 1, H, W) bool
    Returns: scalar, >= 0; 0 with a gradient of 0 where there is no pair.
    """
    own, other = compared(inverse, teacher)
    first, second, found = pairs(image, draws)
    p, q, t, u = (maps.flatten(1).gather(1, places) for maps in (own, other) for places in (first, second))
    found = found & (first != second)
    known = counted.flatten(1)
    found = found & known.gather(1, first) & known.gather(1, second)
    order = (t - u).sign() * ((t - u).abs() > EQUAL)
    unlike = torch.where(order == 0, (p - q).square(), F.softplus(-order * (p - q)))
    return unlike.where(found, 0.0).sum() / denominator(found.sum())


@torch.no_grad()
def pairs(image: Tensor, draws: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels to compare: per draw a to b, b to c, c to d across an edge of the image, and two pixels anywhere.

    The edge pixel is drawn among those whose gradient is at least a tenth of the largest; on the line through it along
    the gradient, a and b lie before it and c and d behind it, 2 to 30 pixels away, a and d farther than b and c, and
    all within the image.

    Shapes:  image (B, 3, H, W); draws (B, N, 7): edge, four distances, two pixels
    Returns: (B, 4 N) places of both in the flattened image, and which of them exist: images without edges have the
             last N alone.
    """
    check_shape("pairs: draws", draws, len(image), None, DRAWS)
    height, width = image.shape[-2:]
    down, across = _slopes(exact(image).mean(1))
    strength = down.hypot(across).flatten(1)
    edges = (strength >= EDGE * strength.amax(1, keepdim=True)) & (strength > 0)
    passed = edges.cumsum(1)
    count = passed[:, -1:]
    number = (draws[..., 0].to(torch.float64) * count).long() + 1
    edge = torch.searchsorted(passed, number).clamp(max=height * width - 1)  # the pixel with which so many have passed
    slope = strength.gather(1, edge).clamp_min(torch.finfo(strength.dtype).tiny)
    near, far = REACH
    one, other = (near + (far - near) * draws[..., part].sort(-1).values for part in (slice(1, 3), slice(3, 5)))
    along = torch.cat((-one.flip(-1), other), -1)  # (B, N, 4): a, b, c, d
    places = []
    for axis, start, last in ((down, edge // width, height - 1), (across, edge % width, width - 1)):
        step = (axis.flatten(1).gather(1, edge) / slope)[..., None] * along
        places.append((start[..., None] + step.round().long()).clamp(0, last))
    points = places[0] * width + places[1]
    anywhere = (draws[..., 5:].to(torch.float64) * (height * width)).long()
    first = torch.cat([*points[..., :3].unbind(-1), anywhere[..., 0]], 1)
    second = torch.cat([*points[..., 1:].unbind(-1), anywhere[..., 1]], 1)
    sampled = draws.shape[1]
    some = torch.cat([(count > 0).expand(-1, 3 * sampled), torch.ones_like(anywhere[..., 0], dtype=torch.bool)], 1)
    return first, second, some


def _slopes(grey: Tensor) -> tuple[Tensor, Tensor]:
    """Sobel gradients down and across of (B, H, W), with the border repeated around; no convolution, which autocast
    would take to half precision.
    """
    padded = F.pad(grey[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]

    def smooth(x: Tensor, axis: int) -> Tensor:
        length = x.shape[axis] - 2
        return sum(x.narrow(axis, start, length) * weight for start, weight in enumerate((1, 2, 1)))

    def slope(x: Tensor, axis: int) -> Tensor:
        length = x.shape[axis] - 2
        return x.narrow(axis, 2, length) - x.narrow(axis, 0, length)

    return slope(smooth(padded, 2), 1), slope(smooth(padded, 1), 2)
