"""What all commands share: options in, exit code out; run folder. Imports no torch early."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import shlex
import signal
import sys
import traceback
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import arguments
import methods
from engine import faults
from engine.launch import STOPPING, is_ignored, started_by_torchrun
from errors import UserError
from methods.wanted import missing_networks
from storage import descriptors

if TYPE_CHECKING:
    from torch import nn

    from evaluation.judging import Evaluation

log = logging.getLogger(__name__)
# What published opt.json files hold besides the options of a command; nothing here reads it.
PUBLISHED_EXTRAS = {
    "train": {"eval_avg_with_flipped": False},
    "evaluation": {
        "train_learning_rate": 0,
        "train_scheduler_step_size": 1000,
        "train_weight_decay": 0,
        "train_weights_init": "scratch",
        "train_depth_grad_scale": 0,
        "train_segmentation_grad_scale": 0,
    },
}

BUG, USER_ERROR = 1, 2
ALONE = ("inference", "export", "app")  # commands that work in one process


def main(
    command: str, run: Callable[[Namespace], int | None], parse: Callable[[str, list[str]], Namespace] = arguments.parse
) -> NoReturn:
    """Parse the command line, run, and leave with the exit code users rely on.

    0 done, 2 the user's mistake (one sentence on stderr), 129, 130 and 143 stopped by SIGHUP, SIGINT and SIGTERM; what
    `run` returns otherwise. Anything else is a bug and shows its traceback. Started by ``torchrun``, the process joins
    the process group first; what all ranks would print is printed once.
    """
    descriptors.prepare()
    for number in STOPPING:
        if started_by_torchrun():  # a process that waits for a dead rank runs no handlers
            signal.signal(number, signal.SIG_DFL)
        elif number != signal.SIGINT and not is_ignored(number):
            signal.signal(number, _exit_on_signal)
    # Threads that spin while they wait slow a step down tenfold as soon as another process wants a core.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    _set_up_logging()
    try:
        code = _outcome(command, run, parse)
    except Exception:
        if not started_by_torchrun():
            raise
        traceback.print_exc()
        code = BUG
    code = code if _flush_output() else USER_ERROR
    if started_by_torchrun():
        sys.stderr.flush()
        os._exit(code)  # destroying the process group hangs where another rank is dead, and may abort
    for number in STOPPING:  # what it was is settled
        signal.signal(number, signal.SIG_IGN)
    sys.exit(code)


def _outcome(command: str, run: Callable[[Namespace], int | None], parse: Callable[[str, list[str]], Namespace]) -> int:
    code = 0
    try:
        with _process_group():
            if started_by_torchrun() and command in ALONE:
                raise UserError(f"{command}.py: works in one process; start it with python instead of torchrun")
            code = run(parse(command, sys.argv[1:])) or 0
    except UserError as error:
        _print_error(str(error))
        code = USER_ERROR
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except Exception as error:
        told = faults.sentence(error)
        if not told and started_by_torchrun() and _comes_from_another_rank(error):
            told = "another process of this run has ended or does not answer; it says why if it could"
        if not told:
            raise
        _print_error(told)
        code = USER_ERROR
    return code


def _flush_output() -> bool:
    """Flush stdout; False, with a message, where that fails."""
    try:
        sys.stdout.flush()
    except OSError as error:
        _print_error(f"output: {error.strerror}; what the command does is done, what it says is not complete")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python would try once more
        return False
    return True


def _is_rank_0() -> bool:
    return not started_by_torchrun() or os.environ["RANK"] == "0"


@contextlib.contextmanager
def _process_group() -> Iterator[None]:
    if not started_by_torchrun():
        yield
        return
    from engine import ranks

    ranks.join()
    yield
    # Those that end later than the first get a signal of torchrun, which must not change their exit code.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ranks.leave()


def _comes_from_another_rank(error: Exception) -> bool:
    from torch.distributed import DistError

    return isinstance(error, RuntimeError) and (isinstance(error, DistError) or "gloo" in str(error))


def _is_first_of_its_kind(record: logging.LogRecord) -> bool:
    """Whether no other rank has given the same warning."""
    if not started_by_torchrun():
        return True
    from engine import ranks

    return ranks.first_to_say(record.getMessage())


def _set_up_logging() -> None:
    """Notes of all modules go to stdout as they are, warnings to stderr; of several ranks rank 0 notes."""
    for stream in (sys.stdout, sys.stderr):  # names of files may hold what the surroundings have no letters for
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # The published default of three workers is more than small machines have cores, and works there.
    warnings.filterwarnings("ignore", message="This DataLoader will create")
    # Images that large are refused in a sentence of their own.
    warnings.filterwarnings("ignore", message="Image size .* exceeds limit")
    # The other name that newer versions want is unknown to older ones.
    warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated")
    logging.raiseExceptions = False  # a message that cannot be written must not end the work
    plain, warning = logging.StreamHandler(sys.stdout), logging.StreamHandler(sys.stderr)
    plain.addFilter(lambda record: _is_rank_0() and record.levelno < logging.WARNING)
    warning.setLevel(logging.WARNING)
    warning.addFilter(_is_first_of_its_kind)
    warning.setFormatter(logging.Formatter("warning: %(message)s"))
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[plain, warning])
    logging.getLogger("torch").setLevel(logging.WARNING)  # which it sees to itself, unless its import is interrupted


def _print_error(sentence: str) -> None:
    if started_by_torchrun():
        from engine import ranks

        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the rank that prints must not be interrupted
        if not ranks.first_to_say(sentence):
            return
    with contextlib.suppress(OSError):  # the reader of a pipe may be gone
        print(f"error: {' '.join(sentence.split())}", file=sys.stderr, flush=True)


def _exit_on_signal(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Keep other trainings out of a run folder; the lock of a process that died is no obstacle.

    In a distributed training rank 0 has the lock. Where the file system has none, a warning says so.

    Raises:
        UserError: naming the process that works there, and since when.
    """
    from engine import ranks
    from storage.lock import lock, opened

    with opened(folder) as file:
        with ranks.raising_on_all_ranks():
            if ranks.is_first():
                lock(file, folder)
        yield


def require_folders(args: Namespace, purpose: str = "", keeps: bool = True) -> None:
    """Check folders, loaders and network that this command names, without torch; own data needs no data set folder.

    purpose: of an evaluation, which needs a network and a loader
    keeps:   whether anything is written, below the folder of all runs

    Raises:
        UserError: with all that is wrong at once; where folders are not given, the option and the environment variable.
    """
    faults = [*_unusable_folders(args, keeps), *_unknown_loaders(args), *missing_networks(args)]
    faults = [*(_not_given(args, purpose) if purpose else ()), *faults]
    if faults:
        raise UserError("; also ".join(faults))


def _not_given(args: Namespace, purpose: str) -> Iterator[str]:
    if not args.model_load:
        frozen = not methods.METHODS[args.method].trained
        what = "a teacher, such as dpt-hybrid, or its weight file" if frozen else "the checkpoint folder"
        yield f"--model-load: not given; name {what} to evaluate"
    if not getattr(args, f"{purpose}_validation_loaders"):
        yield f"--{purpose}-validation-loaders: names no data set; give one or more, separated by commas"


def _loaders(args: Namespace) -> Iterator[tuple[str, str]]:
    """Options that name loaders, and each name."""
    for option, names in vars(args).items():
        if option.endswith("_loaders"):
            yield from ((option, name) for name in names)


def _unusable_folders(args: Namespace, keeps: bool) -> Iterator[str]:
    needed = [("checkpoint_dir", "IFN_DIR_CHECKPOINT")] if keeps else []
    # Those of validation that nobody named give way to others where they cannot be used.
    said = getattr(args, "said", ())
    named = [(option, name) for option, name in _loaders(args) if "_training_" in option or option in said]
    own = [name for _, name in named if name.startswith("folder_")]
    if own and not os.path.exists(args.data_folder):
        what = f" {args.data_folder}: no such folder" if args.data_folder else ": not given"
        yield f"--data-folder{what}; pass the folder that holds your sequences, or a video"
    data = any(not name.startswith("folder_") for _, name in (named if own else _loaders(args)))
    if data:
        needed.insert(0, ("dataset_dir", "IFN_DIR_DATASET"))
    for name, variable in needed:
        if not getattr(args, name):
            flag = f"--{name.replace('_', '-')}"
            yield f"{flag}: not given; pass {flag} FOLDER or set the environment variable {variable}"
    if data and args.dataset_dir and not os.path.isdir(args.dataset_dir):
        yield (
            f"--dataset-dir {args.dataset_dir}: no such folder; make one with "
            "'python -m dataloader.prepare synthetic --out FOLDER' or name yours"
        )


def _unknown_loaders(args: Namespace) -> Iterator[str]:
    from dataloader.catalog import find_loader

    for option, name in _loaders(args):
        purpose, use, _ = option.split("_")
        try:
            find_loader(purpose, name, training=use == "training")
        except UserError as error:
            yield str(error)


def run_folder(args: Namespace) -> Path:
    """Folder of this run, made where missing.

    Raises:
        UserError: when the folder cannot be made, for instance where a file has its name.
    """
    folder = Path(args.checkpoint_dir) / args.experiment_class / args.model_name
    try:
        str(folder).encode()
    except UnicodeEncodeError:  # TensorBoard cannot write there
        raise UserError(
            f"{folder}: the name of the run folder is no UTF-8; rename it, or, where it has letters that "
            "your locale lacks, set PYTHONUTF8=1"
        ) from None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{error.filename or folder}: the run folder cannot be made ({error.strerror}); "
            "choose another --checkpoint-dir, --experiment-class or --model-name"
        ) from None
    return folder


def write_options(folder: Path, args: Namespace, command: str) -> None:
    """Keep all options in opt.json; evaluation in the folder of a training run writes opt_<command>.json instead."""
    trained = folder / "checkpoints"
    if command == "train" and _is_rank_0():
        trained.mkdir(exist_ok=True)  # an evaluation that begins before the first checkpoint leaves opt.json alone, too
    keep = command != "train" and trained.is_dir()
    options = arguments.as_table(args)
    options |= PUBLISHED_EXTRAS["train" if command == "train" else "evaluation"]
    text = json.dumps(options, indent=2) + "\n"
    write_file(folder / (f"opt_{command}.json" if keep else "opt.json"), text.encode())


def write_file(path: Path, content: bytes) -> None:
    """Write a small file whole or not at all; its folder is made where missing. Of several ranks rank 0 does."""
    from storage.atomic import write_whole

    if _is_rank_0():
        write_whole(path, content)


def open_evaluation(args: Namespace, command: str, purpose: str) -> Evaluation:
    """Check options, load the network, look for the data, make the run folder; so that mistakes show early.

    Raises:
        UserError: when no checkpoint or no loader is named, or one of them cannot be used.
    """
    require_folders(args, purpose)
    if args.table_format != "text":
        _leave_stdout_to_tables()
    import state_manager
    from dataloader.loaders import build_evaluation
    from dataloader.prefetch import stream
    from engine import ranks
    from engine.device import autocast
    from evaluation.judging import Evaluation
    from evaluation.tables import read_metrics
    from methods.video.own_frames import take_own_frames
    from storage.atomic import write_whole

    with ranks.raising_on_all_ranks():
        take_own_frames(args)
        model, device, files = state_manager.open_network(args, purpose)
        made = _origin(args, files, model)
        chosen = getattr(model, "input_filter", "bilinear")
        loaders = build_evaluation(args, purpose, ranks.rank_and_size(), filter=chosen)
        folder = run_folder(args)
        read_metrics(folder)  # a damaged file is reported before the work, not after it
        write_options(folder, args, command)
        _warn_of_other_size(args, purpose)
    return Evaluation(
        model,
        loaders,
        folder,
        args.eval_num_images,
        autocast(args, device),
        write=write_whole,
        stream=partial(stream, device=device),
        is_first=ranks.is_first(),
        gather=ranks.gather_results,
        origin=made,
        form=args.table_format,
    )


def _origin(args: Namespace, files: tuple[Path, ...], network: nn.Module) -> dict[str, Any]:
    """What metrics.json tells of the network and the program; of several ranks rank 0 does."""
    from evaluation.origin import origin
    from methods.stored import located
    from storage.catalogue import HUB, hub_files

    if not _is_rank_0():
        return {}
    there = located(args.model_load, args.checkpoint_dir)
    named = args.model_load if there is None else "" if files else str(there)
    files = hub_files(named) if named.startswith(HUB) else files
    command = shlex.join(("python", f"{args.command}.py", *args.argv))
    return origin(named, files, command, getattr(network, "identity", {}).get("sha256", ""))


def _leave_stdout_to_tables() -> None:
    """Let notes go to stderr, with the warnings."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stdout:
            handler.setStream(sys.stderr)


def _warn_of_other_size(args: Namespace, purpose: str) -> None:
    """Depth and motion of a network suffer at another input size than it was trained at; segmentation is meant to."""
    _, trained = arguments.trained_with(vars(args))
    sizes = [
        (options.get(f"{prefix}_resize_height"), options.get(f"{prefix}_resize_width"))
        for options, prefix in ((trained, "depth"), (vars(args), f"{purpose}_validation"))
    ]
    if purpose != "segmentation" and None not in sizes[0] and sizes[0] != sizes[1]:
        log.warning(
            "the network was trained at %dx%d and is evaluated at %dx%d; see --%s-validation-resize-height and -width",
            *sizes[0],
            *sizes[1],
            purpose,
        )
