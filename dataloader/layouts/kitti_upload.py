"""Images of the KITTI depth prediction benchmark, whose truth a server keeps: ``data_depth_selection.zip`` as it is."""

from __future__ import annotations

import logging
from pathlib import Path

from errors import UserError

from ..listing import Listing
from ..parameters import read_parameters
from ..samples import Request, Sample

log = logging.getLogger(__name__)

FOLDER = "test_depth_prediction_anonymous/image"
PLACES = ("depth_selection", "data_depth_selection/depth_selection", "data_depth_selection")
HOMES = ("", "kitti", "kitti_depth")
COUNT = 500


def kitti_upload_samples(request: Request) -> list[Sample]:
    """The anonymous images by name, of which each gives the file of its prediction its own.

    Raises:
        UserError: when there are none.
    """
    listing = Listing(request.dataset_dir)
    folders = [str(Path(home, place, FOLDER)) for home in HOMES for place in PLACES]
    folder = next((each for each in folders if listing.names(each)), folders[0])
    images = listing.images(folder)
    if not images:
        raise UserError(f"{listing.root / folder}: no images; unpack data_depth_selection.zip in {listing.root}")
    if len(images) != COUNT:
        log.warning("%s: %d images, and the benchmark has %d; it wants predictions for all", folder, len(images), COUNT)
    camera = read_parameters(request.dataset_dir / "kitti", "kitti").intrinsics
    return [Sample(stem, {0: image}, camera) for stem, image in images.items()]
