"""Which network a path holds, and where a training begins; files of ours and published ones."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

import arguments
import methods
from arguments import as_table, trained_with, with_checkpoint
from dataloader.cache.teacher import noted_maps
from engine import ranks
from engine.run_folder import newest_options, refuse_used
from engine.run_state import RunState
from errors import UserError
from methods import METHODS
from methods.method import Adopted, Task
from methods.stored import Stored, candidates_of, load_into, located, read_asked, read_network, resemblance
from presets.option import BETWEEN, FREE, NOTED, REFUSED
from presets.resume import RATES, changes
from storage.catalogue import method_of
from storage.checkpoint_folder import checkpoints, discard, verify
from storage.notes import METADATA, read
from storage.published import identity_of
from storage.uploads import own_upload

log = logging.getLogger(__name__)
USUAL = (192, 640)
"""(height, width) of images in training, where nobody says otherwise."""
Asked = Literal["network", "patches", "images"]
"""What a teacher is opened for."""


@dataclass(frozen=True)
class Opener:
    """Builds a network that was found on a device, in evaluation mode; `files` hold it, () where none is known."""

    build: Callable[[torch.device], nn.Module]
    files: tuple[Path, ...]

    def __call__(self, device: torch.device) -> nn.Module:
        """The network."""
        return self.build(device)


def find_network(args: Namespace, task: Task) -> Opener:
    """Look for the network that a command asks for a task; `args` then names it as it is.

    ``args.model_path`` (inference) is a path; else ``args.model_load`` is one below ``args.checkpoint_dir`` or
    absolute. Of files without notes the keys tell method and shape, as far as they do; what was said counts more.
    Frozen networks are named by ``args.model_load``.

    Raises:
        UserError: when none is given, it is damaged, has nothing for the task or does not fit the options, or its keys
            do not tell the method and nobody does.
    """
    if not METHODS[args.method].trained:
        return Opener(lambda device: methods.building(args.method).network(args).to(device), ())
    stored = read_asked(args)
    trained = trained_with(vars(args))[1].get("method", args.method)
    if trained != args.method:
        log.warning("--method %s: %s was trained with --method %s", args.method, stored.path, trained)
    if not stored.noted:
        _recognise(args, stored)
    if task in stored.adopted(args.method).lacks:
        raise UserError(f"{stored.path}: holds nothing for {task}; give a file or folder of the whole network")
    return Opener(lambda device: _opened(args, stored, device), stored.files)


def open_network(args: Namespace, purpose: Task) -> tuple[nn.Module, torch.device, tuple[Path, ...]]:
    """The network that an evaluation names, refined where that is asked for, its device, and the files it came from.

    Raises:
        UserError: when it cannot be used for this purpose.
    """
    from engine.device import compile_parts, prepare_torch
    from methods.refinement import as_it_is, open_refinement

    build = find_network(args, purpose)
    refine = open_refinement(args, f"{purpose}_validation") if purpose == "depth" else as_it_is
    device = prepare_torch(args)
    network = build(device)
    if args.sys_compile:
        compile_parts(network, device)
    return refine(network).to(device), device, build.files


def load_other(args: Namespace, checkpoint: str, device: torch.device, decoder: str = "") -> nn.Module:
    """Another network than the one that trains, from a checkpoint or a file, or two files, in evaluation mode.

    Its method and shape are what the notes beside it or its keys say; what neither tells is as in `args`.

    Raises:
        UserError: when it is missing, damaged or of another kind.
    """
    told = with_checkpoint(args, checkpoint, decoder)
    stored = read_asked(told)
    if not stored.noted:
        candidates = candidates_of(stored)
        method = args.method if args.method in candidates else next(iter(candidates), args.method)
        if len(candidates) > 1:
            why = ", as the network that trains" if method == args.method and args.command == "train" else ""
            log.warning(
                "%s: may be of --method %s; taken for one of %s%s", stored.path, " or ".join(candidates), method, why
            )
        told = with_checkpoint(args, checkpoint, decoder, method)
        if method in candidates:
            _settle(told, candidates[method], stored.path)
    return _opened(told, stored, device).requires_grad_(False)


def teacher_door(args: Namespace, device: torch.device) -> Callable[..., nn.Module]:
    """What opens a teacher: the name or file of a frozen network of others, a checkpoint of any method of ours, or the
    two files, encoder and decoder, of a published one.

    Files and folders lie where their name says, or below the folder of all runs. Frozen networks of others that are
    missing are downloaded. None of them learns, whatever it is part of.
    """
    from models import build_teacher
    from models.teacher import OwnTeacher

    def open_teacher(name: str, decoder: str = "", asked: Asked = "network") -> nn.Module:
        """The network as it is, with its features and branches, or, where it is asked about `patches` or `images`, in
        the one form of `models.teacher`: RGB (N, 3, h, w) in [0, 1] -> inverse depth (N, h, w).
        """
        name = str(own_upload(name, fetch=True) or name)
        path = located(name, args.checkpoint_dir)
        if decoder:
            return load_other(args, str(path or name), device, str(located(decoder, args.checkpoint_dir) or decoder))
        if path and not method_of(name):
            stored = read_network(path)
            if stored.noted or candidates_of(stored):
                network = load_other(args, str(path), device)
                if asked == "network":
                    return network
                return OwnTeacher(network, identity_of(path), _trained_size(path, stored), native=asked == "patches")
            name = str(path)
        elif not path and "/" in name and not (Path(name).suffix or name.startswith("hf:")):
            raise UserError(
                f"{name}: not there, nor below {args.checkpoint_dir or 'a folder of runs'}; name what is there"
            )
        return build_teacher(name, native=asked != "images", fetch=True).to(device)

    return open_teacher


def _trained_size(path: Path, stored: Stored) -> tuple[int, int]:
    """(height, width) of the images that a network was trained at, as far as it is told; else the usual one."""
    if stored.noted:
        options = trained_with({"model_path": str(path)})[1]
    else:
        options = next(iter(candidates_of(stored).values())).options
    height, width = (
        int(options.get(f"depth_resize_{side}", usual)) for side, usual in zip(("height", "width"), USUAL, strict=True)
    )
    return height, width


def settle_network(run_folder: Path, args: Namespace) -> Stored | None:
    """Before the network of a training is built: let `args` name the one ``--model-load`` holds, where its keys tell.

    A run that goes on keeps the network it began with.

    Returns: what ``--model-load`` holds; None where nothing is loaded from there.

    Raises:
        UserError: when the file is missing or damaged, or the second one of a pair is named alone.
    """
    if not args.model_load:
        if args.model_decoder_path:
            raise UserError(
                f"--model-decoder-path {args.model_decoder_path}: goes with the encoder, which --model-load names; "
                "give both files"
            )
        return None
    existing = checkpoints(run_folder) if args.resume == "auto" else []
    if existing:
        noted = newest_options(existing)
        if noted.get("method") == args.method:
            shape = arguments.network_options(args.method)
            told = Adopted({}, {name: noted[name] for name in shape if name in noted})
            _settle(args, told, existing[-1])
        return None
    stored = read_asked(args)
    if not stored.noted and not trained_with(vars(args))[1]:  # else the network of the options gets what fits
        candidates = candidates_of(stored)
        if [*candidates] == [args.method]:  # where several methods have these keys, the network is that of the recipe
            _settle(args, candidates[args.method], stored.path)
    return stored


def needs_pretrained(run_folder: Path, args: Namespace, stored: Stored | None) -> bool:
    """Whether ImageNet weights are wanted and not replaced anyway by those of the checkpoint that will be loaded.

    stored: as `settle_network` returned it
    """
    if args.train_weights_init != "pretrained" or (args.resume == "auto" and checkpoints(run_folder)):
        return False
    if not stored:
        return True
    held = stored.adopted(args.method).state
    with torch.device("meta"):
        network = methods.building(args.method).network(args)
    return any(key not in held for key in network.state_dict() if "encoder." in key or key.startswith("layer0."))


def compared_options(args: Namespace, samples: tuple[int, ...]) -> dict[str, Any]:
    """What a run that goes on is compared with: all options, and what they mean here.

    samples: how many each data set holds
    """
    options = as_table(args)
    return options | {"nproc_per_node": ranks.rank_and_size()[1], "samples": samples} | noted_maps(options)


def start(state: RunState, run_folder: Path, args: Namespace, stored: Stored | None = None) -> None:
    """Bring a new run to where it begins: fresh, from ``--model-load``, or continued with ``--resume auto``.

    stored: what ``--model-load`` holds, as `settle_network` returned it

    Raises:
        UserError: when the run folder already holds checkpoints and neither continuing nor overwriting was asked for,
            or what is to be loaded does not fit.
    """
    refuse_used(run_folder, args)
    existing = checkpoints(run_folder)
    if existing and not args.overwrite:
        _resume(state, existing, args)
    elif stored:
        _load(state, stored, args)
    if state.batch > args.train_batches_per_epoch:
        raise UserError(
            f"--train-batches-per-epoch {args.train_batches_per_epoch}: the run was stopped behind batch {state.batch} "
            "of its epoch; give at least that many"
        )
    ranks.all_reduce_max()  # all have read what they need
    if args.overwrite and ranks.is_first():
        for name in ("checkpoints", "bad_steps"):
            discard(run_folder / name)


def _load(state: RunState, stored: Stored, args: Namespace) -> None:
    """Begin from ``--model-load``: the network, and of a folder of ours or SGDepth's all else that is in it."""
    wanted, whole = state.schedule.settings, stored.path.name == "model.pth"
    folder = stored.path.parent if whole else stored.path
    if whole:
        verify(folder)
    load_into(state.model, stored, args.method, strict=False)
    if whole and not args.model_disable_lr_loading and not state.load_progress(folder) and state.epoch:
        log.warning(
            "%s: goes on behind epoch %d, though not all of its training fits; pass --model-disable-lr-loading to "
            "begin at epoch 0",
            folder,
            state.epoch,
        )
    log.info("loaded %s", folder)
    if state.schedule.settings != wanted:
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
    settings = state.schedule.settings
    for folder in reversed(existing):
        try:
            verify(folder, noted=True)
        except UserError as error:
            log.warning("%s; trying the checkpoint before it", error)
            continue
        noted = read(folder / METADATA)
        arguments.refuse_network_of_others(noted["options"], args.method, folder / METADATA)
        changed = _changed_options(folder, noted, state.options)
        load_into(state.model, read_network(folder, keep=False), args.method, strict=True)
        state.load_progress(folder, strict=True)
        if not {*RATES}.isdisjoint(changed):
            state.schedule.settings = settings
        log.info("going on from %s (epoch %d, batch %d, step %d)", folder, state.epoch, state.batch, state.step)
        if state.epoch >= args.train_num_epochs:
            log.warning("all %d epochs are done; raise --train-num-epochs to train on", args.train_num_epochs)
        return
    raise UserError(
        f"{existing[0].parent}: none of its {len(existing)} checkpoints is valid; pass --overwrite to start again"
    )


def _changed_options(folder: Path, noted: Mapping[str, Any], now: Mapping[str, Any]) -> set[str]:
    """Names of the options that are others than those of a checkpoint; says which, each after its rule.

    Raises:
        UserError: when the run cannot go on with one of them.
    """
    before = noted_maps(noted["options"]) | noted["options"]
    changed = changes(arguments.options_of("train"), before, now)
    refused = changed.get(REFUSED, {})
    if refused:
        raise UserError(
            f"{folder}: goes on with the network it has, not with {', '.join(refused.values())}; give the old value, "
            "or another --model-name"
        )
    if noted.get("batch") and BETWEEN in changed:
        raise UserError(
            f"{folder}: stopped inside an epoch, which does not go on with {', '.join(changed[BETWEEN].values())}; "
            "give the old value until the epoch ends"
        )
    free = changed.get(FREE, {})
    warned = changed.get(BETWEEN, {}) | changed.get(NOTED, {})
    if warned:
        log.warning("%s: learns something else from here on with %s", folder, ", ".join(warned.values()))
    if free:
        log.info("with %s", ", ".join(free.values()))
    return {*warned}


def _recognise(args: Namespace, stored: Stored) -> None:
    """Let `args` name the network of a file without notes, as far as keys tell and nobody said otherwise.

    Raises:
        UserError: when several methods may have written it and nobody says which, or none has.
    """
    candidates = candidates_of(stored)
    if "method" not in args.said:
        taken = [name for name in candidates if name in arguments.methods_of(args.command)]
        if candidates and not taken:
            raise UserError(
                f"{stored.path}: a network of --method {' or '.join(candidates)}, which {args.command}.py does not take"
            )
        known = {name: {option.name for option in arguments.options_of(args.command, name)} for name in taken}
        able = [name for name in taken if known[name].issuperset(args.said)]
        if len(able) > 1:
            raise UserError(
                f"{stored.path}: may be of {' or of '.join(able)}, whose files have the same keys; pass --method "
                f"{' or --method '.join(able)}"
            )
        if able:
            told = arguments.reparsed(args, able[0])
            vars(args).clear()
            vars(args).update(vars(told))
    if args.method not in candidates:
        raise UserError(f"{stored.path}: holds no network of --method {args.method}; {resemblance(stored)}")
    _settle(args, candidates[args.method], stored.path)


def _settle(args: Namespace, adopted: Adopted, source: Path) -> None:
    """Let `args` say what a file tells, where nobody said otherwise."""
    for name, sentence in adopted.doubts.items():
        if name not in args.said:
            log.warning("%s: %s", source, sentence)
    changed = arguments.adopt(args, adopted.options, source)
    if changed:
        log.info("%s: has %s", source, ", ".join(f"{name} {value}" for name, value in changed.items()))


def _opened(args: Namespace, stored: Stored, device: torch.device) -> nn.Module:
    model = methods.building(args.method).network(args)
    load_into(model, stored, args.method, strict=True)
    return model.to(device).to(memory_format=torch.channels_last).eval()
