"""The pictures that evaluation and inference write: uint8 RGB (H, W, 3), rows stacked from top to bottom."""

import cv2
import numpy as np
import torch
from torch import Tensor

from .colour import class_image, class_table, depth_image


def depth_comparison(image: np.ndarray, depth: Tensor, truth: np.ndarray) -> np.ndarray:
    """Image, predicted depth and sparse ground truth, each coloured by its own 95th percentile.

    Shapes:  image (h, w, 3) uint8, shown at the size of the truth; depth (H, W), any scale; truth (H, W) metres,
             0 = no measurement
    Returns: (3*H, W, 3) uint8
    """
    measured = torch.from_numpy(truth)[None, None]
    found = depth_image(depth.float()[None, None])
    return np.concatenate([_fit(image, truth), to_bytes(found), to_bytes(depth_image(measured, measured > 0))])


def segmentation_comparison(image: np.ndarray, ids: Tensor, labels: np.ndarray) -> np.ndarray:
    """Image, predicted classes and ground truth.

    Shapes:  image (h, w, 3) uint8, shown at the size of the labels; ids, labels (H, W) train ids
    Returns: (3*H, W, 3) uint8
    """
    truth = class_image(torch.from_numpy(labels)[None])
    return np.concatenate([_fit(image, labels), to_bytes(class_image(ids[None])), to_bytes(truth)])


def _fit(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """An image (h, w, 3) at the size of its ground truth (H, W)."""
    if image.shape[:2] == truth.shape:
        return image
    return cv2.resize(image, truth.shape[::-1], interpolation=cv2.INTER_LINEAR)  # OpenCV counts width first


def inference_picture(
    image: np.ndarray, inv_depth: np.ndarray, ids: np.ndarray | None, maximum: float = 0.0
) -> np.ndarray:
    """Image, class colours where there are any, disparity in OpenCV's plasma (bright = near).

    maximum: what gets the brightest colour, 1/m; 0 takes the largest value of this image

    Shapes:  image (H, W, 3) uint8; inv_depth (h, w) float32, >= 0; ids (h, w) uint8
    Returns: (3*H, W, 3) uint8, or (2*H, W, 3) without `ids`
    """
    size = (image.shape[1], image.shape[0])  # OpenCV counts width first
    rows = [image]
    if ids is not None:
        rows.append(cv2.resize(class_table().numpy()[ids], size, interpolation=cv2.INTER_NEAREST))
    brightest = max(maximum or float(inv_depth.max()), np.finfo(np.float32).tiny)
    levels = np.minimum(inv_depth * 255 / np.float32(brightest), 255).astype(np.uint8)
    coloured = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_PLASMA), cv2.COLOR_BGR2RGB)
    rows.append(cv2.resize(coloured, size, interpolation=cv2.INTER_LINEAR))
    return np.concatenate(rows)


def encode(picture: np.ndarray, extension: str) -> bytes:
    """Bytes of an image file; `extension` as ".png" and known to OpenCV.

    Raises: ValueError when OpenCV cannot write this picture in this format.
    """
    try:
        done, data = cv2.imencode(extension, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    except cv2.error as error:
        raise ValueError(
            f"a picture of {picture.shape[1]}x{picture.shape[0]} pixels does not go into {extension}: {error.err}"
        ) from None
    if not done:
        raise ValueError(f"a picture of {picture.shape[1]}x{picture.shape[0]} pixels does not go into {extension}")
    return data.tobytes()


def encode_counts(counts: np.ndarray) -> bytes:
    """A grey PNG of (H, W) uint16, as KITTI keeps depth."""
    return cv2.imencode(".png", counts)[1].tobytes()


def to_bytes(image: Tensor) -> np.ndarray:
    """(1, 3, H, W) in [0, 1] on any device -> (H, W, 3) uint8."""
    return (image[0].permute(1, 2, 0) * 255).round().to(torch.uint8).cpu().numpy()
