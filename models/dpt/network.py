"""DPT: dense prediction from the features of a vision transformer.

Source: Ranftl, Bochkovskiy, Koltun, Vision Transformers for Dense Prediction, ICCV 2021 (arXiv 2103.13413).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate, relu

from ..decoders import OutputConv2d
from .backbone import PATCH, VARIANTS, Backbone

FEATURES = 256
MULTIPLE = 32
"""Height and width must be multiples of this, or the coarsest map no longer meets the next one."""


class Reassemble(nn.Module):
    """Tokens to a map; every token sees the class token, which is then left out.

    Shapes:  tokens (B, 1 + h * w, width), grid (h, w)    Returns: (B, channels, H, W), what `resize` makes of (h, w).
    """

    def __init__(self, width: int, channels: int, resize: nn.Module):
        super().__init__()
        self.readout = nn.Linear(2 * width, width)
        self.project = nn.Conv2d(width, channels, 1)
        self.resize = resize

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Map of one feature."""
        first, rest = tokens[:, :1], tokens[:, 1:]
        mixed = gelu(self.readout(torch.cat([rest, first.expand_as(rest)], -1)))
        return self.resize(self.project(mixed.transpose(1, 2).unflatten(2, grid)))


def _resize(number: int, channels: int) -> nn.Module:
    """Layer that brings map `number`, at 1/16 of the image, to 1/4, 1/8, 1/16 or 1/32."""
    match number:
        case 1 | 2:
            factor = 4 if number == 1 else 2
            return nn.ConvTranspose2d(channels, channels, factor, factor)
        case 3:
            return nn.Identity()
    return nn.Conv2d(channels, channels, 3, stride=2, padding=1)


class Residual(nn.Module):
    """x + conv(relu(conv(relu(x)))), 3x3."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(FEATURES, FEATURES, 3, padding=1)
        self.conv2 = nn.Conv2d(FEATURES, FEATURES, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 256, H, W) -> the same shape."""
        return x + self.conv2(relu(self.conv1(relu(x))))


def double(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C, 2H, 2W), bilinear with aligned corners."""
    return interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)


class Fusion(nn.Module):
    """Adds a finer map to a coarser one and doubles the size; the coarsest has nothing to be added to."""

    def __init__(self, coarsest: bool):
        super().__init__()
        self.skip = None if coarsest else Residual()
        self.main = Residual()
        self.out_conv = nn.Conv2d(FEATURES, FEATURES, 1)

    def forward(self, x: Tensor, finer: Tensor | None = None) -> Tensor:
        """Both (B, 256, H, W) -> (B, 256, 2H, 2W)."""
        if self.skip is not None:
            x = x + self.skip(finer)
        return self.out_conv(double(self.main(x)))


class Double(nn.Module):
    """`double` as a layer."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, 2H, 2W)."""
        return double(x)


class DPT(nn.Module):
    """Inverse depth of normalised images: ``scale * out + shift``, where out >= 0 is the output of the layers.

    variant: key of `VARIANTS`
    scale, shift: 1 and 0 leave inverse depth relative; networks fine-tuned to metres have theirs, to 1/m

    Shapes:  image (B, 3, H, W) in [-1, 1], H and W multiples of 32    Returns: (B, H, W) float32, near = large.
    Raises:  ValueError when the size does not fit.
    """

    def __init__(self, variant: str, scale: float = 1.0, shift: float = 0.0):
        super().__init__()
        kind = VARIANTS[variant]
        self.scale, self.shift = scale, shift
        self.backbone = Backbone(kind)
        numbers = range(1 + len(kind.stages), 5)
        self.reassemble = nn.ModuleDict(
            {
                str(number): Reassemble(
                    kind.width, kind.channels[number - 1], _resize(number, kind.channels[number - 1])
                )
                for number in numbers
            }
        )
        self.narrow = nn.ModuleDict(
            {
                str(number): nn.Conv2d(channels, FEATURES, 3, padding=1, bias=False)
                for number, channels in enumerate(kind.channels, 1)
            }
        )
        self.fuse = nn.ModuleDict({str(number): Fusion(coarsest=number == 4) for number in range(1, 5)})
        self.head = nn.Sequential(
            nn.Conv2d(FEATURES, FEATURES // 2, 3, padding=1),
            Double(),
            nn.Conv2d(FEATURES // 2, 32, 3, padding=1),
            nn.ReLU(),
            OutputConv2d(32, 1, 1),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Inverse depth."""
        return relu(self.raw(image)) * self.scale + self.shift

    def raw(self, image: Tensor) -> Tensor:
        """What comes before the last ReLU, (B, H, W), at least float32."""
        maps = [narrow(x) for narrow, x in zip(self.narrow.values(), self.features(image), strict=True)]
        path = self.fuse["4"](maps[3])
        for number in (3, 2, 1):
            path = self.fuse[str(number)](path, maps[number - 1])
        return self.head(path)[:, 0]

    def features(self, image: Tensor) -> list[Tensor]:
        """Four maps at 1/4, 1/8, 1/16 and 1/32 of the image."""
        height, width = image.shape[-2:]
        if height % MULTIPLE or width % MULTIPLE:
            raise ValueError(f"dpt: size {height} x {width} is not a multiple of {MULTIPLE}")
        grid = (height // PATCH, width // PATCH)
        return [
            self.reassemble[key](x, grid) if (key := str(number)) in self.reassemble else x
            for number, x in enumerate(self.backbone(image), 1)
        ]
