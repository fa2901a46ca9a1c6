"""What a path holds of a network, which methods may have written it, and how it comes into one of ours."""

from __future__ import annotations

import logging
import os
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from errors import UserError
from presets.values import as_flag
from storage import safe
from storage.catalogue import is_name, method_of
from storage.checkpoint_folder import verify
from storage.in_use import hold
from storage.notes import METADATA, notes_of
from storage.published import locate
from storage.weights import Fit, State, copy_weights, read_parts, read_state

from . import METHODS, keys
from .method import Adopted

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stored:
    """A network as files hold it.

    path:  file or folder, for messages
    state: what it says; `noted` where notes of ours lie beside it
    parts: its files, where they are several
    """

    path: Path
    state: State
    noted: bool
    parts: tuple[Path, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """All that was read."""
        return self.parts or (self.path,)

    def adopted(self, method: str) -> Adopted:
        """Weights under the keys of our network; as they are where the file is no published one of this method."""
        found = None if self.noted else keys(method).adopt(self.state)
        return found or Adopted({key: value for key, value in self.state.items() if isinstance(value, Tensor)})


def located(name: str, runs: str) -> Path | None:
    """Where a file or folder lies that an option names: below the folder of all runs or where it says, or None."""
    return next((path.absolute() for path in (Path(runs) / name, Path(name)) if path.exists()), None)


def source_of(args: Namespace) -> Path:
    """File or folder of the network that ``--model-path`` or ``--model-load`` names; a published one may be fetched.

    Raises:
        UserError: when none is given, a published one is not there, or it is a frozen one, which is no checkpoint.
    """
    flag = "--model-path" if hasattr(args, "model_path") else "--model-load"
    name = getattr(args, "model_path", "") or args.model_load
    if not name:
        raise UserError(f"{flag}: not given; name the checkpoint to use")
    path = Path(name) if getattr(args, "model_path", "") else Path(args.checkpoint_dir) / name
    if os.path.exists(path) or not is_name(name):
        return path
    if method_of(name) and not METHODS[method_of(name)].trained:
        frozen = method_of(name)
        raise UserError(
            f"{flag} {name}: a frozen teacher; eval_depth.py --method {frozen} evaluates it, and inference.py --method "
            f"{frozen} shows what it sees"
        )
    return locate(name, args.fetch)


def read_asked(args: Namespace) -> Stored:
    """What ``--model-path`` or ``--model-load`` names, and ``--model-decoder-path`` where a network is in two files."""
    decoder = args.model_decoder_path
    below = Path() if getattr(args, "model_path", "") else Path(args.checkpoint_dir)
    return read_network(source_of(args), decoder=below / decoder if decoder else None)


def read_network(source: Path, keep: bool = True, decoder: Path | None = None) -> Stored:
    """What a checkpoint folder, a weight file, a published folder or one with a single weight file holds.

    keep:    no training removes the checkpoint as long as this process lives
    decoder: the other file of a network that was published in two

    Raises:
        UserError: when it is missing, damaged or none of these.
    """
    if decoder:
        return _read_pair(source, decoder)
    if source.name == "model.pth":
        source = source.parent
    if keep:
        hold(source if source.is_file() else source / "model.pth")
    if source.is_file():
        return Stored(source, read_state(source), notes_of(source) is not None)
    if not (source / "model.pth").is_file():
        if (source / safe.FILE).is_file():
            return read_network(source / safe.FILE, keep)
        for method in METHODS.values():
            if method.parts and (source / f"{next(iter(method.parts))}.pth").is_file():
                found = tuple(path for part in method.parts if (path := source / f"{part}.pth").is_file())
                return Stored(source, read_parts(source, tuple(method.parts)), noted=False, parts=found)
        files = [] if (source / METADATA).is_file() else [*source.glob("*.pth"), *source.glob("*.pkl")]
        encoders, decoders = ([file for file in files if part in file.name.lower()] for part in ("encoder", "decoder"))
        if len(encoders) == len(decoders) == 1 and len(files) == 2:
            return _read_pair(encoders[0], decoders[0])
        if len(files) == 1:  # a published file, in a folder of its own
            return Stored(files[0], read_state(files[0]), noted=False)
    verify(source, only=("model.pth",))
    return Stored(source / "model.pth", read_state(source / "model.pth"), (source / METADATA).is_file())


def _read_pair(encoder: Path, decoder: Path) -> Stored:
    """A network published in two files, under the keys of both.

    Raises:
        UserError: when one is no weight file, or both hold the same part.
    """
    for path in (encoder, decoder):
        if path.is_dir():
            raise UserError(f"{path}: a folder; --model-decoder-path goes with two files")
        hold(path)
    first, second = read_state(encoder), read_state(decoder)
    if common := first.keys() & second.keys():
        raise UserError(
            f"{encoder} and {decoder}: both hold {min(common)}, so they are not encoder and decoder of one network; "
            "--model-decoder-path names the file of the decoder"
        )
    return Stored(encoder, {**first, **second}, noted=False, parts=(encoder, decoder))


def candidates_of(stored: Stored) -> dict[str, Adopted]:
    """The methods whose published file this may be."""
    found = {name: keys(name).adopt(stored.state) for name, method in METHODS.items() if method.trained}
    return {name: adopted for name, adopted in found.items() if adopted}


def resemblance(stored: Stored, decoder: str = "--model-decoder-path") -> str:
    """What a file looks like that does not serve: its values that are no tensors, and whose it may be, for messages.

    decoder: option that names the second file of a pair
    """
    if candidates := candidates_of(stored):
        return f"it looks like one of --method {' or '.join(candidates)}"
    plain = [key for key, value in stored.state.items() if not isinstance(value, Tensor)]
    words = ["no method knows its keys", *([f"beside tensors it holds {', '.join(plain[:5])}"] if plain else [])]
    for name, method in METHODS.items():
        halves = [part for part, key in zip(("encoder", "decoder"), method.pair, strict=False) if key in stored.state]
        if halves:
            return (
                f"it looks like the {halves[0]} of a published pair of --method {name}; give both files, that of the "
                f"decoder by {decoder}"
            )
    for name, method in METHODS.items():
        alone = [part for part, key in method.parts.items() if key in stored.state]
        there = [part for part, key in method.parts.items() if f"{part}.{key}" in stored.state]
        if alone:
            what = " or ".join(f"{part}.pth" for part in alone)
            words.append(
                f"it looks like {what} of a published folder of --method {name}; give the folder with all files"
            )
        elif there:
            what = ", ".join(f"{part}.pth" for part in there)
            words.append(f"of the published files of --method {name} it has {what} alone; add the others")
        if alone or there:
            return "; ".join(words)
    return "; ".join(words)


def load_into(model: nn.Module, stored: Stored, method: str, strict: bool) -> None:
    """Copy what files hold into a network.

    strict: every tensor must fit, but for tasks the file has nothing for; otherwise what does not is reported

    Raises:
        UserError: with what does not fit, and what to do.
    """
    adopted = stored.adopted(method)
    lacking = tuple(start for starts in adopted.lacks.values() for start in starts)
    mine = model.state_dict() if strict and lacking else {}
    own = {key: value for key, value in mine.items() if key.startswith(lacking)}

    if adopted.unused:
        log.info("%s: %d tensors that the network never uses are left out", stored.path, adopted.unused)

    def remedy(fit: Fit) -> str:
        return _remedy(model, adopted.state, stored, method, fit, strict)

    copy_weights(model, {**own, **adopted.state}, stored.path, strict, remedy)


def _remedy(model: nn.Module, state: Mapping[str, Tensor], stored: Stored, method: str, fit: Fit, strict: bool) -> str:
    theirs, ours = (keys(method).adopt(each) for each in (state, model.state_dict()))
    if not theirs:
        return f"{resemblance(stored)}; give a checkpoint of --method {method}"
    # Parts that can be on or off may be missing where not everything has to fit.
    flags = [
        as_flag(name, value)
        for name, value in theirs.options.items()
        if ours.options.get(name) != value and (strict or not isinstance(value, bool))
    ]
    if flags:
        return f"pass {' '.join(flags)}"
    parts = sorted({key.split(".")[0] for key in fit.missing} - {key.split(".")[0] for key in state})
    if parts:
        return f"it holds nothing of {', '.join(parts)}; give a checkpoint of the whole network"
    return f"it was made by another network; give a checkpoint of --method {method}"
