"""Video of NYU Depth v2 for training of depth: the raw frames that StructDepth's list names.

nyu_v2/struct_train_files.txt          nine paths a line: a frame, those 40, 30, 20, 10 raw frames before it and
                                       those 10, 20, 30, 40 after it; or under the name it was published with
nyu_v2/<scene>/r-<time>-<stamp>.ppm    or in nyu_depth_v2/ or raw/ there; PNG or JPG serve as well
"""

from __future__ import annotations

import logging
from pathlib import Path

from errors import UserError

from ..catalog import NYU_CAMERA
from ..listing import Listing, on_disk
from ..lists import leads_out, read_lines
from ..missing import Missing
from ..parts import NYU_INNER, rectified
from ..samples import Request, Sample
from .nyu import FOLDER, HOW

log = logging.getLogger(__name__)

LISTS = (
    "struct_train_files.txt",
    "nyu_train_0_10_20_30_40_21483-exceptfailed-21465.txt",
    "train_files.txt",  # as BDEdepth calls it, which is also the name of a list of image and depth
)
OFFSETS = (0, -4, -3, -2, -1, 1, 2, 3, 4)
"""What the paths of a line are, in steps of ten raw frames."""
USED = (0, -1, 1)
FOLDERS = ("", "nyu_depth_v2/", "raw/")
LIST_REMEDY = (
    "copy StructDepth's list of 21465 lines there (nyu_train_0_10_20_30_40_21483-exceptfailed-21465.txt, "
    "splits/nyuv2/train_files.txt of BDEdepth)"
)
REMEDY = "unpack nyu_depth_v2_raw.zip there"


def nyu_video_samples(request: Request) -> list[Sample]:
    """Frames of the list with those ten raw frames before and after them.

    Networks see them without the distortion of the lens and without 16 pixels on every side.

    Raises:
        UserError: when the list is missing or no such list, or a listed frame is missing.
    """
    root = request.folder(FOLDER, HOW)
    path = _find_list(root)
    listing, missing, samples = Listing(root), Missing(request), []
    intrinsics = NYU_INNER.intrinsics(NYU_CAMERA, NYU_INNER.of)
    for number, line in read_lines(path, LIST_REMEDY):
        paths = [field.replace("\\", "/").lstrip("/") for field in line.split()]
        if len(paths) != len(OFFSETS) or any(map(leads_out, paths)):
            raise UserError(
                f"{path}, line {number}: {line.strip()[:80]!r} is not nine paths below the data folder, of a frame and "
                f"its neighbours; {LIST_REMEDY}"
            )
        wanted = {offset: paths[OFFSETS.index(offset)] for offset in USED}
        images = {offset: _find(listing, each) for offset, each in wanted.items()}
        if not missing.note(f"{root}/{wanted[offset]}" for offset, image in images.items() if not image):
            name = "/".join(Path(wanted[0]).with_suffix("").parts[-2:])
            found = {offset: rectified(image) for offset, image in images.items()}
            samples.append(Sample(name, found, intrinsics, measured=True))
    missing.check(path, REMEDY, len(samples))
    log.info("  - %s: the list %s", request.spec.name, path)
    return samples


def _find_list(root: Path) -> Path:
    """The first list that is there; one of image and depth is none."""
    for name in LISTS:
        path = on_disk(root / name)
        if path.is_file() and (name != LISTS[-1] or _has_nine(path)):
            return path
    raise UserError(f"{root}: no {LISTS[0]}; {LIST_REMEDY} under this name")


def _has_nine(path: Path) -> bool:
    return len(read_lines(path, LIST_REMEDY)[0][1].split()) == len(OFFSETS)


def _find(listing: Listing, path: str) -> str:
    """Absolute path of a frame that a list names from any folder, as PPM, PNG or JPG; empty where it is not there."""
    scene = "/".join(path.split("/")[-2:])
    places = dict.fromkeys((path, *(f"{folder}{scene}" for folder in FOLDERS)))
    return next((found for place in places if (found := listing.find_image(place))), "")
