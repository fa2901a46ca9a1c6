"""Cityscapes: the published index files, or the download as it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from errors import UserError

from ..index import read_index, rebuild, resolve_index, truth_by_image
from ..listing import Listing, on_disk
from ..missing import Missing
from ..parameters import Parameters, read_parameters
from ..samples import Request, Sample

FOLDER_OF = {"train": "train", "validation": "val", "test": "test"}


def cityscapes_samples(request: Request) -> list[Sample]:
    """Images of one part with their labels; `labels` is empty where an image has none.

    Raises:
        UserError: when the folder or an indexed file is missing, or the part holds no image.
    """
    root = request.folder("cityscapes", "unpack or link Cityscapes")
    listing, parameters = Listing(root), read_parameters(root, "cityscapes")
    index = on_disk(root / f"{request.spec.part}.json")
    if index.is_file():
        samples = list(_from_index(request, index, listing, parameters))
    else:
        samples = list(_from_folders(FOLDER_OF[request.spec.part], listing, parameters))
    if not samples:
        place = f"leftImg8bit/{FOLDER_OF[request.spec.part]}"
        raise UserError(f"{root}: no images in {place}; unpack leftImg8bit_trainvaltest.zip there")
    return samples


def _from_folders(part: str, listing: Listing, parameters: Parameters) -> Iterator[Sample]:
    for city in sorted(listing.names(f"leftImg8bit/{part}")):
        for stem, image in listing.images(f"leftImg8bit/{part}/{city}").items():
            scene = stem.removesuffix("_leftImg8bit")
            if scene == stem:
                continue
            labels = listing.find(f"gtFine/{part}/{city}/{scene}_gtFine_labelIds", (".png",))
            yield Sample(scene, {0: image}, parameters.intrinsics, labels=labels, labels_mode=parameters.labels_mode)


def _from_index(request: Request, index: Path, listing: Listing, parameters: Parameters) -> Iterator[Sample]:
    split = read_index(index)
    if "color" not in split:
        raise UserError(f"{index}: no images in it; {rebuild(index)}")
    missing, left, given = Missing(request), 0, truth_by_image(split, "color", "segmentation")
    for stored in resolve_index(split, {}, load=("color",))["color", 0, -1]:
        image, label = listing.find_image(stored), given.get(stored, "")
        labels = listing.file(label) if label else ""
        there = {stored: bool(image), label: bool(labels) or not label}
        if missing.note(f"{listing.root}/{path}" for path, exists in there.items() if not exists):
            continue
        left += 1
        scene = Path(stored).stem.removesuffix("_leftImg8bit")
        yield Sample(scene, {0: image}, parameters.intrinsics, labels=labels, labels_mode=parameters.labels_mode)
    missing.check(index, "unpack the Cityscapes archives, delete the index file to use what is there", left)
