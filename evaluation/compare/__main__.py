"""``python -m evaluation.compare RUN_A RUN_B [...] --out report.html``: what differs between evaluations, and where."""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from errors import UserError, closest, exit_code
from storage import descriptors

if TYPE_CHECKING:
    from .report import Set
    from .runs import Run

FORMS = ("text", "csv", "markdown", "latex")
MOST_CURVES = 24


def make_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.compare",
        description="Compares run folders of evaluations: metrics with their protocol, paired bootstrap intervals of "
        "the differences, every image, error by distance, class and image region, the frames where one beats the other "
        "most, with error maps, and curves of their trainings, in one HTML file. Numbers are those that eval_depth.py "
        "has stored. Error maps and errors by distance, class and region are not stored: the networks are run again "
        "on some frames, with the options that the run folder keeps, so checkpoint and data must still be there; "
        "where they are not, the report says so and lacks them. Classes are those of the truth, or what the first "
        "network that segments sees.",
        allow_abbrev=False,
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folders, as they are or below --checkpoint-dir")
    parser.add_argument("--out", required=True, metavar="FILE", help="the report, .html")
    parser.add_argument(
        "--checkpoint-dir",
        default=os.environ.get("IFN_DIR_CHECKPOINT", ""),
        metavar="DIR",
        help="folder of all runs; default: environment variable IFN_DIR_CHECKPOINT",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME", help="set or loader; default: all that all runs have"
    )
    parser.add_argument("--metric", default="", help="of the scatter and the frames; default: the first one (abs_rel)")
    parser.add_argument(
        "--anyway", action="store_true", help="compare different protocols or images, and say so in red"
    )
    parser.add_argument(
        "--frames", type=int, default=10, metavar="N", help="frames that differ most, each way (default 10)"
    )
    parser.add_argument(
        "--rerun",
        type=int,
        default=100,
        metavar="N",
        help="run the networks on N frames spread over the set, besides those that differ most; 0: not (default 100)",
    )
    parser.add_argument("--resamples", type=int, default=10000, metavar="N", help="of the bootstrap (default 10000)")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (default 0)")
    parser.add_argument("--table-format", choices=FORMS, default="text", help="of the tables on stdout (default text)")
    return parser


def run(args: argparse.Namespace) -> int:
    """Compare; returns the exit code.

    Raises:
        UserError: a mistake in the command line, runs that cannot be compared, or a report that cannot be written.
    """
    _check(args)
    from storage.atomic import write_whole

    from .report import page, tables
    from .runs import common_sets, open_runs

    runs = open_runs(args.runs, args.checkpoint_dir)
    sets = [_compared(args, runs, domain) for domain in common_sets(runs, args.set)]
    method = (
        f"Differences are means over images; intervals: paired bootstrap over images, 95 %, {args.resamples} "
        f"resamples, seed {args.seed}. Neighbouring frames of a drive are alike, which makes true intervals wider."
    )
    command = shlex.join(["python", "-m", "evaluation.compare", *args.argv])
    try:
        write_whole(Path(args.out), page(sets, _curves(runs), method, command).encode(errors="backslashreplace"))
    except OSError as error:
        raise UserError(f"--out {args.out}: cannot be written ({error.strerror or error}); give another file") from None
    for each in sets:
        for fault in each.faults:
            print(f"warning: {each.domain}: {fault}", file=sys.stderr)
        for note in each.notes:
            print(f"note: {note}", file=sys.stderr)
    print(tables(sets, args.table_format, method), end="")
    print(f"report: {args.out}", file=sys.stderr)
    return 0


def _check(args: argparse.Namespace) -> None:
    if len(args.runs) < 2:
        raise UserError(f"{args.runs[0]}: one run; name two or more to compare")
    if not args.out.lower().endswith((".html", ".htm")) or Path(args.out).is_dir():
        raise UserError(f"--out {args.out}: the report is HTML; give a file that ends with .html")
    for name, least in (("frames", 0), ("rerun", 0), ("resamples", 100), ("seed", 0)):
        if getattr(args, name) < least:
            raise UserError(f"--{name} {getattr(args, name)}: must be at least {least}")


def _compared(args: argparse.Namespace, runs: Sequence[Run], domain: str) -> Set:
    """All that is told of one set."""
    from .report import Pair, Set, is_more_better
    from .runs import differences, read_numbers
    from .statistics import extremes, paired_bootstrap

    numbers = {run.name: read_numbers(run, domain) for run in runs}
    found = Set(domain, {run.name: run.entries[domain] for run in runs}, differences(runs, domain))
    first, *others = numbers.values()
    found.images = [name for name in first.names if all(name in {*other.names} for other in others)]
    counts = {name: len(each.names) for name, each in numbers.items()}
    if any(len(found.images) < count for count in counts.values()):
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        found.faults.append(f"images: {len(found.images)} in common ({told})")
    if found.faults and not args.anyway:
        raise UserError(
            f"{domain}: judged differently, {'; '.join(found.faults)}; evaluate with the same options, or add --anyway"
        )
    if not found.images:
        raise UserError(f"{domain}: no image that all runs were judged on; evaluate them on the same data")
    found.metrics = tuple(name for name in first.metrics if all(name in other.metrics for other in others))
    if not found.metrics:
        found.notes.append(f"{domain}: the metrics are no means over images, so single images are not compared")
        return found
    if args.metric and args.metric not in found.metrics:
        known = f"{closest(args.metric, found.metrics)}; choose from {', '.join(found.metrics)}"
        raise UserError(f"--metric {args.metric}: {domain} has none{known}")
    found.metric = args.metric or found.metrics[0]
    place = found.metrics.index(found.metric)
    values = {name: each.of(found.images, found.metrics) for name, each in numbers.items()}
    for names in combinations(values, 2):
        a, b = (values[name] for name in names)
        ours, theirs = extremes(a[:, place], b[:, place], args.frames, is_more_better(found.metric))
        chosen = [[found.images[row] for row in rows] for rows in (ours, theirs)]
        found.pairs.append(Pair(names, a, b, paired_bootstrap(a, b, args.resamples, args.seed), *chosen))
    if "abs_rel" in found.metrics and args.rerun:
        _look_again(args, runs, found, {name: each[:, found.metrics.index("abs_rel")] for name, each in values.items()})
    return found


def _look_again(args: argparse.Namespace, runs: Sequence[Run], found: Set, stored: dict) -> None:
    """Put what a second run of the networks tells into `found`; where one cannot be run, a note."""
    from .rerun import Again, Classes, again, segmenting_first

    drawn = list(dict.fromkeys(name for pair in found.pairs for name in (*pair.ours, *pair.theirs)))
    step = max(1, len(found.images) / args.rerun)
    spread = [found.images[int(place * step)] for place in range(min(args.rerun, len(found.images)))]
    chosen = list(dict.fromkeys((*spread, *drawn)))
    results: dict[str, Again] = {}
    classes: Classes = {}
    logging.disable(logging.WARNING)  # what the evaluation has said before
    try:
        for run in segmenting_first(runs, found.domain):
            results[run.name] = again(run, found.domain, chosen, drawn, classes)
    except (UserError, OSError, ValueError) as error:
        found.notes.append(f"{found.domain}: no error maps, nor errors by distance, class and region: {error}")
        return
    finally:
        logging.disable(logging.NOTSET)
    for run in runs:
        changed = [
            name
            for name, row in results[run.name].rows.items()
            if abs(row["abs_rel"] - stored[run.name][found.images.index(name)]) > 1e-3 * max(row["abs_rel"], 1e-9)
        ]
        if changed:
            found.notes.append(
                f"{run.name}: run again, it gives another abs_rel on {len(changed)} of {len(chosen)} images than is "
                "stored; its checkpoint or the data have changed"
            )
    _gather(found, results, [run.name for run in runs], len(chosen), bool(classes))


def _gather(found: Set, results: dict, names: Sequence[str], count: int, seen: bool) -> None:
    """Means of errors where every run has them, and pictures."""
    import numpy as np

    for about, tally in results[names[0]].errors.items():
        tallies = {name: results[name].errors.get(about) for name in names}
        if None in tallies.values():
            continue
        if any(each.groups != tally.groups for each in tallies.values()):
            found.notes.append(f"{found.domain}: no errors by {about}, for the runs have different groups of it")
            continue
        used = np.flatnonzero(sum(each.counts for each in tallies.values()))
        means = {name: each.means()[used] for name, each in tallies.items()}
        found.errors[about] = [tally.groups[place] for place in used], means
    for name in names:
        for image, picture in results[name].pictures.items():
            found.pictures.setdefault(image, {})[name] = picture
    words = (
        "" if "class" not in found.errors else ", classes as a network sees them" if seen else ", classes of the truth"
    )
    found.notes.append(f"{found.domain}: errors by group are means over the pixels of {count} images{words}")
    if "class" not in found.errors:
        found.notes.append(f"{found.domain}: no errors by class, for neither the truth nor a network knows any")


def _curves(runs: Sequence[Run]) -> dict:
    """Curves of the trainings of runs, by tag: losses and validation."""
    from .runs import read_curves, training_of

    trainings: dict = {}
    for each in runs:
        if folder := training_of(each):
            trainings.setdefault(folder, []).append(each.name)
    found: dict = {}
    for folder, names in trainings.items():
        for tag, points in read_curves(folder).items():
            if tag.startswith("validation") or tag.endswith("loss"):
                found.setdefault(tag, {})[" and ".join(names)] = points
    return dict(sorted(found.items(), key=lambda pair: (-len(pair[1]), pair[0]))[:MOST_CURVES])


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    descriptors.prepare()
    args = make_parser().parse_args(argv)
    args.argv = argv
    return exit_code(lambda: run(args))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
