"""Encoders of five maps, 1/2 to 1/32 of the size, converted to the same channels whatever the backbone."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ..encoders import ResnetEncoder, imagenet_network

WIDTHS = (64, 128, 256, 512, 1024)  # of the converted maps
MOBILENET_WIDTHS = (32, 144, 192, 576, 1280)
TAPS = {1: 0, 3: 1, 6: 1, 13: 1}
"""Blocks of MobileNetV2 inside which a map is taken, and after which of their layers."""
RESNETS = {"resnext101": (101, "resnext101_32x8d"), "resnet50": (50, ""), "resnet18": (18, "")}


class Converter(nn.Module):
    """Normalisation, ReLU and a 1x1 convolution: (B, channels, h, w) -> (B, out, h, w), of both signs."""

    def __init__(self, channels: int, out: int):
        super().__init__()
        self.module = nn.Sequential(
            nn.BatchNorm2d(channels, eps=1e-5, momentum=0.01),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, out, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Convert."""
        return self.module(x)


def converters(widths: Sequence[int]) -> nn.ModuleList:
    """One for each of five maps of these widths."""
    return nn.ModuleList(Converter(width, out) for width, out in zip(widths, WIDTHS, strict=True))


class ConvertedResnet(ResnetEncoder):
    """ResNet or ResNeXt, its maps after the stem and after each of its four stages.

    Shapes:  x (B, 3, H, W), ImageNet-normalised.
    Returns: five maps, finest first, with `WIDTHS` channels.
    """

    def __init__(self, kind: str, pretrained: bool = False):
        layers, name = RESNETS[kind]
        super().__init__(layers, pretrained=pretrained, name=name)
        self.conv_convert_list = converters(self.widths)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Feature maps."""
        return [convert(tap) for convert, tap in zip(self.conv_convert_list, super().forward(x), strict=True)]


class ConvertedMobilenet(nn.Module):
    """MobileNetV2; shapes as of `ConvertedResnet`.

    residuals: False leaves out what blocks 3, 6 and 13 add to their result: the released code, which takes their maps
        from the inside, forgets it, and its weights were trained so.
    """

    def __init__(self, residuals: bool = True, pretrained: bool = False):
        super().__init__()
        self.residuals = residuals
        self.encoder = imagenet_network("mobilenet_v2", pretrained)
        del self.encoder.classifier
        self.conv_convert_list = converters(MOBILENET_WIDTHS)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Feature maps, finest first."""
        taps = []
        for number, block in enumerate(self.encoder.features):
            if number not in TAPS:
                x = block(x)
                continue
            before = x
            for place, layer in enumerate(block.conv):
                x = layer(x)
                if place == TAPS[number]:
                    taps.append(x)
            if self.residuals and block.use_res_connect:
                x = before + x
        return [convert(tap) for convert, tap in zip(self.conv_convert_list, (*taps, x), strict=True)]


def build_encoder(kind: str, residuals: bool = True, pretrained: bool = False) -> nn.Module:
    """Encoder by the name of its backbone: mobilenetv2 or one of `RESNETS`."""
    if kind == "mobilenetv2":
        return ConvertedMobilenet(residuals, pretrained)
    return ConvertedResnet(kind, pretrained)
