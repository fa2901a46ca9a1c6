"""How different two images look: structural similarity and absolute difference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_C1, _C2 = 0.01**2, 0.03**2
SSIM_WEIGHT = 0.85


def _window_sum(padded: Tensor) -> Tensor:
    """Sum of every 3x3 window, (..., H+2, W+2) -> (..., H, W); slices are ten times faster than pooling."""
    columns = padded[..., :-2] + padded[..., 1:-1]
    columns += padded[..., 2:]
    rows = columns[..., :-2, :] + columns[..., 1:-1, :]
    rows += columns[..., 2:, :]
    return rows


def _window_mean(padded: Tensor) -> Tensor:
    return _window_sum(padded).div_(9)


def window_adjoint(grad: Tensor) -> Tensor:
    """Transpose of the sum of every 3x3 window after reflection padding; overwrites `grad` (..., H, W) and returns it.

    A sum of windows as well, with zeros beyond the border; what a window saw mirrored comes back one line inwards.
    H and W are at least 3.
    """
    for axis in (-1, -2):
        first, second, before_last, last = (grad.select(axis, line) for line in (0, 1, -2, -1))
        ends = first + second, before_last + last
        inner = grad.shape[axis] - 2
        grad.narrow(axis, 1, inner).add_(grad.narrow(axis, 0, inner) + grad.narrow(axis, 2, inner))
        second.add_(first)
        before_last.add_(last)
        first.copy_(ends[0])
        last.copy_(ends[1])
    return grad


def pooled_mean(padded: Tensor) -> Tensor:
    """Mean of every 3x3 window in the order of the published sums; slow, for images that hardly differ."""
    pooled = F.avg_pool2d(padded.flatten(0, -3)[:, None], 3, 1)
    return pooled.view(*padded.shape[:-2], *pooled.shape[-2:])


def _pad(image: Tensor) -> Tensor:
    return F.pad(image, (1, 1, 1, 1), mode="reflect")


@dataclass(frozen=True)
class Reference:
    """An image many others are compared with, and its window statistics, computed once.

    `image` (B, C, H, W) in [0, 1], `padded` (B, C, H+2, W+2); `mean`, its `square` and `variance` (B, C, H, W);
    `window` takes the mean of every 3x3 window, (..., H+2, W+2) -> (..., H, W).
    """

    image: Tensor
    padded: Tensor
    mean: Tensor
    square: Tensor
    variance: Tensor
    window: Callable[[Tensor], Tensor]

    @classmethod
    def of(cls, image: Tensor, window: Callable[[Tensor], Tensor] = _window_mean) -> Reference:
        """Statistics of `image` (B, C, H, W)."""
        padded = _pad(image)
        mean = window(padded)
        square = mean * mean
        return cls(image, padded, mean, square, window(padded * padded) - square, window)


@dataclass(frozen=True)
class Likeness:
    """How alike the 3x3 windows of images x and of their `Reference` y are.

        SSIM = means / squares * covariance / variances
        means = 2 m_x m_y + C1,    squares = m_x^2 + m_y^2 + C1,    C1 = 0.01^2
        covariance = 2 cov_xy + C2,    variances = var_x + var_y + C2,    C2 = 0.03^2

    `mean` is m_x.  Source: Wang et al. 2004 in the form of Monodepth (arXiv 1609.03677).
    """

    mean: Tensor
    means: Tensor
    squares: Tensor
    covariance: Tensor
    variances: Tensor

    @classmethod
    def of(cls, image: Tensor, reference: Reference) -> Likeness:
        """Compare `image` (R, B, C, H, W) with the B images of `reference`; all numbers are (R, B, C, H, W)."""
        padded = _pad(image.flatten(0, 1)).view(-1, *reference.padded.shape)
        mean = reference.window(padded)
        square, means = mean * mean, mean * reference.mean
        # Differences of nearly equal numbers: in the order of the published code.
        variances = reference.window(padded * padded).sub_(square).add_(reference.variance).add_(_C2)
        covariance = reference.window(padded * reference.padded).sub_(means).mul_(2).add_(_C2)
        return cls(mean, means.mul_(2).add_(_C1), square.add_(reference.square).add_(_C1), covariance, variances)

    def dssim(self) -> Tensor:
        """Structural dissimilarity clamp((1 - SSIM) / 2, 0, 1)."""
        similarity = (self.means * self.covariance).div_(self.squares * self.variances)
        return similarity.mul_(-0.5).add_(0.5).clamp_(0, 1)


def dssim(image: Tensor, reference: Reference) -> Tensor:
    """Structural dissimilarity per pixel and channel, in [0, 1]; see `Likeness`.

    Shapes:  image (R*B, C, H, W) in [0, 1], R groups of the B images of `reference`.    Returns: (R, B, C, H, W).
    """
    return Likeness.of(image.view(-1, *reference.image.shape), reference).dssim()


def photometric_error(image: Tensor, reference: Reference, ssim: bool = True) -> Tensor:
    """0.85 * dissimilarity + 0.15 * absolute difference, each the mean over the channels.

    ssim: False takes the absolute difference alone, with weight 1.

    Shapes:  image (R*B, C, H, W) in [0, 1].    Returns: (R, B, H, W), in [0, 1].
    Source: Monodepth2 (arXiv 1806.01260), eq. 2.
    """
    difference = (image.view(-1, *reference.image.shape) - reference.image).abs()
    return mixed(difference, dssim(image, reference) if ssim else None)


def mixed(difference: Tensor, dissimilarity: Tensor | None) -> Tensor:
    """The `photometric_error` of absolute differences and `dssim`: (R, B, C, H, W) each -> (R, B, H, W)."""
    error = difference.mean(2)
    return error if dissimilarity is None else SSIM_WEIGHT * dissimilarity.mean(2) + (1 - SSIM_WEIGHT) * error


def least_error(neighbours: Mapping[int, Tensor], reference: Reference) -> Tensor:
    """`photometric_error` of whichever neighbour looks most like the target.

    Shapes:  neighbours: frame offset -> (B, C, H, W) in [0, 1], the B images of `reference`.    Returns: (B, H, W).
    """
    return torch.stack([photometric_error(image, reference)[0] for image in neighbours.values()]).amin(0)
