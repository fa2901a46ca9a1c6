"""Make3D: the test images with the grids of the laser, as downloaded."""

from __future__ import annotations

from pathlib import Path

from errors import UserError
from storage.text import read_text

from ..listing import IMAGE_TYPES, Listing, on_disk
from ..lists import leads_out
from ..missing import Missing
from ..samples import NO_CAMERA, DepthSource, Request, Sample

IMAGES = ("Test134", "Test134Img")
GRIDS = ("Gridlaserdata", "Test134Depth/Gridlaserdata", "Test134Depth", "Test134/Gridlaserdata")
LIST = "test_files.txt"
START, GRID = "img-", "depth_sph_corr-"


def make3d_samples(request: Request) -> list[Sample]:
    """Every `img-<id>.jpg`, or those whose ids are listed; `depth` is None where an image has no laser grid.

    Raises:
        UserError: when the folder, all images or a listed one are missing.
    """
    root = request.folder("make3d", "put or link Make3D")
    listing = Listing(root)
    place = next((place for place in IMAGES if listing.names(place)), IMAGES[0])
    index = on_disk(root / LIST)
    stems = _listed(index) if index.is_file() else _on_disk(listing, place)
    if not stems:
        raise UserError(f"{root}: no images {IMAGES[0]}/{START}<id>.jpg there; unpack Test134 there")
    missing, samples = Missing(request), []
    for stem in stems:
        image = listing.find(f"{place}/{stem}", (".jpg", *IMAGE_TYPES))
        if missing.note([] if image else [f"{root}/{place}/{stem}.jpg"]):
            continue
        samples.append(Sample(stem, {0: image}, NO_CAMERA, depth=_truth(listing, stem)))
    missing.check(index, f"unpack Test134 there, or delete {LIST} to use what is there", len(samples))
    return samples


def _on_disk(listing: Listing, place: str) -> list[str]:
    return [stem for stem in listing.images(place) if stem.startswith(START)]


def _listed(index: Path) -> list[str]:
    try:
        entries = read_text(index).split()
    except (OSError, UnicodeDecodeError) as fault:
        raise UserError(f"{index}: unreadable ({fault}); fetch it again, or delete it to use what is there") from fault
    bad = next((entry for entry in entries if leads_out(entry) or "/" in entry), "")
    if bad or not entries:
        raise UserError(f"{index}: {bad[:80]!r} is no id of an image; delete the list to use what is there")
    return [START + entry.removesuffix(".jpg").removeprefix(START) for entry in entries]


def _truth(listing: Listing, stem: str) -> DepthSource | None:
    name = GRID + stem.removeprefix(START)
    path = next((path for place in GRIDS if (path := listing.find(f"{place}/{name}", (".mat",)))), "")
    return DepthSource("laser grid", path) if path else None
