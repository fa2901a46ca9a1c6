"""Run state <-> checkpoint folder: whole or absent, verified, in the published layout.

A checkpoint is the folder ``checkpoints/epoch_<n>`` of a run, n = finished epochs, or ``epoch_<n>_batch_<b>`` where
the run was stopped inside an epoch. In it: ``model.pth``, ``optim.pth``, ``scheduler.pth`` with state dicts,
``train.pth`` with step and epoch and what exact continuation needs, ``meta.json`` with method, options and versions,
and size and hash of every file.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from arguments import METADATA
from errors import UserError
from losses.masking import DynamicClassMask
from models import build_model
from models.weights import load_file, load_weights, read_state_dict

log = logging.getLogger(__name__)
_NAME = re.compile(r"epoch_(\d+)(?:_batch_(\d+))?")
_PACKAGES = ("torch", "torchvision", "timm", "numpy", "opencv-python-headless", "pillow")


@dataclass
class RunState:
    """All that changes while a network trains.

    `epoch` finished epochs, `batch` finished steps of the running one, `step` optimiser steps in all, `saved_step`
    those of them that the newest checkpoint holds.
    """

    model: nn.Module
    optimizer: Optimizer
    scheduler: LRScheduler
    masking: DynamicClassMask | None = None
    epoch: int = 0
    batch: int = 0
    step: int = 0
    saved_step: int = 0

    def save(self, run_folder: Path, args: Namespace) -> Path:
        """Write a checkpoint folder, whole or not at all, and drop mid-epoch ones it replaces.

        Raises:
            UserError: when the disk is full or the folder cannot be written; earlier checkpoints stay as they are.
        """
        name = f"epoch_{self.epoch}" + (f"_batch_{self.batch}" if self.batch else "")
        folder = run_folder / "checkpoints" / name
        try:
            _write_folder(folder, self._parts(), self._about(args))
        except OSError as error:
            raise UserError(f"{folder}: the checkpoint cannot be written ({error.strerror}); free some space or choose "
                            "another --checkpoint-dir, then go on with --resume auto") from None  # fmt: skip
        self.saved_step = self.step
        for other in checkpoints(run_folder):
            if "_batch_" in other.name and _order(other) < _order(folder):
                shutil.rmtree(other)
        return folder

    def _parts(self) -> dict[str, Any]:
        random_state = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            random_state["cuda"] = torch.cuda.get_rng_state_all()
        extra = {"masking": self.masking.state_dict()} if self.masking else {}
        return {
            "model.pth": self.model.state_dict(),
            "optim.pth": self.optimizer.state_dict(),
            "scheduler.pth": self.scheduler.state_dict(),
            "train.pth": {"step": self.step, "epoch": self.epoch, "batch": self.batch, "random": random_state, **extra},
        }

    def _about(self, args: Namespace) -> dict[str, Any]:
        options = {name: value for name, value in vars(args).items() if name != "config"}
        return {"method": args.method, "options": options, "versions": {name: version(name) for name in _PACKAGES},
                "epoch": self.epoch, "batch": self.batch, "step": self.step}  # fmt: skip

    def load(self, folder: Path, network_only: bool = False, strict: bool = False) -> None:
        """Continue from a checkpoint of ours or a published one, as far as it goes.

        Keys the file lacks keep their value and unknown keys are skipped, both with a warning; each file that is
        missing beside model.pth is reported. With `strict` nothing may be missing.

        Raises:
            UserError: when the folder or model.pth is missing or damaged, or a shape differs.
        """
        verify(folder)
        load_weights(self.model, folder / "model.pth", strict)
        if network_only:
            return
        self._load_part(folder / "optim.pth", self.optimizer.load_state_dict, strict)
        self._load_part(folder / "scheduler.pth", self.scheduler.load_state_dict, strict)
        self._load_part(folder / "train.pth", self._load_counters, strict)

    def _load_part(self, path: Path, load: Callable[[Any], None], strict: bool) -> None:
        if not path.is_file() and not strict:
            log.warning("%s: not there; that part starts afresh", path)
            return
        try:
            load(load_file(path))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            reason = (str(error).splitlines() or ["?"])[0]
            if strict:
                raise UserError(f"{path}: does not fit this run ({reason}); give the options it was made with, or "
                                "--overwrite to start again") from None  # fmt: skip
            log.warning("%s: does not fit and is skipped (%s); that part starts afresh", path, reason)

    def _load_counters(self, content: dict[str, Any]) -> None:
        self.epoch, self.step = int(content["epoch"]), int(content["step"])
        self.batch, self.saved_step = int(content.get("batch", 0)), self.step
        if self.masking:
            self.masking.load_state_dict(content.get("masking", {}))
        random_state = content.get("random", {})
        if "cpu" in random_state:
            torch.set_rng_state(random_state["cpu"])
        if "cuda" in random_state and torch.cuda.device_count() == len(random_state["cuda"]):
            torch.cuda.set_rng_state_all(random_state["cuda"])


def needs_pretrained(run_folder: Path, args: Namespace) -> bool:
    """Whether ImageNet weights are wanted and not replaced anyway by those of the checkpoint that will be loaded."""
    if args.train_weights_init != "pretrained" or (args.resume == "auto" and checkpoints(run_folder)):
        return False
    if not args.model_load:
        return True
    stored = read_state_dict(_named(args) / "model.pth")
    with torch.device("meta"):
        return any(".encoder." in key and key not in stored for key in build_model(args).state_dict())


def start(state: RunState, run_folder: Path, args: Namespace) -> None:
    """Bring a new run to where it begins: fresh, from ``--model-load``, or continued with ``--resume auto``.

    Raises:
        UserError: when the run folder already holds checkpoints and neither continuing nor overwriting was asked for,
            or what is to be loaded does not fit.
    """
    _sweep(run_folder / "checkpoints")
    existing = checkpoints(run_folder)
    if existing and args.resume == "never" and not args.overwrite:
        raise UserError(f"{run_folder}: already holds {len(existing)} checkpoints (last: {existing[-1].name}); "
                        "pass --resume auto to go on, --overwrite to discard them, or another --model-name"
                        )  # fmt: skip
    if existing and not args.overwrite:
        _resume(state, existing)
    elif args.model_load:
        _load(state, args)
    if state.batch > args.train_batches_per_epoch:
        raise UserError(f"--train-batches-per-epoch {args.train_batches_per_epoch}: the run was stopped behind batch "
                        f"{state.batch} of its epoch; give at least that many")  # fmt: skip
    if args.overwrite:
        shutil.rmtree(run_folder / "checkpoints", ignore_errors=True)


def _named(args: Namespace) -> Path:
    """Folder of ``--model-load``; the path of its model.pth will do as well."""
    path = Path(args.checkpoint_dir) / args.model_load
    return path.parent if path.name == "model.pth" else path


def _load(state: RunState, args: Namespace) -> None:
    folder = _named(args)
    state.load(folder, network_only=args.model_disable_lr_loading)
    log.info("loaded %s", folder)
    if state.epoch >= args.train_num_epochs > 0:
        log.warning("%s has finished %d epochs, --train-num-epochs is %d: nothing is left to train; raise it, or "
                    "pass --model-disable-lr-loading to begin at epoch 0", folder, state.epoch, args.train_num_epochs
                    )  # fmt: skip


def _resume(state: RunState, existing: list[Path]) -> None:
    """Go on from the newest checkpoint that is not damaged; it must fit the options."""
    for folder in reversed(existing):
        try:
            verify(folder)
        except UserError as error:
            log.warning("%s; trying the checkpoint before it", error)
            continue
        state.load(folder, strict=True)
        log.info("going on from %s (epoch %d, batch %d, step %d)", folder, state.epoch, state.batch, state.step)
        return
    raise UserError(f"{existing[0].parent}: none of its {len(existing)} checkpoints is valid; "
                    "pass --overwrite to start again")  # fmt: skip


def checkpoints(run_folder: Path) -> list[Path]:
    """Checkpoint folders of a run, oldest first."""
    folder = run_folder / "checkpoints"
    found = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)] if folder.is_dir() else []
    return sorted(found, key=_order)


def _order(folder: Path) -> tuple[int, int]:
    epoch, batch = _NAME.fullmatch(folder.name).groups(default="0")
    return int(epoch), int(batch)


def verify(folder: Path) -> None:
    """Compare a checkpoint of ours with the sizes and hashes noted in it; others are only looked for.

    Raises:
        UserError: naming the file that is missing or damaged.
    """
    if not (folder / "model.pth").is_file():
        raise UserError(f"{folder}: holds no model.pth; give the folder of a checkpoint, "
                        "such as .../checkpoints/epoch_20, in --model-load")  # fmt: skip
    if not (folder / METADATA).is_file():
        return
    try:
        files = json.loads((folder / METADATA).read_text(encoding="utf-8"))["files"]
        for name, noted in files.items():
            path = folder / Path(name).name
            if not path.is_file() or path.stat().st_size != noted["bytes"] or _hash(path) != noted["sha256"]:
                raise UserError(f"{path}: damaged (size or hash is not what {METADATA} notes); use another checkpoint")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{folder / METADATA}: damaged ({error}); use another checkpoint") from None


def load_model(args: Namespace, device: torch.device) -> nn.Module:
    """The network a command evaluates, in evaluation mode on `device`.

    ``args.model_path`` (inference) is the path of a model.pth; else ``args.model_load`` is a checkpoint folder below
    ``args.checkpoint_dir`` or absolute.

    Raises:
        UserError: when none is given, or it is damaged or does not fit the options.
    """
    if getattr(args, "model_path", ""):
        path = Path(args.model_path)
        if path.is_dir():
            path = path / "model.pth"
    elif args.model_load:
        path = _named(args) / "model.pth"
        verify(path.parent)
    else:
        flag = "--model-path" if hasattr(args, "model_path") else "--model-load"
        raise UserError(f"{flag}: not given; name the checkpoint to use")
    model = build_model(args)
    load_weights(model, path, strict=True)
    return model.to(device).to(memory_format=torch.channels_last).eval()


def _write_folder(folder: Path, parts: dict[str, Any], about: dict[str, Any]) -> None:
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    previous = folder.with_name(f".{folder.name}.{os.getpid()}.old.tmp")
    try:
        temporary.mkdir(parents=True)
        files = {}
        for name, content in parts.items():
            with (temporary / name).open("wb") as file:
                _save(content, file)
            files[name] = {"bytes": (temporary / name).stat().st_size, "sha256": _hash(temporary / name)}
        with (temporary / METADATA).open("w", encoding="utf-8") as file:
            json.dump({**about, "files": files}, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        _sync(temporary)
        if folder.exists():
            folder.rename(previous)
        temporary.rename(folder)
        _sync(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(previous, ignore_errors=True)


def _save(content: Any, file: Any) -> None:
    try:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    except RuntimeError as error:  # torch hides the error of the file system
        raise OSError(28, "writing failed; the disk may be full") from error


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sweep(folder: Path) -> None:
    """Remove what a killed writer left; a checkpoint it had moved aside comes back."""
    for path in folder.glob(".epoch_*.tmp"):
        original = folder / path.name[1:].split(".")[0]
        if path.name.endswith(".old.tmp") and not original.exists():
            path.rename(original)
        else:
            shutil.rmtree(path, ignore_errors=True)
