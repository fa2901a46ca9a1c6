"""Frames of own videos, before anything asks for them."""

from __future__ import annotations

import logging
from argparse import Namespace
from pathlib import Path

from dataloader.layouts.folder import find_videos
from dataloader.missing import DROP_HINT
from dataloader.splits import cache_folder_of
from errors import UserError

log = logging.getLogger(__name__)


def take_own_frames(args: Namespace) -> None:
    """Take the frames out of videos in --data-folder, where a loader of own data is named.

    Raises:
        UserError: when a video cannot be read, or is damaged and --data-on-missing says to stop then.
    """
    loaders = [name for option, names in vars(args).items() if option.endswith("_loaders") for name in names]
    home = cache_folder_of(args)
    if not (home and args.data_folder and any(name.startswith("folder_") for name in loaders)):
        return  # where something lacks it is told later
    if not (videos := find_videos(args.data_folder)):
        return
    from visual.frames import take_all  # late: few have videos

    for fault in take_all(videos, Path(home), log.info):
        if args.data_on_missing == "stop":
            raise UserError(f"{fault}, {DROP_HINT}")
        log.warning("%s", fault)
