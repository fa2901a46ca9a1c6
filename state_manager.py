"""Run state <-> checkpoint folder: whole or absent, verified, in the published layout.

A checkpoint is the folder ``checkpoints/epoch_<n>`` of a run, n = finished epochs, or ``epoch_<n>_batch_<b>`` where
the run was stopped inside an epoch. In it: ``model.pth``, ``optim.pth``, ``scheduler.pth`` with state dicts,
``train.pth`` with step and epoch and what exact continuation needs, ``meta.json`` with method, options and versions,
and size and hash of every file.
"""

from __future__ import annotations

import contextlib
import logging
import os
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import StepLR

from arguments import SHAPE, as_table, checked_network, trained_with, with_checkpoint
from engine import ranks
from engine.rates import Rates, load_optimizer
from errors import UserError
from models import build_model, build_teacher
from models.dpt.files import OFFICIAL as TEACHERS
from presets.resume import BETWEEN, FREE, NETWORK, NOTED, RATES, changes
from storage.atomic import free_bytes
from storage.checkpoint_folder import checkpoints, discard, order, size_of, sweep, verify, write
from storage.notes import METADATA, read
from storage.weights import attention_of, copy_weights, load_file, load_weights, read_state_dict, sgdepth_shape

log = logging.getLogger(__name__)
_PACKAGES = ("torch", "torchvision", "timm", "numpy", "opencv-python-headless", "pillow")


class Stateful(Protocol):
    """Something whose state belongs into checkpoints."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values; {} where there is nothing to remember."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""


@dataclass
class RunState:
    """All that changes while a network trains.

    `parts` are what else has a state, by the name it is kept under;
    `samples` how many each data set holds;
    `epoch` finished epochs, `batch` finished steps of the running one, `step` steps in all, `saved_step`
    those of them that the newest checkpoint holds.
    """

    model: nn.Module
    optimizer: Optimizer
    scheduler: StepLR
    parts: Mapping[str, Stateful] = field(default_factory=dict)
    samples: tuple[int, ...] = ()
    epoch: int = 0
    batch: int = 0
    step: int = 0
    saved_step: int = 0

    def options(self, args: Namespace) -> dict[str, Any]:
        """What a run that goes on is compared with: all options, and what they mean here."""
        return as_table(args) | {"nproc_per_node": ranks.rank_and_size()[1], "samples": self.samples}

    def save(self, run_folder: Path, args: Namespace) -> Path:
        """Write a checkpoint folder, whole or not at all, and drop mid-epoch ones it replaces.

        All processes must call it; the first one writes, and the others wait for it.

        Raises:
            UserError: when the disk is full or the folder cannot be written; earlier checkpoints stay as they are.
        """
        name = f"epoch_{self.epoch}" + (f"_batch_{self.batch}" if self.batch else "")
        folder = run_folder / "checkpoints" / name
        files = self._files()
        with ranks.raising_on_all_ranks():
            if ranks.is_first():
                self._replace(folder, files, args)
        self.saved_step = self.step
        return folder

    def _replace(self, folder: Path, files: dict[str, Any], args: Namespace) -> None:
        run_folder = folder.parents[1]
        if not run_folder.is_dir():
            log.warning(
                "%s: is gone with all that was in it, options and lock, too; made anew for the checkpoint", run_folder
            )
        try:
            write(folder, files, self._about(args))
        except OSError as error:
            raise UserError(
                f"{folder}: the checkpoint of {size_of(files)} bytes cannot be written ({error.strerror}; "
                f"{free_bytes(folder)} bytes are free); free some space or choose another "
                "--checkpoint-dir, then go on with --resume auto"
            ) from None
        for other in checkpoints(run_folder):
            if "_batch_" in other.name and order(other) < order(folder):
                discard(other)

    def _files(self) -> dict[str, Any]:
        random_state = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            random_state["cuda"] = torch.cuda.get_rng_state_all()
        extra = {name: part.state_dict() for name, part in self.parts.items()}
        return {
            "model.pth": self.model.state_dict(),
            "optim.pth": self.optimizer.state_dict(),
            "scheduler.pth": self.scheduler.state_dict(),
            "train.pth": {"step": self.step, "epoch": self.epoch, "batch": self.batch, "random": random_state, **extra},
        }

    def _about(self, args: Namespace) -> dict[str, Any]:
        versions = {name: version(name) for name in _PACKAGES}
        return {
            "method": args.method,
            "options": self.options(args),
            "versions": versions,
            "epoch": self.epoch,
            "batch": self.batch,
            "step": self.step,
        }

    def load(self, folder: Path, network_only: bool = False, strict: bool = False) -> None:
        """Continue from a checkpoint of ours or a published one, as far as it goes.

        Keys the file lacks keep their value and unknown keys are skipped, both with a warning; each file that is
        missing beside model.pth is reported. With `strict` nothing may be missing in the folder, which was verified.

        Raises:
            UserError: when the folder or model.pth is missing or damaged, or a shape differs.
        """
        if not strict:
            verify(folder)
        load_weights(self.model, folder / "model.pth", strict)
        if network_only:
            return
        self._load_part(folder / "optim.pth", partial(load_optimizer, self.optimizer), strict)
        self._load_part(folder / "scheduler.pth", self.scheduler.load_state_dict, strict)
        self._load_part(folder / "train.pth", self._load_counters, strict)

    def _load_part(self, path: Path, load: Callable[[Any], None], strict: bool) -> None:
        if not path.is_file() and not strict:
            log.warning("%s: not there; that part starts afresh", path)
            return
        try:
            load(load_file(path))
        except (ValueError, LookupError, TypeError, AttributeError, RuntimeError, OverflowError) as error:
            reason = (str(error).splitlines() or ["?"])[0]
            if strict:
                raise UserError(
                    f"{path}: does not fit this run ({reason}); give the options it was made with, or "
                    "--overwrite to start again"
                ) from None
            log.warning("%s: does not fit and is skipped (%s); that part starts afresh", path, reason)

    def _load_counters(self, content: dict[str, Any]) -> None:
        epoch, step, batch = map(int, (content["epoch"], content["step"], content.get("batch", 0)))
        if min(epoch, step, batch) < 0:
            raise ValueError("counts below 0")
        self.epoch, self.step, self.batch, self.saved_step = epoch, step, batch, step
        for name, part in self.parts.items():
            if content.get(name):
                part.load_state_dict(content[name])
        random_state = content.get("random", {})
        if "cpu" in random_state:
            torch.set_rng_state(random_state["cpu"])
        if "cuda" in random_state and torch.cuda.device_count() == len(random_state["cuda"]):
            torch.cuda.set_rng_state_all(random_state["cuda"])


def settle_network(run_folder: Path, args: Namespace) -> None:
    """Before the network of a training is built: let `args` name the one ``--model-load`` holds, where its keys tell.

    They do in files of the released SGDEM code. A run that goes on keeps the network it began with.

    Raises:
        UserError: when the file is missing or damaged.
    """
    if not args.model_load:
        return
    existing = checkpoints(run_folder) if args.resume == "auto" else []
    if existing:
        noted = _newest_notes(existing)
        if noted.get("method") == args.method:
            _adopt(args, {name: noted[name] for name in SHAPE if name in noted}, existing[-1])
        return
    folder = _named(args)
    if not (folder / METADATA).is_file():
        verify(folder)
        state = read_state_dict(folder / "model.pth")
        if attention_of(state):
            _recognise(args, folder / "model.pth", state)


def _newest_notes(existing: list[Path]) -> dict[str, Any]:
    """Options of the newest checkpoint whose notes can be read."""
    for folder in reversed(existing):
        with contextlib.suppress(UserError):
            return trained_with({"model_path": str(folder)})[1]
    return {}


def _recognise(args: Namespace, path: Path, state: Mapping[str, Tensor]) -> None:
    """Let `args` name the network of a file without notes, as far as keys tell and nobody said otherwise."""
    told, attention = sgdepth_shape(state), attention_of(state)
    if attention == "released" and "model_attention" not in args.said:
        log.warning("%s: written by the released SGDEM code; its network gets --model-attention released", path)
    _adopt(args, told | ({"model_attention": attention} if attention else {}), path)


def _adopt(args: Namespace, told: Mapping[str, Any], source: Path) -> None:
    told = checked_network(told, source)
    changed = {name: value for name, value in told.items() if name not in args.said and getattr(args, name) != value}
    vars(args).update(changed)
    if changed:
        log.info("%s: has %s", source, ", ".join(f"{name} {value}" for name, value in changed.items()))


def needs_pretrained(run_folder: Path, args: Namespace) -> bool:
    """Whether ImageNet weights are wanted and not replaced anyway by those of the checkpoint that will be loaded."""
    if args.train_weights_init != "pretrained" or (args.resume == "auto" and checkpoints(run_folder)):
        return False
    if not args.model_load:
        return True
    stored = read_state_dict(_named(args) / "model.pth")
    with torch.device("meta"):
        return any(".encoder." in key and key not in stored for key in build_model(args).state_dict())


def refuse_used(run_folder: Path, args: Namespace) -> None:
    """Stop before anything is loaded where a run would write over another one.

    Raises:
        UserError: when the folder holds checkpoints and neither continuing nor overwriting was asked for.
    """
    folder = run_folder / "checkpoints"
    if os.path.lexists(folder) and not folder.is_dir():
        raise UserError(f"{folder}: is no folder; move it away or choose another --model-name")
    if args.overwrite and folder.is_symlink():
        raise UserError(
            f"{folder}: a link, and what lies elsewhere is not discarded; remove the link or choose "
            "another --model-name instead of --overwrite"
        )
    if ranks.is_first():
        sweep(run_folder)
    ranks.all_reduce_max()
    existing = checkpoints(run_folder)
    if existing and args.resume == "never" and not args.overwrite:
        number = f"{len(existing)} checkpoints (last: {existing[-1].name})" if existing[1:] else existing[0].name
        raise UserError(
            f"{run_folder}: already holds {number}; pass --resume auto to go on, --overwrite to discard "
            "what is there, or another --model-name"
        )


def start(state: RunState, run_folder: Path, args: Namespace) -> None:
    """Bring a new run to where it begins: fresh, from ``--model-load``, or continued with ``--resume auto``.

    Raises:
        UserError: when the run folder already holds checkpoints and neither continuing nor overwriting was asked for,
            or what is to be loaded does not fit.
    """
    refuse_used(run_folder, args)
    existing = checkpoints(run_folder)
    if existing and not args.overwrite:
        _resume(state, existing, args)
    elif args.model_load:
        _load(state, args)
    if state.batch > args.train_batches_per_epoch:
        raise UserError(
            f"--train-batches-per-epoch {args.train_batches_per_epoch}: the run was stopped behind batch "
            f"{state.batch} of its epoch; give at least that many"
        )
    ranks.all_reduce_max()  # all have read what they need
    if args.overwrite and ranks.is_first():
        for name in ("checkpoints", "bad_steps"):
            discard(run_folder / name)


def _changed_options(folder: Path, noted: Mapping[str, Any], now: Mapping[str, Any]) -> set[str]:
    """Names of the options that are others than those of a checkpoint; says which, each after its rule.

    Raises:
        UserError: when the run cannot go on with one of them.
    """
    changed = changes(noted["options"], now)
    refused = changed.get(NETWORK, {})
    if refused:
        raise UserError(
            f"{folder}: goes on with the network it has, not with {', '.join(refused.values())}; give the "
            "old value, or another --model-name"
        )
    if noted.get("batch") and BETWEEN in changed:
        raise UserError(
            f"{folder}: stopped inside an epoch, which does not go on with "
            f"{', '.join(changed[BETWEEN].values())}; give the old value until the epoch ends"
        )
    warned = changed.get(BETWEEN, {}) | changed.get(NOTED, {})
    if warned:
        log.warning("%s: learns something else from here on with %s", folder, ", ".join(warned.values()))
    if FREE in changed:
        log.info("with %s", ", ".join(changed[FREE].values()))
    return {*warned}


def _named(args: Namespace) -> Path:
    """Folder of ``--model-load``; the path of its model.pth will do as well."""
    path = Path(args.checkpoint_dir) / args.model_load
    return path.parent if path.name == "model.pth" else path


def _load(state: RunState, args: Namespace) -> None:
    folder, wanted = _named(args), Rates.of(state.optimizer, state.scheduler)
    state.load(folder, network_only=args.model_disable_lr_loading)
    log.info("loaded %s", folder)
    if Rates.of(state.optimizer, state.scheduler) != wanted:
        log.warning(
            "%s: brings its own learning rate, schedule and weight decay, which count; pass "
            "--model-disable-lr-loading to train with those of the options",
            folder,
        )
    if state.epoch >= args.train_num_epochs > 0:
        log.warning(
            "%s has finished %d epochs, --train-num-epochs is %d: nothing is left to train; raise it, or "
            "pass --model-disable-lr-loading to begin at epoch 0",
            folder,
            state.epoch,
            args.train_num_epochs,
        )


def _resume(state: RunState, existing: list[Path], args: Namespace) -> None:
    """Go on from the newest checkpoint that is not damaged; it must fit the options."""
    rates = Rates.of(state.optimizer, state.scheduler)
    for folder in reversed(existing):
        try:
            verify(folder, noted=True)
        except UserError as error:
            log.warning("%s; trying the checkpoint before it", error)
            continue
        noted = read(folder / METADATA)
        changed = _changed_options(folder, noted, state.options(args))
        state.load(folder, strict=True)
        if not {*RATES}.isdisjoint(changed):
            rates.apply(state.optimizer, state.scheduler)
        log.info("going on from %s (epoch %d, batch %d, step %d)", folder, state.epoch, state.batch, state.step)
        if state.epoch >= args.train_num_epochs:
            log.warning("all %d epochs are done; raise --train-num-epochs to train on", args.train_num_epochs)
        return
    raise UserError(
        f"{existing[0].parent}: none of its {len(existing)} checkpoints is valid; pass --overwrite to start again"
    )


def load_model(args: Namespace, device: torch.device) -> nn.Module:
    """The network a command evaluates, in evaluation mode on `device`; `args` then names it as it is.

    ``args.model_path`` (inference) is the path of a model.pth; else ``args.model_load`` is a checkpoint folder below
    ``args.checkpoint_dir`` or absolute. Of files without notes the keys tell the shape of the network, and that it is
    SGDEM's where the released code wrote them; what was said counts more. With ``--method dpt`` it is a teacher:
    ``args.model_load`` is its name, or a file where it says or below ``args.checkpoint_dir``.

    Raises:
        UserError: when none is given, it is damaged or does not fit the options, or its keys do not tell the method
            and nobody does.
    """
    if args.method == "dpt":
        below = Path(args.checkpoint_dir) / args.model_load
        elsewhere = below.is_file() and not Path(args.model_load).is_file()
        return build_teacher(str(below) if elsewhere else args.model_load).to(device)
    path = _model_file(args)
    trained = trained_with(vars(args))[1].get("method", args.method)
    if trained != args.method:
        log.warning("--method %s: %s was trained with --method %s", args.method, path, trained)
    state = read_state_dict(path)
    if _is_ambiguous(path, state) and not {"method", "model_attention"} & {*args.said}:
        raise UserError(
            f"{path}: may be of SGDepth or of SGDEM, whose attention has no weights; pass --method sgdepth "
            "or --method sgdem"
        )
    return _opened(args, path, state, device)


def load_other(args: Namespace, checkpoint: str, device: torch.device) -> nn.Module:
    """Another network than the one that trains, from a checkpoint folder or a file, in evaluation mode.

    Its shape is what the notes beside it or its keys say; attention that neither tells is that of `args`.

    Raises:
        UserError: when it is missing, damaged or of another kind.
    """
    args = with_checkpoint(args, checkpoint)
    path = _model_file(args)
    state = read_state_dict(path)
    if _is_ambiguous(path, state) and args.model_attention != "none":
        log.warning(
            "%s: does not tell whether its network has attention; taken for one with --model-attention %s, as "
            "the network that trains",
            path,
            args.model_attention,
        )
    return _opened(args, path, state, device)


def _model_file(args: Namespace) -> Path:
    if getattr(args, "model_path", ""):
        path = Path(args.model_path)
        path = path / "model.pth" if path.is_dir() else path
        if path.name == "model.pth" and path.is_file():
            verify(path.parent, only=("model.pth",))
        return path
    if not args.model_load:
        flag = "--model-path" if hasattr(args, "model_path") else "--model-load"
        raise UserError(f"{flag}: not given; name the checkpoint to use")
    if args.model_load in TEACHERS or args.model_load.startswith("hf:"):
        raise UserError(f"--model-load {args.model_load}: a frozen teacher; eval_depth.py --method dpt evaluates it")
    path = Path(args.checkpoint_dir) / args.model_load
    if path.is_file() and path.name != "model.pth":
        return path
    verify(_named(args), only=("model.pth",))
    return _named(args) / "model.pth"


def _is_ambiguous(path: Path, state: Mapping[str, Tensor]) -> bool:
    """Whether neither notes nor keys tell SGDepth from SGDEM."""
    return bool(sgdepth_shape(state)) and not attention_of(state) and not (path.parent / METADATA).is_file()


def _opened(args: Namespace, path: Path, state: Mapping[str, Tensor], device: torch.device) -> nn.Module:
    if not (path.parent / METADATA).is_file():
        _recognise(args, path, state)
    model = build_model(args)
    copy_weights(model, state, path, strict=True)
    return model.to(device).to(memory_format=torch.channels_last).eval()
