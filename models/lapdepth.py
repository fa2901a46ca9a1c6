"""LapDepth: a ResNeXt encoder, and a decoder that builds depth from a Laplacian pyramid of residuals.

Source: Song, Lim & Kim, Monocular depth estimation using Laplacian pyramid-based depth residuals, TCSVT 31(11), 2021.
Names of modules give the keys of the published files. Of the two decoders it is the one of five levels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from errors import UserError
from perspective_resample.input_view import NYU_OF_LAPDEPTH

from .decoders import exact
from .encoders import ResnetEncoder
from .metric import MetricNetwork, in_metres
from .prediction import Prediction

EPS = 1e-5  # added to the standard deviation of a filter
GROUP = 16  # channels per group of group normalisation
FRONT = 0.1  # share of the mean of the RGB residual that is added before tanh


class LapEncoder(ResnetEncoder):
    """ResNeXt-101 32x8d without its last stage: normalised (B, 3, H, W) -> four maps, 1/2 to 1/16, finest first.

    Its batch normalisation always works with the statistics it has and does not learn; the first convolution and the
    first two blocks do not learn either.
    """

    def __init__(self, pretrained: bool = False):
        super().__init__(101, pretrained=pretrained, name="resnext101_32x8d")
        del self.encoder.layer4
        for module in (self.encoder.conv1, self.encoder.layer1[0], self.encoder.layer1[1], *self._norms()):
            module.requires_grad_(False)

    def _norms(self) -> list[nn.Module]:
        """Whatever they were converted to: synchronised ones would learn from then on."""
        return [module for module in self.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]

    def train(self, mode: bool = True) -> LapEncoder:
        """Normalisation stays in evaluation mode."""
        super().train(mode)
        for module in self._norms():
            module.eval()
        return self

    def forward(self, x: Tensor) -> list[Tensor]:
        """Feature maps."""
        net = self.encoder
        features = [net.relu(net.bn1(net.conv1(x)))]
        features.append(net.layer1(net.maxpool(features[0])))
        for layer in (net.layer2, net.layer3):
            features.append(layer(features[-1]))
        return features


class StandardisedConv2d(nn.Conv2d):
    """A convolution without bias whose filters have mean 0 and standard deviation 1: (w - mean w) / (std w + 1e-5).

    In evaluation they are standardised once, as long as nobody changes the weight.
    """

    def __init__(self, channels: int, out: int, kernel: int = 3, dilation: int = 1):
        super().__init__(channels, out, kernel, padding=kernel // 2 * dilation, dilation=dilation, bias=False)
        self._kept: tuple[int, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        return self._conv_forward(x, self.filters(), None)

    def filters(self) -> Tensor:
        """The standardised weight."""
        if self.training or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return self._standardised()
        if self._kept is None or self._kept[0] != self.weight._version:
            self._kept = self.weight._version, self._standardised()
        return self._kept[1]

    def _standardised(self) -> Tensor:
        centred = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return centred / (centred.flatten(1).std(1).view(-1, 1, 1, 1) + EPS)

    def train(self, mode: bool = True) -> StandardisedConv2d:
        """Forget what was kept: weights change in training."""
        self._kept = None
        return super().train(mode)

    def _apply(self, *args: object, **options: object) -> StandardisedConv2d:
        self._kept = None  # the weight goes to another device or type
        return super()._apply(*args, **options)


class ExactConv2d(StandardisedConv2d):
    """The same for the last one of a level, whose results are measures: at least float32, also under autocast."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(exact(x))


def normalisation(kind: str, channels: int) -> nn.Module:
    """``GN`` of 16 channels a group, or ``BN``."""
    return nn.GroupNorm(channels // GROUP, channels) if kind == "GN" else nn.BatchNorm2d(channels, eps=1e-3)


ACTIVATIONS = {"ReLU": nn.ReLU, "ELU": nn.ELU, "Mish": nn.Mish}


class Conv(nn.Module):
    """Normalisation, activation and a convolution: (B, channels, h, w) -> (B, out, h, w)."""

    def __init__(self, channels: int, out: int, kind: tuple[str, str], kernel: int = 3, dilation: int = 1):
        super().__init__()
        convolution = ExactConv2d if out == 1 else StandardisedConv2d
        norm, activation = kind
        self.module = nn.Sequential(
            normalisation(norm, channels), ACTIVATIONS[activation](), convolution(channels, out, kernel, dilation)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        return self.module(x)


class Up(nn.Module):
    """Normalisation, activation, bilinear enlargement by two and a convolution."""

    def __init__(self, channels: int, out: int, kind: tuple[str, str]):
        super().__init__()
        norm, activation = kind
        self.norm, self.activation = normalisation(norm, channels), ACTIVATIONS[activation]()
        self.conv = StandardisedConv2d(channels, out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, h, w) -> (B, out, 2h, 2w)."""
        return self.conv(doubled(self.activation(self.norm(x))))


class DenseASPP(nn.Module):
    """Four dilated branches, each of which sees what the ones before it found: (B, 1024, h, w) -> (B, 512, h, w)."""

    def __init__(self, kind: tuple[str, str]):
        super().__init__()
        self.reduction1 = StandardisedConv2d(1024, 512, 1)
        for number, dilation in enumerate((3, 6, 12, 18)):
            branch = nn.Sequential(
                Conv(512 + 256 * number, 256, kind, kernel=1), Conv(256, 256, kind, dilation=dilation)
            )
            setattr(self, f"aspp_d{dilation}", branch)
        self.reduction2 = Conv(1536, 512, kind)

    def forward(self, x: Tensor) -> Tensor:
        """Mix."""
        x = self.reduction1(x)
        for branch in (self.aspp_d3, self.aspp_d6, self.aspp_d12, self.aspp_d18):
            x = torch.cat((x, branch(x)), 1)
        return self.reduction2(x)


class LapDecoder(nn.Module):
    """Residuals of five levels, from 1/16 to full size.

    norm:       ``BN`` or ``GN``
    activation: ``ReLU``, ``ELU`` or ``Mish``
    """

    def __init__(self, norm: str = "BN", activation: str = "ReLU"):
        super().__init__()
        kind = norm, activation
        self.ASPP = DenseASPP(kind)
        widths = (512, 256, 128, 64, 32, 1)
        self.decoder1 = nn.Sequential(*(Conv(a, b, kind) for a, b in zip(widths, widths[1:], strict=False)))
        # What a level appends before its first convolution is a depth map and three colours.
        self.decoder2_up1 = Up(512, 256, kind)
        self.decoder2_reduc1 = Conv(768, 252, kind, kernel=1)
        self.decoder2_1 = Conv(256, 256, kind)
        self.decoder2_2 = Conv(256, 128, kind)
        self.decoder2_3 = Conv(128, 64, kind)
        self.decoder2_4 = Conv(64, 1, kind)
        self.decoder2_1_up2 = Up(256, 128, kind)
        self.decoder2_1_reduc2 = Conv(384, 124, kind, kernel=1)
        self.decoder2_1_1 = Conv(128, 128, kind)
        self.decoder2_1_2 = Conv(128, 64, kind)
        self.decoder2_1_3 = Conv(64, 1, kind)
        self.decoder2_1_1_up3 = Up(128, 64, kind)
        self.decoder2_1_1_reduc3 = Conv(128, 60, kind, kernel=1)
        self.decoder2_1_1_1 = Conv(64, 64, kind)
        self.decoder2_1_1_2 = Conv(64, 1, kind)
        self.decoder2_1_1_1_up4 = Up(64, 60, kind)
        self.decoder2_1_1_1_1 = Conv(64, 64, kind)
        self.decoder2_1_1_1_2 = Conv(64, 32, kind)
        self.decoder2_1_1_1_3 = Conv(32, 1, kind)

    def forward(self, features: Sequence[Tensor], image: Tensor) -> list[Tensor]:
        """Four maps of the encoder and the normalised image -> residuals (B, 1, h, w) in (-1, 1), coarsest first.

        That of 1/16 is in (0, 1): it is no residual but where the others begin.
        """
        stem, first, second, deepest = features
        colours = laplacians(image, 4)
        dense = self.ASPP(deepest)
        coarse = self.decoder1(dense).sigmoid()
        x = self.decoder2_reduc1(torch.cat((self.decoder2_up1(dense), second), 1))
        kept = self.decoder2_1(_joined(x, coarse, colours[3]))
        found = [coarse, _residual(self.decoder2_4(self.decoder2_3(self.decoder2_2(kept))), colours[3])]
        x = self.decoder2_1_reduc2(torch.cat((self.decoder2_1_up2(kept), first), 1))
        kept = self.decoder2_1_1(_joined(x, found[-1], colours[2]))
        found.append(_residual(self.decoder2_1_3(self.decoder2_1_2(kept)), colours[2]))
        x = self.decoder2_1_1_reduc3(torch.cat((self.decoder2_1_1_up3(kept), stem), 1))
        kept = self.decoder2_1_1_1(_joined(x, found[-1], colours[1]))
        found.append(_residual(self.decoder2_1_1_2(kept), colours[1]))
        kept = self.decoder2_1_1_1_1(_joined(self.decoder2_1_1_1_up4(kept), found[-1], colours[0]))
        found.append(_residual(self.decoder2_1_1_1_3(self.decoder2_1_1_1_2(kept)), colours[0]))
        return found


def laplacians(image: Tensor, levels: int) -> list[Tensor]:
    """What bilinear halving loses of (B, C, H, W), level by level, finest first."""
    found = []
    for _ in range(levels):
        half = F.interpolate(image, scale_factor=0.5, mode="bilinear", align_corners=False)
        found.append(image - F.interpolate(half, image.shape[-2:], mode="bilinear", align_corners=False))
        image = half
    return found


def doubled(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, C, 2h, 2w), bilinear."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _joined(x: Tensor, below: Tensor, colours: Tensor) -> Tensor:
    return torch.cat((x, doubled(below).to(x.dtype), colours.to(x.dtype)), 1)


def _residual(x: Tensor, colours: Tensor) -> Tensor:
    return (x + FRONT * colours.mean(1, keepdim=True)).tanh()


class LapDepth(MetricNetwork):
    """Depth in metres at full size.

    Args:
        norm: normalisation in the decoder, ``BN`` or ``GN``.
        activation: in the decoder, ``ReLU``, ``ELU`` or ``Mish``.
        max_depth: metres.
        pretrained: start the encoder from ImageNet.
    """

    size_divisor = 16
    views = {"nyu_v2": NYU_OF_LAPDEPTH}

    def __init__(self, norm: str = "BN", activation: str = "ReLU", max_depth: float = 80.0, pretrained: bool = False):
        super().__init__(max_depth)
        self.encoder = LapEncoder(pretrained)
        self.decoder = LapDecoder(norm, activation)

    def residuals(self, image: Tensor) -> list[Tensor]:
        """Images (B, 3, H, W) in [0, 1] -> what `LapDecoder` says of them.

        Raises:
            UserError: when a side is no multiple of 16.
        """
        height, width = image.shape[-2:]
        if height % self.size_divisor or width % self.size_divisor:
            raise UserError(
                f"images of {height}x{width}: LapDepth needs sides that are multiples of {self.size_divisor}; crop "
                "them with --depth-crop-height and --depth-crop-width"
            )
        normal = self.normalise(image)
        return self.decoder(self.encoder(normal), normal)

    def depth(self, image: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [0, 1], sides multiples of 16 -> metres (B, 1, H, W) float32."""
        return self.max_depth * reconstructed(self.residuals(image)).sigmoid()

    def predict(self, image: Tensor, tasks: Sequence[str] = ("depth",)) -> Prediction:
        """Depth in metres of images as `depth` takes them; it knows no other task."""
        return Prediction(in_metres(self.depth(image))) if "depth" in tasks else Prediction()

    def forward(self, images: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Depth of several data sets, one after the other: batch normalisation sees each by itself."""
        return tuple(self.depth(image) for image in images)


def reconstructed(residuals: Sequence[Tensor]) -> Tensor:
    """Residuals, coarsest first -> their sum at the finest size, each level enlarged and added to the next."""
    total = residuals[0]
    for residual in residuals[1:]:
        total = residual + doubled(total)
    return total
