"""State dicts from files, and how well they fit a network. Nothing in a file is ever executed."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from errors import UserError

from .scan import Refused, check_loaded, scan

log = logging.getLogger(__name__)
_PREFIXES = ("module.", "_orig_mod.")  # of DistributedDataParallel and torch.compile
_GAIN = "common.attended.attention.gain"
_UNUSED = re.compile(r"(common|pose)\.encoder\.(dilated_conv\.conv|convx)\.(weight|bias)")  # by the released SGDEM code


def load_file(path: Path, repeated: bool = False) -> Any:
    """Content of a file written by ``torch.save``, in the zip or the older container, on the CPU.

    It takes no more memory than the file is large. With `repeated`, tensors may say that they repeat what is stored of
    them, and become larger where they are copied: compare their shapes first.

    Raises:
        UserError: when the file is missing, damaged, or holds anything but tensors and plain values.
    """
    try:
        scan(path)
        with path.open("rb") as file:
            content = torch.load(file, map_location="cpu", weights_only=True)
        check_loaded(content, repeated)
        return content
    except Exception as error:  # torch raises a dozen kinds for damaged files
        if isinstance(error, OSError) and error.filename is not None:
            raise UserError(f"{path}: cannot be read ({error.strerror}); give the path of a checkpoint") from None
        log.debug("%s: %s", path, error)
        reason = f" ({error})" if isinstance(error, Refused) else ""
        raise UserError(
            f"{path}: not a checkpoint, damaged, or holding code instead of tensors{reason}; give the path "
            "of a model.pth, or fetch or write it again"
        ) from None


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """State dict of a network, without the prefixes that wrappers put before the names.

    Raises:
        UserError: as `load_file`, or when the file holds something else than a state dict.
    """
    content = load_file(path, repeated=True)
    for wrapper in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    is_state = (
        isinstance(content, Mapping)
        and content
        and all(isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items())
    )
    if not is_state:
        raise UserError(f"{path}: holds no state dict of a network; give the path of a model.pth")
    return {_without_prefixes(key): value for key, value in content.items()}


def _without_prefixes(key: str) -> str:
    while key.startswith(_PREFIXES):
        key = key.removeprefix("module.").removeprefix("_orig_mod.")
    return key


@dataclass(frozen=True)
class Fit:
    """Keys a network misses in a file, keys it does not know, and keys whose shapes differ."""

    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    reshaped: tuple[str, ...]
    total: int

    @property
    def is_whole(self) -> bool:
        """True where every tensor finds its place."""
        return not (self.missing or self.unknown or self.reshaped)


def compare(model: nn.Module, state: Mapping[str, Tensor]) -> Fit:
    """How a state dict fits; batch counters that old files lack are not missed."""
    own = model.state_dict()
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    unknown = [key for key in state if key not in own]
    reshaped = [key for key in own if key in state and own[key].shape != state[key].shape]
    return Fit(tuple(missing), tuple(unknown), tuple(reshaped), len(own))


def describe(fit: Fit) -> str:
    """Counts with the first keys: ``12 of 296 missing (first: a, b, c)``."""
    parts = []
    for keys, what in ((fit.reshaped, "have another shape"), (fit.missing, "missing"), (fit.unknown, "unknown")):
        if keys:
            of = f" of {fit.total}" if what != "unknown" else ""
            parts.append(f"{len(keys)}{of} tensors {what} (first: {', '.join(keys[:3])})")
    return "; ".join(parts)


def sgdepth_shape(state: Mapping[str, Tensor]) -> dict[str, int | bool]:
    """Options of the SGDepth network a state dict was made with, as far as its keys tell; {} for other networks."""
    if "common.encoder.encoder.conv1.weight" not in state:
        return {}
    shape: dict[str, int | bool] = {
        "model_num_layers": _resnet_layers(state, "common.encoder.encoder."),
        "model_attention_gain": _GAIN in state,
        "model_aspp": any(key.startswith("common.attended.aspp.") for key in state),
    }
    if any(".decoder.blocks." in key for key in state):
        shape["model_split_pos"] = (_count(state, r"common\.decoder\.blocks\.step_(\d+)\.conv\.weight") + 1) // 2
    if "depth.multires.convs.0.weight" in state:
        shape["model_depth_resolutions"] = _count(state, r"depth\.multires\.convs\.(\d+)\.weight")
    if "pose.encoder.encoder.conv1.weight" in state:
        shape["model_num_layers_pose"] = _resnet_layers(state, "pose.encoder.encoder.")
    if "seg.multires.convs.0.weight" in state:
        shape["model_num_classes"] = next(iter(state["seg.multires.convs.0.weight"].shape), 0)
    return shape


def attention_of(state: Mapping[str, Tensor]) -> str:
    """Attention an SGDepth or SGDEM network was made with, where its keys tell; attention itself has no weights.

    Layers that the released SGDEM code has and never uses mean ``released``, a learned gain means ``bottleneck``;
    "" where both methods have the same keys.
    """
    if any(".convx." in key for key in state):
        return "released"
    return "bottleneck" if _GAIN in state else ""


def _count(keys: Iterable[str], pattern: str) -> int:
    return sum(re.fullmatch(pattern, key) is not None for key in keys)


def _resnet_layers(keys: Iterable[str], prefix: str) -> int:
    blocks = _count(keys, re.escape(prefix) + r"layer\d\.\d+\.conv1\.weight")
    per_block = 3 if f"{prefix}layer1.0.conv3.weight" in keys else 2
    return per_block * blocks + 2


def load_weights(model: nn.Module, path: Path, strict: bool) -> None:
    """Copy the state dict of a file into a network; see `copy_weights`."""
    copy_weights(model, read_state_dict(path), path, strict)


def copy_weights(model: nn.Module, state: Mapping[str, Tensor], path: Path, strict: bool) -> None:
    """Copy a state dict into a network.

    Args:
        model: any network.
        state: as `read_state_dict` gives it.
        path: where it is from, a model.pth in either container of torch, ours or published.
        strict: every tensor must fit; otherwise missing and unknown keys are only reported.

    Layers that the released SGDEM code stores and never uses are left out.

    Raises:
        UserError: with counts, the first keys and the options to change where they can be told.
    """
    unused = {key for key in state if _UNUSED.fullmatch(key)}
    state = {key: value for key, value in state.items() if key not in unused}
    fit = compare(model, state)
    nothing = not any(key in state for key in model.state_dict())
    if nothing or fit.reshaped or (strict and not fit.is_whole):
        raise UserError(f"{path}: {describe(fit)}; {_remedy(model, state, fit, strict)}")
    if unused:
        log.info("%s: %d tensors of layers that the released SGDEM code never uses are left out", path, len(unused))
    if not fit.is_whole:
        log.warning("%s: %s; missing ones keep their values, unknown ones are skipped", path, describe(fit))
    model.load_state_dict(state, strict=False)


def _remedy(model: nn.Module, state: Mapping[str, Tensor], fit: Fit, strict: bool) -> str:
    theirs, ours = sgdepth_shape(state), sgdepth_shape(model.state_dict())
    # Parts that can be on or off may be missing where not everything has to fit.
    flags = [
        _flag(name, value)
        for name, value in theirs.items()
        if ours.get(name) != value and (strict or not isinstance(value, bool))
    ]
    if flags:
        return f"pass {' '.join(flags)}"
    parts = sorted({key.split(".")[0] for key in fit.missing} - {key.split(".")[0] for key in state})
    if theirs and parts:
        return f"it holds nothing of {', '.join(parts)}; give a checkpoint of the whole network"
    return "it was made by another network; give a checkpoint of this --method"


def _flag(name: str, value: int | bool) -> str:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    return f"--{flag} {value}"
