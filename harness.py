"""What all commands share: options in, exit code out; device, seed, precision, run folder. Imports no torch early."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import logging
import os
import signal
import sys
import traceback
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import arguments
from errors import UserError

if TYPE_CHECKING:
    import torch

    from evaluation.judging import Evaluation
    from losses.patches.use import Refinement

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
ALONE = ("inference",)  # commands that work in one process
NO_MEMORY = "the memory is exhausted; lower the batch sizes, the image sizes or --sys-num-workers"


def main(command: str, run: Callable[[Namespace], int | None]) -> NoReturn:
    """Parse the command line, run, and leave with the exit code users rely on.

    0 done, 2 the user's mistake (one sentence on stderr), 130 and 143 stopped by SIGINT and SIGTERM; what `run`
    returns otherwise. Anything else is a bug and shows its traceback. Started by ``torchrun``, the process joins the
    others first; what all of them have to say is said once.
    """
    if among_others():  # who waits for a process that is gone runs no handlers
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    else:
        signal.signal(signal.SIGTERM, _exit_on_sigterm)
    # Threads that spin while they wait slow a step down tenfold as soon as another process wants a core.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    _talk()
    try:
        code = _outcome(command, run)
    except Exception:
        if not among_others():
            raise
        traceback.print_exc()
        code = BUG
    code = code if _all_said() else USER_ERROR
    if among_others():
        sys.stderr.flush()
        os._exit(code)  # taking down what is shared with others hangs where they are gone, and may abort otherwise
    for number in (signal.SIGINT, signal.SIGTERM):  # what it was is settled
        signal.signal(number, signal.SIG_IGN)
    sys.exit(code)


def _outcome(command: str, run: Callable[[Namespace], int | None]) -> int:
    code = 0
    try:
        with _joined():
            if among_others() and command in ALONE:
                raise UserError(f"{command}.py: works in one process; start it with python instead of torchrun")
            code = run(arguments.parse(command, sys.argv[1:])) or 0
    except UserError as error:
        _complain(str(error))
        code = USER_ERROR
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except OSError as error:
        if error.filename is None and error.errno not in (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        _complain(f"{error.filename or 'output'}: {error.strerror}")
        code = USER_ERROR
    except MemoryError:
        _complain(NO_MEMORY)
        code = USER_ERROR
    except RuntimeError as error:
        if "can't allocate memory" in str(error):
            _complain(NO_MEMORY)
        elif type(error).__name__ == "OutOfMemoryError":
            _complain("the GPU is out of memory; lower the batch sizes or the network size, or pass --sys-cpu")
        elif "DataLoader worker" in str(error):
            _complain("a loader process was killed, perhaps for want of memory; lower --sys-num-workers")
        elif among_others() and _is_about_others(error):
            _complain("another process of this run has ended or does not answer; it says why if it could")
        else:
            raise
        code = USER_ERROR
    return code


def _all_said() -> bool:
    """Bring to its end what was said; complains where that cannot be done."""
    try:
        sys.stdout.flush()
    except OSError as error:
        _complain(f"output: {error.strerror}; what the command does is done, what it says is not complete")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python would try once more
        return False
    return True


def among_others() -> bool:
    """Whether ``torchrun`` started this process together with others."""
    return int(os.environ.get("WORLD_SIZE", 1)) > 1 and {"RANK", "LOCAL_RANK", "MASTER_ADDR"} <= {*os.environ}


def _speaks() -> bool:
    return not among_others() or os.environ["RANK"] == "0"


@contextlib.contextmanager
def _joined() -> Iterator[None]:
    if not among_others():
        yield
        return
    from engine import ranks

    ranks.join()
    yield
    # Those that end later than the first get a signal of torchrun, which must not change their exit code.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ranks.leave()


def _is_about_others(error: RuntimeError) -> bool:
    from torch.distributed import DistError

    return isinstance(error, DistError) or "gloo" in str(error)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether no other process has given the same warning."""
    if not among_others():
        return True
    from engine import ranks

    return ranks.first_to_say(record.getMessage())


def _talk() -> None:
    """Notes of all modules go to stdout as they are, warnings to stderr; of several processes the first one notes."""
    for stream in (sys.stdout, sys.stderr):  # names of files may hold what the surroundings have no letters for
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # The published default of three workers is more than small machines have cores, and works there.
    warnings.filterwarnings("ignore", message="This DataLoader will create")
    # Images that large are refused in a sentence of their own.
    warnings.filterwarnings("ignore", message="Image size .* exceeds limit")
    # A run that was stopped behind the last step of an epoch has none left when it goes on.
    warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
    # The other name that newer versions want is unknown to older ones.
    warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated")
    logging.raiseExceptions = False  # what cannot be said must not end the work
    plain, warning = logging.StreamHandler(sys.stdout), logging.StreamHandler(sys.stderr)
    plain.addFilter(lambda record: _speaks() and record.levelno < logging.WARNING)
    warning.setLevel(logging.WARNING)
    warning.addFilter(_is_news)
    warning.setFormatter(logging.Formatter("warning: %(message)s"))
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[plain, warning])


def _complain(sentence: str) -> None:
    if among_others():
        from engine import ranks

        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # who takes the word must be let finish
        if not ranks.first_to_say(sentence):
            return
    with contextlib.suppress(OSError):  # the reader of a pipe may be gone
        print(f"error: {' '.join(sentence.split())}", file=sys.stderr, flush=True)


def _exit_on_sigterm(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Keep other trainings out of a run folder; the lock of a process that died is no obstacle.

    Of several processes that train together, the first one has the lock. Where the file system has none, a warning
    says so.

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


def require_folders(args: Namespace) -> None:
    """Check that the folders this command needs are given and usable; own data alone needs no data set folder.

    Raises:
        UserError: naming the option and the environment variable.
    """
    loaders = [name for option, names in vars(args).items() if option.endswith("_loaders") for name in names]
    needed = [("checkpoint_dir", "IFN_DIR_CHECKPOINT")]
    if any(not name.startswith("folder_") for name in loaders):
        needed.insert(0, ("dataset_dir", "IFN_DIR_DATASET"))
    for name, variable in needed:
        if not getattr(args, name):
            flag = f"--{name.replace('_', '-')}"
            raise UserError(f"{flag}: not given; pass {flag} FOLDER or set the environment variable {variable}")
    if len(needed) > 1 and not Path(args.dataset_dir).is_dir():
        raise UserError(
            f"--dataset-dir {args.dataset_dir}: no such folder; make one with "
            "'python -m dataloader.prepare synthetic --out FOLDER' or name yours"
        )


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
    keep = command != "train" and (folder / "checkpoints").is_dir()
    options = arguments.as_table(args)
    options |= PUBLISHED_EXTRAS["train" if command == "train" else "evaluation"]
    text = json.dumps(options, indent=2) + "\n"
    write_file(folder / (f"opt_{command}.json" if keep else "opt.json"), text.encode())


def write_file(path: Path, content: bytes) -> None:
    """Write a small file whole or not at all; its folder is made where missing. Of several processes the first does."""
    from storage.atomic import write_whole

    if _speaks():
        write_whole(path, content)


def prepare_torch(args: Namespace, training: bool = False) -> torch.device:
    """Device to compute on; seeds and kernel choice set, ``--train-precision auto`` replaced by what it means there.

    `args` needs ``sys_cpu``, ``sys_seed``, ``sys_best_effort_determinism`` and ``train_precision``; ``auto`` is bf16
    for training on GPUs that have it, and fp32 elsewhere: a published table is checked with all its digits. Among
    other processes each has a GPU of its own.

    Raises:
        UserError: when there are fewer GPUs than processes.
    """
    import random

    import numpy as np
    import torch

    random.seed(args.sys_seed)
    np.random.seed(args.sys_seed)
    torch.manual_seed(args.sys_seed)
    device = torch.device("cuda" if uses_gpu(args) else "cpu")
    if among_others() and device.type == "cuda":
        device = _own_gpu()
    if args.train_precision == "auto":
        half = training and device.type == "cuda" and torch.cuda.is_bf16_supported()
        args.train_precision = "bf16" if half else "fp32"
    # Published tables are checked with all their digits; products of matrices, as in projection, stay exact always.
    torch.backends.cudnn.allow_tf32 = training
    torch.backends.cudnn.benchmark = not args.sys_best_effort_determinism
    if args.sys_best_effort_determinism:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    return device


def uses_gpu(args: Namespace) -> bool:
    """Whether there is a GPU and it may be used."""
    import torch

    return torch.cuda.is_available() and not args.sys_cpu


def _own_gpu() -> torch.device:
    import torch

    number, found = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if number >= found:
        raise UserError(
            f"torchrun --nproc-per-node: starts more processes than there are GPUs ({found}); give at most "
            f"{found}, or pass --sys-cpu"
        )
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


def autocast(args: Namespace, device: torch.device) -> Callable[[], AbstractContextManager]:
    """Maker of contexts in which networks compute with the precision of ``--train-precision``."""
    import torch

    half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(args.train_precision)
    return lambda: torch.autocast(device.type, dtype=half, enabled=half is not None)


def gradient_scaler(args: Namespace, device: torch.device) -> torch.amp.GradScaler:
    """Keeps small gradients above what float16 can hold; does nothing with another ``--train-precision``."""
    import torch

    return torch.amp.GradScaler(device.type, enabled=args.train_precision == "fp16")


def open_evaluation(args: Namespace, command: str, purpose: str) -> Evaluation:
    """Check options and data, load the network, make the run folder; in this order, so that mistakes show early.

    Raises:
        UserError: when no checkpoint or no loader is named, or one of them cannot be used.
    """
    import state_manager
    from dataloader.loaders import build_evaluation
    from dataloader.prefetch import stream
    from engine import ranks
    from evaluation.judging import Evaluation
    from evaluation.tables import read_metrics
    from storage.atomic import write_whole

    if not args.model_load:
        what = "a teacher, such as dpt-hybrid, or its weight file" if args.method == "dpt" else "the checkpoint folder"
        raise UserError(f"--model-load: not given; name {what} to evaluate")
    if not getattr(args, f"{purpose}_validation_loaders"):
        raise UserError(f"--{purpose}-validation-loaders: names no data set; give one or more, separated by commas")
    require_folders(args)
    with ranks.raising_on_all_ranks():
        refinement = open_refinement(args, f"{purpose}-validation-resize") if purpose == "depth" else None
        loaders = build_evaluation(args, purpose, ranks.rank_and_size())
        device = prepare_torch(args)
        model = state_manager.load_model(args, device)
        folder = run_folder(args)
        read_metrics(folder)  # a damaged file is reported before the work, not after it
        write_options(folder, args, command)
        _warn_of_other_size(args, purpose)
        if refinement:
            refinement.to(device)
    return Evaluation(
        model,
        loaders,
        folder,
        args.eval_num_images,
        autocast(args, device),
        write=write_whole,
        stream=partial(stream, device=device),
        refine=refinement,
        speaks=ranks.is_first(),
        gather=ranks.gather_results,
    )


def open_refinement(args: Namespace, prefix: str) -> Refinement | None:
    """What ``--patch-refine`` asks for, its teacher on the CPU; None where it is off.

    prefix: of the options ``--<prefix>-height`` and ``-width`` with the size of the network's input

    Raises:
        UserError: when images of this size hold no patch, the network is no network of ours, or the teacher cannot be
            loaded.
    """
    if not args.patch_refine:
        idle = [f"--{name.replace('_', '-')}" for name in args.said if name.startswith("patch_")]
        if set(idle) - {"--patch-refine"}:
            log.warning("%s: without effect unless --patch-refine is given", ", ".join(idle))
        return None
    if args.method == "dpt":
        raise UserError("--patch-refine: refines networks trained here, not teachers; leave it out")
    from losses import build_refiner
    from losses.patches.selection import Grid
    from losses.patches.use import Refinement
    from models import build_teacher

    height, width = (getattr(args, f"{prefix}-{side}".replace("-", "_")) for side in ("height", "width"))
    grid = Grid.of(height, width, args.patch_size)
    if not grid:
        smaller = (min(height, width) - 1) // 64 * 64
        remedy = f"pass --patch-size {smaller}" if smaller else f"give --{prefix}-height and -width of at least 96"
        raise UserError(
            f"--{prefix}-height {height} and -width {width}: too small for --patch-refine; its patches of "
            f"{grid.size} pixels must be smaller on both axes; {remedy}"
        )
    teacher = None if args.patch_teacher == "none" else build_teacher(args.patch_teacher, native=True)
    return Refinement(build_refiner(args), teacher)


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
