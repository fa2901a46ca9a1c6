"""Options of Monodepth2 to its network and its data."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataloader.catalog import Purpose
    from dataloader.items import ItemMaker
    from models.monodepth2 import Monodepth2

log = logging.getLogger(__name__)
IDLE = ("consistency_weight", "consistency_detach")


def check(args: Namespace) -> None:
    """Say which options of further views have no effect; none of Monodepth2 contradict each other."""
    idle = [f"--{name.replace('_', '-')}" for name in IDLE if name in args.said]
    if idle and not (args.local_crop or args.patch_reshuffle):
        log.warning("%s: without effect unless --local-crop or --patch-reshuffle is given", ", ".join(idle))


def network(args: Namespace, *, pretrained: bool = False) -> Monodepth2:
    """The network; `pretrained` starts both encoders from ImageNet weights.

    Raises:
        UserError: when the ImageNet weights cannot be fetched.
    """
    from models.monodepth2 import Monodepth2

    return Monodepth2(
        layers=args.model_num_layers,
        pose_layers=args.model_num_layers_pose,
        resolutions=args.model_depth_resolutions,
        depth_range=(args.model_depth_min, args.model_depth_max),
        pretrained=pretrained,
    )


def items(args: Namespace) -> Mapping[Purpose, ItemMaker]:
    """Triplets of video, resized as the network wants them, and the views that are asked for."""
    from dataloader.views import view_items
    from models.monodepth2 import Monodepth2

    return {"depth": view_items(args, filter=Monodepth2.input_filter)}
