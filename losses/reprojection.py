"""The photometric loss of warped neighbours: value and gradient in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from .photometric import SSIM_WEIGHT, Likeness, Reference, mixed, window_adjoint


def reprojection_error(
    warped: Sequence[Tensor],
    reference: Reference,
    unmoved: Tensor | None = None,
    keep: Tensor | None = None,
    ssim: bool = True,
    average: bool = False,
) -> Tensor:
    """Mean over the pixels of the smallest `photometric_error` of the neighbours, per resolution.

    Autograd would keep every step of every candidate. Here the gradient is made with the value, and nothing else is
    kept. It has no derivative of its own: asking for one is an error.

    Args:
        warped: of each neighbour, (R, B, C, H, W) in [0, 1]; where two are equal, the former has the gradient.
        reference: the target, B images.
        unmoved: (B, H, W) errors without gradient that compete; they win where all are equal.
        keep: (B, H, W) True or 1 where a pixel counts; dropped pixels add 0, the mean still divides by all.
        ssim: as in `photometric_error`.
        average: take the mean over the neighbours in place of the smallest, before `unmoved` competes.

    Returns:
        (R,)
    """
    sloped = torch.is_grad_enabled() and any(image.requires_grad for image in warped)
    with torch.no_grad():
        groups = zip(*(image.split(len(image) if _at_once(image) else 1) for image in warped), strict=True)
        found = [_compare(group, reference, unmoved, keep, ssim, average, sloped) for group in groups]
        values, *slopes = (torch.cat(parts) for parts in zip(*found, strict=True))
    return _Sloped.apply(values, *slopes, *warped) if sloped else values


def _at_once(image: Tensor) -> bool:
    """A few kernels on much for a GPU; what stays in a cache for a CPU, and less memory in between."""
    return image.is_cuda or torch.compiler.is_compiling()


class _Sloped(torch.autograd.Function):
    """Values (R,) whose slopes along images are known: apply(values, *slopes, *images), (R, ...) each."""

    @staticmethod
    def forward(ctx: FunctionCtx, values: Tensor, *tensors: Tensor) -> Tensor:
        ctx.save_for_backward(*tensors[: len(tensors) // 2])
        return values.clone()

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():
            raise RuntimeError("the photometric loss has a first derivative only; leave out create_graph=True")
        slopes = ctx.saved_tensors
        return None, *[None] * len(slopes), *(slope * grad.view(-1, 1, 1, 1, 1) for slope in slopes)


def _compare(
    images: Sequence[Tensor],
    reference: Reference,
    unmoved: Tensor | None,
    keep: Tensor | None,
    ssim: bool,
    average: bool,
    sloped: bool,
) -> list[Tensor]:
    """Values (R,) and, where `sloped`, their slopes along each of the images."""
    compared = [torch.cat([*images])] if _at_once(images[0]) else images
    candidates = [_Candidate(image, reference, ssim) for image in compared]
    errors = [error for candidate in candidates for error in candidate.error.split(len(images[0]))]
    smallest = torch.stack(errors).mean(0) if average else reduce(torch.minimum, errors)
    weight, loss = torch.full_like(smallest, 1 / smallest[0].numel()), smallest
    if unmoved is not None:
        weight, loss = weight * _less(smallest, unmoved), torch.minimum(smallest, unmoved)
    if keep is not None:
        weight, loss = weight * keep, loss * keep
    shares = []
    for error in errors if sloped else ():
        shares.append(weight / len(errors) if average else weight * (1 - _less(smallest, error)))
        weight = weight if average else weight - shares[-1]  # whoever is equal to it has nothing left
    if len(candidates) < len(shares):
        shares = [torch.cat(shares)]
    slopes = [candidate.slope(share) for candidate, share in zip(candidates, shares, strict=False)]
    return [loss.mean((1, 2, 3)), *(slope for joint in slopes for slope in joint.split(len(images[0])))]


def _less(first: Tensor, second: Tensor) -> Tensor:
    """1 where `first < second`, else 0; booleans are slow to compute with."""
    return (second - first).sign_().clamp_(min=0)


class _Candidate:
    """A neighbour x at some resolutions, (R, B, C, H, W), and its `photometric_error` (R, B, H, W) to the target y."""

    def __init__(self, image: Tensor, reference: Reference, ssim: bool):
        self.image, self.reference = image, reference
        self.difference = image - reference.image
        self.likeness = Likeness.of(image, reference) if ssim else None
        self.dssim = self.likeness.dssim() if self.likeness else None
        self.error = mixed(self.difference.abs(), self.dssim)

    def slope(self, weight: Tensor) -> Tensor:
        """Gradient of sum(weight * error) along the image, (R, B, C, H, W); uses the candidate up.

            w_a sign(x - y) + W^T u + x W^T (p s) - y W^T p
            u = p (m_y - s m_x) - w_s s (m_y - l m_x) / squares,    p = w_s l / variances
            l = means / squares,    s = covariance / variances

        W is the sum of 3x3 windows, m are means; w_a = 0.15 weight / C; w_s = 0.85 weight / 9 C, 0 where the
        dissimilarity is clamped.
        """
        weight = (weight / self.image.shape[2]).unsqueeze(2)
        sign = self.difference.sign_()
        if self.likeness is None:
            return sign.mul_(weight)
        like, mean = self.likeness, self.reference.mean
        window = self.dssim.sign_().mul_(weight * (SSIM_WEIGHT / 9))
        luminance, structure = like.means.div_(like.squares), like.covariance.div_(like.variances)
        u = torch.addcmul(mean, luminance, like.mean, value=-1).mul_(structure).div_(like.squares).mul_(window)
        p = luminance.div_(like.variances).mul_(window)
        u = torch.addcmul(mean, structure, like.mean, value=-1).mul_(p).sub_(u)
        slope = window_adjoint(u)
        slope.addcmul_(self.image, window_adjoint(structure.mul_(p)))
        slope.addcmul_(self.reference.image, window_adjoint(p), value=-1)
        return slope.addcmul_(sign, weight * (1 - SSIM_WEIGHT))
