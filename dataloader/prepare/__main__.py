"""``python -m dataloader.prepare COMMAND``: one sub-command per way to get data and to prepare them for training.

Only the chosen sub-command's module is imported, so ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from collections.abc import Sequence
from types import ModuleType

from engine.launch import STOPPING, is_ignored
from errors import UserError
from storage import descriptors

COMMANDS = {
    "synthetic": "render the synthetic street data set",
    "splits": "fetch the published split lists and verify them",
    "lists": "write the lists of images with their depth maps from what is on disk",
    "kitti": "download KITTI raw drives",
    "frames": "take frames out of a video of your own",
    "index": "write index files for a KITTI or Cityscapes download",
    "cityscapes-triplets": "make triplets of Cityscapes video, resized, for the training of depth",
    "fill": "fill the gaps of depth maps, and smooth them, for SD-ConvTrans",
    "nyu": "extract test or training images of NYU Depth v2 from the labelled .mat file",
    "export-gt": "keep the ground truth of an evaluation loader in one file",
    "cache": "keep the images and labels of a training, decoded and resized",
    "teacher-cache": "keep the answers of a depth teacher to training images",
}


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, str]:
    """Read the command line.

    Args:
        argv: arguments after the program name.

    Returns:
        The options and the name of the chosen sub-command.

    Raises:
        UserError: where --out is empty.
    """
    overview = "\n".join(f"  {name:20} {summary}" for name, summary in COMMANDS.items())
    top = argparse.ArgumentParser(
        prog="python -m dataloader.prepare",
        description="Put data where the loaders look for it.",
        epilog=f"commands:\n{overview}\n\nA command's own options: python -m dataloader.prepare COMMAND --help",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("command", choices=COMMANDS, metavar="COMMAND", help=", ".join(COMMANDS))
    chosen = top.parse_args(argv[:1]).command
    module = module_of(chosen)
    parser = argparse.ArgumentParser(
        prog=f"{top.prog} {chosen}",
        description=module.SUMMARY,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    options = parser.parse_args(argv[1:])
    # An empty name, such as that of a variable that is not set, would mean the current folder.
    if "--out=" in argv or ("--out", "") in zip(argv, argv[1:], strict=False):
        raise UserError("--out '': an empty name; say where to write (is a variable in it not set?)")
    return options, chosen


def module_of(command: str) -> ModuleType:
    """Where a sub-command is."""
    return importlib.import_module(f".{command.replace('-', '_')}", __package__)


def main(argv: Sequence[str]) -> int:
    """Run one sub-command; returns the exit code."""
    descriptors.prepare()
    # Signals become exceptions, so that workers end and unfinished folders go, in background jobs as well.
    for number in STOPPING:
        if not is_ignored(number):
            signal.signal(number, lambda number, _: sys.exit(128 + number))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        options, chosen = parse(argv)
        return module_of(chosen).run(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
