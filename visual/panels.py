"""What TensorBoard shows of a training batch: rows of one kind, one column per sample."""

import torch
from torch import Tensor

from .colour import FAR_SHARE, class_image, depth_image, normals_image, plasma, probability_image

COLUMNS = 4
"""Samples shown at most."""
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
    """Image, coloured predicted depths and coloured measurements, black where there are none.

    Shapes:  image (B, 3, H, W) in [0, 1]; truth (B, 1, H, W), 0 = none; depths (B, 1, H, W) each, > 0
    Returns: (3, rows*H, columns*W) in [0, 1]
    """
    image, truth, *depths = (x[:COLUMNS].float() for x in (image, truth, *depths))
    return _stack([image, *map(depth_image, depths), depth_image(truth, truth > 0)])


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


def _stack(rows: list[Tensor]) -> Tensor:
    """Rows of (B, 3, H, W) -> one image, samples side by side."""
    strips = [torch.cat(list(row), dim=2) for row in rows]
    return torch.cat(strips, dim=1).clamp(0, 1)
