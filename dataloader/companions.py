"""Maps that lie beside a depth map: the same with its gaps filled, and a smooth version of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath
from typing import Literal

from .listing import Listing
from .samples import DepthSource

Kind = Literal["dense", "base"]
PREFIX = "sync_depth_"  # of NYU, whose filled maps say in their names what they are


def companion_path(truth: str, kind: Kind) -> str:
    """Where the filled ("dense") or smooth ("base") map of a depth map `truth` lies: below it in a folder of its own.

    ``kitchen/sync_depth_00045.png`` -> ``kitchen/dense/sync_depth_dense_00045.png``; other names stay as they are. The
    path has `/` whatever the system, as listings want it.
    """
    path = PurePath(truth)
    name = f"{PREFIX}{kind}_{path.name.removeprefix(PREFIX)}" if path.name.startswith(PREFIX) else path.name
    return (path.parent / kind / name).as_posix()


def companion(listing: Listing, truth: DepthSource | None, kind: Kind) -> DepthSource | None:
    """The filled or smooth map of a truth, in its unit; None where there is none below the root of the listing."""
    if truth is None or truth.kind != "map" or not PurePath(truth.path).is_relative_to(listing.root):
        return None
    found = listing.file(companion_path(PurePath(truth.path).relative_to(listing.root).as_posix(), kind))
    return replace(truth, path=found) if found else None
