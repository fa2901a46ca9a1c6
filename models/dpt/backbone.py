"""The transformer of DPT with its position embedding, and the ResNet before it in the hybrid."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from .same import SameConv2d, SameMaxPool2d

PATCH = 16
_REMEMBERED = 8


@dataclass(frozen=True)
class Variant:
    """Which features a backbone hands on: first those of `stages` of its ResNet, then those behind `blocks`."""

    timm_name: str
    width: int
    blocks: tuple[int, ...]
    channels: tuple[int, int, int, int]
    stages: tuple[int, ...] = ()


VARIANTS = {
    "hybrid": Variant("vit_base_r50_s16_384", 768, (8, 11), (256, 512, 768, 768), stages=(0, 1)),
    "large": Variant("vit_large_patch16_384", 1024, (5, 11, 17, 23), (256, 512, 1024, 1024)),
}


def _plain_convolutions(module: nn.Module) -> None:
    """Replace timm's convolutions that standardise in every pass by those that expect standardised weights."""
    from timm.layers import StdConv2dSame  # timm takes as long to import as a small network to run

    for name, child in module.named_children():
        if isinstance(child, StdConv2dSame):
            setattr(
                module, name, SameConv2d(child.in_channels, child.out_channels, child.kernel_size[0], child.stride[0])
            )
        else:
            _plain_convolutions(child)


class Backbone(nn.Module):
    """Vision transformer of timm whose inner features come out; its last norm and its classifier are not there.

    Shapes:  image (B, 3, H, W), normalised; H and W multiples of 16
    Returns: maps (B, C, H/4, W/4) and (B, C, H/8, W/8) of the ResNet where there is one, then tokens
             (B, 1 + H/16 * W/16, width), the class token first.
    """

    def __init__(self, variant: Variant):
        with torch.device("cpu"):  # parts of PyTorch 2.6 that it imports cannot be imported for the device "meta"
            import timm

        super().__init__()
        self.stages, self.taps = variant.stages, variant.blocks
        # Weights come from a file.
        self.vit = timm.create_model(
            variant.timm_name, pretrained=False, num_classes=0, embed_dim=variant.width, weight_init="skip"
        )
        self.vit.norm = nn.Identity()
        if self.stages:
            _plain_convolutions(self.vit.patch_embed.backbone)
            self.vit.patch_embed.backbone.stem.pool = SameMaxPool2d()
        self._positions: dict[tuple[object, ...], Tensor] = {}

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features, finest first."""
        features = []
        x = image
        if self.stages:
            resnet = self.vit.patch_embed.backbone
            x = resnet.stem(x)
            for number, stage in enumerate(resnet.stages):
                x = stage(x)
                if number in self.stages:
                    features.append(x)
        x = self.vit.patch_embed.proj(x)  # (B, width, H/16, W/16)
        first = self.vit.cls_token.expand(len(x), -1, -1)
        tokens = torch.cat([first, x.flatten(2).transpose(1, 2)], 1) + self.position(*x.shape[-2:])
        for number, block in enumerate(self.vit.blocks):
            tokens = block(tokens)
            if number in self.taps:
                features.append(tokens)
        return features

    def position(self, height: int, width: int) -> Tensor:
        """Position embedding (1, 1 + height * width, C) for a grid of tokens; that of recent sizes is remembered."""
        learned = self.vit.pos_embed
        if torch.compiler.is_compiling():  # what is traced is no tensor to keep
            return _positions(learned, (height, width))
        key = (height, width, learned.device, learned.dtype)
        if key not in self._positions:
            if len(self._positions) == _REMEMBERED:
                self._positions.clear()
            self._positions[key] = _positions(learned, (height, width))
        return self._positions[key]


def _positions(learned: Tensor, size: tuple[int, int]) -> Tensor:
    side = round((learned.shape[1] - 1) ** 0.5)
    grid = learned[:, 1:].detach().transpose(1, 2).unflatten(2, (side, side))  # (1, C, side, side)
    grid = interpolate(grid, size, mode="bilinear", align_corners=False)
    return torch.cat([learned[:, :1].detach(), grid.flatten(2).transpose(1, 2)], 1)
