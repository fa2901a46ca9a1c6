"""``python -m dataloader.check LOADER...``: would these loaders find what they need, and does it make sense?"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from dataloader.catalog import LOADERS, LoaderSpec
from dataloader.prepare.training_data import add_dataset_dir
from errors import UserError, closest, exit_code
from presets.judging import DEPTH_GT
from presets.option import Option, metres
from presets.own_data import DATA_DEPTH_UNIT, FRAME_STEP, VALIDATION_SHARE
from presets.values import checked
from storage import descriptors

DEPTH_CAP = Option("--depth-cap", 0.0, "", low=0, high=1000, kind=metres)
PURPOSES = ("depth", "segmentation", "pose")


def make_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m dataloader.check",
        description="Says whether loaders would find what they need, and what looks wrong with it. "
        "Exit code 0: usable, perhaps with warnings; 2: not usable.",
        epilog=f"loaders: {', '.join(dict.fromkeys(name for _, name in LOADERS))}",
        allow_abbrev=False,
    )
    parser.add_argument("loaders", nargs="+", metavar="LOADER", help="names as given to training and evaluation")
    add_dataset_dir(parser.add_argument)
    parser.add_argument(
        "--purpose",
        choices=PURPOSES,
        default="",
        help="for names that serve several purposes; by default all, of cityscapes_train those that have images",
    )
    parser.add_argument(
        "--images",
        type=int,
        default=20,
        metavar="N",
        help="samples to decode, spread over the set; 0 = all (default 20)",
    )
    parser.add_argument(
        "--contact-sheet",
        default="",
        metavar="FILE",
        help="write a picture of some samples with their ground truth or neighbours",
    )
    parser.add_argument(
        "--depth-gt", default="raw", metavar="KIND", help="ground truth: raw, improved or an .npz file (default raw)"
    )
    parser.add_argument("--data-folder", default="", metavar="DIR", help="own data, for loaders folder_...")
    parser.add_argument(
        "--data-intrinsics",
        default="",
        metavar="FX,FY,CX,CY",
        help="its camera, in pixels of the files; default: intrinsics.txt or cameras.txt beside them",
    )
    parser.add_argument(
        "--data-depth-unit", default="0", metavar="METRES", help="metres per count of its depth, such as 0.001 or 1/256"
    )
    parser.add_argument("--data-validation-share", default="0", metavar="SHARE", help=VALIDATION_SHARE.help)
    parser.add_argument("--frame-step", default="1", metavar="N", help=FRAME_STEP.help)
    parser.add_argument(
        "--cache-dir",
        default=os.environ.get("IFN_DIR_CHECKPOINT", ""),
        metavar="DIR",
        help="where training keeps the frames of own videos; default: environment variable IFN_DIR_CHECKPOINT",
    )
    parser.add_argument(
        "--depth-camera", choices=("protocol", "left", "right"), default="protocol", help="camera of KITTI to evaluate"
    )
    parser.add_argument(
        "--depth-cap", default="0", metavar="METRES", help="how far depth is to be evaluated; 0: as usual"
    )
    return parser


def find_loaders(names: Sequence[str], purpose: str) -> list[LoaderSpec]:
    """Every loader of these names; comma-separated names are taken apart.

    Raises:
        UserError: a name that no loader has, or not for this purpose.
    """
    found = []
    for name in (part.strip() for text in names for part in text.split(",") if part.strip()):
        specs = [spec for spec in LOADERS.values() if spec.name == name]
        if not specs:
            known = list(dict.fromkeys(spec.name for spec in LOADERS.values()))
            raise UserError(f"{name}: no such loader{closest(name, known)}; choose from {', '.join(known)}")
        fitting = [spec for spec in specs if purpose in ("", spec.purpose)]
        if not fitting:
            raise UserError(f"{name}: no loader for {purpose}; leave --purpose out, it is one for {specs[0].purpose}")
        found += [spec for spec in fitting if spec not in found]
    if not found:
        raise UserError("no loader named; --help lists them")
    return found


def parse_intrinsics(text: str) -> tuple[float, ...]:
    """Numbers of --data-intrinsics.

    Raises:
        UserError: something in it is not a number.
    """
    try:
        return tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError as error:
        raise UserError(f"--data-intrinsics {text}: not numbers; give fx,fy,cx,cy in pixels of the files") from error


def run(args: argparse.Namespace) -> int:
    """Examine all loaders; returns the exit code.

    Raises:
        UserError: a mistake in the command line, or loaders that cannot be used, with the first reason.
    """
    named = find_loaders(args.loaders, args.purpose)
    intrinsics = parse_intrinsics(args.data_intrinsics)
    if args.images < 0:
        raise UserError(f"--images {args.images}: give 0 for all or a positive number")
    from dataloader.check.doctor import Options, examine  # late: --help needs none of it
    from dataloader.check.presence import with_data

    specs = with_data(named, args.dataset_dir)
    for spec in named:
        if spec not in specs:
            print(
                f"{spec.name} ({spec.purpose}): not examined, it has no images there; --purpose {spec.purpose} does so"
            )
    sheet = Path(args.contact_sheet) if args.contact_sheet else None
    if sheet is not None:
        from dataloader.check.sheet import check_name, write_sheet

        check_name(sheet)
    options = Options(
        dataset_dir=args.dataset_dir,
        depth_gt=checked(DEPTH_GT, args.depth_gt, DEPTH_GT.flag),
        data_folder=args.data_folder,
        data_intrinsics=intrinsics,
        data_depth_unit=checked(DATA_DEPTH_UNIT, args.data_depth_unit, DATA_DEPTH_UNIT.flag),
        data_validation_share=checked(VALIDATION_SHARE, args.data_validation_share, VALIDATION_SHARE.flag),
        frame_step=checked(FRAME_STEP, args.frame_step, FRAME_STEP.flag),
        cache_dir=args.cache_dir,
        depth_camera=args.depth_camera,
        depth_cap=checked(DEPTH_CAP, args.depth_cap, DEPTH_CAP.flag),
        images=args.images,
    )
    reports, sections = [], []
    for spec in specs:
        report, tiles = examine(spec, options, tiles=sheet is not None)
        print(report, flush=True)
        reports.append(report)
        sections.append((report.title, tiles))
    if sheet is not None:
        write_sheet(sheet, sections)
        print(f"contact sheet: {sheet}")
    bad = [report for report in reports if report.faults]
    if bad:
        others = f" ({len(bad)} of {len(reports)} loaders cannot be used)" if len(reports) > 1 else ""
        raise UserError(f"{bad[0].title}: {bad[0].faults[0]}{others}")
    return 0


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    descriptors.prepare()
    args = make_parser().parse_args(argv)
    return exit_code(lambda: run(args))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
