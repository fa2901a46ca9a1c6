"""Cityscapes label ids, training ids and colours (cityscapesScripts, labels.py)."""

from __future__ import annotations

import numpy as np

from errors import UserError

IGNORE = 255
CLASSES = (  # train id order: name, label id, RGB
    ("road", 7, (128, 64, 128)),
    ("sidewalk", 8, (244, 35, 232)),
    ("building", 11, (70, 70, 70)),
    ("wall", 12, (102, 102, 156)),
    ("fence", 13, (190, 153, 153)),
    ("pole", 17, (153, 153, 153)),
    ("traffic light", 19, (250, 170, 30)),
    ("traffic sign", 20, (220, 220, 0)),
    ("vegetation", 21, (107, 142, 35)),
    ("terrain", 22, (152, 251, 152)),
    ("sky", 23, (70, 130, 180)),
    ("person", 24, (220, 20, 60)),
    ("rider", 25, (255, 0, 0)),
    ("car", 26, (0, 0, 142)),
    ("truck", 27, (0, 0, 70)),
    ("bus", 28, (0, 60, 100)),
    ("train", 31, (0, 80, 100)),
    ("motorcycle", 32, (0, 0, 230)),
    ("bicycle", 33, (119, 11, 32)),
)
MODES = ("fromid", "fromtrainid", "fromrgb", "fromid_third_channel")

TRAIN_ID_OF = np.full(256, IGNORE, np.uint8)
TRAIN_ID_OF[[label for _, label, _ in CLASSES]] = np.arange(len(CLASSES))
TRAIN_ID_OF.setflags(write=False)


def to_train_ids(stored: np.ndarray, mode: str, where: str = "labels") -> np.ndarray:
    """What a label file holds -> training ids; whatever is not a class becomes 255.

    Shapes:  stored (H, W) uint8 ids, or (H, W, 3) uint8 for the modes "fromrgb" and "fromid_third_channel"
    Returns: (H, W) uint8, 0..18 or 255; with "fromtrainid" whatever the file holds

    Raises:
        UserError: when the mode is unknown or does not fit the number of channels.
    """
    coloured = mode in ("fromrgb", "fromid_third_channel")
    if mode not in MODES:
        raise UserError(f"{where}: label mode {mode!r} is unknown; choose one of {', '.join(MODES)}")
    if stored.ndim != (3 if coloured else 2):
        channels = stored.shape[2] if stored.ndim == 3 else 1
        raise UserError(f"{where}: {channels} channel(s) do not fit label mode {mode!r}; use the files with label ids")
    if mode == "fromtrainid":
        return stored.astype(np.uint8)  # as they are: own class sets may have more than the usual 19
    if mode == "fromrgb":
        return _nearest_colour(stored)
    return TRAIN_ID_OF[stored if mode == "fromid" else stored[..., 2]]


def _nearest_colour(image: np.ndarray) -> np.ndarray:
    """Train id of the closest colour; black, the colour of everything else, is a candidate too."""
    palette = np.array([colour for *_, colour in CLASSES] + [(0, 0, 0)], np.int32)
    train_ids = np.append(np.arange(len(CLASSES)), IGNORE).astype(np.uint8)
    packed = image.reshape(-1, 3).astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
    colours, places = np.unique(packed, return_inverse=True)  # few colours, many pixels
    colours = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1)
    distance = np.square(colours[:, None] - palette).sum(2)  # (colours, candidates)
    return train_ids[distance.argmin(1)][places].reshape(image.shape[:2])
