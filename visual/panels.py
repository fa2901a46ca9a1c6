"""What TensorBoard shows of a training batch: rows of one kind, one column per sample."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .colour import (
    FAR_SHARE,
    class_image,
    coloured,
    depth_image,
    dot_size,
    error_image,
    near_end,
    normals_image,
    plasma,
    probability_image,
    truth_image,
)
from .comparisons import LARGEST_ERROR, error_bar
from .pictures import scale_bar

COLUMNS = 4
"""Samples shown at most."""
LARGEST_PHOTOMETRIC = 0.5
"""Photometric error that gets the last colour."""
MASKED = (1.0, 0.0, 0.0)


def depth_panel(
    depth: Tensor,
    normals: Tensor | None,
    target: Tensor,
    warped_prev: Tensor,
    warped_next: Tensor,
    mask: Tensor | None = None,
) -> Tensor:
    """Coloured depth, normals, target, the two neighbours warped to it and, with a mask, what the mask drops.

    Shapes:  depth (B, 1, H, W), > 0; normals (B, H-1, W-1, 3); target, warped_* (B, 3, H, W) in [0, 1];
             mask (B, 1, H, W) or (B, H, W), 1 = keep, 0 = drop
    Returns: (3, rows*H, columns*W) in [0, 1]
    """
    rows = [depth_image(depth[:COLUMNS].float())]
    if normals is not None:
        rows.append(normals_image(normals[:COLUMNS].float()))
    rows += [image[:COLUMNS].float() for image in (target, warped_prev, warped_next)]
    if mask is not None:
        rows.append(mask_overlay(target[:COLUMNS].float(), mask[:COLUMNS]))
    return _stack(rows)


def measured_panel(image: Tensor, truth: Tensor, *depths: Tensor) -> Tensor:
    """Image, coloured predicted depths and coloured measurements, as dots on black where they are sparse.

    All depths of a sample have one range, that of its measurements.

    Shapes:  image (B, 3, H, W) in [0, 1]; truth (B, 1, H, W), 0 = none; depths (B, 1, H, W) each, > 0
    Returns: (3, rows*H, columns*W) in [0, 1]
    """
    image, truth, *depths = (x[:COLUMNS].float() for x in (image, truth, *depths))
    valid = truth > 0
    near = torch.where(
        valid.flatten(1).any(1)[:, None, None, None], near_end(truth, valid), near_end(depths[0], depths[0] > 0)
    )
    return _stack([image, *(depth_image(depth, near=near) for depth in depths), truth_image(truth, near)])


def error_panel(image: Tensor, truth: Tensor, depth: Tensor) -> Tensor:
    """Relative errors of predicted depth where it was measured, over the dark image, and a bar of their colours.

    Shapes:  as of `measured_panel`
    Returns: (3, H + h, columns*W) in [0, 1]
    """
    image, truth, depth = (x[:COLUMNS].float() for x in (image, truth, depth))
    errors = error_image(image, depth, truth, LARGEST_ERROR, dot_size(truth))
    return _with_bar(_stack([errors]), error_bar)


def photometric_panel(image: Tensor, error: Tensor) -> Tensor:
    """Image, photometric error of its warped neighbours, and a bar of the colours.

    Shapes:  image (B, 3, H, W) in [0, 1]; error (B, H, W) in [0, 1]
    Returns: (3, 2*H + h, columns*W) in [0, 1]
    """
    shown = coloured(error[:COLUMNS, None].float() / LARGEST_PHOTOMETRIC, "turbo")
    return _with_bar(_stack([image[:COLUMNS].float(), shown]), photometric_bar)


def mask_panel(image: Tensor, keep: Tensor) -> Tensor:
    """Image, and the image tinted red where a mask drops pixels.

    Shapes:  image (B, 3, H, W) in [0, 1]; keep (B, H, W), 1 = keep, 0 = drop
    Returns: (3, 2*H, columns*W) in [0, 1]
    """
    image = image[:COLUMNS].float()
    return _stack([image, mask_overlay(image, keep[:COLUMNS])])


def refinement_panel(image: Tensor, outlines: Tensor, disp: Tensor, refined: Tensor, weight: Tensor) -> Tensor:
    """Image with the borders of its patches, disparity before and after their refinement, weight of the patches.

    Shapes:  image (B, 3, H, W) in [0, 1]; outlines (B, 1, H, W) bool; disp, refined (B, 1, H, W), > 0;
             weight (B, 1, H, W) in [0, 0.5]
    Returns: (3, 4*H, columns*W) in [0, 1]
    """
    image, outlines, disp, refined, weight = (x[:COLUMNS] for x in (image, outlines, disp, refined, weight))
    edge = image.new_tensor(MASKED).view(1, 3, 1, 1)
    return _stack(
        [
            torch.where(outlines, edge, image.float()),
            depth_image(1 / disp.float()),
            depth_image(1 / refined.float()),
            plasma(2 * weight.float()),
        ]
    )


def teacher_panel(image: Tensor, disp: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """Image, disparity, that of its teacher in the same colours, and red where nothing is learned from it.

    Shapes:  image (B, 3, H, W) in [0, 1]; disp, target (B, 1, H, W) in [0, 1], of one scale; counted (B, 1, H, W) bool
    Returns: (3, 4*H, columns*W) in [0, 1]
    """
    image, disp, target, counted = (x[:COLUMNS] for x in (image.float(), disp.float(), target.float(), counted))
    both = torch.cat((disp, target), 1).flatten(1)
    largest = both.quantile(FAR_SHARE / 100, 1).clamp_min(1e-6).view(-1, 1, 1, 1)
    return _stack([image, plasma(disp / largest), plasma(target / largest), mask_overlay(image, counted)])


def class_panel(image: Tensor, ids: Tensor) -> Tensor:
    """Image, and the classes of the pixels that are named.

    Shapes:  image (B, 3, H, W) in [0, 1]; ids (B, H, W) train ids, 255 = none
    Returns: (3, 2*H, columns*W) in [0, 1]
    """
    return _stack([image[:COLUMNS].float(), class_image(ids[:COLUMNS])])


def segmentation_panel(logits: Tensor, labels: Tensor, image: Tensor) -> Tensor:
    """Class colours weighted by probability, ground truth, image.

    Shapes:  logits (B, C, H, W); labels (B, H, W) train ids, 255 = none; image (B, 3, H, W) in [0, 1]
    Returns: (3, 3*H, columns*W) in [0, 1]
    """
    probabilities = logits[:COLUMNS].float().softmax(1)
    return _stack([probability_image(probabilities), class_image(labels[:COLUMNS]), image[:COLUMNS].float()])


def mask_overlay(image: Tensor, mask: Tensor) -> Tensor:
    """The image, tinted red where the mask drops pixels.

    Shapes:  image (B, 3, H, W) in [0, 1]; mask (B, 1, H, W) or (B, H, W), 1 = keep, 0 = drop
    Returns: (B, 3, H, W) in [0, 1]
    """
    height, width = image.shape[-2:]
    keep = mask.reshape(-1, 1, height, width).to(image)
    tint = image.new_tensor(MASKED).view(1, 3, 1, 1)
    return keep * image + (1 - keep) * (image + tint) / 2


def photometric_bar(width: int) -> np.ndarray:
    """Explains the colours of photometric errors.  Returns: (h, width, 3) uint8."""
    return scale_bar(
        width, "photometric error", "turbo", lambda share: f"{LARGEST_PHOTOMETRIC * share:.2g}" + "+" * (share == 1)
    )


def _with_bar(panel: Tensor, bar: Callable[[int], np.ndarray]) -> Tensor:
    """A panel (3, H, W) with a bar of its width below it, (3, H + h, W)."""
    strip = torch.from_numpy(bar(panel.shape[2]).copy()).permute(2, 0, 1).to(panel) / 255
    return torch.cat([panel, strip], dim=1)


def _stack(rows: list[Tensor]) -> Tensor:
    """Rows of (B, 3, H, W) -> one image, samples side by side."""
    strips = [torch.cat(list(row), dim=2) for row in rows]
    return torch.cat(strips, dim=1).clamp(0, 1)
