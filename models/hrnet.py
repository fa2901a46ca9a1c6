"""HRNet-W18 as an encoder: five maps of one image, 1/2 to 1/32 of its size."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import Tensor, nn

from errors import UserError, reason_of
from storage.weights import compare, describe, read_state_dict

log = logging.getLogger(__name__)
WIDTHS = (64, 18, 36, 72, 144)
TIMM, HUB = "hrnet_w18", "timm/hrnet_w18.ms_aug_in1k"
REMEDY = (
    "give HRNet_W18_C_cosinelr_cutmix_300epoch.pth.tar of github.com/HRNet/HRNet-Image-Classification by "
    "--model-backbone-weights, or train from scratch with --train-weights-init scratch"
)


def hrnet_w18(pretrained: bool = False, weights: str = "") -> nn.Module:
    """The network of timm, which enlarges its maps bilinearly between the corners, as the original one does.

    Only so does it compute what the published weights were trained with; timm takes the nearest neighbour.
    Source: Wang et al., Deep High-Resolution Representation Learning for Visual Recognition (arXiv 1908.07919).

    Args:
        pretrained: start from ImageNet.
        weights: file with these weights; "" for those of timm, which are fetched from the Hugging Face hub.

    Raises:
        UserError: when the weights cannot be had, or are of another network.
    """
    with torch.device("cpu"):  # parts of PyTorch 2.6 that it imports cannot be imported for the device "meta"
        import timm  # takes as long to import as a small network to run

    model = timm.create_model(TIMM, features_only=True, feature_location="")
    for module in model.modules():
        if isinstance(module, nn.Upsample):
            module.mode, module.align_corners = "bilinear", True
    if pretrained:
        state, source = (read_state_dict(Path(weights)), weights) if weights else (_fetched(), HUB)
        _fill(model, state, source)
    return model


def _fetched() -> dict[str, Tensor]:
    from timm.models import load_state_dict_from_hf

    try:
        return load_state_dict_from_hf(HUB, weights_only=True)
    except Exception as error:  # of the hub, of its connection, of the file
        log.debug("%s: %s", HUB, error)
        raise UserError(
            f"ImageNet weights of HRNet-W18: {HUB} cannot be fetched ({reason_of(error)}); {REMEDY}"
        ) from None


def _fill(model: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Copy what a classifier has of the encoder; raises `UserError` unless that is all of it."""
    own = model.state_dict()
    state = {key: value for key, value in state.items() if key in own}
    fit = compare(model, state)
    if not fit.is_whole:
        raise UserError(f"{source}: no HRNet-W18 ({describe(fit)}); {REMEDY}")
    model.load_state_dict(state, strict=False)
