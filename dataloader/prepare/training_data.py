"""What commands have in common that work on the data of a training: options, loaders, samples."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from dataloader.catalog import LOADERS, LoaderSpec, Purpose
from errors import UserError, closest
from presets.option import floats
from presets.own_data import VALIDATION_SHARE
from presets.values import checked

if TYPE_CHECKING:
    from dataloader.samples import Sample

LEAST, MULTIPLE = 64, 32


def add_sizes(add: Callable[..., Any]) -> None:
    """Options for the size of depth images; `add` is the method of a parser."""
    add("--height", type=int, default=192, help="height of the depth training images, pixels; default: 192")
    add("--width", type=int, default=640, help="width of the depth training images, pixels; default: 640")


def add_dataset_dir(add: Callable[..., Any], what: str = "data set folder") -> None:
    """The option that names the data set folder; `add` is the method of a parser, `what` the folder in words."""
    add(
        "--dataset-dir",
        default=os.environ.get("IFN_DIR_DATASET", ""),
        metavar="DIR",
        help=f"{what}; default: environment variable IFN_DIR_DATASET",
    )


def add_sources(add: Callable[..., Any]) -> None:
    """Options that say where data are; `add` is the method of a parser."""
    add_dataset_dir(add)
    add("--data-folder", default="", metavar="DIR", help="own data, for folder_train")
    add(
        "--data-intrinsics",
        type=floats,
        default=(),
        metavar="FX,FY,CX,CY",
        help="its camera, pixels of the files; default: as intrinsics.txt or cameras.txt beside them say",
    )
    share = "part of every sequence that training keeps from folder_train, for folder_validation; default: 0"
    add("--data-validation-share", default="0", metavar="SHARE", help=share)
    add(
        "--data-on-missing",
        choices=("stop", "drop"),
        default="stop",
        help="what to do where image files are missing or cut off, as in training; default: stop",
    )


def sources(args: argparse.Namespace) -> dict[str, Any]:
    """What `resolve` is told of the options of `add_sources`.

    Raises:
        UserError: a value that its option does not have.
    """
    return {
        "data_folder": args.data_folder,
        "data_intrinsics": args.data_intrinsics,
        "data_validation_share": checked(VALIDATION_SHARE, args.data_validation_share, VALIDATION_SHARE.flag),
        "drop": args.data_on_missing == "drop",
    }


def known_loaders(purposes: Sequence[Purpose]) -> dict[str, LoaderSpec]:
    """Training loaders by name; of several with one name, that of the last of the purposes."""
    training = [spec for spec in LOADERS.values() if spec.training]
    return {spec.name: spec for purpose in purposes for spec in training if spec.purpose == purpose}


def find_loaders(names: Iterable[str], purposes: Sequence[Purpose]) -> list[LoaderSpec]:
    """Training loaders as `known_loaders` has them; comma-separated names are taken apart.

    Raises:
        UserError: a name that no such loader has.
    """
    known, found = known_loaders(purposes), {}
    for name in (part.strip() for text in names for part in text.split(",") if part.strip()):
        if name not in known:
            exists = any(name == other for _, other in LOADERS)
            fault = (
                f"not a {' or '.join(purposes)} training loader" if exists else f"no such loader{closest(name, known)}"
            )
            raise UserError(f"{name}: {fault}; choose from {', '.join(known)}")
        found[name] = known[name]
    if not found:
        raise UserError("no loader named; --help lists them")
    return list(found.values())


def refuse_measured(specs: Iterable[LoaderSpec], why: str) -> None:
    """Refuse loaders of images with measured depth; `why` says what is wrong with them.

    Raises:
        UserError: naming the first.
    """
    for spec in specs:
        if spec.purpose == "depth" and spec.needs_truth:
            raise UserError(f"{spec.name}: {why}; leave it out")


def check_common(args: argparse.Namespace) -> None:
    """Refuse sizes that training would not have, and a number of workers that means nothing.

    Raises:
        UserError: naming the option.
    """
    for side in ("height", "width"):
        value = getattr(args, side)
        if value < LEAST or value % MULTIPLE:
            raise UserError(f"--{side} {value}: give what training has, at least {LEAST} and a multiple of {MULTIPLE}")
    if args.workers < 0:
        raise UserError(f"--workers {args.workers}: give 0 for one per core, or a positive number")


def find_samples(specs: Iterable[LoaderSpec], args: argparse.Namespace) -> Iterator[tuple[LoaderSpec, list[Sample]]]:
    """Every loader with the samples that training would have.

    Raises:
        UserError: data is missing or damaged.
    """
    from dataloader.integrity import find_damaged, needed, without_damaged
    from dataloader.splits import resolve, with_truth

    where = sources(args)
    for spec in specs:
        samples = with_truth(spec, resolve(spec, args.dataset_dir, **where))
        faults = find_damaged(path for sample in samples for path in needed(sample))
        yield spec, without_damaged(spec, samples, faults, where["drop"])
