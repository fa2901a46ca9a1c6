"""From estimates of patches to one refined disparity: fit, blend, fit, mix, fuse."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from .selection import Patches

SELF_SHARE = 0.6  # of the mix of both sources
_TINY = 1e-12
_WINDOW_FLOOR = 1e-3
_PEAK, _FLOOR = 0.5, 0.01  # of the weight of the patches in the fused map
_MASK_SIZE = (192, 640)  # the mask is made for this size and stretched over the covered area


def fit(x: Tensor, y: Tensor, counted: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Least squares y = slope x + offset, for each of N rows by itself; a constant x has slope 0.

    Shapes:  x, y (N, M); counted (N, M) bool, or None for all.    Returns: slope, offset (N, 1) float32.
    """
    weight = torch.ones_like(x) if counted is None else counted.to(x.dtype)
    number = weight.sum(1, keepdim=True).clamp(min=1)
    x_mean, y_mean = (x * weight).sum(1, keepdim=True) / number, (y * weight).sum(1, keepdim=True) / number
    centred = (x - x_mean) * weight
    variance = torch.maximum((centred * centred).sum(1, keepdim=True), number * _TINY)
    slope = (centred * (y - y_mean)).sum(1, keepdim=True) / variance
    return slope, y_mean - slope * x_mean


@cache
def _window(size: int, device: torch.device) -> Tensor:
    # Kept on the device: copying it there in every step would wait for the device.
    profile = torch.sin(math.pi * (torch.arange(size, dtype=torch.float64) + 0.5) / size).square().clamp(_WINDOW_FLOOR)
    return torch.outer(profile, profile).float().to(device)


@dataclass
class Canvas:
    """Sum and weight of the patches of one source, (B * H * W,) float32 each."""

    total: Tensor
    weight: Tensor

    @classmethod
    def empty(cls, disp: Tensor) -> Canvas:
        """Canvas for a disparity (B, 1, H, W)."""
        return cls(torch.zeros(disp.numel(), device=disp.device), torch.zeros(disp.numel(), device=disp.device))

    def add(self, patches: Patches, disp: Tensor, estimate: Tensor) -> None:
        """Fit estimates (P, s, s) to the disparity (B, 1, H, W) and lay them down in smooth windows.

        A patch with a negative slope contradicts the disparity and is left out, as is NaN.
        """
        fitted, slope = fitted_patches(patches, disp, estimate)
        usable = (slope > 0)[:, :, None] & fitted.isfinite().all(2, keepdim=True).all(1, keepdim=True)
        fitted, weight = torch.where(usable, fitted, 0), _window(patches.size, disp.device) * usable
        flat = patches.positions(*disp.shape[-2:]).flatten()
        self.total.index_add_(0, flat, (weight * fitted).flatten())
        self.weight.index_add_(0, flat, weight.flatten())

    def map(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Blended map (B, H*W), and where there is one."""
        batch = like.shape[0]
        covered = self.weight > 0
        return (self.total / self.weight.where(covered, 1)).view(batch, -1), covered.view(batch, -1)


def fitted_patches(patches: Patches, disp: Tensor, estimate: Tensor) -> tuple[Tensor, Tensor]:
    """Estimates (P, s, s) brought to the scale of the disparity, (P, s, s), and their slopes (P, 1)."""
    x = estimate.float().flatten(1)
    slope, offset = fit(x, patches.cut(disp).float().flatten(1))
    return (slope * x + offset).view_as(estimate), slope


def mix(maps: list[Tensor], covered: Tensor, disp: Tensor) -> Tensor:
    """Maps of one or two sources, each fitted to the disparity over covered pixels once more, in one.

    Shapes:  maps of (B, H*W), that of the network itself first; covered (B, H*W) bool; disp (B, 1, H, W).
    Returns: (B, 1, H, W).
    """
    target = disp.float().flatten(1)
    fitted = []
    for values in maps:
        slope, offset = fit(values, target, covered)
        fitted.append(slope * values + offset)
    mixed = fitted[0] if len(fitted) == 1 else SELF_SHARE * fitted[0] + (1 - SELF_SHARE) * fitted[1]
    return mixed.view_as(disp)


def soft_profile(length: int, sigma: int) -> Tensor:
    """One axis of the soft mask: ones but for 15 % at either end, blurred with a Gaussian; (length,) in [0, 1].

    The mask is the product of two of them: the blur is separable and does not reach the border.
    """
    margin, radius = int(0.15 * length), math.ceil(2 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    plain = np.zeros(length)
    plain[margin : length - margin] = 1
    blurred = np.convolve(plain, kernel / kernel.sum(), mode="same")
    return torch.from_numpy(blurred / blurred.max()).float()


def soft_mask(height: int, width: int) -> Tensor:
    """Soft mask of (height, width), blurred with sigma = height / 16 along both axes."""
    sigma = height // 16
    return torch.outer(soft_profile(height, sigma), soft_profile(width, sigma))


@cache
def _profiles(device: torch.device) -> tuple[Tensor, Tensor]:
    return tuple(soft_profile(length, _MASK_SIZE[0] // 16).to(device) for length in _MASK_SIZE)


def _stretched(profile: Tensor, occupied: Tensor) -> Tensor:
    """A profile resized bilinearly to the span of the occupied entries: (B, L) bool -> (B, L), clamped outside."""
    length = occupied.shape[1]
    steps = torch.arange(length, device=occupied.device)
    first = torch.where(occupied, steps, length).amin(1, keepdim=True)
    last = torch.where(occupied, steps, -1).amax(1, keepdim=True)
    span = (last - first + 1).clamp(min=1)
    place = ((steps - first + 0.5) * (len(profile) / span) - 0.5).clamp(0, len(profile) - 1)
    lower = place.floor().long()
    upper = (lower + 1).clamp(max=len(profile) - 1)
    return torch.lerp(profile[lower], profile[upper], place - lower)


def fusion_weight(covered: Tensor) -> Tensor:
    """How much patches may count: the soft mask stretched over the covered area, up to 0.51, 0 outside.

    Shapes:  covered (B, 1, H, W) bool.    Returns: (B, 1, H, W) float32.
    """
    rows, columns = _profiles(covered.device)
    y = _stretched(rows, covered[:, 0].any(2))
    x = _stretched(columns, covered[:, 0].any(1))
    return covered * (_PEAK * y[:, None, :, None] * x[:, None, None] + _FLOOR)


def fuse(disp: Tensor, mixed: Tensor, covered: Tensor, share: float = 0.6) -> tuple[Tensor, Tensor]:
    """Disparity moved towards the patches where there are some: D (1 - share m) + share m M, kept in [0, 1].

    Fitted patches may leave the range of a disparity, where no depth belongs to it.

    Shapes:  disp, mixed (B, 1, H, W); covered (B, 1, H, W) bool.
    Returns: refined disparity, and share * m, both (B, 1, H, W).
    """
    weight = share * fusion_weight(covered)
    moved = torch.lerp(disp.float(), mixed, weight).clamp(0, 1)
    return torch.where(covered, moved, disp.float()), weight
