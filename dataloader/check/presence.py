"""Which loaders are meant by a name that several have: those for which there are data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dataloader.catalog import LoaderSpec
from dataloader.layouts.cityscapes_triplets import find_dump


def with_data(specs: Sequence[LoaderSpec], dataset_dir: str) -> list[LoaderSpec]:
    """Leaves out training loaders without data where another of their name has some."""
    there = {spec: _has_data(spec, Path(dataset_dir)) for spec in specs if spec.training}
    met = {spec.name for spec, found in there.items() if found}
    return [spec for spec in specs if there.get(spec, True) or spec.name not in met]


def _has_data(spec: LoaderSpec, home: Path) -> bool:
    """Whether there is a folder with images, as far as names are shared."""
    match spec.dataset, spec.purpose:
        case "cityscapes", "depth":
            return (home / "cityscapes/leftImg8bit_sequence").is_dir() or find_dump(home) is not None
        case "cityscapes", _:
            return (home / "cityscapes/leftImg8bit").is_dir()
    return True
