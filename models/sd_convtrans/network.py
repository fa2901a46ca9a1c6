"""The network: one pyramid sees two sizes of a picture, a transformer the larger one, and diffusion joins them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perspective_resample.input_view import InputView
from perspective_resample.resize import bilinear_levels

from ..decoders import OutputConv2d
from ..encoders import WIDTHS, imagenet_network
from ..metric import MetricNetwork, in_metres
from ..prediction import Prediction
from . import transformer
from .diffusion import Diffusion, Kernel

log = logging.getLogger(__name__)
InputNorm = Literal["imagenet", "none"]
LEVELS = 255
SHARE = 0.75  # of the sides of x_H that those of x_L have, rounded down
KITTI = (352, 1216)  # rows at the bottom and columns in the middle that evaluation on KITTI looks at


def smaller_size(size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of x_L for that of x_H."""
    return int(size[0] * SHARE), int(size[1] * SHARE)


def smaller_picture(image: Tensor) -> Tensor:
    """x_L of x_H: what Pillow's bilinear resizing makes of its bytes; (B, 3, H, W) in [0, 1], no gradient."""
    levels = (image.detach() * LEVELS).round().clamp(0, LEVELS)
    return bilinear_levels(levels, smaller_size(image.shape[2:])).to(image.dtype) / LEVELS


def double_convolution(channels: int, middle: int, out: int) -> nn.Sequential:
    """Two 3x3 convolutions, each with a ReLU."""
    first, second = nn.Conv2d(channels, middle, 3, padding=1), nn.Conv2d(middle, out, 3, padding=1)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU())


def enlargement(channels: int, factor: int) -> nn.Sequential:
    """(B, channels, h, w) -> (B, channels, factor h, factor w)."""
    convolution = nn.Conv2d(channels, channels * factor**2, 3, padding=1)
    return nn.Sequential(convolution, nn.PixelShuffle(factor), nn.ReLU())


def resized(x: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear, with half-pixel centres: (B, C, any size) -> (B, C, *size)."""
    return x if x.shape[2:] == size else F.interpolate(x, size, mode="bilinear", align_corners=False)


class SDConvTrans(MetricNetwork):
    """Full depth of a picture and the smooth base that guides it.

    Args:
        layers: of the ResNet, 18, 34, 50, 101 or 152; 101 is the published one.
        max_depth: metres that the output 1 stands for.
        input_norm: ``imagenet`` takes mean and deviation of ImageNet from the input; ``none`` leaves it as it is,
            which published weights need.
        kernel: of the diffusion, see `Diffusion`.
        with_transformer: False leaves the transformer out, for comparison.
        sees: ``frame``: whole images, at the size of the options; ``kitti``: of KITTI, in evaluation, the window
            `KITTI` as it is; in use images in their own shape, at the height of the options.
        pretrained: start the ResNet from ImageNet.
        transformer_weights: file of the transformer, see `load_transformer`; "" for random ones.

    Images are RGB in [0, 1], of any size from 32x32.
    """

    def __init__(
        self,
        layers: int = 101,
        max_depth: float = 10.0,
        input_norm: InputNorm = "imagenet",
        kernel: Kernel = "trained",
        with_transformer: bool = True,
        sees: Literal["frame", "kitti"] = "frame",
        pretrained: bool = False,
        transformer_weights: str = "",
    ):
        super().__init__(max_depth)
        self.input_fit = "height" if sees == "kitti" else "squash"
        self.views = {"kitti": InputView(resized=False, crop=KITTI)} if sees == "kitti" else {}
        if input_norm == "none":
            self.mean.zero_(), self.std.fill_(1)
        self._make_pyramid(layers, pretrained)
        for number in range(1, 6):
            self.add_module(f"agg{number}", double_convolution(256, 256, 128))
        self.backbone = transformer.MixTransformer() if with_transformer else None
        if with_transformer:
            for number, width in enumerate(transformer.WIDTHS, 1):
                self.add_module(f"aggs{number}", double_convolution(width, width, 128))
            if transformer_weights:
                transformer.load_transformer(self.backbone, Path(transformer_weights))
        self.up1, self.up2, self.up3 = (enlargement(128, factor) for factor in (8, 4, 2))
        self.predict1 = nn.Sequential(nn.Conv2d(512, 128, 3, padding=1), nn.ReLU())
        self.predict2 = nn.Sequential(OutputConv2d(128, 1, 3, padding=1), nn.Sigmoid())
        self.tbdn = Diffusion(128, kernel)

    def _make_pyramid(self, layers: int, pretrained: bool) -> None:
        net = imagenet_network(f"resnet{layers}", pretrained, newest=True)
        self.layer0 = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
        for number in range(1, 5):
            self.add_module(f"layer{number}", nn.Sequential(getattr(net, f"layer{number}")))
        _, fine, middle, coarse, deepest = WIDTHS[layers]
        self.toplayer = nn.Conv2d(deepest, 256, 1)
        self.latlayer1, self.latlayer2, self.latlayer3 = (nn.Conv2d(width, 256, 1) for width in (coarse, middle, fine))
        self.smooth1, self.smooth2, self.smooth3 = (nn.Conv2d(256, 256, 3, padding=1) for _ in range(3))

    def forward(self, image: Tensor, small: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Base and full depth as shares of `max_depth`, float32, a quarter of the size of their input rounded up.

        Args:
            image: x_H, (B, 3, H, W).
            small: x_L, (B, 3, h, w); None: `smaller_picture` of it.

        Returns: (B, 1, h / 4, w / 4) and (B, 1, H / 4, W / 4), in (0, 1).
        """
        image, small = (self.normalise(each) for each in (image, smaller_picture(image) if small is None else small))
        guide = self.base_feature(small)
        refined = self.tbdn(self.full_feature(image), guide)
        return self.predict2(guide), self.predict2(self.agg5(refined))

    def base_feature(self, small: Tensor) -> Tensor:
        """V, (B, 128, h / 4, w / 4) of normalised x_L."""
        finest, *coarser = self.pyramid(small)
        heads = (self.agg4, self.agg3, self.agg2, self.agg1)
        return self._joined([head(x) for head, x in zip(heads, (finest, *coarser), strict=True)])

    def full_feature(self, image: Tensor) -> Tensor:
        """U, (B, 128, H / 4, W / 4) of normalised x_H; published weights need the heads in reverse order here."""
        heads = (self.agg1, self.agg2, self.agg3, self.agg4)
        maps = [head(x) for head, x in zip(heads, self.pyramid(image), strict=True)]
        if self.backbone is not None:
            heads = (self.aggs1, self.aggs2, self.aggs3, self.aggs4)
            seen = [head(x) for head, x in zip(heads, self.backbone(image), strict=True)]
            maps = [own + other for own, other in zip(maps, seen, strict=True)]
        return self._joined(maps)

    def pyramid(self, image: Tensor) -> list[Tensor]:
        """Four maps (B, 256, ...) of a normalised image, 1/4 to 1/32 of its size, finest first."""
        c2 = self.layer1(self.layer0(image))
        c3 = self.layer2(c2)
        c4 = self.layer3(c3)
        p5 = self.toplayer(self.layer4(c4))
        p4 = self.smooth1(resized(p5, c4.shape[2:]) + self.latlayer1(c4))
        p3 = self.smooth2(resized(p4, c3.shape[2:]) + self.latlayer2(c3))
        p2 = self.smooth3(resized(p3, c2.shape[2:]) + self.latlayer3(c2))
        return [p2, p3, p4, p5]

    def _joined(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps (B, 128, ...), finest first, brought to the size of the first and mixed."""
        fine, *coarser = maps
        enlarged = [enlarge(x) for enlarge, x in zip((self.up3, self.up2, self.up1), coarser, strict=True)]
        return self.predict1(torch.cat([resized(x, fine.shape[2:]) for x in (*reversed(enlarged), fine)], 1))

    def predict(self, image: Tensor, tasks: Sequence[str] = ("depth",)) -> Prediction:
        """Depth in metres of images (B, 3, H, W) at a quarter of their size, with its base; it knows no other task."""
        if "depth" not in tasks:
            return Prediction()
        base, full = (in_metres(self.max_depth * share) for share in self(image))
        return Prediction(full, layers={"base": base})
