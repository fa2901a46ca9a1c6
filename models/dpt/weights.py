"""Published weight files of DPT, recognised by their keys and put into our network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from errors import UserError
from storage.weights import compare, describe, read_state_dict

from .backbone import VARIANTS
from .network import DPT
from .same import SameConv2d, standardised

NAMES = (
    (r"pretrained\.model\.", "backbone.vit."),
    (r"pretrained\.act_postprocess(\d)\.0\.project\.0\.", r"reassemble.\1.readout."),
    (r"pretrained\.act_postprocess(\d)\.3\.", r"reassemble.\1.project."),
    (r"pretrained\.act_postprocess(\d)\.4\.", r"reassemble.\1.resize."),
    (r"scratch\.layer(\d)_rn\.", r"narrow.\1."),
    (r"scratch\.refinenet(\d)\.resConfUnit1\.", r"fuse.\1.skip."),
    (r"scratch\.refinenet(\d)\.resConfUnit2\.", r"fuse.\1.main."),
    (r"scratch\.refinenet(\d)\.", r"fuse.\1."),
    (r"scratch\.output_conv\.", "head."),
)
"""How keys of published files begin -> how ours do; the first that fits counts."""
UNUSED = re.compile(r"pretrained\.model\.(norm|head)\.|scratch\.refinenet4\.resConfUnit1\.")
"""Keys of layers that do not reach the output."""
_POSITION = "pretrained.model.pos_embed"
_WANTED = "give a file of DPT-Hybrid or DPT-Large for depth"


def our_name(key: str) -> str:
    """Key of a published file -> key of `DPT`."""
    for pattern, ours in NAMES:
        if match := re.match(pattern, key):
            return match.expand(ours) + key[match.end() :]
    return key


def variant_of(state: Mapping[str, Tensor], where: object) -> str:
    """Which network the keys of a published file belong to.

    Raises:
        UserError: beginning with `where`, for other networks of the family and anything else.
    """
    if any("relative_position" in key for key in state):
        raise UserError(
            f"{where}: weights of a BEiT or Swin transformer (MiDaS 3.1), which are not read here; "
            "use such a model through hf:<id>"
        )
    if _POSITION in state and any(".bn1." in key or key.startswith("auxlayer.") for key in state):
        raise UserError(f"{where}: a segmentation network; {_WANTED}")
    found = state[_POSITION].shape[-1] if _POSITION in state else 0
    hybrid = any(".patch_embed.backbone." in key for key in state)
    for name, variant in VARIANTS.items():
        if variant.width == found and bool(variant.stages) == hybrid:
            return name
    raise UserError(f"{where}: not a weight file of DPT; {_WANTED}")


def network_of(state: Mapping[str, Tensor], where: object, expected: str = "", **scaling: float) -> DPT:
    """The network whose weights a published file holds, all of them.

    state: keys as published; expected: variant its name promises, "" for any; scaling: scale and shift of `DPT`

    Raises:
        UserError: beginning with `where`, when it is another network or tensors are missing or unknown.
    """
    variant = variant_of(state, where)
    if variant != (expected or variant):
        raise UserError(
            f"{where}: holds DPT-{variant.title()}, its name says DPT-{expected.title()}; "
            "give the file its own name, or fetch it again"
        )
    with torch.device("meta"):
        network = DPT(variant, **scaling)
    ours = {our_name(key): value.float().contiguous() for key, value in state.items() if not UNUSED.match(key)}
    fit = compare(network, ours)
    if not fit.is_whole:
        raise UserError(f"{where}: {describe(fit)}; fetch the file again, or {_WANTED}")
    for name, module in network.named_modules():
        if isinstance(module, SameConv2d):
            ours[f"{name}.weight"] = standardised(ours[f"{name}.weight"])
    network.load_state_dict(ours, assign=True)
    return network


def load(path: Path, expected: str = "", **scaling: float) -> DPT:
    """`network_of` a file.  Raises: UserError, also when it is missing, damaged, or holds code."""
    return network_of(read_state_dict(path), path, expected, **scaling)
