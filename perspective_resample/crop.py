"""A window cut out of an enlarged image: its camera, and the part of the image under it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


class Crop(NamedTuple):
    """Where a window of the size of an image, cut out of the enlarged image, lies in the image itself.

    A row of numbers per sample; batches hold them as (B, 8) float32, and functions here take them so.

    ratio:      how often larger things appear in the window
    share:      focal length of the image / that of the window
    left, top:  what the centre of the camera moves by, pixels of the image
    column, row, width, height: pixels of the image under the window, whole numbers
    """

    ratio: float
    share: float
    left: float
    top: float
    column: float
    row: float
    width: float
    height: float


def crop_of(size: tuple[int, int], ratio: float, enlarged: tuple[int, int], corner: tuple[int, int]) -> Crop:
    """The crop with this corner.

    As published, positions count between the centres of the outermost pixels, and the share of the width serves both
    axes.  Source: BDEdepth (arXiv 2309.05254), with the true centre of the camera.

    Args:
        size: (height, width) of image and window
        ratio: by which the image was enlarged, before it was rounded to whole pixels
        enlarged: (height, width) of the enlarged image
        corner: (row, column) of the window in it
    """
    height, width = size
    ratio = float(np.float32(ratio))
    share = (width - 1) / (enlarged[1] - 1)
    middle = (corner[0] + (height - 1) / 2) / (enlarged[0] - 1)  # of the window, between the corners of the image
    row = round(height * corner[0] / (enlarged[0] - 1))
    column = round(width * corner[1] / (enlarged[1] - 1))
    return Crop(
        ratio=ratio,
        share=share,
        left=width * corner[1] / (enlarged[1] - 1),
        top=height * (middle - share / 2),
        column=column,
        row=row,
        width=min(round(width / ratio), width - column),
        height=min(round(height / ratio), height - row),
    )


def cropped_camera(K: Tensor, inv_K: Tensor, crops: Tensor) -> tuple[Tensor, Tensor]:
    """Camera of the windows, and its inverse: (B, 4, 4) each, in pixels; crops (B, 8), see `Crop`."""
    share, left, top = crops.to(K.dtype)[:, 1:4].T
    back = torch.eye(4, dtype=K.dtype, device=K.device).repeat(len(K), 1, 1)  # pixels of the window -> of the image
    forth = back.clone()
    back[:, 0, 0] = back[:, 1, 1] = share
    back[:, 0, 2], back[:, 1, 2] = left, top
    forth[:, 0, 0] = forth[:, 1, 1] = 1 / share
    forth[:, 0, 2], forth[:, 1, 2] = -left / share, -top / share
    return forth @ K, inv_K @ back


def enlarged_motion(T: Tensor, crops: Tensor) -> Tensor:
    """Motion for the depth that a network sees in the windows, where everything looks nearer by `share`.

    Dividing the depth by it would do the same: only directions count in a warp.

    Shapes:  T (B, 4, 4); crops (B, 8), see `Crop`.    Returns: (B, 4, 4), its translation times `share`.
    """
    factor = torch.ones_like(T)
    factor[:, :3, 3] = crops[:, 1:2].to(T.dtype)
    return T * factor


def cropped_maps(maps: Tensor, crops: Tensor) -> Tensor:
    """Maps of the images where the windows lie, enlarged to the size of the windows; bilinear, edges go on outside.

    Shapes:  maps (B, C, H, W); crops (B, 8), see `Crop`.    Returns: (B, C, H, W).
    """
    height, width = maps.shape[-2:]
    share, left, top = crops.to(maps.dtype)[:, 1:4].T[..., None]  # (B, 1) each
    columns = share * torch.arange(width, device=maps.device) + left
    rows = share * torch.arange(height, device=maps.device) + top
    places = torch.broadcast_tensors(
        (2 * columns / (width - 1) - 1)[:, None], (2 * rows / (height - 1) - 1)[:, :, None]
    )
    return F.grid_sample(maps, torch.stack(places, -1), padding_mode="border", align_corners=True)
