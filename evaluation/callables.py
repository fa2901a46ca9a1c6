"""Any function image -> depth as something that is evaluated."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from errors import UserError
from perspective_resample.depth import DepthMap, Known
from perspective_resample.input_view import InputView

from .interface import Predict

DepthOf = Callable[[np.ndarray], Any]
"""Image (H, W, 3) uint8 RGB -> depth (h, w) of any size: an array or a tensor."""
AS_IT_IS = InputView(resized=False)
"""Such a function gets images at their own size."""


def as_predict(depth_of: DepthOf, known: Known | str) -> Predict:
    """What evaluation asks of a network, by a function of single images.

    known: ``metres``: it gives depth in metres, which is taken as it is; ``up to scale``: depth, scaled by the medians;
           ``up to scale and shift``: inverse depth, larger = nearer, to which a line is fitted

    Raises:
        UserError: when `known` is none of these; when asked, where what it gives is no map of numbers.
    """
    if known not in get_args(Known):
        raise UserError(
            f"known {known!r}: says what the function gives; choose 'metres' (depth, metric), 'up to scale' (depth, "
            "relative) or 'up to scale and shift' (inverse depth, relative)"
        )

    def predict(images: Tensor) -> SimpleNamespace:
        levels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        maps = [_map(depth_of(image), signed=known == "up to scale and shift") for image in levels]
        values = torch.stack(maps)[:, None].to(images.device)
        return SimpleNamespace(depth=DepthMap(values, inverse=known == "up to scale and shift", known=known))

    return predict


def _map(given: Any, signed: bool) -> Tensor:
    """What a function gave of one image, (h, w) float32, above 0 unless `signed`; axes of length 1 are left out."""
    try:
        array = np.asarray(given.detach().cpu() if isinstance(given, Tensor) else given, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise UserError(f"the function gives no numbers ({error}); let it return depth (h, w)") from None
    array = array.squeeze()
    if array.ndim != 2:
        raise UserError(f"the function gives an array of shape {array.shape}; let it return depth (h, w) of its image")
    if not signed and (array <= 0).mean() > 0.5:
        raise UserError(
            "the function gives depth of 0 or below for most of an image, which no median scales; let it return depth "
            "above 0, or say known='up to scale and shift' where it gives inverse depth"
        )
    return torch.from_numpy(np.ascontiguousarray(array))
