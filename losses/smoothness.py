"""Disparity should be smooth where the image is."""

from __future__ import annotations

from torch import Tensor

from errors import check_shape


def edge_aware_smoothness(disp: Tensor, image: Tensor, eps: float = 1e-7) -> Tensor:
    """Disparity steps where the image has none.

        sum over axes a in {y, x} of mean(|da n| * exp(-mean_c |da I|)),   n = d / (mean(d) + eps)

    Dividing by the mean of each sample makes the loss blind to the scale of `disp`, so a network cannot lower it
    by shrinking its output.  Source: Monodepth2, eq. 3 (arXiv 1806.01260).

    Shapes:  disp (B, 1, H, W) sigmoid disparity, > 0; image (B, 3, H, W) RGB in [0, 1].
    Returns: scalar, >= 0.    Raises: ValueError when the sizes differ.
    """
    check_shape("smoothness: disp", disp, image.shape[0], 1, *image.shape[2:])
    normal = disp / (disp.mean((2, 3), keepdim=True) + eps)
    return _along(2, normal, image) + _along(3, normal, image)


def _along(axis: int, normal: Tensor, image: Tensor) -> Tensor:
    edges = image.diff(dim=axis).abs().mean(1, keepdim=True)
    return (normal.diff(dim=axis).abs() * (-edges).exp()).mean()
