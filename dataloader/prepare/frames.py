"""Frames of an own video as images, for training and evaluation with --data-folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from errors import UserError

SUMMARY = "Take frames out of a video, as images that the loaders of own data read."
ABOUT = """
Writes 000000.png and so on, numbered evenly, and frames.json. What is there already stays, so that an interrupted run
goes on. Of a damaged video the frames that are whole are written, and the exit code is 3.
"""
PARTLY = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = ABOUT
    add = parser.add_argument
    add("video", metavar="VIDEO", help="the file")
    add("--out", required=True, metavar="DIR", help="folder for the frames: one sequence of own data")
    add("--step", type=int, default=1, metavar="N", help="take one of N frames; default: 1, all")
    add("--fps", type=float, default=0.0, metavar="F", help="take F frames per second, instead of --step")
    add("--jpg", action="store_true", help="write JPEG of quality 95, a few times smaller; default: PNG, lossless")


def run(args: argparse.Namespace) -> int:
    """Write what is missing; returns the exit code, which tells whether the whole video could be read.

    Raises:
        UserError: a mistake in the options, a video that cannot be read, or a folder that cannot be written.
    """
    from visual.frames import take_frames

    if args.step < 1:
        raise UserError(f"--step {args.step}: give a whole number of frames, at least 1")
    if not 0 <= args.fps < 1000:
        raise UserError(f"--fps {args.fps:g}: give a number of frames per second above 0")
    if args.fps and args.step > 1:
        raise UserError("--step and --fps: both say which frames are taken; give one of them")
    video, out = Path(args.video), Path(args.out)
    taken = take_frames(video, out, step=args.step, fps=args.fps, kind=".jpg" if args.jpg else ".png")
    print(f"{out}: {taken.there} frames of {video}, {taken.written} of them written now")
    if taken.fault:
        print(f"error: {taken.fault}", file=sys.stderr)
        return PARTLY
    return 0
