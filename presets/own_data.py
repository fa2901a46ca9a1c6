"""Options that say where own data are and what their numbers mean. Imports no torch."""

from __future__ import annotations

from .option import BETWEEN, FREE, NOTED, Option, floats, metres

DATA_DEPTH_UNIT = Option(
    "--data-depth-unit",
    0.0,
    "metres per count in the depth files of own data, such as 0.001 or 1/256; 0: 1/256 in PNG, 1 in .npy of "
    "floats, and .npy of integers is refused",
    low=0,
    high=1000,
    kind=metres,
    resume=NOTED,
)
VALIDATION_SHARE = Option(
    "--data-validation-share",
    0.0,
    "share of every sequence of own data, at its end, that is kept from folder_train and folder_depth_train, for "
    "folder_validation and folder_video_validation",
    low=0,
    high=0.9,
    resume=BETWEEN,
)
OWN_DATA = (
    Option(
        "--data-folder",
        "",
        "own data for the loaders folder_...: every folder with images in it, however deep, is one sequence, and so is "
        "a video",
        resume=FREE,
    ),
    Option(
        "--data-intrinsics",
        (),
        "fx,fy,cx,cy of own data, in pixels of the files; empty: as intrinsics.txt or cameras.txt beside them say",
        kind=floats,
        resume=NOTED,
    ),
    DATA_DEPTH_UNIT,
    VALIDATION_SHARE,
)
FRAME_STEP = Option(
    "--frame-step",
    1,
    "how many frames before and after a frame of own video its neighbours are; more where the picture hardly moves",
    low=1,
    high=1000,
    resume=BETWEEN,
)
